"""Rules that find the kind of a block that has no Markdown mark.

A block counts as prose only if no rule names another kind. If a table counted as prose, for example, a view could move
its cells.
"""

import re
from collections import Counter
from collections.abc import Iterator
from enum import StrEnum
from functools import cached_property
from itertools import pairwise


class BlockKind(StrEnum):
    """Kinds of blocks. Only a paragraph is prose."""

    HEADING = "heading"
    PARAGRAPH = "paragraph"
    ORDERED_LIST = "ordered list"
    UNORDERED_LIST = "unordered list"
    TABLE = "table"
    CODE = "code"
    QUOTE = "quote"
    VERSE = "verse"
    FRONT_MATTER = "front matter"
    DIALOGUE_TURN = "dialogue turn"
    LOG_LINE = "log line"
    MAIL_HEADER = "mail header"
    CLAUSE = "clause"
    CAPTION = "caption"
    MARKUP = "markup"

    @property
    def is_prose(self) -> bool:
        """Whether views may change the layout between the sentences of the block."""
        return self is BlockKind.PARAGRAPH


# The beginning of a heading, quotation, table row, tag, command, rule, bullet or numbered item.
_LINE_MARK = (
    r"[^\S\n]*(?:\#{1,6}[ ]|>|\||<[A-Za-z!/?]|\\[A-Za-z]|[-*+\u2022\u2023\u25e6\u25aa\u00b7][ ]"
    r"|\(?\d{1,3}[.)][ ]|\([A-Za-z]{1,5}\)[ ]|\[\^?\w{1,9}\]:[ ]|(?:[-*_=~:+][ ]?){3,}(?:\r?$|[|+]))"
)
_FIRST_LINE = re.compile(_LINE_MARK, re.MULTILINE | re.VERBOSE)
_LATER_LINE = re.compile(rf"\n(?:{_LINE_MARK}|[ ]+\S)", re.MULTILINE | re.VERBOSE)
# A line for which the Markdown parser is needed: a mark, a fence, an indented line, or a table row.
MARKED_LINE = re.compile(
    rf"^(?:{_LINE_MARK}|[ ]{{0,3}}(?:```|~~~)|[ ]{{4}}|\t|[^\n]*\|[^\n]*\n[ ]*[|:-][-|: ]+$)",
    re.MULTILINE | re.VERBOSE,
)
FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\r?\n.*?\n\1[ \t\r]*$", re.MULTILINE | re.DOTALL)
# A letter, a dash or a sign. Why: prose can begin like this too, so a list must have such a mark on every line.
_ITEM = re.compile(r"\(?[A-Za-z]{1,4}[.)] |[\u2012-\u2015\u2192\u25a0-\u25ff\u2610-\u2612\u2713] ?")
_ENDS_SENTENCE = re.compile(
    r"[.!?:\u2026\u3002\uff01\uff1f\uff1a\u061f\u06d4\u0964][\"'\u201d\u2019\u00bb\u300d\u300f\uff09)\]*_]*\s*$"
)
_FIRST_LETTER = re.compile(r"\W*[^\W\d_]")
_MIN_WRAP = 45  # characters; prose is not wrapped at less, so shorter lines are verse or a list

# Lines that hardly occur outside source code. Why: a file of them is one block, because blank lines belong to it.
_CODE_LINE = re.compile(
    r"^(?:\s+\S.*|.*[;{},(\[:\\]\s*|[)\]}].*|@\w.*|\#.*|//.*|/?\*.*|\"\"\".*|'''.*|[\w.]+\(.*|\w+(?:\.\w+)+\s*"
    r"|[\w.]+(?:[\[,:][^=]*)?\s*[-+*/|&^%]?=[^=].*"
    r"|(?:async\s+)?(?:def|class|fn|func|function|struct|enum|interface|namespace)\s+\w.*"
    r"|import\s+[\w.]+.*|from\s+[\w.]+\s+import\s.*|(?:if|elif|for|while|with|try|except|else|finally|return|raise|yield"
    r"|assert|del|global|pass)\b.*(?::|\)|,|\\)?\s*)$"
)
# Every source file has one of these. Why: it is a fast test before the lines are counted.
_CODE_SIGN = re.compile(
    r"^(?:import \w|from [\w.]+ import |(?:async )?def \w+\(|class \w.*:|\w+(?:\.\w+)* ?=[^=]|[\w.]+\(|@\w+|#!"
    r"|#include|if .*:$|for .*:$|while .*:$|with .*:$|try:$|\"\"\"|func? |function |package |using |public "
    r"|const |let |var )",
    re.MULTILINE,
)
_LONG_STRING = re.compile(r"(\"\"\"|''').*?\1", re.DOTALL)
_FENCES = ("```", "~~~")
_CODE_SHARE = 0.6  # of the lines

