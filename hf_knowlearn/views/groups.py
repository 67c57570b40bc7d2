"""The groups of formats: seven kinds of layout, each a table of marks.

The paper (arXiv 2503.03705) names "controlling spaces or adding special characters around sentences" and publishes no
list. The marks are this project's choice. A mark fills in fields of a `Frame`. Two marks of different groups are
compatible when they fill in different fields, so that both remain visible.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hf_knowlearn.views.features import (
    FLOW,
    LONGER_THAN,
    NO_CELLS,
    NO_FENCE,
    NO_LATEX,
    NO_QUOTES,
    NO_TAGS,
    PARAGRAPHS,
    PROSE,
    TITLE,
    WORDS,
)
from hf_knowlearn.views.layout import labels_of, roman

# Fields that would break a container of one line, such as JSON.
_ALL_INSIDE = frozenset(
    "head prefix indent trailing sentence_prefix sentence_suffix item joint space line paragraph width".split()
)


@dataclass(frozen=True, eq=False)
class Mark:
    """One entry of a group.

    Args:
        group: name of the group.
        name: name within the group.
        fields: the fields of `Frame` that the mark fills in, with their values.
        needs: features of `hf_knowlearn.views.features` that a document must have. Without them the mark would be
            invisible, or the result would not be what it claims to be, such as JSON that parses.
        blocks: more fields that no other mark of the same format may fill in.
    """

    group: str
    name: str
    fields: Mapping[str, Any]
    needs: int = 0
    blocks: frozenset[str] = frozenset()

    @cached_property
    def taken(self) -> frozenset[str]:
        """The fields that no other mark of the same format may fill in."""
        lines = {"space"} if "line" in self.fields else set()
        return self.blocks | lines | set(self.fields)

    @cached_property
    def full_name(self) -> str:
        """`group.name`."""
        return f"{self.group}.{self.name}"


def _spacing() -> Sequence[Mark]:
    widths = {"double": "  ", "triple": "   ", "tab": "\t", "em_space": "\u2003"}
    indents = {"indent_2": "  ", "indent_4": "    ", "indent_8": "        ", "indent_tab": "\t"}
    return [
        *(Mark("spacing", name, {"space": space}, FLOW) for name, space in widths.items()),
        *(Mark("spacing", name, {"indent": indent}, WORDS) for name, indent in indents.items()),
        Mark("spacing", "trailing", {"trailing": "  "}, WORDS),
    ]


def _breaks() -> Sequence[Mark]:
    return [
        Mark("breaks", "sentence_lines", {"line": "\n"}, FLOW),
        Mark("breaks", "spaced_lines", {"line": "\n\n"}, FLOW),
        Mark("breaks", "paragraph_lines", {"paragraph": "\n"}, PARAGRAPHS | PROSE),
        Mark("breaks", "one_line", {"paragraph": " "}, PARAGRAPHS | PROSE),
        *(Mark("breaks", f"wrap_{width}", {"width": width}, need) for width, need in LONGER_THAN.items()),
    ]


def _marks() -> Sequence[Mark]:
    around = {
        "quotes": ('"', '"'), "curly_quotes": ("\u201c", "\u201d"), "low_quotes": ("\u201e", "\u201c"),
        "guillemets": ("\u00ab ", " \u00bb"), "turned_guillemets": ("\u00bb", "\u00ab"),
        "angle_quotes": ("\u2039", "\u203a"), "single_quotes": ("\u2018", "\u2019"), "apostrophes": ("'", "'"),
        "corner_quotes": ("\u300c", "\u300d"), "double_corner_quotes": ("\u300e", "\u300f"),
        "tex_quotes": ("``", "''"), "brackets": ("[", "]"), "double_brackets": ("[[", "]]"),
        "parentheses": ("(", ")"), "braces": ("{", "}"), "angle_brackets": ("\u27e8", "\u27e9"),
        "lenticular": ("\u3010", "\u3011"), "chevrons": ("<<", ">>"), "star": ("*", "*"), "bold": ("**", "**"),
        "bold_star": ("***", "***"), "underscore": ("_", "_"), "bold_underscore": ("__", "__"),
        "strike": ("~~", "~~"), "highlight": ("==", "=="), "code": ("`", "`"), "equals": ("= ", " ="),
        "bars": ("|", "|"), "slashes": ("/ ", " /"), "section": ("\u00a7 ", ""), "pilcrow": ("\u00b6 ", ""),
        "dash": ("\u2014 ", ""), "pointer": (">> ", ""), "end_mark": ("", " //"), "end_square": ("", " \u25a1"),
    }  # fmt: skip
    between = {
        "bar": "|", "double_bar": "||", "slash": "/", "double_slash": "//", "dot": "\u00b7", "em_dash": "\u2014",
    }  # fmt: skip
    between |= {"tilde": "~", "arrow": "\u2192", "diamond": "\u25c6", "plus": "+"}
    lines = {"stars": "* * *", "rule": "---", "asterism": "\u2042", "equals_rule": "====="}
    return [
        *(Mark("marks", name, {"sentence_prefix": a, "sentence_suffix": b}, WORDS) for name, (a, b) in around.items()),
        *(Mark("marks", f"joint_{name}", {"joint": sign}, FLOW) for name, sign in between.items()),
        *(Mark("marks", f"between_{name}", {"joint": sign, "line": "\n"}, FLOW) for name, sign in lines.items()),
    ]


def _lists() -> Sequence[Mark]:
    bullets = {"dash": "-", "star": "*", "plus": "+", "bullet": "\u2022", "ring": "\u25e6", "square": "\u25aa"}
    bullets |= {"triangle": "\u2023", "en_dash": "\u2013", "arrow": "\u2192", "circle": "\u25cb", "disc": "\u25cf"}
    bullets |= {"box": "\u25a1", "task": "- [ ]", "check": "\u2713"}
    lower, upper = labels_of("abcdefghijklmnopqrstuvwxyz"), labels_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    labels: dict[str, tuple[str, Callable[[int], str]]] = {
        "number": ("{}. ", str), "number_bracket": ("{}) ", str), "number_brackets": ("({}) ", str),
        "number_square": ("[{}] ", str), "number_colon": ("{}: ", str), "number_hash": ("#{} ", str),
        "letter": ("{}. ", lower), "letter_bracket": ("{}) ", lower), "letter_brackets": ("({}) ", lower),
        "capital": ("{}. ", upper), "capital_bracket": ("{}) ", upper), "roman": ("{}. ", roman),
        "roman_brackets": ("({}) ", roman), "roman_capital": ("{}. ", _upper_roman),
    }  # fmt: skip
    # Why: two signs each, because the indent alone is lost when runs of spaces are collapsed.
    nested = {"nested_dash": ("- ", "  * "), "nested_star": ("* ", "  - "), "nested_number": ("{}. ", "   - ")}
    nested |= {"nested_hanging": ("{}. ", "   "), "nested_bullet": ("\u2022 ", "  \u25e6 ")}
    taken = frozenset({"joint", "width"})
    return [
        *(Mark("lists", name, {"item": f"{sign} ", "line": "\n"}, WORDS, taken) for name, sign in bullets.items()),
        *(
            Mark("lists", name, {"item": item, "labels": label, "line": "\n"}, WORDS, taken)
            for name, (item, label) in labels.items()
        ),
        *(
            Mark("lists", name, {"item": item, "sub_item": sub, "line": "\n"}, FLOW | PARAGRAPHS, taken)
            for name, (item, sub) in nested.items()
        ),
    ]


def _upper_roman(number: int) -> str:
    return roman(number).upper()


def _headings() -> Sequence[Mark]:
    titled = {
        "h1": "# {title}\n\n", "h2": "## {title}\n\n", "h3": "### {title}\n\n",
        "underlined": "{title}\n=====\n\n", "ruled": "{title}\n-----\n\n", "bold": "**{title}**\n\n",
        "plain": "{title}\n\n", "colon": "{title}: ", "wiki": "= {title} =\n", "bracketed": "[{title}]\n",
        "title_line": "Title: {title}\n\n", "title_text": "Title: {title}\nText: ",
        "source": "Source: {title}\n\n", "about": "About {title}:\n",
        "front_matter": "---\ntitle: {title}\n---\n\n",
    }  # fmt: skip
    untitled = {
        "document": "Document: ", "document_line": "Document:\n", "text": "Text: ", "text_line": "Text:\n\n",
        "passage": "Passage: ", "content": "Content:\n", "article": "# Article\n\n", "entry": "[Entry]\n",
    }  # fmt: skip
    return [
        *(Mark("headings", name, {"head": head}, TITLE) for name, head in titled.items()),
        *(Mark("headings", name, {"head": head}) for name, head in untitled.items()),
    ]


def _containers() -> Sequence[Mark]:
    tags = {"div": "div", "article": "article", "html_quote": "blockquote", "pre": "pre"}
    tags |= {"document": "document", "text": "text", "doc": "doc", "passage": "passage"}
    environments = {"latex_quote": "quote", "latex_abstract": "abstract", "latex_document": "document"}
    p_tag = {"sentence_prefix": "<p>", "sentence_suffix": "</p>"}
    span_tag = {"sentence_prefix": "<span>", "sentence_suffix": "</span>"}
    one_line = {"paragraph": " "}
    return [
        Mark("containers", "block_quote", {"prefix": "> "}, PROSE),
        Mark("containers", "comment", {"prefix": "// "}, PROSE),
        Mark("containers", "fence", {"open": "```\n", "close": "\n```"}, NO_FENCE),
        Mark("containers", "text_fence", {"open": "```text\n", "close": "\n```"}, NO_FENCE),
        Mark("containers", "tilde_fence", {"open": "~~~\n", "close": "\n~~~"}, NO_FENCE),
        *(
            Mark("containers", name, {"open": f"<{tag}>\n", "close": f"\n</{tag}>"}, NO_TAGS, _TAGGED)
            for name, tag in tags.items()
        ),
        Mark("containers", "html_p", {**p_tag, "line": "\n"}, NO_TAGS | PROSE, _TAGGED),
        Mark("containers", "html_span", span_tag, NO_TAGS | PROSE, _TAGGED),
        *(
            Mark("containers", name, {"open": f"\\begin{{{of}}}\n", "close": f"\n\\end{{{of}}}"}, NO_LATEX, _TAGGED)
            for name, of in environments.items()
        ),
        Mark("containers", "cell", {"open": "| ", "close": " |", **one_line}, NO_CELLS | PROSE, _ALL_INSIDE),
        Mark("containers", "json", {"open": '{"text": "', "close": '"}', **one_line}, NO_QUOTES | PROSE, _ALL_INSIDE),
        Mark("containers", "yaml", {"open": 'text: "', "close": '"', **one_line}, NO_QUOTES | PROSE, _ALL_INSIDE),
    ]


# Why: a mark could put a < into XML or a # into LaTeX, and so could a title.
_TAGGED = frozenset({"sentence_prefix", "sentence_suffix", "item", "joint", "head"})


def _shifts() -> Sequence[Mark]:
    # Why: these strings are part of every published view, so their wording does not change.
    preambles = {
        "below": "Below is a text.\n\n",
        "follows": "The text follows here.\n\n",
        "read": "Please read the following.\n\n",
        "carefully": "Please read the following text carefully, from its first word to its last.\n\n",
        "page": "This page holds one text and nothing else.\n\n",
        "begin": "Begin.\n\n",
        "dots": "[...]\n\n",
        "stars": "* * *\n\n",
        "archive": "This text was taken from an archive, where it stands among others of its kind.\n\n",
        "notes": "Some texts are short and some are long. What this one says stands below, in full and unchanged.\n\n",
        "one_of": "One of several texts:\n\n",
        "here": "Here it is:\n",
        "copy": "What follows is a copy. Nothing was added, nothing was left out, and its words are as they were.\n\n",
        "long": (
            "A reader may come upon a text in many places: in a book, on a page, in a letter, in a list. The place"
            " does not change what it says. With that in mind, here is a text.\n\n"
        ),
    }
    return [Mark("shift", name, {"preamble": preamble}) for name, preamble in preambles.items()]


MARKS: dict[str, tuple[Mark, ...]] = {
    "spacing": tuple(_spacing()),
    "breaks": tuple(_breaks()),
    "marks": tuple(_marks()),
    "lists": tuple(_lists()),
    "headings": tuple(_headings()),
    "containers": tuple(_containers()),
    "shift": tuple(_shifts()),
}
GROUPS = tuple(MARKS)
