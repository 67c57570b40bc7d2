"""The groups of formats: seven ways to lay a document out, each a table of marks.

The paper (arXiv 2503.03705) names "controlling spaces or adding special characters around sentences" and no list: the
marks are this project's own choice. A mark fills in fields of a `Frame`; two marks of different groups compose when
they fill in different fields, so that each is seen. `needs` says what a document must have for the mark to be seen, or
to be what it claims (JSON that parses).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from hf_knowlearn.views.layout import labels_of, roman

# What a document may have.
WORDS = 1  # a sentence: it is not all kept as written
FLOW = 2  # two sentences of one paragraph
PARAGRAPHS = 4  # two paragraphs
TITLE = 8  # a title with a word in it
PROSE = 16  # no block that is kept as written, and no line break in a sentence that is (as in Chinese)
NO_FENCE = 32  # neither ``` nor ~~~
NO_TAGS = 64  # neither < nor &, nor else what XML can't hold
NO_LATEX = 128  # none of \ { } $ % # _ ^ ~ &
NO_CELLS = 256  # no |
NO_QUOTES = 512  # neither " nor \, and no control character
# A paragraph of at least twice so many characters.
LONGER_THAN = {40: 1 << 10, 56: 1 << 11, 72: 1 << 12, 88: 1 << 13, 104: 1 << 14, 120: 1 << 15}

# A container that takes these fields composes with nothing that would break it.
_ALL_INSIDE = frozenset("head prefix indent trailing opening closing item joint space line paragraph width".split())


@dataclass(frozen=True, eq=False)
class Mark:
    """One entry of a group: its name, and the fields of a `Frame` that it fills in."""

    group: str
    name: str
    fields: Mapping[str, Any]
    needs: int = 0
    takes: frozenset[str] = frozenset()

    @cached_property
    def taken(self) -> frozenset[str]:
        """The fields that no other mark of the same format may fill in."""
        lines = {"space"} if "line" in self.fields else set()
        return self.takes | lines | set(self.fields)

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
        "quotes": ('"', '"'),
        "curly_quotes": ("\u201c", "\u201d"),
        "low_quotes": ("\u201e", "\u201c"),
        "guillemets": ("\u00ab ", " \u00bb"),
        "turned_guillemets": ("\u00bb", "\u00ab"),
        "angle_quotes": ("\u2039", "\u203a"),
        "single_quotes": ("\u2018", "\u2019"),
        "apostrophes": ("'", "'"),
        "corner_quotes": ("\u300c", "\u300d"),
        "double_corner_quotes": ("\u300e", "\u300f"),
        "tex_quotes": ("``", "''"),
        "brackets": ("[", "]"),
        "double_brackets": ("[[", "]]"),
        "parentheses": ("(", ")"),
        "braces": ("{", "}"),
        "angle_brackets": ("\u27e8", "\u27e9"),
        "lenticular": ("\u3010", "\u3011"),
        "chevrons": ("<<", ">>"),
        "star": ("*", "*"),
        "bold": ("**", "**"),
        "bold_star": ("***", "***"),
        "underscore": ("_", "_"),
        "bold_underscore": ("__", "__"),
        "strike": ("~~", "~~"),
        "highlight": ("==", "=="),
        "code": ("`", "`"),
        "equals": ("= ", " ="),
        "bars": ("|", "|"),
        "slashes": ("/ ", " /"),
        "section": ("\u00a7 ", ""),
        "pilcrow": ("\u00b6 ", ""),
        "dash": ("\u2014 ", ""),
        "pointer": (">> ", ""),
        "end_mark": ("", " //"),
        "end_square": ("", " \u25a1"),
    }
    between = {
        "bar": "|",
        "double_bar": "||",
        "slash": "/",
        "double_slash": "//",
        "dot": "\u00b7",
        "em_dash": "\u2014",
    }
    between |= {"tilde": "~", "arrow": "\u2192", "diamond": "\u25c6", "plus": "+"}
    lines = {"stars": "* * *", "rule": "---", "asterism": "\u2042", "equals_rule": "====="}
    return [
        *(Mark("marks", name, {"opening": a, "closing": b}, WORDS) for name, (a, b) in around.items()),
        *(Mark("marks", f"joint_{name}", {"joint": sign}, FLOW) for name, sign in between.items()),
        *(Mark("marks", f"between_{name}", {"joint": sign, "line": "\n"}, FLOW) for name, sign in lines.items()),
    ]


def _lists() -> Sequence[Mark]:
    bullets = {"dash": "-", "star": "*", "plus": "+", "bullet": "\u2022", "ring": "\u25e6", "square": "\u25aa"}
    bullets |= {"triangle": "\u2023", "en_dash": "\u2013", "arrow": "\u2192", "circle": "\u25cb", "disc": "\u25cf"}
    bullets |= {"box": "\u25a1", "task": "- [ ]", "check": "\u2713"}
    lower, upper = labels_of("abcdefghijklmnopqrstuvwxyz"), labels_of("ABCDEFGHIJKLMNOPQRSTUVWXYZ")
    labels: dict[str, tuple[str, Callable[[int], str]]] = {
        "number": ("{}. ", str),
        "number_bracket": ("{}) ", str),
        "number_brackets": ("({}) ", str),
        "number_square": ("[{}] ", str),
        "number_colon": ("{}: ", str),
        "number_hash": ("#{} ", str),
        "letter": ("{}. ", lower),
        "letter_bracket": ("{}) ", lower),
        "letter_brackets": ("({}) ", lower),
        "capital": ("{}. ", upper),
        "capital_bracket": ("{}) ", upper),
        "roman": ("{}. ", roman),
        "roman_brackets": ("({}) ", roman),
        "roman_capital": ("{}. ", _upper_roman),
    }
    # Two signs each, because the indent alone is lost when runs of spaces are folded.
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
        "h1": "# {title}\n\n",
        "h2": "## {title}\n\n",
        "h3": "### {title}\n\n",
        "underlined": "{title}\n=====\n\n",
        "ruled": "{title}\n-----\n\n",
        "bold": "**{title}**\n\n",
        "plain": "{title}\n\n",
        "colon": "{title}: ",
        "wiki": "= {title} =\n",
        "bracketed": "[{title}]\n",
        "title_line": "Title: {title}\n\n",
        "title_text": "Title: {title}\nText: ",
        "source": "Source: {title}\n\n",
        "about": "About {title}:\n",
        "front_matter": "---\ntitle: {title}\n---\n\n",
    }
    untitled = {
        "document": "Document: ",
        "document_line": "Document:\n",
        "text": "Text: ",
        "text_line": "Text:\n\n",
        "passage": "Passage: ",
        "content": "Content:\n",
        "article": "# Article\n\n",
        "entry": "[Entry]\n",
    }
    return [
        *(Mark("headings", name, {"head": head}, TITLE) for name, head in titled.items()),
        *(Mark("headings", name, {"head": head}) for name, head in untitled.items()),
    ]


def _containers() -> Sequence[Mark]:
    tags = {"div": "div", "article": "article", "html_quote": "blockquote", "pre": "pre"}
    tags |= {"document": "document", "text": "text", "doc": "doc", "passage": "passage"}
    environments = {"latex_quote": "quote", "latex_abstract": "abstract", "latex_document": "document"}
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
        Mark("containers", "html_p", {"opening": "<p>", "closing": "</p>", "line": "\n"}, NO_TAGS | PROSE, _TAGGED),
        Mark("containers", "html_span", {"opening": "<span>", "closing": "</span>"}, NO_TAGS | PROSE, _TAGGED),
        *(
            Mark("containers", name, {"open": f"\\begin{{{of}}}\n", "close": f"\n\\end{{{of}}}"}, NO_LATEX, _TAGGED)
            for name, of in environments.items()
        ),
        Mark("containers", "cell", {"open": "| ", "close": " |", **one_line}, NO_CELLS | PROSE, _ALL_INSIDE),
        Mark("containers", "json", {"open": '{"text": "', "close": '"}', **one_line}, NO_QUOTES | PROSE, _ALL_INSIDE),
        Mark("containers", "yaml", {"open": 'text: "', "close": '"', **one_line}, NO_QUOTES | PROSE, _ALL_INSIDE),
    ]


# Marks could put a < into XML or a # into LaTeX; a heading could hold a title that does.
_TAGGED = frozenset({"opening", "closing", "item", "joint", "head"})


def _shifts() -> Sequence[Mark]:
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