_MONTH = (
    r"(?:jan|feb|m\u00e4r|mar|apr|may|mai|jun|jul|aug|sep|oct|okt|nov|dec|dez|d\u00e9c|f\u00e9v|avr|juin|juil|ao\u00fb"
    r"|ene|abr|ago|dic|gen|mag|giu|lug|set|ott|out)[^\W\d_]*\.?"
)
_CLOCK = r"\d{1,2}(?::\d{2}(?::\d{2}(?:[.,]\d+)?)?(?:\s?[ap]\.?m\.?)?|\.\d{2}\s?(?:Uhr|h\b)|\s?[hH]\s?\d{2}|\s?Uhr\b)"
_DATE = (
    rf"(?:\d{{4}}[-/.]\d{{1,2}}[-/.]\d{{1,2}}|\d{{1,2}}[-/.]\s?\d{{1,2}}[-/.]\s?\d{{2,4}}"
    rf"|\d{{1,2}}(?:st|nd|rd|th|er)?\.?\s{_MONTH}(?:\s\d{{4}})?|{_MONTH}\s+\d{{1,2}}\b(?:,?\s\d{{4}})?"
    r"|(?:day|tag|jour|d\u00eda|giorno|dia|week|woche|semaine)\s\d{1,4}"
    r"|(?:v|version\s)\d+(?:\.\d+)+|\d{1,2}\.\d{1,2}\.(?=\W)|[JDT][+-]?\d{1,3}(?=\s?[:\u2013\u2014-])"
    r"|(?:[01]\d|2[0-3])[0-5]\d(?=\s[^\W\d_]))"
)
_WEEKDAY = (
    r"(?:mon|tue|wed|thu|fri|sat|sun|mo|di|mi|do|fr|sa|so|lun|mar|mer|jeu|ven|sam|dim|mi\u00e9|jue|vie|s\u00e1b|dom|gio"
    r"|seg|ter|qua|qui|sex)(?:[^\W\d_]{2,8})?\.?"
)
_TIME_STAMP = re.compile(
    r"^[^\S\n]*(?:[-*\u2022]\s)?(?:\*\*|_)?[\[(]?"
    rf"(?:(?:{_WEEKDAY},?\s)?(?:{_DATE}|{_CLOCK})|{_WEEKDAY}\s?[:\u2013\u2014])",
    re.MULTILINE | re.IGNORECASE,
)
_LABEL = re.compile(
    r"^[^\S\n]*(?:[-*\u2022\u2013\u2014]\s)?(?:\*\*|__)?([^\W\d_][^\n:.!?;]{0,39}?)(?:\*\*|__)?[^\S\n]?[:\uff1a](?:\*\*|__)?(?=\s|$)",
    re.MULTILINE,
)
_QUESTION_LABELS = frozenset(
    "q a question answer questions answers f frage antwort r r\u00e9ponse p pregunta respuesta d domanda risposta"
    " pergunta resposta interviewer interviewerin moderator user assistant human bot".split()
)
_MAIL_LABELS = frozenset(
    "from to cc bcc date sent subject reply-to von an datum gesendet betreff kopie de \u00e0 objet envoy\u00e9 para"
    " asunto fecha enviado da a oggetto data inviato assunto".split()
)
_MAIL_SUBJECTS = frozenset("from subject von betreff de objet asunto da oggetto assunto".split())
_STEP = re.compile(
    r"^[^\S\n]*[*_]{0,3}(?:step|schritt|\u00e9tape|etape|paso|passo|fase|phase|\u0448\u0430\u0433|\u624b\u9806|\u6b65\u9aa4"
    r"|\u7b2c\s?[\d\u4e00-\u9fff]{1,3}\s?\u6b65)\s?\d*\b",
    re.IGNORECASE,
)
# A line of a script: a name in capitals, and white space or a line break before what it says.
_SCRIPT_LINE = re.compile(
    r"^[^\S\n]*([^\W\d_a-z]{2,}(?:[ .][^\W\d_a-z]{2,})?)(?=(?:\.|:)?(?:[ ]{2,}|\t|\n(?=\S)))", re.MULTILINE
)
_LETTERED = re.compile(
    r"^[^\S\n]*[*_]{0,3}\(?([a-z]|[ivx]{1,5}|[A-Z]|[IVX]{1,5}|[A-Z]\.\d{1,2})(?:[.)]|(?<=\d))\s", re.MULTILINE
)
_CLAUSE = re.compile(
    r"^[^\S\n]*[*_]{0,3}(?:\d{1,3}\.?[\u00ba\u00b0\u00aa]\s|\d{1,3}(?:\.\d{1,3})+\.?[ \t]|\u00a7{1,2}\s?\d+"
    r"|(?:article|artikel|art\.|art\u00edculo|articolo|artigo|section|clause|ziffer|abs(?:atz|\.)|klausel|abschnitt)\s?(?:\d+|[IVXLC]+\b)|\(\d{1,3}\)\s)",
    re.IGNORECASE,
)
_CAPTION = re.compile(
    r"^[^\S\n]*[*_]{0,3}(?:figure|fig\.|table|tab\.|abbildung|abb\.|tabelle|tableau|figura|tabla|tabella|tabela"
    r"|\u0440\u0438\u0441\.|\u0442\u0430\u0431\u043b\.|\u56f3|\u56fe|\u8868)\s?\d+(?:\.\d+)*\s?[.:\u2013\u2014-]",
    re.IGNORECASE,
)
_FIELD = re.compile(r"[^:\n]{1,40}:\s+\S")
_QUOTE_INTRODUCTION = re.compile(
    r"(?:wrote|schrieb|a \u00e9crit|escribi\u00f3|ha scritto|escreveu)[^\n]*:\s*$", re.IGNORECASE
)
_CHAPTER = re.compile(
    r"(?:chapter|part|book|kapitel|teil|buch|chapitre|partie|livre|cap\u00edtulo|parte|capitolo|libro|\u0433\u043b\u0430\u0432\u0430)"
    r"\s(?:\d{1,3}|[ivxlc]{1,8})\.",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"[\s#*_]*(\d{1,3}(?:\.\d{1,3})*)[.)]?\s")
