"""Duplicates: exact ones by text, near ones by the exact similarity of shingles. Each is named."""

import logging
import sys
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_knowlearn.documents import Document, read_documents
from hf_knowlearn.documents.duplicates import PERMUTATIONS, DuplicateIndex, _bands, shingles, similarity

Write = Callable[[Path, str | bytes], Path]
WriteRows = Callable[..., Path]
ReadError = Callable[..., str]


@pytest.fixture
def datasketch() -> None:
    pytest.importorskip("datasketch", reason='needs pip install "hf_knowlearn[documents]"')


@pytest.fixture
def path(tmp_path: Path, write: Write, write_rows: WriteRows) -> Path:
    """Four documents: the second and third have the text of the first, but for what reading takes away."""
    write(tmp_path / "a.txt", "Cafe\u0301 at six.")
    write_rows(tmp_path / "b.jsonl", {"id": "b", "title": "B", "text": "Caf\u00e9 at six.\r\n"}, {"text": "Other."})
    write(tmp_path / "c.md", "\ufeffCaf\u00e9 at six.")
    return tmp_path


def test_duplicates_are_kept_and_named_in_the_log(path: Path, caplog: pytest.LogCaptureFixture):
    assert [d.id for d in read_documents(path)] == ["a.txt", "b", "b.jsonl:2", "c.md"]
    (record,) = caplog.records
    assert (record.levelno, record.getMessage()) == (
        logging.WARNING,
        f"Kept in the documents at {path}: 2 duplicates.\n"
        f"  {path / 'b.jsonl'}:1: 'b' has the same text as 'a.txt'.\n"
        f"  {path / 'c.md'}: 'c.md' has the same text as 'a.txt'.",
    )


def test_duplicates_are_dropped_on_request_and_named_in_the_log(path: Path, caplog: pytest.LogCaptureFixture):
    assert [d.id for d in read_documents(path, duplicates="drop")] == ["a.txt", "b.jsonl:2"]
    (record,) = caplog.records
    assert record.getMessage().startswith(f"Dropped from the documents at {path}: 2 duplicates.\n")
    assert "'b' has the same text as 'a.txt'." in record.getMessage()
    assert "'c.md' has the same text as 'a.txt'." in record.getMessage()


def test_duplicates_are_errors_on_request(path: Path, read_error: ReadError, caplog: pytest.LogCaptureFixture):
    message = read_error(read_documents, path, duplicates="raise")
    assert f"{path / 'b.jsonl'}:1: 'b' has the same text as 'a.txt'." in message
    assert f"{path / 'c.md'}: 'c.md' has the same text as 'a.txt'." in message
    assert message.endswith('To keep duplicates, use duplicates="keep"; to remove them, duplicates="drop".')
    assert not caplog.records


def test_the_log_names_all_dropped_duplicates_and_the_first_twenty_others(
    tmp_path: Path, write_rows: WriteRows, caplog: pytest.LogCaptureFixture
):
    path = write_rows(tmp_path / "a.jsonl", *[{"id": f"d{n}", "text": "Same."} for n in range(31)])
    assert len(read_documents(path)) == 31
    assert len(read_documents(path, duplicates="drop")) == 1
    retained, dropped = (record.getMessage() for record in caplog.records)
    assert "'d20' has" in retained
    assert "'d21' has" not in retained
    assert retained.endswith("... and 10 more.")
    assert all(f"'d{n}' has the same text as 'd0'." in dropped for n in range(1, 31))


# Near duplicates

TEXT = "The ferry to Ormel leaves at six every morning, and it carries forty cars, a bakery and the mail of two towns."


def test_shingles_are_runs_of_five_words_without_case_and_punctuation():
    assert list(shingles("The ferry, to ORMEL: leaves (at) six.")) == [
        "the ferry to ormel leaves",
        "ferry to ormel leaves at",
        "to ormel leaves at six",
    ]
    assert list(shingles("Two words!")) == ["two words"]
    assert list(shingles("...")) != list(shingles("???"))  # no word: they would all be alike
    assert list(shingles("渡し船は六時")) == ["渡 し 船 は 六", "し 船 は 六 時"]  # written without spaces


