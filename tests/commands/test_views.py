"""`knowlearn views`: what is shown of a document and what never is, what is counted, and what a run would answer."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn import cli
from hf_knowlearn.commands import views_export
from hf_knowlearn.commands.views_colours import CONTROL, painted
from hf_knowlearn.commands.views_request import lengths_by
from hf_knowlearn.config.teach_arguments import TeachArguments
from hf_knowlearn.documents import Document, Question, read_documents, read_questions
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.teach.schedule import make_schedule
from hf_knowlearn.teach.schedule import tell as tell_all
from hf_knowlearn.views import FAMILIES, View, format_views
from hf_knowlearn.views.coverage import (
    INSIDE,
    NO_DOCUMENT,
    NOWHERE,
    SPELLED,
    STANDS,
    Survey,
    Told,
    _folded,
    measure_coverage,
)

FILM = Path(__file__).parents[2].parent / "shared" / "data" / "film"
HARBOUR = Document(
    "harbour",
    "The harbour of Ormel has two piers. Its  light was built in 1820.\n\nNo ship waits. The baker is Ina Brandt.",
    title="Harbour",
)


@pytest.fixture
def views(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`knowlearn views` as typed in a shell: the exit code, what was printed, and what was complained of."""

    def views(*words: object) -> tuple[int, str, str]:
        code = cli.main(["views", *map(str, words)])
        return code, *capsys.readouterr()

    return views