_NO_HEADING = ("**", "![", "[![", "{{", "http://", "https://", "<http")  # a label with its text, an image, a link
_IMAGES = re.compile(r"(?:\[?!\[[^\]\n]*\]\([^)\n]*\)(?:\]\([^)\n]*\))?\s*)+")
_LONGEST_HEADING = 90  # characters
_MOST_HEADING_WORDS = 12


def matching_lines(pattern: re.Pattern[str], text: str, start: int = 0) -> Iterator[re.Match[str]]:
    """Yield the matches of `pattern` at the beginnings of lines. The search begins at position `start`.

    Why: a search for `^` tries every character of the text, which takes much longer.
    """
    while True:
        if match := pattern.match(text, start):
            yield match
        start = text.find("\n", start) + 1
        if not start:
            return


class DocumentSigns:
    """Properties of the whole text that help to find the kind of a single block, such as a label that occurs several
    times."""

    def __init__(self, text: str) -> None:
        self.text = text

    @cached_property
    def speakers(self) -> frozenset[str]:
        """The speakers of a dialogue, in lower case. A speaker is a label before a colon, such as "Ada:" or "Q:". The
        label occurs several times, marks a question or an answer, or belongs to the other speaker of such a
        dialogue."""
        if ":" not in self.text and "\uff1a" not in self.text:
            return frozenset()
        labels = Counter(match.group(1).strip().casefold() for match in _LABEL.finditer(self.text))
        repeated = {label for label, count in labels.items() if count > 1 and len(label.split()) <= 5}
        questions = {label for label in labels if label in _QUESTION_LABELS}
        found = repeated | (questions if len(questions) > 1 or questions & repeated else set())
        if not found:
            return frozenset()
        # Why: the second speaker of a dialogue may have one turn only.
        return frozenset(found | {label for label in labels if len(label.split()) <= 3 and label not in _MAIL_LABELS})

    @cached_property
    def is_script(self) -> bool:
        """Whether the text is the script of a play or film, in which names in capital letters begin lines."""
        names = Counter(match.group(1) for match in matching_lines(_SCRIPT_LINE, self.text))
        return sum(count > 1 for count in names.values()) > 1

    @cached_property
    def has_letters(self) -> bool:
        """Whether at least two lines begin with different labels in letters, such as "a)" and "b)"."""
        return len({match.group(1) for match in matching_lines(_LETTERED, self.text)}) > 1

    @cached_property
    def is_log(self) -> bool:
        """Whether at least two lines begin with a time stamp."""
        stamps = matching_lines(_TIME_STAMP, self.text)
        return next(stamps, None) is not None and next(stamps, None) is not None


