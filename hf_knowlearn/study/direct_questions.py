"""Makes direct questions from tables, lines with a key and a value, definitions and acronyms."""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.answer_search import normalize
from hf_knowlearn.documents.block_rules import BlockKind
from hf_knowlearn.documents.language import primary_language
from hf_knowlearn.documents.sentence_rules import rules_for
from hf_knowlearn.documents.structure import Block, parse_blocks
from hf_knowlearn.study.candidates import MOST_ANSWER_WORDS, Candidate
from hf_knowlearn.study.passages import contexts_of, without_markup
from hf_knowlearn.study.study_question import DIRECT

# Language -> the question about a value, a table cell, a definition and an acronym.
TEMPLATES = {
    "en": {
        "value": 'What is the "{key}" of "{path}"?',
        "cell": 'What is the "{key}" of "{row}" in "{path}"?',
        "term": 'Which entry of "{path}" has this description: "{text}"?',
        "acronym": "What does {key} stand for?",
    },
    "de": {
        "value": "Was steht in \u201e{path}\u201c bei \u201e{key}\u201c?",
        "cell": "Was steht in \u201e{path}\u201c bei \u201e{row}\u201c unter \u201e{key}\u201c?",
        "term": "Welcher Eintrag in \u201e{path}\u201c hat diese Beschreibung: \u201e{text}\u201c?",
        "acronym": "Wof\xfcr steht die Abk\xfcrzung {key}?",
    },
    "fr": {
        "value": "Quelle est la valeur de \xab {key} \xbb dans \xab {path} \xbb ?",
        "cell": "Quelle est la valeur de \xab {key} \xbb pour \xab {row} \xbb dans \xab {path} \xbb ?",
        "term": "Quelle entr\xe9e de \xab {path} \xbb a cette description : \xab {text} \xbb ?",
        "acronym": "Que signifie le sigle {key} ?",
    },
    "es": {
        "value": "\xbfCu\xe1l es el valor de \xab{key}\xbb en \xab{path}\xbb?",
        "cell": "\xbfCu\xe1l es el valor de \xab{key}\xbb para \xab{row}\xbb en \xab{path}\xbb?",
        "term": "\xbfQu\xe9 entrada de \xab{path}\xbb tiene esta descripci\xf3n: \xab{text}\xbb?",
        "acronym": "\xbfQu\xe9 significan las siglas {key}?",
    },
}
_LINES = (BlockKind.PARAGRAPH, BlockKind.UNORDERED_LIST, BlockKind.ORDERED_LIST, BlockKind.MARKUP)
_BULLET = r"^[^\S\n]*(?:[-*+\u2022][^\S\n]+|\d+[.)][^\S\n]+)?"
_KEY_VALUE = re.compile(
    _BULLET + r"(?:\*\*|__)?([^\W\d_][^\n:*|]{0,39}?)(?:\*\*|__)?[:\uff1a](?:\*\*|__)?[^\S\n]+(\S[^\n]*?)[^\S\n]*$",
    re.MULTILINE,
)
_TERM = re.compile(
    _BULLET + r"\*\*([^\W\d_][^\n*]{0,40}?)[.:,]?\*\*[^\S\n]*[:\u2013\u2014-]?[^\S\n]+([^\n]+)", re.MULTILINE
)
_NO_KEYS = frozenset(
    "note notes warning tip hint important caution example examples question answer q a see hinweis achtung beispiel"
    " tipp frage antwort remarque attention exemple nota aviso ejemplo pregunta respuesta re ps http https".split()
)
_SENTENCE_END = re.compile(r"(?<=[.!?])\s")
_GENERIC = frozenset("value values wert werte angabe valeur valor dato detail details data entry eintrag".split())
_ACRONYM = re.compile(r"\(([A-Z]{2,8})\)")
_SMALL = frozenset("of the and for in on de la des du et der die und f\xfcr von y del los las".split())


def direct_candidates(document: Document, rejected: Counter[str]) -> Iterator[Candidate]:
    """Yield the direct questions about a document, if its language has templates.

    Args:
        rejected: receives the number of values without a question, by reason.
    """
    templates = TEMPLATES.get(primary_language(document.language))
    if templates is None:
        return
    for block in parse_blocks(document.text):
        contexts = tuple(filter(None, contexts_of(document, block)))
        found: Iterator[Candidate | str] = iter(())
        if block.kind is BlockKind.TABLE and contexts:
            found = _of_table(document, block, contexts, templates)
        elif block.kind in _LINES:
            found = _of_lines(document, block, contexts, templates)
        for candidate in found:
            if isinstance(candidate, str):
                rejected[candidate] += 1
            else:
                yield candidate