def test_similarity_is_the_jaccard_similarity():
    one, other = "a b c d e f g", "a b c d e f x"  # 3 shingles each, 2 of them in both
    assert similarity(one, other) == similarity(other, one) == 2 / 4
    assert similarity(one, "A, b. C d e f g!") == 1
    assert similarity(one, "h i j k l m n") == 0


@pytest.mark.usefixtures("datasketch")
@pytest.mark.parametrize(("action", "ids"), [("keep", ["a", "b", "c"]), ("drop", ["a", "c"])])
def test_near_duplicates_are_treated_like_duplicates(
    tmp_path: Path, write_rows: WriteRows, caplog: pytest.LogCaptureFixture, action: str, ids: list[str]
):
    rows = {
        "a": TEXT,
        "b": TEXT.upper().replace("TOWNS", "ISLANDS"),
        "c": "Quite another text of more than five words.",
    }
    path = write_rows(tmp_path / "a.jsonl", *[{"id": id, "text": text} for id, text in rows.items()])
    assert len(read_documents(path)) == 3
    assert not caplog.records  # near duplicates are searched only on request
    assert [d.id for d in read_documents(path, duplicates=action, near_duplicates=0.8)] == ids
    (record,) = caplog.records
    assert f"{path}:2: 'b' has a similarity of {17 / 19:.2f} to 'a'." in record.getMessage()
    caplog.clear()
    assert len(read_documents(path, duplicates=action, near_duplicates=0.9)) == 3
    assert not caplog.records


@pytest.mark.usefixtures("datasketch")
def test_near_duplicates_equal_those_of_comparing_every_pair():
    random = Random(0)
    words = ["".join(random.choices("abcdefgh", k=4)) for _ in range(2000)]
    texts = {}
    for number in range(40):
        text = random.choices(words, k=random.randint(5, 150))
        for copy in range(4):  # each differs from the first by some words; their similarities range from 0.2 to 1
            changed = [random.choice(words) if random.random() < 0.015 * copy else word for word in text]
            texts[f"{number}-{copy}"] = " ".join(changed)
    texts = {text: id for id, text in texts.items()}  # no exact duplicates
    originals: dict[str, str] = {}
    expected = {}
    for text, id in texts.items():
        alike = [other for other, known in originals.items() if similarity(text, known) >= 0.8]
        expected[id] = (
            f"{id!r} has a similarity of {similarity(text, originals[alike[0]]):.2f} to {alike[0]!r}"
            if alike
            else None
        )
        if not alike:
            originals[id] = text
    known = DuplicateIndex(0.8)
    assert {id: known.add(Document(id, text)) for text, id in texts.items()} == expected
    assert 20 < sum(map(bool, expected.values())) < 100


@pytest.mark.usefixtures("datasketch")
def test_of_several_near_duplicates_the_first_is_named():
    common, known = " ".join(f"w{number}" for number in range(80)), DuplicateIndex(0.8)
    for first in range(4):  # 76 shingles are common and 12 are not: 76 of 100, taken two by two
        own = " ".join(f"own{first}x{number}" for number in range(12))
        assert known.add(Document(str(first), f"{common} {own}")) is None
    assert known.add(Document("common", common)) == f"'common' has a similarity of {76 / 88:.2f} to '0'"


@given(st.floats(0.5, 1))
def test_a_pair_at_the_threshold_is_missed_once_in_ten_thousand_at_most(threshold: float):
    bands, rows = _bands(threshold)
    assert bands * rows <= PERMUTATIONS
    assert bands >= 2
    assert (1 - threshold**rows) ** bands <= 1e-4


@pytest.mark.parametrize("threshold", [0.4, 1.1, True, "0.8", float("nan")])
def test_a_threshold_that_is_not_a_similarity_is_an_error(tmp_path: Path, threshold: object):
    with pytest.raises(ValueError, match=r"near_duplicates must be None or a similarity from 0\.5 to 1, such as 0\.8"):
        read_documents(tmp_path, near_duplicates=threshold)  # type: ignore[arg-type]


def test_without_datasketch_the_error_has_the_install_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "datasketch", None)
    with pytest.raises(ValueError, match=r'requires datasketch.*: pip install "hf_knowlearn\[documents\]"\.'):
        read_documents(tmp_path, near_duplicates=0.8)
