"""Stretches of a text whose white space is content: code, tables, lists, verse, headings, quotes, front matter.

They are told byte for byte in every view. The surprising decision: in doubt a block is kept, because a block kept for
nothing costs a little variety, and one laid out anew for nothing costs what it said (a Python file that no longer
parses, a table whose cells have moved).
"""

import re
from itertools import pairwise

# A line that starts like this is laid out on purpose: heading, quote, table row, tag, command, rule, bullet, number.
_MARKED = (
    r"[^\S\n]*(?:\#{1,6}[ ]|>|\||<[A-Za-z!/?]|\\[A-Za-z]|[-*+\u2022\u2023\u25e6\u25aa\u00b7][ ]"
    r"|\(?\d{1,3}[.)][ ]|\([A-Za-z]{1,5}\)[ ]|\[\^?\w{1,9}\]:[ ]|(?:[-*_=~:+][ ]?){3,}(?:\r?$|[|+]))"
)
_FIRST_LINE = re.compile(_MARKED, re.MULTILINE | re.VERBOSE)
# So can prose, so these make a list only where every line has one: a letter (or an initial), a dash, a sign.
_ITEM = re.compile(r"\(?[A-Za-z]{1,4}[.)] |[\u2012-\u2015\u2192\u25a0-\u25ff\u2610-\u2612\u2713] ?")
_LATER_LINE = re.compile(rf"\n(?:{_MARKED}|[ ]+\S)", re.MULTILINE | re.VERBOSE)
_FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:\n {0,3}\1[`~]*[ \t\r]*$|\Z)", re.MULTILINE | re.DOTALL)
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\r?\n.*?\n\1[ \t\r]*$", re.MULTILINE | re.DOTALL)
# A run of lines that are not blank. From the beginning of a line alone, or long blank lines take quadratic time.
_BLOCK = re.compile(r"^[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*", re.MULTILINE)
_ENDS_SENTENCE = re.compile(r"[.!?:\u2026\u3002\uff01\uff1f][\"'\u201d\u2019\u00bb)\]*_]*\s*$")
_OPENS_CAPITAL = re.compile(r"\W*[^\W\d_]")

# Lines that hardly occur but in source code. A file of them is kept whole: its blank lines and indents are one thing.
_CODE_LINE = re.compile(
    r"^(?:\s+\S.*|.*[;{},(\[:\\]\s*|[)\]}].*|@\w.*|\#.*|//.*|/?\*.*|\"\"\".*|'''.*|[\w.]+\(.*|\w+(?:\.\w+)+\s*"
    r"|[\w.]+(?:[\[,:][^=]*)?\s*[-+*/|&^%]?=[^=].*"
    r"|(?:async\s+)?(?:def|class|fn|func|function|struct|enum|interface|namespace)\s+\w.*"
    r"|import\s+[\w.]+.*|from\s+[\w.]+\s+import\s.*|(?:if|elif|for|while|with|try|except|else|finally|return|raise|yield"
    r"|assert|del|global|pass)\b.*(?::|\)|,|\\)?\s*)$"
)
# One of these stands in any code file worth the name, and looking for it is fast.
_CODE_SIGN = re.compile(
    r"^(?:import \w|from [\w.]+ import |(?:async )?def \w+\(|class \w.*:|\w+(?:\.\w+)* ?=[^=]|[\w.]+\(|@\w+|#!"
    r"|#include|if .*:$|for .*:$|while .*:$|with .*:$|try:$|\"\"\"|func? |function |package |using |public "
    r"|const |let |var )",
    re.MULTILINE,
)
_LONG_STRING = re.compile(r"(\"\"\"|''').*?\1", re.DOTALL)
_CODE_SHARE = 0.6  # of the lines
_NARROWEST_WRAP = 45  # characters; nobody wraps prose at less, so lines this short are short on purpose


def verbatim_spans(text: str) -> list[tuple[int, int]]:
    """Where white space is content, as ascending (start, end) of whole lines; neighbours are joined to one."""
    if _is_code(text):
        return [(len(text) - len(text.lstrip("\n")), len(text.rstrip()))]
    found: list[tuple[int, int]] = []
    position = 0
    joined = True  # no prose stands between here and the last stretch found
    for start, end in _certain(text):
        joined = _add_blocks(text, position, start, found, joined)
        _add(found, start, end, joined)
        position, joined = end, True
    _add_blocks(text, position, len(text), found, joined)
    return found


def _add(found: list[tuple[int, int]], start: int, end: int, joined: bool) -> None:
    if joined and found:
        found[-1] = (found[-1][0], end)
    else:
        found.append((start, end))


def _certain(text: str) -> list[tuple[int, int]]:
    """Fences and front matter, which may hold blank lines."""
    if "```" not in text and "~~~" not in text and not text.startswith(("---", "+++")):
        return []
    front = _FRONT_MATTER.match(text)
    found = [front.span()] if front else []
    after = front.end() if front else 0
    return found + [match.span() for match in _FENCED.finditer(text, after)]


def _add_blocks(text: str, start: int, end: int, found: list[tuple[int, int]], joined: bool) -> bool:
    for match in _BLOCK.finditer(text, start, end):
        belongs = joined and found and match.group().startswith(" ")  # a further paragraph of a list's item
        if belongs or _is_kept(match.group()):
            _add(found, *match.span(), joined)
            joined = True
        else:
            joined = False
    return joined


def _is_kept(block: str) -> bool:
    if _FIRST_LINE.match(block):
        return True
    if "\n" not in block:
        return block.startswith(("    ", "\t"))
    return _LATER_LINE.search(block) is not None or _is_list(block) or _is_table(block) or _is_verse(block)


def _is_list(block: str) -> bool:
    return all(map(_ITEM.match, block.split("\n")))


def _is_table(block: str) -> bool:
    columns = "\t" in block or "   " in block.strip()
    return columns or ("|" in block and all("|" in line for line in block.split("\n")))


def _is_verse(block: str) -> bool:
    """Whether lines break where the writer wished, rather than at a margin or at the end of a sentence."""
    lines = block.split("\n")
    width = max(map(len, lines))
    broken = on_purpose = capitals = 0
    for line, after in pairwise(lines):
        if _ENDS_SENTENCE.search(line):
            continue
        broken += 1
        on_purpose += len(line) + 1 + len(after.partition(" ")[0]) <= width  # the next word had room
        opening = _OPENS_CAPITAL.match(after)
        capitals += bool(opening and opening.group()[-1].isupper())
    return broken > 0 and (width < _NARROWEST_WRAP or 3 * on_purpose > broken or (capitals == broken and broken > 1))


def _is_code(text: str) -> bool:
    if not _CODE_SIGN.search(text):
        return False
    lines = [line for line in _LONG_STRING.sub('""""""', text).split("\n") if line.strip()]
    return sum(_CODE_LINE.match(line) is not None for line in lines) >= _CODE_SHARE * len(lines)