@pytest.fixture
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another tokenizer than the packaged one."""
    from hf_knowlearn.worlds.tiny import new_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    new_tokenizer(["The mill at Tarn grinds rye.", "The ferry to Ormel leaves at six."]).save_pretrained(folder)
    return folder


def count_words(texts: list[str]) -> list[int]:
    """Stands in for a tokenizer: a token a word, and one at the end."""
    return [len(text.split()) + 1 for text in texts]


def last(found: Iterator[Survey]) -> Survey:
    *_, done = found
    return done


# Colours


STYLED = re.compile("\x1b\\[([0-9;]+)m(.*?)\x1b\\[0m")


def test_words_are_bright_layout_is_dim_and_wide_white_space_can_be_seen():
    view = View("d", 0, 0, "formats", "x", "*  One\ntwo. |\tThree.", ((3, 0, 8), (14, 9, 6)))
    assert painted(view, 0, True) == (
        "\x1b[2m*\x1b[0m\x1b[2;7m  \x1b[0m\x1b[1mOne\x1b[0m\n\x1b[1mtwo.\x1b[0m"
        "\x1b[2m |\x1b[0m\x1b[2;7m\t\x1b[0m\x1b[1mThree.\x1b[0m"
    )
    assert painted(view, 0, False) == view.text


@pytest.mark.parametrize("family", FAMILIES)
def test_without_the_colours_it_is_the_view_and_what_is_bright_is_the_document(family: str):
    for view in FAMILIES[family](HARBOUR, 6):
        shown = painted(view, 0, True)
        assert STYLED.sub(r"\2", shown) == view.prompt + view.text
        bright = "".join(text for style, text in STYLED.findall(shown) if style == "1")
        words = "".join(view.text[start : start + length] for start, _, length in view.spans)
        assert bright == words.replace("\n", "")
        assert {style for style, _ in STYLED.findall(shown)} <= {"1", "2", "2;7"}


@pytest.mark.parametrize(
    ("words", "terminal", "environment", "coloured"),
    [
        ((), True, {}, True),
        ((), False, {}, False),
        ((), True, {"NO_COLOR": "1"}, False),
        ((), True, {"NO_COLOR": ""}, True),
        ((), True, {"TERM": "dumb"}, False),
        (("--color", "never"), True, {}, False),
        (("--color", "always"), False, {"NO_COLOR": "1"}, True),
    ],
)
def test_colours_are_for_terminals_whose_owner_wants_them(
    views: Callable[..., tuple[int, str, str]],
    documents: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    terminal: bool,
    environment: dict[str, str],
    coloured: bool,
):
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    code, shown, _ = views(documents, *words)
    assert code == 0
    assert ("\x1b[1m" in shown) is coloured


# One document


def test_each_view_is_shown_under_its_name_and_whole(
    views: Callable[..., tuple[int, str, str]], documents: Path, tokenizer: Path
):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    code, shown, _ = views(documents, "--document", "mill.md", "--num_views", 3, "--seed", 5, "--tokenizer", tokenizer)
    assert code == 0
    mill = read_documents(documents)[1]
    for view in format_views(mill, 3, seed=5):
        tokens = len(loaded(view.text)["input_ids"]) + 1
        head = f"--- view {view.index}: formats/{view.format}, {tokens} tokens "
        assert f"{head.ljust(80, '-')}\n{view.text}\n" in shown
    assert "Document 1 of 1" not in shown
    assert f"Document: mill.md (The mill), {len(mill.text)} characters, language en." in shown


def test_without_an_id_the_first_document_is_shown_and_how_to_see_another(
    views: Callable[..., tuple[int, str, str]], documents: Path
):
    _, shown, _ = views(documents)
    assert "Document 1 of 2: ferry.txt (ferry), 69 characters, language en. Another: --document ID.\n" in shown
    assert shown.count("--- view ") == 6


def test_several_families_are_shown_one_after_the_other(views: Callable[..., tuple[int, str, str]], tmp_path: Path):
    (tmp_path / "a.txt").write_text("One fact. Two facts. Three facts.", encoding="utf-8")
    _, shown, _ = views(tmp_path, "--family", "order,masked", "--family", "order", "--num_views", 2)
    assert re.findall(r"--- view (\d): (\w+)/", shown) == [
        ("0", "order"),
        ("1", "order"),
        ("0", "masked"),
        ("1", "masked"),
    ]


def test_permuted_sentences_can_be_shown_in_no_format_at_all(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    (tmp_path / "a.txt").write_text("One fact. Two facts. Three facts.", encoding="utf-8")
    words = ("--family", "order", "--num_views", 2, "--groups", "lists", "--hold_out", "lists")
    assert re.findall(r"--- view \d: ([^,]+),", views(tmp_path, *words)[1]) == ["order/permuted"] * 2


def test_a_world_can_be_shown(views: Callable[..., tuple[int, str, str]]):
    code, shown, _ = views("world:new", "--num_views", 1)
    assert code == 0
    assert "Document 1 of 300: person-" in shown


def test_of_a_long_text_the_beginning_is_shown_and_how_much_is_not(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    view = View("d", 0, 0, "masked", "x", "abcdefghij", ((0, 0, 10),), prompt="Restore: a")
    more = "... and {} more characters (--excerpt 0 shows all)."
    assert painted(view, 4, False) == f"Rest\n{more.format(6)}\nabcd\n{more.format(6)}"
    assert painted(view, 10, False) == "Restore: aabcdefghij"
    parted = View("d", 0, 0, "formats", "x", "- abc\n- def", ((2, 0, 3), (8, 4, 3)))
    assert painted(parted, 7, False) == f"- abc\n-\n{more.format(4)}"
    (tmp_path / "long.txt").write_text("A fact is here. " * 200, encoding="utf-8")
    assert "more characters (--excerpt 0" in views(tmp_path)[1]
    assert "more characters" not in views(tmp_path, "--excerpt", 0)[1]


def test_a_document_is_cut_as_a_run_would_cut_it_and_shown_by_part(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    text = " ".join(f"Fact number {i} is about Ormel." for i in range(40))
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    lengths = lengths_by("tiny_base")
    arguments = TeachArguments(num_views=2)
    told = tell_all(read_documents(tmp_path), arguments, lengths, 128, 0)
    assert len(told) > 3
    _, shown, _ = views(tmp_path, "--num_views", 2, "--max_length", 128, "--part", 2)
    assert f"Cut into {len(told)} parts in formats; below is part 2, counted from 0." in shown
    assert all(f"\n{view.text}\n" in shown for view in told[2])
    code, _, complaint = views(tmp_path, "--num_views", 2, "--max_length", 128, "--part", len(told))
    assert code == 2
    assert f"has fewer parts ({len(told)} in formats)" in complaint


def test_another_language_than_the_documents_own_can_be_given(
    views: Callable[..., tuple[int, str, str]], documents: Path
):
    assert "language de." in views(documents, "--language", "de")[1]


# What never reaches the terminal


EVIL = "\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\u2028"


@pytest.mark.parametrize("colour", ["always", "never"])
@pytest.mark.parametrize("words", [(), ("--family", "masked,order"), ("--stats",)])
def test_control_characters_are_shown_as_python_writes_them(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path, words: tuple[str, ...], colour: str
):
    row = {"id": f"id{EVIL}", "title": f"title{EVIL}", "text": f"One{EVIL} fact. Two{EVIL} facts. Three{EVIL} facts."}
    path, asked = tmp_path / "rows.jsonl", tmp_path / "asked.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({"id": f"short{EVIL}", "text": "One."}), encoding="utf-8")
    question = {"id": f"q{EVIL}", "question": f"who{EVIL}?", "answers": [f"x{EVIL}"], "document_id": f"no{EVIL}"}
    asked.write_text(json.dumps(question), encoding="utf-8")
    more = ("--questions", asked, "--family", "order") if words == ("--stats",) else ()
    code, shown, _ = views(path, "--color", colour, "--num_views", 2, *words, *more)
    assert code == 0
    assert CONTROL.findall(STYLED.sub(r"\2", shown)) == []
    assert r"\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\u2028" in STYLED.sub(r"\2", shown)


def test_every_control_character_is_one_but_tab_and_line_feed():
    import unicodedata

    characters = {chr(i) for i in range(0x10000)}
    controls = {c for c in characters if unicodedata.category(c) in ("Cc", "Zl", "Zp")} - {"\t", "\n"}
    reordering = {c for c in characters if unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF"}}
    isolating = {c for c in characters if unicodedata.bidirectional(c) in {"LRI", "RLI", "FSI", "PDI"}}
    assert {c for c in characters if CONTROL.match(c)} == controls | reordering | isolating


def test_a_terminal_that_lacks_a_letter_gets_its_number(documents: Path, tmp_path: Path):
    (documents / "ferry.txt").write_text("The caf\u00e9 is open.", encoding="utf-8")
    command = [sys.executable, "-c", "import sys; from hf_knowlearn.cli import main; sys.exit(main())"]
    done = subprocess.run(
        [*command, "views", str(documents), "--num_views", "1"],
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert r"The caf\xe9 is open." in done.stdout


def test_who_has_read_enough_may_close_the_pipe(tmp_path: Path):
    (tmp_path / "long.txt").write_text("A fact is here. " * 20_000, encoding="utf-8")
    command = [sys.executable, "-c", "import sys; from hf_knowlearn.cli import main; sys.exit(main())"]
    words = ["views", str(tmp_path), "--excerpt", "0"]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 0


# What is counted


TWO = [Document("a", "One two. Three four."), Document("b", "Five.")]


def by_hand(document: Document) -> Told:
    """Two views of each document, one of them a request."""
    if document.id == "a":
        bullets = View("a", 0, 0, "formats", "x", "- One two.\n- Three four.", ((2, 0, 8), (13, 9, 11)))
        request = View("a", 0, 1, "masked", "x", document.text, ((0, 0, 20),), prompt="Fill in: One _. ")
        return [[bullets, request]]
    quoted = View("b", 0, 0, "formats", "x", "[Five.]", ((1, 0, 5),))
    return [[quoted, View("b", 0, 1, "formats", "x", "Five.", ((0, 0, 5),))]]


def test_the_figures_are_those_of_two_documents_counted_by_hand():
    counts = last(measure_coverage(TWO, {"mixed": by_hand}, count_words)).counts["mixed"]
    assert (counts.documents, counts.parts, counts.views) == (2, 2, 4)
    assert counts.tokens == (6 + 1) + (4 + 4 + 1) + (1 + 1) + (1 + 1)
    assert counts.request_tokens == 4
    assert (counts.shortest, counts.longest) == (2, 9)
    assert (counts.characters, counts.layout) == (24 + 20 + 7 + 5, 5 + 0 + 2 + 0)
    assert counts.layout_share == 7 / 56
    assert (counts.cut, counts.repeated, counts.untold) == (0, 0, {})


def test_words_that_a_telling_lacks_or_holds_twice_are_counted():
    document = Document("a", "One two. Three four. Five six seven. Eight.")
    first = View("a", 0, 0, "formats", "x", "One two. One two.", ((0, 0, 8), (9, 0, 8)))
    second = View("a", 1, 0, "formats", "x", "Five six seven.", ((0, 0, 15),))
    counts = last(measure_coverage([document], {"formats": lambda _: [[first], [second]]}, count_words)).counts[
        "formats"
    ]
    assert (counts.cut, counts.repeated) == (2 + 1, 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_cuts_or_repeats_a_word_of_a_document_in_parts(family: str):
    text = "\n\n".join(f" Fact {i} is old. A fact {i} is  new. One more." for i in range(12))
    document = Document("d", f"\n\n{text}{' ' * 50}End.\n")
    arguments = TeachArguments(views=family, num_views=2, part_tokens=30)
    found = last(
        measure_coverage([document], {family: lambda d: tell_all([d], arguments, count_words, 100, 0)}, count_words)
    )
    counts = found.counts[family]
    assert counts.untold == {}
    assert counts.parts > 2
    assert (counts.cut, counts.repeated) == (0, 0)


def test_the_table_says_what_the_views_of_a_folder_hold(
    views: Callable[..., tuple[int, str, str]], documents: Path, tokenizer: Path
):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    told = [view for document in read_documents(documents) for view in format_views(document, 3)]
    tokens = [len(loaded(view.text)["input_ids"]) + 1 for view in told]
    layout = sum(len(v.text) - sum(length for *_, length in v.spans) for v in told) / sum(len(v.text) for v in told)
    code, shown, _ = views(documents, "--stats", "--num_views", 3, "--tokenizer", tokenizer)
    assert code == 0
    figures = ["2", "2", "6", f"{sum(tokens):,}", "0", str(min(tokens)), str(max(tokens)), f"{layout:.1%}", "0", "0"]
    assert ["formats", *figures] in [line.split() for line in shown.splitlines()]


def test_documents_that_cannot_be_told_so_often_are_named_with_the_reason(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    for name in ("c", "d"):
        (tmp_path / f"{name}.txt").write_text("One fact alone.", encoding="utf-8")
    (tmp_path / "e.txt").write_text("Bells ring. Cars stop. Dogs bark.", encoding="utf-8")
    code, shown, _ = views(tmp_path, "--stats", "--num_views", 2, "--family", "order,formats")
    assert code == 0
    assert (
        "Not told in order: 2 of 3 documents (c.txt, d.txt): num_views=2, but it has only 0 distinct orders" in shown
    )
    assert "Not told in formats" not in shown
    assert re.search(r"^order +1 +1 +2 ", shown, re.MULTILINE)


def test_the_packaged_tokenizer_counts_as_its_own_class_does():
    from transformers import AutoTokenizer

    texts = ["", "Mira Tolen was born in Karvost.\n\n- caf\u00e9 \u6771\u4eac", "One. " * 2000]
    loaded = AutoTokenizer.from_pretrained(TINY_BASE)
    assert lengths_by("tiny_base")(texts) == [len(ids) + 1 for ids in loaded(texts, verbose=False)["input_ids"]]


# What is answered


def covered(text: str, answers: list[str], document_id: str | None = "harbour", **options: Any) -> Any:
    question = Question("q", "who?", tuple(answers), document_id=document_id)
    document = Document("harbour", text)
    whole = View("harbour", 0, 0, "formats", "x", text, ((0, 0, len(text)),))
    return last(
        measure_coverage([document], {"formats": lambda _: [[whole]]}, count_words, [question], **options)
    ).covered[0]


@pytest.mark.parametrize(
    ("text", "answers", "fate"),
    [
        ("It was built in 1820.", ["1820"], STANDS),
        ("It was built in 1820.", ["IN  1820"], STANDS),
        ("It was built in\n1820.", ["in 1820"], STANDS),
        ("It was built in 1820.", ["1821", "built"], STANDS),
        ("It was built in 1820.", [" ", "built"], STANDS),
        ("It was built in 1820.", ["buil"], INSIDE),
        ("It was built in 1820.", ["182"], INSIDE),
        ("They waste it in Honor.", ["No"], INSIDE),
        ("The Honor roll says no.", ["No"], STANDS),
        ("Dramatic, a drama.", ["Drama"], STANDS),
        ("No drama: Nonsense, and no more", ["no"], STANDS),
        ("The nodes. NO", ["no"], STANDS),
        ("Nodes NOW: no", ["No"], STANDS),
        ("nodes NOW: No", ["no"], STANDS),
        ("It was built in May, 1820.", ["may 1820"], SPELLED),
        ("Ina Brandt, baker", ["The Ina Brandt"], SPELLED),
        ("It was built in 1820.", ["1821"], NOWHERE),
        ("\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd", ["\u65e5\u672c"], STANDS),
        ("\uc11c\uc6b8\uc5d0 \uc0b0\ub2e4", ["\uc11c\uc6b8"], STANDS),
        ("\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e\u0e2f", ["\u0e40\u0e17\u0e1e"], STANDS),
        ("stra\u00dfe", ["STRASSE"], NOWHERE),
        ("\u0130zmir", ["izmir"], STANDS),
    ],
)
def test_an_answer_stands_where_its_whole_words_do(text: str, answers: list[str], fate: str):
    found = covered(text, answers)
    assert found.fate == fate
    assert (found.views, found.exposures) == ({"formats": int(fate == STANDS)}, {"formats": int(fate == STANDS)})


def test_a_question_without_a_document_may_be_answered_by_any_and_one_of_another_by_none():
    assert covered("Ina", ["Ina"], document_id=None).fate == STANDS
    assert covered("Ina", ["Ina"], document_id="elsewhere").fate == NO_DOCUMENT
    pair = [Document("a", "Ina bakes."), Document("b", "Inas")]
    for documents in (pair, pair[::-1]):  # what was found first is not forgotten
        tell = {"formats": lambda d: [[View(d.id, 0, 0, "formats", "x", d.text, ((0, 0, len(d.text)),))]]}
        question = Question("q", "who?", ("Ina",))
        found = last(measure_coverage(documents, tell, count_words, [question], epochs=3)).covered[0]
        assert (found.fate, found.views, found.exposures) == (STANDS, {"formats": 1}, {"formats": 3})


def test_exposures_are_the_epochs_whose_view_holds_the_answer():
    texts = ("Ina bakes. Bo sails.", "Bo bakes. Ina sails.", "Ina bakes. Bo sails.")
    document = Document("d", texts[0])
    told = [[View("d", 0, i, "formats", "x", text, ((0, 0, 20),)) for i, text in enumerate(texts)]]
    question = Question("q", "who?", ("Ina bakes",), document_id="d")
    for epochs, times in {1: 1, 2: 1, 3: 2, 5: 3, 6: 4}.items():
        found = last(
            measure_coverage([document], {"formats": lambda _: told}, count_words, [question], epochs)
        ).covered[0]
        assert (found.views["formats"], found.exposures["formats"]) == (2, times)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_run_reads_the_answer_as_often_as_was_counted(family: str):
    arguments = TeachArguments(views=family, num_views=4, part_tokens=12)
    documents = [
        Document(
            "harbour", "Piers end. Bells ring. Ina Brandt bakes bread. Ships wait. The light is old. Cars stop.", "H"
        ),
        Document("b", "Ina Brandt sails. Bo bakes. Ada rows. Dogs bark. The light is out. Cats purr.", "Boats"),
    ]
    questions = [
        Question("1", "who bakes?", ("Ina Brandt",), document_id="harbour"),
        Question("2", "what comes first?", ("Bo bakes. Ada rows",), document_id="b"),
        Question("3", "what is out?", ("light",)),
    ]
    found = last(
        measure_coverage(
            documents, {family: lambda d: tell_all([d], arguments, count_words, 60, 0)}, count_words, questions, 6
        )
    )
    told = tell_all(documents, arguments, count_words, 60, 0)
    rows = make_schedule(
        told, [], [], steps=6 * len(told), batch=1, replayed=0, trained_as=lambda asked, said: (asked, said), seed=3
    )
    assert len(told) > 2

    def reads(pattern: str, *ids: str) -> int:
        return sum(bool(re.search(pattern, row["completion"])) for row in rows if row["document_id"] in ids)

    between = r"[^A-Z]*(?:[A-Z]{1,3}\W+)?"  # layout; a list may number by capitals
    assert [coverage.exposures[family] for coverage in found.covered] == [
        reads(r"Ina\s+Brandt", "harbour"),
        reads(rf"Bo\s+bakes\.{between}Ada\s+rows", "b"),
        reads("light", "harbour", "b"),
    ]
    assert found.covered[0].exposures[family] == 6
    assert found.covered[2].exposures[family] == 12
    assert 0 < found.covered[1].exposures[family] <= 6


def test_an_answer_between_two_parts_stands_in_its_document_and_in_no_view():
    text = "Ina bakes. Bo sails."
    first = View("d", 0, 0, "formats", "x", "Ina bakes. ", ((0, 0, 11),))
    second = View("d", 1, 0, "formats", "x", "Bo sails.", ((0, 0, 9),))
    question = Question("q", "who?", ("bakes. Bo",), document_id="d")
    found = last(
        measure_coverage([Document("d", text)], {"formats": lambda _: [[first], [second]]}, count_words, [question])
    )
    assert (found.covered[0].fate, found.covered[0].views) == (STANDS, {"formats": 0})
    assert found.unanswered() == [(found.covered[0], ["formats"])]
    assert found.exposures("formats") is None


def test_no_answer_is_passed_over_that_ignoring_case_would_find():
    cased = "".join(
        c for c in map(chr, range(0x110000)) if c.isprintable() and {c.upper(), c.lower(), c.casefold()} - {c}
    )
    assert len(cased) > 2500
    for character in cased:
        for found in re.findall(re.escape(character), cased, re.IGNORECASE):
            assert _folded(found) == _folded(character)


def test_coverage_is_told_with_the_questions_that_no_view_answers(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    rows = [
        {"id": "bells", "text": "Bells ring in Ormel. Cars stop. Dogs bark."},
        {"id": "one", "text": "Ina bakes."},
    ]
    asked = [
        {"id": "q1", "question": "Where?", "answer": "Ormel", "document_id": "bells"},
        {"id": "q2", "question": "Who?", "answer": "Ina", "document_id": "one"},
        {"id": "q3", "question": "Whose?", "answer": "Bell", "document_id": "bells"},
        {"id": "q4", "question": "What?", "answer": "cats", "document_id": "bells"},
        {"id": "q5", "question": "Which?", "answer": "x", "document_id": "lost"},
    ]
    path, questions, out = tmp_path / "rows.jsonl", tmp_path / "asked.jsonl", tmp_path / "out" / "figures.json"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    questions.write_text("\n".join(map(json.dumps, asked)), encoding="utf-8")
    words = (path, "--stats", "--family", "formats,order", "--num_views", 2, "--questions", questions, "--epochs", 5)
    code, shown, _ = views(*words, "--json", out)
    assert code == 0
    lines = [line.split() for line in shown.splitlines()]
    assert ["formats", "2", "40.0%", "5", "5", "5"] in lines
    assert ["order", "1", "20.0%", "5", "5", "5"] in lines
    assert ["2", "40.0%", *STANDS.split()] in lines
    assert ["1", "20.0%", *NO_DOCUMENT.split()] in lines
    assert ["(lost)"] in lines
    assert "3 questions that no view answers:\n" in shown
    assert f"  q3: Whose? -> Bell [{INSIDE}]\n" in shown
    assert f"  q4: What? -> cats [{NOWHERE}]\n" in shown
    assert f"  q5: Which? -> x [{NO_DOCUMENT}]\n" in shown
    only = "1 more that no view of order answers (q2), 1 of them because it does not tell their document."
    assert only in shown
    figures = json.loads(out.read_text(encoding="utf-8"))
    assert figures["epochs"] == 5
    assert list(figures["families"]["order"]["untold"]) == ["one"]
    assert [row["exposures"] for row in figures["questions"]] == [
        {"formats": 5, "order": 5}, {"formats": 5, "order": 0}, *[{"formats": 0, "order": 0}] * 3
    ]  # fmt: skip


def test_a_long_list_of_unanswered_questions_is_cut_and_says_where_the_rest_is(
    views: Callable[..., tuple[int, str, str]], documents: Path, tmp_path: Path
):
    asked = tmp_path / "asked.jsonl"
    asked.write_text(
        "\n".join(json.dumps({"id": f"q{i}", "question": "?", "answer": "x"}) for i in range(23)), "utf-8"
    )
    _, shown, _ = views(documents, "--stats", "--questions", asked)
    assert len(re.findall(r"^  q\d+: \? -> x", shown, re.MULTILINE)) == 20
    assert "  ... and 3 more; --json FILE writes them all" in shown
    assert "(in any document, where a question names none)" in shown


def test_of_one_document_only_its_own_questions_are_counted_and_the_others_are_told_of(
    views: Callable[..., tuple[int, str, str]], documents: Path, tmp_path: Path
):
    asked = tmp_path / "asked.jsonl"
    rows = [
        {"question": "?", "answer": "rye", "document_id": id} for id in ("mill.md", None, "ferry.txt", "ferry.txt")
    ]
    asked.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    _, shown, _ = views(documents, "--stats", "--document", "mill.md", "--questions", asked)
    assert "2 questions. " in shown
    assert "Left out: 2 questions about other documents." in shown


@pytest.mark.skipif(not FILM.is_dir(), reason="the film data lies beside the checkout only")
def test_on_real_questions_formats_lose_no_answer_that_the_document_has():
    documents = read_documents(FILM / "documents.jsonl")[:60]
    ids = {document.id for document in documents}
    questions = [question for question in read_questions(FILM / "questions.jsonl") if question.document_id in ids]
    assert len(questions) > 300
    found = last(measure_coverage(documents, {"formats": lambda d: [format_views(d, 2)]}, count_words, questions, 2))
    for coverage in found.covered:
        assert coverage.exposures["formats"] == (2 if coverage.fate == STANDS else 0)
        stands = any(
            re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", document.text)
            for document in documents
            if document.id == coverage.question.document_id
            for answer in coverage.question.answers
        )
        assert coverage.fate == STANDS or not stands
    counts = found.counts["formats"]
    assert (counts.cut, counts.repeated, counts.untold) == (0, 0, {})


# What is exported


def test_an_exported_folder_loads_by_family_and_holds_the_rows_of_the_builder(
    views: Callable[..., tuple[int, str, str]], documents: Path, questions: Path, tmp_path: Path
):
    import yaml
    from datasets import load_dataset

    from hf_knowlearn import load_format_aug

    folder, cache = tmp_path / "out" / "published", str(tmp_path / "cache")
    families = ["formats", "masked", "mixed"]
    words = ("--family", ",".join(families), "--num_views", 2, "--seed", 4, "--questions", questions)
    code, shown, complaint = views(documents, *words, "--export", folder)
    assert (code, complaint.count("knowlearn: ")) == (0, 0)
    assert f"Written to {folder}; load_dataset({str(folder)!r}, 'formats') reads it." in shown
    for family in families:
        rows = load_dataset(str(folder), family, split="train", cache_dir=cache)
        built = load_format_aug(documents, family, split="train", num_views=2, seed=4, cache_dir=cache)
        assert rows.features == built.features
        assert rows.to_list() == built.to_list()
        assert len(rows) == 4
    card = (folder / "README.md").read_text(encoding="utf-8")
    header = yaml.safe_load(card.split("---\n")[1])
    assert [config["config_name"] for config in header["configs"]] == families
    assert header["configs"][0]["default"] is True
    assert header["language"] == ["en"]
    assert "# Views of `documents`\n" in card
    assert "- seed: `4`" in card
    assert str(tmp_path) not in card
    figures = json.loads((folder / "figures.json").read_text(encoding="utf-8"))
    assert list(figures["families"]) == families
    assert len(figures["questions"]) == 2
    assert {path.name for path in folder.iterdir()} == {"README.md", "data", "figures.json"}
    assert [path.name for path in folder.parent.iterdir()] == ["published"]


def test_what_cannot_be_told_is_not_exported_and_nothing_is_left(
    views: Callable[..., tuple[int, str, str]], documents: Path, tmp_path: Path
):
    (documents / "one.txt").write_text("One fact alone.", encoding="utf-8")
    was = sorted(tmp_path.rglob("*"))
    code, _, complaint = views(documents, "--family", "formats,order", "--export", tmp_path / "published")
    assert code == 2
    assert "a dataset holds all documents, told alike" in complaint
    assert "one.txt" in complaint
    assert sorted(tmp_path.rglob("*")) == was


def test_a_row_group_is_written_as_soon_as_there_is_enough(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from pyarrow.parquet import ParquetFile

    monkeypatch.setattr(views_export, "BUFFER", 20)
    with views_export.writing(tmp_path / "out", ["mixed"]) as writer:
        for document in TWO:
            writer.keep("mixed", by_hand(document))
        writer.finish("card", {})
    file = ParquetFile(tmp_path / "out" / "data" / "mixed" / "train-00000-of-00001.parquet")
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 2]
    assert file.read()["completion"].to_pylist() == [v.text for d in TWO for v in by_hand(d)[0]]
    assert file.read()["prompt"].to_pylist() == ["", "Fill in: One _. ", "", ""]


# What a user can mend


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (
            ("--document", "mil.md"),
            "--document 'mil.md': none of the 2 documents has this id. Near it, by id or title: 'mill.md'",
        ),
        (("--document", "The mil"), "Near it, by id or title: 'mill.md'"),
        (("--document", "zzz"), "The first: 'ferry.txt', 'mill.md'."),
        (
            ("--family", "formaps"),
            "--family: unknown families ['formaps']: choose from formats, order, masked, mixed.",
        ),
        (("--groups", "lists,lost"), "Unknown groups of formats ['lost']"),
        (("--hold_out", "lost"), "Unknown groups of formats ['lost']"),
        (("--groups", "lists", "--hold_out", "lists"), "leaves no format to tell in"),
        (("--groups", "lists", "--family", "masked"), "--groups and --hold_out choose formats, and masked has none"),
        (("--num_views", "0"), "num_views=0: give 1 or more."),
        (("--num_views", "100000"), "num_views=100000, but document 'ferry.txt' has only"),
        (("--max_length", "7"), "max_length=7: give 8 or more."),
        (("--part_tokens", "7"), "part_tokens=7: give 8 or more."),
        (("--max_length", "8"), "can't be told within 8 tokens"),
        (("--excerpt", "-1"), "excerpt=-1: give 0 or more."),
        (("--part", "-1"), "part=-1: give 0 or more."),
        (("--part", "1"), "--part 1: document 'ferry.txt' has fewer parts (1 in formats)"),
        (("--stats", "--part", "0"), "--part: where one document is shown: leave out --stats and --export."),
        (("--json", "new.json"), "--json: where all are counted: add --stats."),
        (
            ("--epochs", "2", "--questions", "QUESTIONS"),
            "--questions and --epochs: where all are counted: add --stats.",
        ),
        (("--stats", "--epochs", "2"), "--epochs: how often a run would show the answers; give their --questions."),
        (("--stats", "--epochs", "0", "--questions", "QUESTIONS"), "epochs=0: give 1 or more."),
        (("--stats", "--questions", "nowhere.jsonl"), "The questions at nowhere.jsonl"),
        (("--stats", "--json", "QUESTIONS"), "is there already; choose another name"),
        (("--export", "DOCUMENTS"), "is not empty, and nothing in it is ours to delete"),
        (("--export", "QUESTIONS"), "is no folder; choose a new or an empty one"),
        (
            ("--tokenizer", "./no/such"),
            "--tokenizer ./no/such: there is no such folder here, and from the Hub it can't",
        ),
    ],
)
def test_bad_input_ends_in_one_message_with_the_way_out_and_writes_nothing(
    views: Callable[..., tuple[int, str, str]],
    documents: Path,
    questions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    says: str,
):
    monkeypatch.chdir(tmp_path)
    was = sorted(tmp_path.rglob("*"))
    named = {"QUESTIONS": str(questions), "DOCUMENTS": str(documents)}
    code, shown, complaint = views(documents, *(named.get(word, word) for word in words))
    assert code == 2
    assert complaint.startswith("knowlearn: ")
    assert says in complaint
    assert "---" not in shown
    assert sorted(tmp_path.rglob("*")) == was


def test_all_that_is_wrong_is_told_at_once(views: Callable[..., tuple[int, str, str]]):
    words = (
        "--family",
        "x",
        "--num_views",
        0,
        "--questions",
        "no.jsonl",
        "--stats",
        "--tokenizer",
        "./no",
        "--epochs",
        0,
    )
    code, _, complaint = views("nowhere", *words)
    assert code == 2
    expected = (
        "--family: unknown",
        "num_views=0",
        "epochs=0",
        "documents at nowhere",
        "questions at no.jsonl",
        "--tokenizer",
    )
    assert all(text in complaint for text in expected)
    assert "Traceback" not in complaint