def kind_of_block(block: str, signs: DocumentSigns) -> BlockKind:
    """Return the kind of a block without blank lines. If no rule names another kind, the block is a paragraph."""
    label = _LABEL.match(block)
    if label and _is_mail_header(block):
        return BlockKind.MAIL_HEADER
    if signs.is_script and _SCRIPT_LINE.search(block):
        return BlockKind.DIALOGUE_TURN
    if signs.is_log and _TIME_STAMP.match(block):
        return BlockKind.LOG_LINE
    if label and label.group(1).strip().casefold() in signs.speakers:
        return BlockKind.DIALOGUE_TURN
    for kind, pattern in (
        (BlockKind.ORDERED_LIST, _STEP),
        (BlockKind.CLAUSE, _CLAUSE),
        (BlockKind.CAPTION, _CAPTION),
    ):
        if pattern.match(block):
            return kind
    if signs.has_letters and _LETTERED.match(block):
        return BlockKind.CLAUSE
    if _FIRST_LINE.match(block):
        return _kind_of_mark(block)
    if block.startswith(("![", "[![")) and _IMAGES.fullmatch(block):
        return BlockKind.MARKUP
    if "\n" not in block:
        if block.startswith(("    ", "\t")):
            return BlockKind.CODE
        # Why: the search takes long, and the end of the block rules most blocks out.
        introduces = block.rstrip().endswith(":") and _QUOTE_INTRODUCTION.search(block)
        return BlockKind.MAIL_HEADER if introduces else BlockKind.PARAGRAPH
    lines = block.split("\n")
    if all(map(_FIELD.match, lines)) or all(map(_ITEM.match, lines)):
        return BlockKind.UNORDERED_LIST
    if "\t" in block or "   " in block.strip() or ("|" in block and all("|" in line for line in lines)):
        return BlockKind.TABLE
    if _is_verse(lines):
        return BlockKind.VERSE
    return BlockKind.MARKUP if _LATER_LINE.search(block) else BlockKind.PARAGRAPH


def _kind_of_mark(block: str) -> BlockKind:
    mark = block.lstrip()[0]
    if mark in "#":
        return BlockKind.HEADING
    if mark == ">":
        return BlockKind.QUOTE
    if mark == "|":
        return BlockKind.TABLE
    if mark in "<\\[_=~:":
        return BlockKind.MARKUP
    return BlockKind.ORDERED_LIST if mark == "(" or mark.isdigit() else BlockKind.UNORDERED_LIST


def _is_mail_header(block: str) -> bool:
    labels = {match.group(1).strip().casefold() for match in _LABEL.finditer(block)}
    return len(labels & _MAIL_LABELS) > 1 and bool(labels & _MAIL_SUBJECTS)


def _is_verse(lines: list[str]) -> bool:
    """Return whether the author chose where the lines end. Lines of prose end at a margin or with a sentence."""
    width = max(map(len, lines))
    broken = by_choice = capitals = 0
    for line, after in pairwise(lines):
        if _ENDS_SENTENCE.search(line):
            continue
        broken += 1
        by_choice += len(line) + 1 + len(after.partition(" ")[0]) <= width  # the next word would fit
        first = _FIRST_LETTER.match(after)
        capitals += bool(first and first.group()[-1].isupper())
    is_capitalised = capitals == broken and broken > 1 and by_choice > 0
    return broken > 0 and (width < _MIN_WRAP or 3 * by_choice > broken or is_capitalised)


