"""Fixtures of the tests of views: an independent proof, all views of a document, real documents."""

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from itertools import islice, product
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import pytest

from hf_knowlearn.documents import Document
from hf_knowlearn.views import FAMILIES, MARKS, TooFewViewsError, View
from hf_knowlearn.views.masked import BLANKS, PROMPTS

DATA = Path(__file__).parents[2].parent / "shared" / "data"


@pytest.fixture(scope="session")
def fields_of() -> Callable[[str], Mapping[str, Any]]:
    """A function from the name of a format to the strings that it declares."""
    marks = {mark.full_name: mark for marks in MARKS.values() for mark in marks}

    def fields_of(format: str) -> Mapping[str, Any]:
        named = [marks[name] for name in format.split("+") if name in marks]
        return {field: value for mark in named for field, value in mark.fields.items()}

    return fields_of


@pytest.fixture(scope="session")
def check_proof(fields_of: Callable[[str], Mapping[str, Any]]) -> Callable[[View, Document], None]:
    """The proof, character by character, and the layout, string by string, without the code that makes them."""

    def check_proof(view: View, document: Document) -> None:
        covered = Counter()
        end = previous = 0
        for at, source, length in view.spans:
            assert end <= at < at + length <= len(view.text), "spans overlap in the view, or are outside of it"
            assert view.text[at : at + length] == document.text[source : source + length], "a word is altered"
            assert source >= previous or view.family == "order", "spans do not ascend"
            covered.update(range(source, source + length))
            end, previous = at + length, source + length
        assert max(covered.values(), default=1) == 1, "a word occurs twice"
        words = {place for place, character in enumerate(document.text) if not character.isspace()}
        assert words <= covered.keys() <= set(range(len(document.text))), "a word is missing"
        if view.family == "masked":
            check_prompt(view.prompt, document.text)
            assert view.text == document.text
        else:
            assert view.prompt == ""
            check_layout(view, document, fields_of(view.format))

    return check_proof


def check_layout(view: View, document: Document, fields: Mapping[str, Any]) -> None:
    """Layout without its white space is what the format declares for its position."""
    declared = {field: squeezed(value) for field, value in fields.items() if isinstance(value, str)}
    sentence_prefix, sentence_suffix, joint, item, sub_item = (
        declared.get(field, "") for field in ("sentence_prefix", "sentence_suffix", "joint", "item", "sub_item")
    )
    before = declared.get("open", "") + declared.get("head", "").replace("{title}", squeezed(document.title))
    numbers = labels(view.format)
    number = next(numbers)
    preamble = fields.get("preamble", "")
    assert view.text.startswith(preamble)
    end = len(preamble)
    for index, (at, _, length) in enumerate(view.spans):
        layout = squeezed(without_prefix(view.text[end:at], declared.get("prefix", ""), first=not index))
        marked = item.replace("{}", number) + sentence_prefix
        starts = {"", marked, sub_item + sentence_prefix, sentence_prefix}
        if index:
            ends = ("", sentence_suffix)
            assert layout in {"", sentence_suffix, *(e + j + s for e in ends for j in ("", joint) for s in starts)}
        else:
            assert layout in {before + start for start in starts}
        if item and layout.endswith(marked):
            number = next(numbers)
        end = at + length
    assert squeezed(view.text[end:]) in {declared.get("close", ""), sentence_suffix + declared.get("close", "")}


def without_prefix(layout: str, prefix: str, first: bool) -> str:
    """The layout without the prefix of each of its lines."""
    if not prefix:
        return layout
    begun, *lines = layout.split("\n")
    lines = [begun, *lines] if first else lines
    assert all(line.startswith(prefix) for line in lines)
    lines = [line.removeprefix(prefix) for line in lines]
    return "\n".join(lines if first else [begun, *lines])


def labels(format: str) -> Iterator[str]:
    """1, 2, 3 ...; a, b, c ...; or i, ii, iii ...: the labels that the name of the format means."""
    letters = ("".join(letters) for length in range(1, 5) for letters in product(ascii_lowercase, repeat=length))
    if "lists.letter" in format:
        return letters
    if "lists.capital" in format:
        return map(str.upper, letters)
    if "lists.roman_capital" in format:
        return map(roman, range(1, 1 << 30))
    if "lists.roman" in format:
        return (roman(number).lower() for number in range(1, 1 << 30))
    return map(str, range(1, 1 << 30))


