"""Words that refer to the previous sentence: pronouns and connectives, by language code."""

# A sentence that begins with one of these words is hard to understand without the sentence before it.
BACK_REFERENCES = {
    "en": (
        "he she it they him her hers his its them their theirs this that these those such both neither either"
        " another others however but and or so then thus therefore hence moreover furthermore also besides"
        " instead meanwhile afterwards later finally next nevertheless nonetheless still yet otherwise"
        " consequently similarly likewise accordingly additionally here there who which whose former latter"
        " some"
    ),
    "de": (
        "er sie es ihm ihn ihr ihre ihren ihrem ihrer sein seine seinen seinem seiner dieser diese dieses"
        " diesem diesen das die der dies jene jener jenes aber doch und oder so dann daher deshalb deswegen"
        " au\xdferdem zudem jedoch danach sp\xe4ter schlie\xdflich hier dort dabei dazu damit dadurch trotzdem"
        " dennoch auch beide darin darauf"
    ),
    "fr": (
        "il elle ils elles lui leur leurs son sa ses ce cet cette ces cela ceci celui celle ceux celles mais"
        " et ou donc alors ainsi puis ensuite enfin cependant pourtant toutefois aussi en y ici l\xe0 c"
    ),
    "es": (
        "\xe9l ella ello ellos ellas lo la le les su sus este esta esto estos estas ese esa eso aquel aquella"
        " pero y e o as\xed entonces luego despu\xe9s adem\xe1s tambi\xe9n sin aqu\xed all\xed ambos"
    ),
    "it": (
        "egli ella esso essa essi esse lui lei loro suo sua suoi sue questo questa questi queste quello"
        " quella ci\xf2 ma e o cos\xec poi quindi dunque inoltre tuttavia anche qui l\xec entrambi"
    ),
    "pt": (
        "ele ela eles elas lhe lhes seu sua seus suas este esta isto estes estas esse essa isso aquele aquela"
        " mas e ou assim ent\xe3o depois al\xe9m tamb\xe9m por\xe9m contudo aqui ali ambos"
    ),
}