def _checked(template: str, contexts: tuple[str, ...], answer: str, start: int, **words: str) -> Candidate | str:
    """Return a question, or why the answer is unsuitable."""
    prompts = tuple(template.format(path=context.replace('"', "'"), **words) for context in contexts)
    if not normalize(answer) or not any(map(str.isalnum, answer)):
        return "answer too short"
    if len(answer.splitlines()) > 1:
        return "answer on two lines"
    if len(answer.split()) > MOST_ANSWER_WORDS:
        return "answer too long"
    if any(mark in answer for mark in ("://", "www.", "@", "`", "*", "](", "\\", "\u200b", "\ufeff")):
        return "address or code"
    if any(f" {normalize(answer)} " in f" {normalize(prompt)} " for prompt in prompts):
        return "question contains the answer"
    return Candidate(prompts, answer, start, DIRECT)


def _of_table(
    document: Document, block: Block, contexts: tuple[str, ...], templates: dict[str, str]
) -> Iterator[Candidate | str]:
    rows = [_cells(document.text, *line) for line in _line_spans(document.text, block)]
    separators = [i for i, row in enumerate(rows) if row is None]
    if separators[:1] != [1] or rows[0] is None:
        return
    header = [without_markup(document.text[start:end]) for start, end in rows[0]]
    for row in filter(None, rows[1:]):
        name = without_markup(document.text[slice(*row[0])])
        if len(row) != len(header) or not any(map(str.isalnum, name)):
            continue
        for key, (start, end) in list(zip(header, row, strict=True))[1:]:
            words = {"key": name} if len(row) == 2 and key.casefold() in _GENERIC else {"key": key, "row": name}
            template = templates["cell" if "row" in words else "value"]
            if key and start < end:
                yield _checked(template, contexts, document.text[start:end], start, **words)


def _line_spans(text: str, block: Block) -> Iterator[tuple[int, int]]:
    for line in re.finditer(r"[^\n]+", text[block.start : block.end]):
        yield block.start + line.start(), block.start + line.end()


def _cells(text: str, start: int, end: int) -> list[tuple[int, int]] | None:
    """Return the spans of the cells of a row, or None for the line below the header."""
    line = text[start:end].strip()
    if "-" in line and not line.strip("-|: \t"):
        return None
    start += len(text[start:end]) - len(text[start:end].lstrip())
    inner = line.removeprefix("|")
    start += len(line) - len(inner)
    inner = inner.removesuffix("|")
    cells, position = [], start
    for cell in re.split(r"(?<!\\)\|", inner):
        shown = re.fullmatch(r"\s*(?:\*\*|__|\*|`)?(.*?)(?:\*\*|__|\*|`)?\s*", cell)
        span = shown.span(1) if shown else (0, len(cell))
        cells.append((position + span[0], position + span[1]))
        position += len(cell) + 1
    return cells


def _of_lines(
    document: Document, block: Block, contexts: tuple[str, ...], templates: dict[str, str]
) -> Iterator[Candidate | str]:
    text = document.text
    if contexts:
        for match in _KEY_VALUE.finditer(text, block.start, block.end):
            key, value = without_markup(match.group(1)), match.group(2)
            is_sentence = value.endswith((".", "!", "?", ":", ";", ",")) or _SENTENCE_END.search(value)
            if key.casefold() not in _NO_KEYS and not is_sentence and "**" not in value:
                yield _checked(templates["value"], contexts, value, match.start(2), key=key)
        for match in _TERM.finditer(text, block.start, block.end):
            description = without_markup(_SENTENCE_END.split(match.group(2))[0])
            if 4 <= len(description.split()) <= 40 and not _refers(description, document.language):
                words = {"text": description.replace('"', "'")}
                yield _checked(templates["term"], contexts, match.group(1), match.start(1), **words)
    for match in _ACRONYM.finditer(text, block.start, block.end):
        name = _long_form(text[max(block.start, match.start() - 120) : match.start()], match.group(1))
        if name:
            wordings = ("", *contexts) if contexts else ("",)
            yield _acronym(wordings, templates["acronym"], name, match)


def _acronym(wordings: tuple[str, ...], template: str, name: str, match: re.Match[str]) -> Candidate | str:
    """Return the question about an acronym. The first wording has no title."""
    checked = _checked(template, wordings, name.rstrip(), match.start() - len(name), key=match.group(1))
    if isinstance(checked, str):
        return checked
    prompts = (f"{context}: {checked.prompts[0]}" if context else checked.prompts[0] for context in wordings)
    return replace(checked, prompts=tuple(prompts))


def _refers(description: str, language: str) -> bool:
    rules = rules_for(language)
    first = description.split()[0].casefold()
    is_pronoun = rules is not None and first in rules.opening and first not in rules.determiners
    return is_pronoun or (rules is not None and rules.is_instruction(description)) or first in ("see", "siehe", "voir")


def _long_form(before: str, acronym: str) -> str:
    """Return the end of `before` whose capitalized words have the letters of the acronym as initials, or ""."""
    words = list(re.finditer(r"[^\s()\[\],;:]+", before))
    if not words or before[words[-1].end() :] != " ":
        return ""
    letters = ""
    for word in reversed(words):
        first = word.group()[0]
        if first.isupper():
            letters = first + letters
            if letters == acronym:
                return "" if "\n" in before[word.start() :] else before[word.start() :]
            if not acronym.endswith(letters):
                return ""
        elif word.group() not in _SMALL:
            return ""
    return ""
