"""Checks that a view contains every word of the document once, and that all other text is layout that the format
of the view declares.

The check uses only the document and the strings of the formats, not the code that creates views.
"""

import re
from bisect import bisect_right
from collections.abc import Iterable
from functools import lru_cache

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.structure import parse_blocks
from hf_knowlearn.views.groups import MARKS
from hf_knowlearn.views.masked import PROMPTS, blank_for, words_of
from hf_knowlearn.views.view import Span, View

_LABEL = r"(?:\d+|[a-z]+|[A-Z]+)"
_PLACEHOLDERS = re.compile(r"(\{title\}|\{\})")


def prove(view: View, document: Document) -> None:
    """Check that `view` is a view of `document`.

    Raises:
        ValueError: text of the document is missing, repeated, altered or out of order; the format does not declare
            some layout; or the prompt is not a masked copy of the document. The message lists all problems.

    Example:
        >>> from dataclasses import replace
        >>> from hf_knowlearn import Document
        >>> from hf_knowlearn.views import prove, raw_view
        >>> document = Document("mill", "Tarn has a mill.")
        >>> view = raw_view(document)
        >>> prove(view, document)
        >>> prove(replace(view, text="Tarn has a mall."), document)
        Traceback (most recent call last):
        ...
        ValueError: View 0 (formats/raw of document 'mill') differs from the document: the span (0, 0, 16) is not \
the document's 'Tarn has a mill.'.
    """
    problems = [
        *_wrong_spans(view, document),
        *_wrong_sections(view, document),
        *_wrong_layout(view, document),
        *_wrong_prompt(view, document),
    ]
    if problems:
        name = f"{view.family}/{view.format} of document {view.document_id!r}"
        raise ValueError(f"View {view.index} ({name}) differs from the document: {'; '.join(problems)}.")


def _wrong_spans(view: View, document: Document) -> list[str]:
    text, words = view.text, document.text
    problems = []
    end = 0
    for at, source, length in view.spans:
        is_inside = end <= at < at + length <= len(text) and 0 <= source <= len(words) - length
        if not is_inside or text[at : at + length] != words[source : source + length]:
            problems.append(f"the span {(at, source, length)} is not the document's {words[source : source + 40]!r}")
        end = at + length
    sources = [(source, source + length) for _, source, length in view.spans]
    if sources != sorted(sources) and view.family != "order":
        problems.append("its spans do not ascend")
    position = 0
    for source, stop in sorted(sources):
        if source < position:
            problems.append(f"{words[source : min(position, stop)]!r} occurs twice")
        elif words[position:source].strip():
            problems.append(f"{words[position:source].strip()!r} is missing")
        position = max(position, stop)
    if words[position:].strip():
        problems.append(f"{words[position:].strip()!r} is missing")
    return problems


def _wrong_sections(view: View, document: Document) -> list[str]:
    return [
        f"{document.text[source : source + min(length, 40)]!r} is outside of its section or block"
        for _, source, length in misplaced_spans(view, document)
    ]


def misplaced_spans(view: View, document: Document) -> list[Span]:
    """Return the spans that the view places outside of their section or block. If all spans ascend, return no spans.

    A region is a block, or a run of paragraphs. The regions of the spans must ascend. Within a region that is not a
    run of paragraphs, such as a list, the spans must ascend too.
    """
    sources = [source for _, source, _ in view.spans]
    if sources == sorted(sources):
        return []
    starts, is_prose = _regions(document.text)
    misplaced = []
    last = end = 0
    for span in view.spans:
        _, source, length = span
        region = max(bisect_right(starts, source) - 1, 0)
        if region < last or (region == last and source < end and not is_prose[region]):
            misplaced.append(span)
        last, end = max(bisect_right(starts, source + length - 1) - 1, 0), source + length
    return misplaced


def _regions(text: str) -> tuple[list[int], list[bool]]:
    """Return the start of each region, and whether the region is a run of paragraphs."""
    starts: list[int] = []
    is_prose: list[bool] = []
    for block in parse_blocks(text):
        if not (block.kind.is_prose and is_prose and is_prose[-1]):
            starts.append(block.start)
            is_prose.append(block.kind.is_prose)
    return starts, is_prose


def _wrong_layout(view: View, document: Document) -> list[str]:
    declared = _declared_strings(view.format, document.title, document.heading)
    ends = [0, *(at + length for at, _, length in view.spans)]
    layouts = (view.text[end:at] for end, at in zip(ends, [*(at for at, _, _ in view.spans), None], strict=True))
    return [
        f"{layout!r} is not layout of the format"
        for layout in dict.fromkeys(layouts)
        if not _is_sequence_of(declared, "".join(layout.split()))
    ]


def _is_sequence_of(patterns: Iterable[re.Pattern[str]], text: str) -> bool:
    """Return whether the text is a sequence of matches of the patterns. Why not a single regex: this loop takes linear
    time."""
    reached = {0}
    for at in range(len(text)):
        if at in reached:
            reached.update(match.end() for pattern in patterns if (match := pattern.match(text, at)))
    return len(text) in reached


@lru_cache(maxsize=4096)
def _declared_strings(format: str, title: str, heading: str) -> tuple[re.Pattern[str], ...]:
    """Return a pattern for each line of the strings that the format declares. White space is removed from the lines
    first."""
    marks = {mark.full_name: mark for marks in MARKS.values() for mark in marks}
    strings = [
        value
        for name in format.split("+")
        if name in marks
        for value in marks[name].fields.values()
        if isinstance(value, str)
    ]
    # Why: line by line, because a container can put its own marks between the lines.
    lines = {"".join(line.split()) for string in [*strings, heading] for line in string.split("\n")}
    patterns_of = {"{title}": re.escape("".join(title.split())), "{}": _LABEL}
    patterns = (
        "".join(patterns_of.get(part, re.escape(part)) for part in _PLACEHOLDERS.split(line)) for line in sorted(lines)
    )
    return tuple(map(re.compile, filter(None, patterns)))


def _wrong_prompt(view: View, document: Document) -> list[str]:
    if view.family != "masked":
        return [f"it has a prompt, {view.prompt[:60]!r}"] if view.prompt else []
    blank = blank_for(document.text)
    for prompt in PROMPTS:
        before, _, after = prompt.replace("{blank}", blank).partition("{masked}")
        if view.prompt.startswith(before) and view.prompt.endswith(after):
            masked = view.prompt[len(before) : len(view.prompt) - len(after)]
            if blank in masked and _is_masked(masked, document.text, blank):
                return []
    return ["its prompt is not a copy of the document with blanked words"]


def _is_masked(masked: str, text: str, blank: str) -> bool:
    """Return whether `masked` is `text` with words replaced by `blank`. No word of `text` may begin with `blank`."""
    at = position = 0
    for word in words_of(text):
        start = text.index(word, position)
        gap, position = text[position:start], start + len(word)
        copy = blank if masked.startswith(blank, at + len(gap)) else word
        if not masked.startswith(gap + copy, at):
            return False
        at += len(gap) + len(copy)
    return masked[at:] == text[position:]