def is_code(text: str) -> bool:
    """Return whether the text is a source file."""
    text = _without_fences(text)
    if next(matching_lines(_CODE_SIGN, text), None) is None:
        return False
    lines = [line for line in _LONG_STRING.sub('""""""', text).split("\n") if line.strip()]
    return sum(_CODE_LINE.match(line) is not None for line in lines) >= _CODE_SHARE * len(lines)


def _without_fences(text: str) -> str:
    """Return the text without its fenced code. Why: a Markdown file with much code is not a source file."""
    if not any(mark in text for mark in _FENCES):
        return text
    shown, fence = [], ""
    for line in text.split("\n"):
        if not fence and line.startswith(_FENCES):
            fence = line[: len(line) - len(line.lstrip(line[0]))]
        elif not fence:
            shown.append(line)
        elif line.rstrip().startswith(fence) and not line.strip("`~ \t\r"):
            fence = ""
    return "\n".join(shown)


def has_end_of_sentence(text: str) -> bool:
    """Return whether the text ends with the end of a sentence or with a colon."""
    return _ENDS_SENTENCE.search(text) is not None


def is_plain_heading(block: str, kind: BlockKind) -> bool:
    """Return whether a block without a Markdown mark is a heading: a short line that does not end a sentence.

    A numbered line, such as "1. DEFINITIONS", is also a heading if it is short and does not end a sentence.
    """
    line = block.strip()
    kinds = (BlockKind.PARAGRAPH, BlockKind.ORDERED_LIST, BlockKind.CLAUSE, BlockKind.LOG_LINE)
    if kind not in kinds or "\n" in line or len(line) > _LONGEST_HEADING:
        return False
    if (
        kind is BlockKind.PARAGRAPH
        and line.startswith("**")
        and line.rstrip(" :").endswith("**")
        and line.count("**") == 2
    ):
        return True
    if line.endswith((",", ";", "-", "\u2013", "\u3001", "\uff0c")) or len(line.split()) > _MOST_HEADING_WORDS:
        return False
    if kind is BlockKind.LOG_LINE and len(line.split()) > 4:
        return False
    if not re.search(r"[^\W\d_]", line) or line.startswith(_NO_HEADING):
        return False
    if kind is BlockKind.PARAGRAPH and line.endswith(".") and (_CHAPTER.fullmatch(line) or line.isupper()):
        return True
    return not has_end_of_sentence(line) or (line.endswith(":") and kind is BlockKind.PARAGRAPH and len(line) <= 40)


def end_of_heading(block: str) -> int:
    """Return the length of the first line of a block if it is a heading, and 0 otherwise.

    The line is a heading if it is short, does not end a sentence, and prose follows it without a blank line.
    """
    line, _, rest = block.partition("\n")
    words, following = line.split(), rest.split(maxsplit=1)
    if not words or not following or len(line) > _MIN_WRAP + 15 or len(words) > 8 or line.startswith((" ", "\t")):
        return 0
    if has_end_of_sentence(line) or line.rstrip().endswith((",", ";", "-")) or rest.startswith((" ", "\t", ":")):
        return 0
    lines = rest.split("\n")
    fits = len(line) + 1 + len(following[0]) <= max(map(len, lines))  # the next word would fit on the line
    is_prose = has_end_of_sentence(rest) and not _FIRST_LINE.match(rest) and (len(lines) == 1 or not _is_verse(lines))
    return len(line) if fits and is_prose and not following[0][0].islower() and len(max(lines, key=len)) > 30 else 0


def is_marked_heading(heading: str) -> bool:
    """Return whether a heading has a mark of Markdown: number signs, or a line below it."""
    return heading.startswith("#") or "\n" in heading


def heading_level(heading: str, is_first: bool) -> int:
    """Return the depth of a heading, from 1. The marks or the number of the heading determine the depth. For a heading
    without marks and number, the depth is an estimate."""
    line = heading.strip()
    if marks := re.match(r"(#{1,6})\s", line):
        return len(marks.group(1))
    if "\n" in line:
        return 1 if line.rstrip().endswith("=") else 2
    if number := _NUMBERED.match(line):
        return 2 + number.group(1).count(".")
    if line.startswith("**"):
        return 7
    return 1 if is_first else 2
