"""The proof of a view: that its words are the document's, all of them, each once, and all else is declared layout.

It is checked against the document and the format's strings alone, without the code that lays out.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from hf_knowlearn.documents import Document
from hf_knowlearn.views.groups import MARKS
from hf_knowlearn.views.masked import REQUESTS, blank_for, words_of
from hf_knowlearn.views.view import View

_LABEL = r"(?:\d+|[a-z]+|[A-Z]+)"
_PLACES = re.compile(r"(\{title\}|\{\})")


def prove(view: View, document: Document) -> None:
    """Check the proof that `view` carries.

    Raises:
        ValueError: what of the document is missing, told twice, moved without leave or altered, or what of the layout
            no format declares.
    """
    problems = [*_of_spans(view, document), *_of_layout(view, document), *_of_prompt(view, document)]
    if problems:
        name = f"{view.family}/{view.format} of document {view.document_id!r}"
        raise ValueError(f"View {view.index} ({name}) is not the document: {'; '.join(problems)}.")


def _of_spans(view: View, document: Document) -> list[str]:
    text, words = view.text, document.text
    problems = []
    end = 0
    for at, source, length in view.spans:
        inside = end <= at < at + length <= len(text) and 0 <= source <= len(words) - length
        if not inside or text[at : at + length] != words[source : source + length]:
            problems.append(f"the span {(at, source, length)} is not the document's {words[source : source + 40]!r}")
        end = at + length
    sources = [(source, source + length) for _, source, length in view.spans]
    if sources != sorted(sources) and view.family != "order":
        problems.append("its spans do not ascend")
    position = 0
    for source, stop in sorted(sources):
        if source < position:
            problems.append(f"{words[source : min(position, stop)]!r} is told twice")
        elif words[position:source].strip():
            problems.append(f"{words[position:source].strip()!r} is missing")
        position = max(position, stop)
    if words[position:].strip():
        problems.append(f"{words[position:].strip()!r} is missing")
    return problems


def _of_layout(view: View, document: Document) -> list[str]:
    declared = _declared(view.format, document.title)
    ends = [0, *(at + length for at, _, length in view.spans)]
    layouts = (view.text[end:at] for end, at in zip(ends, [*(at for at, _, _ in view.spans), None], strict=True))
    return [
        f"{layout!r} is not of the format's layout"
        for layout in dict.fromkeys(layouts)
        if not _is_sequence_of(declared, "".join(layout.split()))
    ]


def _is_sequence_of(patterns: Iterable[re.Pattern[str]], text: str) -> bool:
    """Whether matches of the patterns, one after the other, make up the text: in linear time, as no regex would."""
    reached = {0}
    for at in range(len(text)):
        if at in reached:
            reached.update(match.end() for pattern in patterns if (match := pattern.match(text, at)))
    return len(text) in reached


@lru_cache(maxsize=4096)
def _declared(format: str, title: str) -> tuple[re.Pattern[str], ...]:
    """Each of the strings that the format declares, without their white space."""
    marks = {mark.full_name: mark for marks in MARKS.values() for mark in marks}
    strings = [
        value
        for name in format.split("+")
        if name in marks
        for value in marks[name].fields.values()
        if isinstance(value, str)
    ]
    # By lines, because a container may put its own marks between them.
    lines = {"".join(line.split()) for string in strings for line in string.split("\n")}
    spelled = {"{title}": re.escape("".join(title.split())), "{}": _LABEL}
    patterns = ("".join(spelled.get(part, re.escape(part)) for part in _PLACES.split(line)) for line in sorted(lines))
    return tuple(map(re.compile, filter(None, patterns)))


def _of_prompt(view: View, document: Document) -> list[str]:
    if view.family != "masked":
        return [f"it has a prompt, {view.prompt[:60]!r}"] if view.prompt else []
    blank = blank_for(document.text)
    for request in REQUESTS:
        before, _, after = request.replace("{blank}", blank).partition("{masked}")
        if view.prompt.startswith(before) and view.prompt.endswith(after):
            masked = view.prompt[len(before) : len(view.prompt) - len(after)]
            if blank in masked and _is_masked(masked, document.text, blank):
                return []
    return ["its prompt is not the document's words in order with some blanked"]


def _is_masked(masked: str, text: str, blank: str) -> bool:
    """Whether `masked` is `text` with some of its words replaced by `blank`, which no word begins like."""
    at = position = 0
    for word in words_of(text):
        start = text.index(word, position)
        gap, position = text[position:start], start + len(word)
        told = blank if masked.startswith(blank, at + len(gap)) else word
        if not masked.startswith(gap + told, at):
            return False
        at += len(gap) + len(told)
    return masked[at:] == text[position:]