def roman(number: int) -> str:
    digits = ["", "I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX"]
    places = ["IVX", "XLC", "CDM"]
    hundreds = [digits[number // 10**i % 10].translate(str.maketrans("IVX", place)) for i, place in enumerate(places)]
    return "M" * (number // 1000) + "".join(reversed(hundreds))


def squeezed(text: str) -> str:
    return "".join(text.split())


# A character that is a word, with the characters that modify it.
CHARACTER = (
    "[\u3005-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff][\u3099\u309a\ufe00-\ufe0f\U000e0100-\U000e01ef]*"
)
SIGNS = [*BLANKS, *map(chr, range(0x25A1, 0x25B0))]


def check_prompt(prompt: str, text: str) -> None:
    """The prompt asks to restore `text` and has its white space and words in order, some words replaced by a blank."""
    for request, sign in product(PROMPTS, [sign for sign in SIGNS if sign not in text]):
        head, tail = request.replace("{blank}", sign).split("{masked}")
        masked = prompt[len(head) : len(prompt) - len(tail)]
        if prompt == head + masked + tail and sign in masked:
            pattern = re.compile(rf"{re.escape(sign)}|\s+|{CHARACTER}|(?:(?!{re.escape(sign)}|{CHARACTER})\S)+")
            words, blanked = pattern.findall(text), pattern.findall(masked)
            assert len(words) == len(blanked)
            for copy, word in zip(blanked, words, strict=True):
                assert copy == word or (copy == sign and not word.isspace())
            return
    raise AssertionError(f"{prompt!r} does not ask to restore {text!r}")


@pytest.fixture(scope="session")
def every_view() -> Callable[..., list[View]]:
    """A function that returns all views of a document in a family."""

    def every_view(document: Document, family: str = "formats", **options: Any) -> list[View]:
        with pytest.raises(TooFewViewsError) as raised:
            FAMILIES[family](document, 100_000, **options)
        return FAMILIES[family](document, raised.value.available, **options)

    return every_view


@pytest.fixture(scope="session")
def fold() -> Callable[[str], str]:
    """A function that collapses runs of spaces, and of blank lines, to one."""

    def fold(text: str) -> str:
        return re.sub(r"\n\s*\n", "\n\n", re.sub(r"[^\S\n]+", " ", text)).strip()

    return fold


@pytest.fixture(scope="session")
def real_documents() -> Callable[[str, int], list[Document]]:
    """A function that returns real documents: film articles, SQuAD paragraphs, COVID articles, or parts of books."""

    def real_documents(source: str, count: int) -> list[Document]:
        if not DATA.is_dir():
            pytest.skip(f"no data at {DATA}")
        return list(islice(READERS[source](), count))

    return real_documents


def film() -> Iterator[Document]:
    with open(DATA / "film" / "documents.jsonl", encoding="utf-8") as lines:
        for row in map(json.loads, lines):
            yield Document(str(row["wiki_id"]), row["text"], title=row["title"])


def squad() -> Iterator[Document]:
    articles = json.loads((DATA / "squad" / "dev_24_titles.json").read_text(encoding="utf-8"))["data"]
    for article in articles:
        for number, paragraph in enumerate(article["paragraphs"]):
            yield Document(article["title"], paragraph["context"], title=article["title"], part=number)


def covid() -> Iterator[Document]:
    articles = json.loads((DATA / "covid_qa" / "200423_covidQA.json").read_text(encoding="utf-8"))["data"]
    for article in articles:
        for paragraph in article["paragraphs"]:
            yield Document(str(paragraph["document_id"]), paragraph["context"])


def books() -> Iterator[Document]:
    """Parts of books of about 4,000 characters, from all books alternately."""
    texts = [(path.stem, path.read_text(encoding="utf-8")) for path in sorted((DATA / "books").glob("*.md"))]
    for number, start in enumerate(range(0, max(len(text) for _, text in texts), 4000)):
        for name, text in texts:
            if text[start : start + 4000].strip():
                yield Document(name, text[start : start + 4000], title=name, part=number)


READERS = {"film": film, "squad": squad, "covid": covid, "books": books}


@pytest.fixture(scope="session")
def real_questions() -> Callable[[int], list[tuple[Document, list[str]]]]:
    """A function that returns film articles, each with the answers to its questions."""

    def real_questions(count: int) -> list[tuple[Document, list[str]]]:
        if not DATA.is_dir():
            pytest.skip(f"no data at {DATA}")
        answers: dict[str, list[str]] = {document.id: [] for document in islice(film(), count)}
        with open(DATA / "film" / "questions.jsonl", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                answers.get(str(row["wiki_id"]), []).append(row["answer"])
        return [(document, list(filter(str.strip, answers[document.id]))) for document in islice(film(), count)]

    return real_questions
