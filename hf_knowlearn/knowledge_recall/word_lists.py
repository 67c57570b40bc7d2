"""Words that the rules of `correct` need: number words, units, negations, conjunctions and others, by language.

Languages without an entry have no such words. "und" (another language that separates words by spaces) has the words of
French. Words are case-folded and have no apostrophes.
"""

from functools import cache

_ONES = {
    "en": "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    " seventeen eighteen nineteen",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn"
    " siebzehn achtzehn neunzehn",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis"
    " diecisiete dieciocho diecinueve",
    "und": "zéro - deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize",
}
_TENS = {
    "en": "twenty thirty forty fifty sixty seventy eighty ninety",
    "de": "zwanzig dreissig vierzig fünfzig sechzig siebzig achtzig neunzig",
    "es": "veinte treinta cuarenta cincuenta sesenta setenta ochenta noventa",
    "und": "vingt trente quarante cinquante soixante",
}
_LARGE = {
    "en": {"hundred": 100, "thousand": 1000},
    "de": {"hundert": 100, "tausend": 1000},
    "es": {"cien": 100, "mil": 1000},
    "und": {"cent": 100, "mille": 1000},
}
_SCALES = {
    "en": "thousand:3 million:6 billion:9 trillion:12 k:3",
    "de": "tausend:3 million:6 millionen:6 mio:6 milliarde:9 milliarden:9 mrd:9",
    "es": "mil:3 millón:6 millones:6",
    "und": "mille:3 million:6 millions:6 milliard:9 milliards:9",
}
# The first unit of a group is the form that is compared.
_UNITS = (
    "km kms kilometre kilometres kilometer kilometers kilómetro kilómetros kilomètre kilomètres",
    "m metre metres meter meters metern metro metros mètre mètres",
    "cm centimetre centimetres centimeter centimeters zentimeter centímetros",
    "mm millimetre millimetres millimeter millimeters milímetros",
    "mile miles mi meile meilen milla millas",
    "foot feet ft",
    "inch inches",
    "kg kgs kilo kilos kilogram kilograms kilogramme kilogrammes kilogramm",
    "g gram grams gramme grammes gramm gramos",
    "tonne tonnes ton tons tonnen toneladas",
    "l litre litres liter liters litern litros",
    "knot knots kn kt kts knoten nudos",
    "kwh",
    "mwh",
    "kw kilowatt kilowatts",
    "mw megawatt megawatts",
    "second seconds sec secs sekunde sekunden segundo segundos seconde secondes",
    "minute minutes min mins minuten minuto minutos",
    "hour hours hr hrs h stunde stunden hora horas heure heures",
    "day days tag tage tagen día días jour jours",
    "week weeks woche wochen semana semanas semaine semaines",
    "month months monat monate monaten mes meses mois",
    "year years yr yrs jahr jahre jahren año años an ans",
    "% percent prozent pct pourcent",
    "€ euro euros eur",
    "$ dollar dollars usd",
    "£ pound pounds gbp",
    "chf franken francs franc",
    "dkk kroner krone",
    "°c",
    "°f",
    "°",
)
UNITS = {unit: group.split()[0] for group in _UNITS for unit in group.split()}
CURRENCY_CODES = ("eur", "usd", "gbp", "chf", "dkk", "nok", "sek")


@cache
def number_words(language: str) -> dict[str, int]:
    """Return the value of each number word of the language. The words of "hundred" and "thousand" are multipliers."""
    ones = {word: value for value, word in enumerate(_ONES.get(language, "").split()) if word != "-"}
    tens = {word: 10 * value for value, word in enumerate(_TENS.get(language, "").split(), 2)}
    return ones | tens | _LARGE.get(language, {})


@cache
def scales(language: str) -> dict[str, int]:
    """Return the power of ten of each word that multiplies a number in digits, such as "million"."""
    pairs = (entry.split(":") for entry in _SCALES.get(language, "").split())
    return {word: int(power) for word, power in pairs}


def spelled_number(words: list[str], language: str) -> tuple[int, int]:
    """Return the value of the number words at the beginning of a list, and how many words they are.

    Example:
        >>> spelled_number(["forty", "five", "minutes"], "en")
        (45, 2)
    """
    values = number_words(language)
    total, current, used = 0, 0, 0
    for place, word in enumerate(words[:8]):
        value = values.get(word)
        if word == "and" and current >= 100 and words[place + 1 : place + 2] and words[place + 1] in values:
            value = 0  # "three hundred and fifty"
        if value is None:
            break
        if value >= 100:
            current = max(current, 1) * value
            if value == 1000:
                total, current = total + current, 0
        elif (
            word != "and"
            and used
            and (current % 100 and not (current % 100 >= 20 and current % 10 == 0 and 0 < value < 10))
        ):
            break  # "three four" are two numbers
        elif word != "and" and used and not current and not total:
            break
        else:
            current += value
        used += 1
    return total + current, used


