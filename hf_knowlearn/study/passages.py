"""Finds the sentences of a document from which questions can be made, each with its title and section."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.block_rules import BlockKind
from hf_knowlearn.documents.language import primary_language
from hf_knowlearn.documents.sentence_rules import SentenceRules, rules_for
from hf_knowlearn.documents.sentences import SOFT, sentences
from hf_knowlearn.documents.structure import Block, parse_blocks

_ITEMS = (BlockKind.UNORDERED_LIST, BlockKind.ORDERED_LIST, BlockKind.CLAUSE)
_ITEM = re.compile(
    r"^[^\S\n]*(?:(?:[-*+\u2022]|\(?\w{1,4}[.)]|[\d.]+)[^\S\n]+)?(\S[^\n]*(?:\n(?![^\S\n]*(?:[-*+\u2022]|\d+[.)])\s)[^\S\n]*\S[^\n]*)*)",
    re.MULTILINE,
)
_SENTENCE_GAP = re.compile(r"(?<=[.!?])\s+(?=[^\W\d_a-z])")
_MARKUP = re.compile(r"!?\[([^\]\n]*)\]\([^)\n]*\)|\*{1,3}|(?<!\w)_{1,2}(?=\w)|(?<=\w)_{1,2}(?!\w)|`|\\(?=[*_#\[\]])")
_LONGEST = 1000  # characters of a sentence
_MARKS = re.compile(r"[*_`\\\[]")  # any mark that `_MARKUP` can match; a faster test
_SPEECH = ('"', "'", "\u201c", "\u201e", "\xab", "\u2018", "\u2014")
_ADDRESS = re.compile(r"://|www\.|@|[{}|<>\\^=~]|\.\w+/|/\w+/")
_END = re.compile(r"[.!\u2026\u3002\uff01\u0964\u06d4;][\"'\u201d\u2019\u00bb)*_\]]*$")
_RUN_ON = re.compile(r"[a-z]{2}[.!?][A-Z][a-z]")  # two sentences without a space between them
_QUESTION = re.compile(r"[?\uff1f\u061f][\"'\u201d\u2019\u00bb)*_]*$")
_PLURAL = frozenset(
    "we us our ours ourselves wir uns unser unsere unseren nous notre nos nosotros nuestro nuestra noi nostro nostra"
    " n\xf3s nosso nossa".split()
)
_PRONOUNS = {
    "en": "it he she its his her they their",
    "de": "er sie es sein seine ihr ihre",
    "fr": "il elle ils elles",
    "es": "\xe9l ella",
}
_PRONOUN = {
    language: re.compile(rf"(?:{'|'.join(words.split())})\b", re.IGNORECASE) for language, words in _PRONOUNS.items()
}
_OWN_SECTION = re.compile(
    r"\b(?:this|the (?:above|following|next|previous)) (?:section|chapter|page|document|text|article|list|table)\b"
    r"|\b(?:above|below)\b|\b(?:diese[rnms]?) (?:Abschnitt|Kapitel|Seite|Dokument|Text|Tabelle|Liste)\w*"
    r"|\bcette (?:section|page|liste)\b|\bce (?:chapitre|document|texte|tableau)\b"
    r"|\best[ae] (?:secci\xf3n|cap\xedtulo|p\xe1gina|documento|texto|tabla|lista)\b|\bci-(?:dessus|dessous)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Passage:
    """A sentence or a list item of a document.

    Args:
        start, end: position in the text of the document, in characters.
        contexts: the title and section of the passage. The last one is the most exact.
        problem: why no question can be made from the passage, or an empty string.
    """

    start: int
    end: int
    contexts: tuple[str, ...]
    problem: str = ""


def without_markup(text: str) -> str:
    """Return one line of text without the marks of Markdown for emphasis, code and links."""
    if not _MARKS.search(text):
        return " ".join(text.split())
    return " ".join(_MARKUP.sub(lambda match: match.group(1) or "", text).split())


def contexts_of(document: Document, block: Block) -> tuple[str, ...]:
    """Return the title and the innermost heading of a block, and the title with all its headings."""
    title = without_markup(document.title)
    headings = [without_markup(heading) for heading in block.section]
    headings = [heading for heading in headings if heading and heading.casefold() != title.casefold()]
    short, full = ([title, *headings[-1:]], [title, *headings])
    return tuple(dict.fromkeys(", ".join(filter(None, parts)) for parts in (short, full)))


def passages(document: Document) -> Iterator[Passage]:
    """Yield the passages of a document in their order. Blocks such as code are one passage with a problem."""
    rules = rules_for(document.language)
    blocks = parse_blocks(document.text)
    starts = [block.start for block in blocks]
    spans: dict[int, list[tuple[int, int]]] = {}
    for start, end in _sentence_spans(document):
        spans.setdefault(bisect_right(starts, start) - 1, []).append((start, end))
    for number, block in enumerate(blocks):
        contexts = contexts_of(document, block)
        if block.kind is BlockKind.PARAGRAPH:
            yield from _of_paragraph(document, rules, contexts, spans.get(number, []))
        elif block.kind in _ITEMS:
            for start, end in _item_spans(document.text, block):
                problem = _problem(document.text[start:end], document.language, rules, is_item=True)
                yield Passage(start, end, contexts, problem)
        elif block.kind is not BlockKind.TABLE:
            yield Passage(block.start, block.end, contexts, f"in a block of the kind {block.kind}")


def _sentence_spans(document: Document) -> Iterator[tuple[int, int]]:
    pieces = sentences(document.text, document.language)
    start = end = -1
    for begin, length, between, verbatim in zip(
        pieces.starts, pieces.lengths, pieces.breaks, pieces.verbatim, strict=True
    ):
        if start >= 0 and between != SOFT:
            yield start, end
            start = -1
        if not verbatim:
            start, end = (begin if start < 0 else start), begin + length
    if start >= 0:
        yield start, end


def _item_spans(text: str, block: Block) -> Iterator[tuple[int, int]]:
    for item in _ITEM.finditer(text, block.start, block.end):
        start = item.start(1)
        for gap in [*_SENTENCE_GAP.finditer(text, *item.span(1)), None]:
            end = gap.start() if gap else item.end(1)
            yield start, end
            start = gap.end() if gap else end


def _of_paragraph(
    document: Document, rules: SentenceRules | None, contexts: tuple[str, ...], spans: list[tuple[int, int]]
) -> Iterator[Passage]:
    """Yield the sentences of a paragraph. A pronoun at the beginning of a sentence is resolved if the sentences before
    it are about the title."""
    text = document.text
    subject = re.sub(r"\s*\(.*", "", document.title).strip()
    pronoun = _PRONOUN.get(primary_language(document.language))
    about_title = False
    for start, end in spans:
        sentence = text[start:end]
        plain = re.sub(r"^\W*(?:The |Der |Die |Das |La |Le |El )?", "", sentence)
        opens = pronoun.match(sentence) if pronoun else None
        about_title = bool(subject) and (plain.startswith(subject) or (about_title and opens is not None))
        shown = f"{subject}{sentence[opens.end() :]}" if about_title and opens else sentence
        yield Passage(start, end, contexts, _problem(shown, document.language, rules))


def _problem(sentence: str, language: str, rules: SentenceRules | None, is_item: bool = False) -> str:
    """Return why no question can be made from a sentence, or an empty string."""
    if len(sentence) > _LONGEST:
        return "sentence too short or too long"
    shown = without_markup(sentence)
    spaces = shown.count(" ")
    if not (4 <= spaces <= 60 or (spaces < 4 and any(map(_is_wide, shown)) and 12 <= len(shown) <= 300)):
        return "sentence too short or too long"
    if _ADDRESS.search(shown):
        return "address or code"
    if _QUESTION.search(shown):
        return "sentence is a question"
    if _RUN_ON.search(shown) or not (is_item or _END.search(shown)):
        return "not a whole sentence"
    if not is_balanced(shown) or shown.startswith(_SPEECH):
        return "speech or part of a quotation"
    if _OWN_SECTION.search(shown):
        return "refers to its section"
    if rules is None:
        return ""
    words = {word.strip("\"'.,;:!?()\u201c\u201d\u2019").casefold() for word in re.split(r"[\s'\u2019]", shown)}
    if not words.isdisjoint(rules.first_person - _PLURAL):
        return "first person"
    if rules.refers_back(shown[0].upper() + shown[1:] if is_item else shown):
        return "refers to other sentences"
    return ""


def _is_wide(letter: str) -> bool:
    return letter >= "\u2e80" or "\u0e00" <= letter < "\u0f00"


def is_balanced(sentence: str) -> bool:
    """Return whether the brackets and double quotation marks of a sentence come in pairs."""
    pairs = (("(", ")"), ("[", "]"), ("\u201c", "\u201d"), ("\xab", "\xbb"), ("\u300c", "\u300d"))
    return sentence.count('"') % 2 == 0 and all(
        sentence.count(first) == sentence.count(last) or (first == "\u201c" and "\u201e" in sentence)
        for first, last in pairs
    )
