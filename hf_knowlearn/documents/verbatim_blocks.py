"""Finds the verbatim blocks of a text. The white space in them is content.

Verbatim blocks are code, tables, lists, verse, headings, quotations and front matter. Views copy them byte for byte.
In cases of doubt, a block counts as verbatim. This costs a little variety, but a changed layout could destroy the
block (a Python file that no longer parses, a table with moved cells).
"""

import re
from itertools import pairwise

# The beginning of a heading, quotation, table row, tag, command, rule, bullet or numbered item.
_LINE_MARK = (
    r"[^\S\n]*(?:\#{1,6}[ ]|>|\||<[A-Za-z!/?]|\\[A-Za-z]|[-*+\u2022\u2023\u25e6\u25aa\u00b7][ ]"
    r"|\(?\d{1,3}[.)][ ]|\([A-Za-z]{1,5}\)[ ]|\[\^?\w{1,9}\]:[ ]|(?:[-*_=~:+][ ]?){3,}(?:\r?$|[|+]))"
)
_FIRST_LINE = re.compile(_LINE_MARK, re.MULTILINE | re.VERBOSE)
# A letter, a dash or a sign. Why: prose can begin like this too, so a list needs one on every line.
_ITEM = re.compile(r"\(?[A-Za-z]{1,4}[.)] |[\u2012-\u2015\u2192\u25a0-\u25ff\u2610-\u2612\u2713] ?")
_LATER_LINE = re.compile(rf"\n(?:{_LINE_MARK}|[ ]+\S)", re.MULTILINE | re.VERBOSE)
_FENCED = re.compile(r"^ {0,3}(`{3,}|~{3,}).*?(?:\n {0,3}\1[`~]*[ \t\r]*$|\Z)", re.MULTILINE | re.DOTALL)
_FRONT_MATTER = re.compile(r"\A(---|\+\+\+)\r?\n.*?\n\1[ \t\r]*$", re.MULTILINE | re.DOTALL)
# A run of lines that are not blank. Why `^`: without it, long blank lines take quadratic time.
_BLOCK = re.compile(r"^[^\S\n]*\S[^\n]*(?:\n[^\S\n]*\S[^\n]*)*", re.MULTILINE)
_ENDS_SENTENCE = re.compile(r"[.!?:\u2026\u3002\uff01\uff1f][\"'\u201d\u2019\u00bb)\]*_]*\s*$")
_FIRST_LETTER = re.compile(r"\W*[^\W\d_]")

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
_CODE_SHARE = 0.6  # of the lines
_MIN_WRAP = 45  # characters; prose is not wrapped at less, so shorter lines are verse or a list


def verbatim_spans(text: str) -> list[tuple[int, int]]:
    """Return the verbatim blocks of `text`, as ascending (start, end) in characters. Adjacent blocks are joined.

    Example:
        >>> text = "Prose comes first.\\n\\n- one\\n- two\\n\\nProse follows."
        >>> [text[start:end] for start, end in verbatim_spans(text)]
        ['- one\\n- two']
    """
    if _is_code(text):
        return [(len(text) - len(text.lstrip("\n")), len(text.rstrip()))]
    found: list[tuple[int, int]] = []
    position = 0
    joined = True  # whether there is no prose since the last block
    for start, end in _marked_blocks(text):
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


def _marked_blocks(text: str) -> list[tuple[int, int]]:
    """Return the fenced code and the front matter. Both may contain blank lines."""
    if "```" not in text and "~~~" not in text and not text.startswith(("---", "+++")):
        return []
    front = _FRONT_MATTER.match(text)
    found = [front.span()] if front else []
    after = front.end() if front else 0
    return found + [match.span() for match in _FENCED.finditer(text, after)]


def _add_blocks(text: str, start: int, end: int, found: list[tuple[int, int]], joined: bool) -> bool:
    for match in _BLOCK.finditer(text, start, end):
        continues_item = joined and found and match.group().startswith(" ")  # another paragraph of a list item
        if continues_item or _is_verbatim(match.group()):
            _add(found, *match.span(), joined)
            joined = True
        else:
            joined = False
    return joined


def _is_verbatim(block: str) -> bool:
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
    """Return whether the lines break by choice, and not at a margin or at the end of a sentence."""
    lines = block.split("\n")
    width = max(map(len, lines))
    broken = by_choice = capitals = 0
    for line, after in pairwise(lines):
        if _ENDS_SENTENCE.search(line):
            continue
        broken += 1
        by_choice += len(line) + 1 + len(after.partition(" ")[0]) <= width  # the next word would fit
        first = _FIRST_LETTER.match(after)
        capitals += bool(first and first.group()[-1].isupper())
    return broken > 0 and (width < _MIN_WRAP or 3 * by_choice > broken or (capitals == broken and broken > 1))


def _is_code(text: str) -> bool:
    if not _CODE_SIGN.search(text):
        return False
    lines = [line for line in _LONG_STRING.sub('""""""', text).split("\n") if line.strip()]
    return sum(_CODE_LINE.match(line) is not None for line in lines) >= _CODE_SHARE * len(lines)