WORDS_OF = {
    # Words that negate what follows them, or what precedes them.
    "negations": {
        "en": "not never no isnt wasnt arent werent doesnt didnt dont cant cannot couldnt wont hasnt havent instead"
        " except neither nor without unlike excluding rather",
        "de": "nicht nie niemals kein keine keinen keinem keiner keines weder ohne ausser statt anstatt",
        "es": "no nunca jamás ni tampoco sin salvo excepto",
        "und": "pas jamais non ni sans sauf ne aucun aucune",
    },
    # Words after a negation that cancel it: "not only", "not until".
    "no_negations": {
        "en": "only until before later more less fewer earlier just merely but sooner",
        "de": "nur bis vor später mehr weniger erst",
        "es": "sólo solo solamente hasta antes más menos",
        "und": "seulement avant plus moins",
    },
    # Words that begin a new statement, which a negation before them does not reach.
    "boundaries": {
        "en": "but and because until although however which who instead since",
        "de": "sondern aber und weil bis der die das sondern",
        "es": "sino pero y porque hasta que",
        "und": "mais et parce jusqu que qui",
    },
    # Words between a negation and a quantity that limit the quantity: "does not sail above 48 knots".
    "limits": {
        "en": "above over below under beyond exceed exceeds exceeding than before after until till least most within",
        "de": "über unter vor nach bis als mindestens höchstens",
        "es": "sobre bajo antes después hasta que menos",
        "und": "avant après plus moins que",
    },
    "and": {"en": "and plus", "de": "und sowie", "es": "y e", "und": "et"},
    "or": {"en": "or", "de": "oder bzw", "es": "o u", "und": "ou"},
    "hedges": {
        "en": "either maybe perhaps possibly probably alternatively",
        "de": "entweder vielleicht möglicherweise eventuell",
        "es": "quizás quizá tal posiblemente",
        "und": "soit peut peutêtre",
    },
    # Words that withdraw what precedes them.
    "corrections": {
        "en": "no wait sorry actually correction oops rather",
        "de": "nein quatsch falsch korrektur",
        "es": "no perdón corrección",
        "und": "non pardon",
    },
    # Words that precede a name and do not make another name of it.
    "titles": {
        "en": "mr mrs ms miss dr prof professor sir dame lord lady captain capt chief engineer officer director"
        " filmmaker actor actress singer author writer composer producer president king queen prince princess"
        " minister saint pope general colonel major sergeant lieutenant judge mayor governor senator bishop father"
        " mother sister brother uncle aunt the a an ms mv m/v ship ferry vessel film movie city town island port"
        " village novel song album manager harbour master",
        "de": "herr frau dr prof kapitän",
        "es": "señor señora don doña dr dra capitán",
        "und": "monsieur madame dr capitaine",
    },
    # Words that make another name of the name after them.
    "name_prefixes": {
        "en": "north south east west northern southern eastern western central new old great greater upper lower inner"
        " outer port fort mount san santa saint st los las el la le lake cape grand little anti air real",
    },
    # Nouns before "of" and a name that do not make another name: "the City of Lyon".
    "of_heads": {"en": "city town village island isle port province state district county kingdom municipality"},
    # Words that can follow a name without being a part of it, in a sentence without upper and lower case.
    "function_words": {
        "en": "is are was were be been has have had the a an of in on at by for from to with and or as it its he she"
        " they i that this which who when where while after before during since until because but not also there then"
        " will would can could does did do so if about into over under between per each every all both only",
        "de": "ist sind war waren wird wurde hat die der das ein eine von in im am an bei für aus mit und oder als zu"
        " auf es er sie nicht auch um nach seit",
        "es": "es son fue era ha el la los las un una de del en por para con y o como que no también",
    },
    # Words after a name that do not make another name of it.
    "name_suffixes": {
        "en": "shipyard shipyards yard yards company ltd limited inc corporation corp co group gmbh jr sr junior"
        " senior film movie series language river city island islands village port harbour harbor phd md esq",
    },
    # Verbs that begin a new statement after "and", besides words in -ed: "built in 1998 and sold in 2007".
    "verbs": {
        "en": "sold bought made began left became came went took got held won lost rebuilt built gave given taken ran"
        " arrives arriving returns returning leaves leaving ends ending starts starting closes opens reaches died",
    },
    "auxiliaries": {
        "en": "is was are were be been has had have then later also it she he they finally again which who first",
    },
    "yes": {"en": "yes yeah true correct", "de": "ja", "es": "sí si", "und": "oui"},
    "no": {"en": "no nope false incorrect", "de": "nein", "es": "no", "und": "non"},
    # Words at the beginning of a response that are no part of the answer.
    "fillers": {
        "en": "sure certainly of course absolutely okay ok yes no well great question happy to help good definitely"
        " answer final response a right correct",
        "de": "klar natürlich sicher gerne ja nein antwort",
        "es": "claro por supuesto sí no respuesta seguro",
        "und": "bien sûr oui non réponse certainement",
    },
    # Abbreviations whose point does not end a sentence.
    "abbreviations": {
        "en": "dr mr mrs ms prof st sr jr vs e.g i.e eg ie capt gen sgt col lt rev hon mt ft approx ca vol fig art"
        " sec p pp inc ltd co corp dept est jan feb mar apr jun jul aug sep sept oct nov dec a.m p.m u.s u.k no nos",
        "de": "dr hr fr prof st nr z.b bzw ca usw tel str d.h u.a inkl jan feb mär apr jun jul aug sep sept okt nov"
        " dez mio mrd max min art abs",
        "es": "sr sra srta dr dra d núm av p.ej ee.uu art pág ej aprox",
        "und": "m mm mme mlle dr av env p.ex etc no n st ste art",
    },
}


@cache
def words_of(kind: str, language: str) -> frozenset[str]:
    """Return the words of this kind in the language; an empty set if the language has no list."""
    return frozenset(WORDS_OF[kind].get(language, "").split())
