"""`knowlearn views`: the views of a document, the counts of all documents, and the exported dataset."""

import itertools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hf_knowlearn import cli
from hf_knowlearn.commands.row_tokenizers import RowTokenizer, row_tokenizer
from hf_knowlearn.commands.views_output import CONTROL, describe_report, render_row
from hf_knowlearn.documents import Document, Question, read_documents, read_questions
from hf_knowlearn.format_aug.rows import document_views
from hf_knowlearn.format_aug.settings import ViewSettings
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.views import FAMILIES, View, format_views
from hf_knowlearn.views.coverage import AnswerCoverage, Occurrence, PartViews, _folded, measure_coverage

FILM = Path(__file__).parents[2].parent / "shared" / "data" / "film"
HARBOUR = Document(
    "harbour",
    "The harbour of Ormel has two piers. Its  light was built in 1820.\n\nNo ship waits. The baker is Ina Brandt.",
    title="Harbour",
)


@pytest.fixture
def views(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """A function that runs `knowlearn views` and returns the exit code, the output and the errors."""

    def views(*words: object) -> tuple[int, str, str]:
        code = cli.main(["views", *map(str, words)])
        return code, *capsys.readouterr()

    return views


@pytest.fixture
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model with a tokenizer other than the packaged one."""
    from hf_knowlearn.worlds.tiny import new_model, new_tokenizer

    folder = tmp_path_factory.mktemp("tokenizer")
    tokenizer = new_tokenizer(["The mill at Tarn grinds rye.", "The ferry to Ormel leaves at six."])
    tokenizer.save_pretrained(folder)
    new_model(tokenizer, seed=0).save_pretrained(folder)
    return folder


def tiny() -> RowTokenizer:
    return row_tokenizer({"model_name_or_path": "tiny_base", "document_template": "plain"})


def count_words(texts: list[str]) -> list[int]:
    """Count one token for each word, and one for the end."""
    return [len(text.split()) + 1 for text in texts]


# Colours


STYLED = re.compile("\x1b\\[([0-9;]+)m(.*?)\x1b\\[0m")


def test_words_are_bold_layout_is_dim_and_wide_white_space_is_visible(monkeypatch: pytest.MonkeyPatch):
    view = View("d", 0, 0, "formats", "x", "*  One\ntwo. |\tThree.", ((3, 0, 8), (14, 9, 6)))
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    assert render_row(view, 7, 6, "<e>") == (
        f"\n\x1b[36m{'--- view 0: formats/x, 7 tokens, 6 with loss '.ljust(80, '-')}\x1b[0m\n"
        "\x1b[2m*\x1b[0m\x1b[2;7m  \x1b[0m\x1b[1mOne\x1b[0m\n\x1b[1mtwo.\x1b[0m"
        "\x1b[2m |\x1b[0m\x1b[2;7m\t\x1b[0m\x1b[1mThree.\x1b[0m\x1b[36m<e>\x1b[0m"
    )
    monkeypatch.delenv("FORCE_COLOR")
    assert render_row(view, 7, 6, "<e>").partition("-\n")[2] == f"{view.text}<e>"
    masked = replace(view, prompt="Restore: _\n")
    assert render_row(masked, 7, 4, "<e>").partition("-\n")[2] == f"[no loss] Restore: _\n\n[loss] {view.text}<e>"


def test_the_end_token_is_shown_once():
    view = View("d", 0, 0, "formats", "x", "One.<e>", ((0, 0, 4),))
    assert render_row(view, 4, 3, "<e>").endswith("-\nOne.<e>")


@pytest.mark.parametrize("family", FAMILIES)
def test_the_bold_text_is_the_document(family: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    for view in FAMILIES[family](HARBOUR, 6):
        shown = re.split("1 with loss -*\x1b\\[0m\n", render_row(view, 1, 1, ""))[1]
        marked = f"[no loss] {view.prompt}\n[loss] {view.text}" if view.prompt else view.text
        assert STYLED.sub(r"\2", shown) == marked
        bold = "".join(text for style, text in STYLED.findall(shown) if style == "1")
        words = "".join(view.text[start : start + length] for start, _, length in view.spans)
        assert bold == words.replace("\n", "")
        assert {style for style, _ in STYLED.findall(shown)} <= {"1", "2", "2;7", "36"}


@pytest.mark.parametrize(
    ("terminal", "environment", "styles"),
    [
        (True, {}, {"1", "36"}),
        (False, {}, set()),
        (False, {"FORCE_COLOR": "1"}, {"1", "36"}),
        (True, {"NO_COLOR": "1"}, {"1"}),
        (True, {"NO_COLOR": ""}, {"1", "36"}),
        (True, {"TERM": "dumb"}, set()),
    ],
)
def test_colours_follow_the_terminal_and_the_environment(
    views: Callable[..., tuple[int, str, str]],
    documents: Path,
    monkeypatch: pytest.MonkeyPatch,
    terminal: bool,
    environment: dict[str, str],
    styles: set[str],
):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLORTERM"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"TERM": "xterm", **environment}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    code, shown, _ = views(documents)
    assert code == 0
    assert {style for style, _ in STYLED.findall(shown)} & {"1", "36"} == styles


# One document


def test_each_view_is_shown_completely_under_its_name(
    views: Callable[..., tuple[int, str, str]], documents: Path, tokenizer: Path
):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    words = ("--document", "mill.md", "--num_views", 3, "--seed", 5, "--model", tokenizer)
    code, shown, _ = views(documents, *words, "--views", "formats")
    assert code == 0
    mill = read_documents(documents)[1]
    for view in format_views(mill, 3, seed=5):
        tokens = len(loaded(view.text)["input_ids"]) + 1
        without_loss = len(loaded("")["input_ids"])
        head = f"--- view {view.index}: formats/{view.format}, {tokens} tokens, {tokens - without_loss} with loss "
        assert f"{head.ljust(80, '-')}\n{view.text}{loaded.eos_token}\n" in shown
    assert "Document 1 of 1" not in shown
    assert f"Document: mill.md (The mill), {len(mill.text)} characters, language en." in shown


def test_without_an_id_the_first_document_is_shown(views: Callable[..., tuple[int, str, str]], documents: Path):
    _, shown, _ = views(documents)
    assert (
        "Document 1 of 2: ferry.txt (ferry), 69 characters, language en. Choose another document with --document ID."
        in shown
    )
    assert shown.count("--- view ") == 12


def test_several_families_are_shown_in_order_and_once(views: Callable[..., tuple[int, str, str]], tmp_path: Path):
    (tmp_path / "a.txt").write_text("One fact. Two facts. Three facts.", encoding="utf-8")
    _, shown, _ = views(tmp_path, "--views", "order", "masked", "order", "--num_views", 2)
    assert re.findall(r"--- view (\d): (\w+)/", shown) == [
        ("0", "order"),
        ("1", "order"),
        ("0", "masked"),
        ("1", "masked"),
    ]


def test_permuted_sentences_can_be_shown_without_a_format(views: Callable[..., tuple[int, str, str]], tmp_path: Path):
    (tmp_path / "a.txt").write_text("One fact. Two facts. Three facts.", encoding="utf-8")
    words = ("--views", "order", "--num_views", 2, "--format_groups", "lists", "--hold_out", "lists")
    assert re.findall(r"--- view \d: ([^,]+),", views(tmp_path, *words)[1]) == ["order/permuted"] * 2


def test_a_split_of_the_world_can_be_shown(views: Callable[..., tuple[int, str, str]]):
    code, shown, _ = views("world:new", "--num_views", 1)
    assert code == 0
    assert "Document 1 of 300: person-" in shown


def test_a_long_document_is_split_as_in_a_run_and_its_parts_are_shown(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    text = " ".join(f"Fact number {i} is about Ormel." for i in range(40))
    (tmp_path / "long.txt").write_text(text, encoding="utf-8")
    settings = ViewSettings(num_views=2, part_tokens=512)
    (document,) = read_documents(tmp_path)
    parts = document_views(document, replace(settings, seed=42), tiny().lengths, 128)
    assert len(parts) > 3
    _, shown, _ = views(tmp_path, "--num_views", 2, "--max_length", 128, "--views", "formats")
    assert all(f"\n{view.text}<|end|>\n" in shown for _, views in parts for view in views)
    found = re.findall(r"^--- (?:part (\d+), )?view (\d): formats/", shown, re.MULTILINE)
    assert [(int(part or 0), int(view)) for part, view in found] == [(i, j) for i in range(len(parts)) for j in (0, 1)]


# Control characters


EVIL = "\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\u2028"


@pytest.mark.parametrize("colour", ["FORCE_COLOR", "NO_COLOR"])
@pytest.mark.parametrize("words", [(), ("--views", "masked", "order"), ("--stats",)])
def test_control_characters_are_shown_as_python_escapes(
    views: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    colour: str,
):
    monkeypatch.setenv(colour, "1")
    row = {"id": f"id{EVIL}", "title": f"title{EVIL}", "text": f"One{EVIL} fact. Two{EVIL} facts. Three{EVIL} facts."}
    path, questions = tmp_path / "rows.jsonl", tmp_path / "questions.jsonl"
    path.write_text(json.dumps(row) + "\n" + json.dumps({"id": f"short{EVIL}", "text": "One."}), encoding="utf-8")
    question = {"id": f"q{EVIL}", "question": f"who{EVIL}?", "answers": [f"x{EVIL}"], "document_id": f"no{EVIL}"}
    questions.write_text(json.dumps(question), encoding="utf-8")
    more = ("--questions", questions, "--views", "order") if words == ("--stats",) else ()
    code, shown, _ = views(path, "--num_views", 2, *words, *more)
    assert code == 0
    assert CONTROL.findall(STYLED.sub(r"\2", shown)) == []
    assert r"\x1b]0;owned\x07\x9b31m\x7f\u202e\u2066\u2028" in STYLED.sub(r"\2", shown)


def test_all_control_characters_except_tab_and_line_feed_are_escaped():
    import unicodedata

    characters = {chr(i) for i in range(0x10000)}
    controls = {c for c in characters if unicodedata.category(c) in ("Cc", "Zl", "Zp")} - {"\t", "\n"}
    reordering = {c for c in characters if unicodedata.bidirectional(c) in {"LRE", "RLE", "LRO", "RLO", "PDF"}}
    isolating = {c for c in characters if unicodedata.bidirectional(c) in {"LRI", "RLI", "FSI", "PDI"}}
    assert {c for c in characters if CONTROL.match(c)} == controls | reordering | isolating


def test_a_terminal_without_a_character_gets_its_escape(documents: Path, tmp_path: Path):
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


def test_a_closed_pipe_is_no_error(tmp_path: Path):
    (tmp_path / "long.txt").write_text("A fact is here. " * 20_000, encoding="utf-8")
    command = [sys.executable, "-c", "import sys; from hf_knowlearn.cli import main; sys.exit(main())"]
    words = ["views", str(tmp_path)]
    with subprocess.Popen([*command, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        assert run.stderr is not None
        run.stdout.readline()
        run.stdout.close()
        assert run.stderr.read() == ""
    assert run.returncode == 0


# Counts


TWO = [Document("a", "One two. Three four."), Document("b", "Five.")]


def two_views(document: Document) -> PartViews:
    """Two views of each document, one of them with a prompt."""
    if document.id == "a":
        bullets = View("a", 0, 0, "formats", "x", "- One two.\n- Three four.", ((2, 0, 8), (13, 9, 11)))
        masked = View("a", 0, 1, "masked", "x", document.text, ((0, 0, 20),), prompt="Fill in: One _. ")
        return [(document, [bullets, masked])]
    quoted = View("b", 0, 0, "formats", "x", "[Five.]", ((1, 0, 5),))
    return [(document, [quoted, View("b", 0, 1, "formats", "x", "Five.", ((0, 0, 5),))])]


def test_statistics_are_those_of_two_documents_counted_manually():
    statistics = measure_coverage(TWO, {"mixed": two_views}, count_words).statistics["mixed"]
    assert (statistics.documents, statistics.parts, statistics.views) == (2, 2, 4)
    assert statistics.tokens == (6 + 1) + (4 + 4 + 1) + (1 + 1) + (1 + 1)
    assert statistics.prompt_tokens == 4
    assert (statistics.shortest, statistics.longest) == (2, 9)
    assert (statistics.characters, statistics.layout_characters) == (24 + 20 + 7 + 5, 5 + 0 + 2 + 0)
    assert statistics.failed == {}


@pytest.mark.parametrize("family", FAMILIES)
def test_no_family_loses_or_repeats_a_word_of_a_document_in_parts(family: str):
    text = "\n\n".join(f" Fact {i} is old. A fact {i} is  new. One more." for i in range(12))
    document = Document("d", f"\n\n{text}{' ' * 50}End.\n")
    settings = ViewSettings(family, num_views=2, part_tokens=30)
    parts = [views for _, views in document_views(document, settings, count_words, 100)]
    assert len(parts) > 2
    for views_of_all_parts in zip(*parts, strict=True):
        words = (v.text[start : start + length] for v in views_of_all_parts for start, _, length in v.spans)
        assert sorted("".join("".join(words).split())) == sorted("".join(document.text.split()))


def test_the_table_has_the_counts_of_a_folder(
    views: Callable[..., tuple[int, str, str]], documents: Path, tokenizer: Path
):
    from transformers import AutoTokenizer

    loaded = AutoTokenizer.from_pretrained(tokenizer)
    made = [view for document in read_documents(documents) for view in format_views(document, 3)]
    tokens = [len(loaded(view.text)["input_ids"]) + 1 for view in made]
    layout = sum(len(v.text) - sum(length for *_, length in v.spans) for v in made) / sum(len(v.text) for v in made)
    words = ("--stats", "--num_views", 3, "--seed", 0, "--views", "formats", "--model", tokenizer)
    code, shown, _ = views(documents, *words)
    assert code == 0
    rows = {"documents": "2", "views": "6", "tokens": f"{sum(tokens):,}", "tokens of prompts": "0"}
    rows |= {"tokens of the shortest view": f"{min(tokens)}", "tokens of the longest view": f"{max(tokens)}"}
    rows |= {"layout, share of characters": f"{layout:.1%}"}
    for name, value in rows.items():
        assert re.search(rf"^ ?{name} +{re.escape(value)}$", shown, re.MULTILINE), name


def test_documents_with_too_few_views_are_listed_with_the_reason(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    for name in ("c", "d"):
        (tmp_path / f"{name}.txt").write_text("One.", encoding="utf-8")
    (tmp_path / "e.txt").write_text("Bells ring. Cars stop. Dogs bark.", encoding="utf-8")
    words = ("--num_views", 2, "--views", "formats", "masked", "--format_groups", "breaks")
    code, shown, _ = views(tmp_path, "--stats", *words)
    assert code == 0
    failed = "formats: 2 of 3 documents without enough views\n  num_views=2, but document 'c.txt' has only 0 distinct"
    assert failed in shown
    assert "\nmasked: " not in shown
    assert re.search(r"^ ?documents +1 +3$", shown, re.MULTILINE)
    assert "masked, for each kind of document:" in shown


def test_the_packaged_tokenizer_counts_like_transformers():
    from transformers import AutoTokenizer

    texts = ["", "Mira Tolen was born in Karvost.\n\n- caf\u00e9 \u6771\u4eac", "One. " * 2000]
    loaded = AutoTokenizer.from_pretrained(TINY_BASE)
    assert tiny().lengths(texts) == [len(ids) + 1 for ids in loaded(texts, verbose=False)["input_ids"]]


# Answers


def whole_document(document: Document) -> PartViews:
    """One view: the document unchanged."""
    return [(document, [View(document.id, 0, 0, "formats", "x", document.text, ((0, 0, len(document.text)),))])]


def covered(text: str, answers: list[str], document_id: str | None = "harbour") -> AnswerCoverage:
    question = Question("q", "who?", tuple(answers), document_id=document_id)
    documents = [Document("harbour", text)]
    return measure_coverage(documents, {"formats": whole_document}, count_words, [question]).questions[0]


@pytest.mark.parametrize(
    ("text", "answers", "occurrence"),
    [
        ("It was built in 1820.", ["1820"], Occurrence.FOUND),
        ("It was built in 1820.", ["IN  1820"], Occurrence.FOUND),
        ("It was built in\n1820.", ["in 1820"], Occurrence.FOUND),
        ("It was built in 1820.", ["1821", "built"], Occurrence.FOUND),
        ("It was built in 1820.", [" ", "built"], Occurrence.FOUND),
        ("It was built in 1820.", ["buil"], Occurrence.INSIDE_WORD),
        ("It was built in 1820.", ["182"], Occurrence.INSIDE_WORD),
        ("They waste it in Honor.", ["No"], Occurrence.INSIDE_WORD),
        ("The Honor roll says no.", ["No"], Occurrence.FOUND),
        ("Dramatic, a drama.", ["Drama"], Occurrence.FOUND),
        ("No drama: Nonsense, and no more", ["no"], Occurrence.FOUND),
        ("The nodes. NO", ["no"], Occurrence.FOUND),
        ("Nodes NOW: no", ["No"], Occurrence.FOUND),
        ("nodes NOW: No", ["no"], Occurrence.FOUND),
        ("It was built in May, 1820.", ["may 1820"], Occurrence.OTHER_SPELLING),
        ("Ina Brandt, baker", ["The Ina Brandt"], Occurrence.OTHER_SPELLING),
        ("It was built in 1820.", ["1821"], Occurrence.NOT_FOUND),
        ("\u6771\u4eac\u306f\u65e5\u672c\u306e\u9996\u90fd", ["\u65e5\u672c"], Occurrence.FOUND),
        ("\uc11c\uc6b8\uc5d0 \uc0b0\ub2e4", ["\uc11c\uc6b8"], Occurrence.FOUND),
        ("\u0e01\u0e23\u0e38\u0e07\u0e40\u0e17\u0e1e\u0e2f", ["\u0e40\u0e17\u0e1e"], Occurrence.FOUND),
        ("stra\u00dfe", ["STRASSE"], Occurrence.NOT_FOUND),
        ("\u0130zmir", ["izmir"], Occurrence.FOUND),
    ],
)
def test_an_answer_occurs_only_as_whole_words(text: str, answers: list[str], occurrence: Occurrence):
    found = covered(text, answers)
    assert (found.occurrence, found.views) == (occurrence, {"formats": int(occurrence == Occurrence.FOUND)})


def test_a_question_without_a_document_is_answered_by_any_and_one_of_an_unknown_document_by_none():
    assert covered("Ina", ["Ina"], document_id=None).occurrence == Occurrence.FOUND
    assert covered("Ina", ["Ina"], document_id="elsewhere").occurrence == Occurrence.NO_DOCUMENT
    pair = [Document("a", "Ina bakes."), Document("b", "Inas")]
    for documents in (pair, pair[::-1]):  # the order of the documents does not matter
        question = Question("q", "who?", ("Ina",))
        (found,) = measure_coverage(documents, {"formats": whole_document}, count_words, [question]).questions
        assert (found.occurrence, found.views) == (Occurrence.FOUND, {"formats": 1})


def test_the_views_of_all_parts_with_the_answer_are_counted():
    texts = ("Ina bakes. Bo sails.", "Bo sails. Ina bakes.", "Ina bakes. Bo sails.")
    document = Document("d", " ".join(texts))
    part_views = [
        (document, [View("d", part, i, "formats", "x", text, ((0, 0, 20),)) for i, text in enumerate(texts)])
        for part in (0, 1)
    ]
    questions = [Question("1", "?", ("Ina bakes",), document_id="d"), Question("2", "?", ("sails. Ina",))]
    report = measure_coverage([document], {"formats": lambda _: part_views}, count_words, questions)
    assert [question.views for question in report.questions] == [{"formats": 6}, {"formats": 2}]


def test_an_answer_across_two_parts_occurs_in_its_document_and_in_no_view():
    text = "Ina bakes. Bo sails."
    first = View("d", 0, 0, "formats", "x", "Ina bakes. ", ((0, 0, 11),))
    second = View("d", 1, 0, "formats", "x", "Bo sails.", ((0, 0, 9),))
    question = Question("q", "who?", ("bakes. Bo",), document_id="d")
    document = Document("d", text)
    families = {"formats": lambda _: [(document, [first]), (document, [second])]}
    report = measure_coverage([document], families, count_words, [question])
    (coverage,) = report.questions
    assert (coverage.occurrence, coverage.views) == (Occurrence.FOUND, {"formats": 0})
    assert report.unanswered() == [coverage]


# Two products with a password each. Only the sentences of one section can change places.
PRODUCTS = Document(
    "products",
    "## Alpha\n\nThe password is 1111. The lamp is green.\n\n## Beta\n\nThe password is 2222. The lamp is red.",
)


def moved(*starts: int) -> View:
    """A view of `PRODUCTS` whose spans begin at these positions of the document, in this order."""
    ends = dict(itertools.pairwise([*sorted(starts), len(PRODUCTS.text)]))
    text, spans = "", []
    for start in starts:
        piece = PRODUCTS.text[start : ends[start]].rstrip()
        spans.append((len(text), start, len(piece)))
        text += f"{piece}\n"
    return View("products", 0, 0, "order", "x", text, tuple(spans))


def test_an_answer_that_a_view_moves_to_another_section_is_misplaced():
    texts = ("## Alpha", "The password is 1", "The lamp is green", "## Beta", "The password is 2", "The lamp is red")
    alpha, first, green, beta, second, red = map(PRODUCTS.text.index, texts)
    right = moved(alpha, green, first, beta, red, second)  # only within the sections
    swapped = moved(alpha, second, green, beta, first, red)
    questions = [
        Question("2222", "What is the password of Beta?", ("2222",), document_id="products"),
        Question("1111", "What is the password of Alpha?", ("1111",), document_id="products"),
        Question("red", "Which colour has the lamp of Beta?", ("red",), document_id="products"),
    ]
    families = {"right": lambda document: [(document, [right])], "wrong": lambda document: [(document, [swapped])]}
    report = measure_coverage([PRODUCTS], families, count_words, questions)
    assert [coverage.views for coverage in report.questions] == [{"right": 1, "wrong": 1}] * 3
    # The passwords are in the wrong section of one view. "red" is after them in its own section.
    assert [coverage.question.id for coverage in report.misplaced()] == ["2222", "1111"]
    assert [coverage.misplaced for coverage in report.questions] == [1, 1, 0]
    shown = "\n".join(describe_report(report, "tiny_base"))
    listed = "  2222: What is the password of Beta? -> 2222 [in 1 view]\n  1111: What is"
    assert f"Questions whose answer a view places in another section or block: 2\n{listed}" in shown


def test_no_answer_is_misplaced_in_the_views_of_a_document_with_sections(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    (tmp_path / "products.md").write_text(PRODUCTS.text, encoding="utf-8")
    questions = tmp_path / "questions.jsonl"
    rows = [{"question": "Password?", "answer": answer, "document_id": "products.md"} for answer in ("1111", "2222")]
    questions.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    code, shown, _ = views(tmp_path / "products.md", "--num_views", 60, "--views", "order", "--questions", questions)
    assert code == 0
    assert "Questions whose answer a view places in another section or block: 0\n" in shown


def test_views_are_counted_for_each_kind_of_document():
    kinds = {
        "independent facts": "Ormel has two piers. Tarn grinds rye. Karvost makes bells. Drinsel has a college.",
        "procedure": "1. Open the valve.\n2. Remove the four bolts.\n3. Take the filter out.",
        "lists, tables or code": "| a | b |\n| - | - |\n" + "| one cell | another cell |\n" * 20,
    }
    documents = [Document(f"{kind} {number}", text) for kind, text in kinds.items() for number in (0, 1)]
    families = {"mixed": lambda document: document_views(document, ViewSettings("mixed"), count_words, None)}
    kinds_of_report = measure_coverage(documents, families, count_words).kinds["mixed"]
    assert {kind: (counts.documents, counts.keeps_order) for kind, counts in kinds_of_report.items()} == {
        "independent facts": (2, 0),
        "procedure": (2, 2),
        "lists, tables or code": (2, 2),
    }
    assert kinds_of_report["independent facts"].views == 24
    table = kinds_of_report["lists, tables or code"]
    assert 2 <= table.views == table.different < 24


def test_of_views_that_are_nearly_the_same_one_counts_as_different():
    text = " ".join(f"Fact number {i} is about Ormel." for i in range(20))
    plain = View("d", 0, 0, "formats", "x", text, ((0, 0, len(text)),))
    marked = View("d", 0, 1, "formats", "x", f"- {text}", ((2, 0, len(text)),))
    families = {"formats": lambda document: [(document, [plain, marked])]}
    (counts,) = measure_coverage([Document("d", text)], families, count_words).kinds["formats"].values()
    assert (counts.views, counts.different) == (2, 1)


def test_tables_are_never_cut_to_the_width_of_the_terminal(
    views: Callable[..., tuple[int, str, str]], documents: Path, monkeypatch: pytest.MonkeyPatch
):
    (documents / "foreign.txt").write_text("Dette er en tekst p\u00e5 norsk. Den har to setninger.", encoding="utf-8")
    words = (documents, "--stats", "--views", "formats", "order", "masked", "mixed", "--num_views", 2)
    wide = views(*words)[1]
    monkeypatch.setenv("COLUMNS", "30")
    assert views(*words)[1] == wide
    assert "\u2026" not in wide
    assert max(map(len, wide.splitlines())) <= 80 or "read 3 documents" in max(wide.splitlines(), key=len)


def test_folding_makes_all_characters_equal_that_ignoring_case_makes_equal():
    cased = "".join(
        c for c in map(chr, range(0x110000)) if c.isprintable() and {c.upper(), c.lower(), c.casefold()} - {c}
    )
    assert len(cased) > 2500
    for character in cased:
        for found in re.findall(re.escape(character), cased, re.IGNORECASE):
            assert _folded(found) == _folded(character)


def test_the_output_lists_the_questions_that_no_view_answers(
    views: Callable[..., tuple[int, str, str]], tmp_path: Path
):
    rows = [
        {"id": "bells", "text": "Bells ring in Ormel. Cars stop. Dogs bark."},
        {"id": "one", "text": "Ina bakes."},
    ]
    questions = [
        {"id": "q1", "question": "Where?", "answer": "Ormel", "document_id": "bells"},
        {"id": "q2", "question": "Who?", "answer": "Ina", "document_id": "one"},
        {"id": "q3", "question": "Whose?", "answer": "Bell", "document_id": "bells"},
        {"id": "q4", "question": "What?", "answer": "cats", "document_id": "bells"},
        {"id": "q5", "question": "Which?", "answer": "x", "document_id": "lost"},
    ]
    path, file = tmp_path / "rows.jsonl", tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    file.write_text("\n".join(map(json.dumps, questions)), encoding="utf-8")
    code, shown, _ = views(path, "--views", "formats", "order", "--num_views", 2, "--questions", file)
    assert code == 0
    lines = [line.split() for line in shown.splitlines()]
    assert ["formats", "2", "40.0%", "2", "2", "2"] in lines
    assert ["order", "2", "40.0%", "2", "2", "2"] in lines
    assert [*Occurrence.FOUND.split(), "2", "40.0%"] in lines
    assert [*Occurrence.NO_DOCUMENT.split(), "1", "20.0%"] in lines
    assert "Questions that no view answers: 3\n" in shown
    assert f"  q3: Whose? -> Bell [{Occurrence.INSIDE_WORD}]\n" in shown
    assert f"  q4: What? -> cats [{Occurrence.NOT_FOUND}]\n" in shown
    assert f"  q5: Which? -> x [{Occurrence.NO_DOCUMENT}: lost]\n" in shown
    assert "q1" not in shown
    assert "q2" not in shown


def test_with_one_document_the_questions_about_others_are_not_counted(
    views: Callable[..., tuple[int, str, str]], documents: Path, tmp_path: Path
):
    file = tmp_path / "questions.jsonl"
    ids = ("mill.md", None, "ferry.txt", "ferry.txt")
    file.write_text(
        "\n".join(json.dumps({"question": "?", "answer": "rye", "document_id": id}) for id in ids), encoding="utf-8"
    )
    _, shown, _ = views(documents, "--stats", "--document", "mill.md", "--questions", file)
    assert re.search(r"^ ?mixed +2 +100.0%", shown, re.MULTILINE)


@pytest.mark.skipif(not FILM.is_dir(), reason="needs the film data")
def test_on_real_questions_formats_lose_no_answer_of_the_document():
    documents = read_documents(FILM / "documents.jsonl")[:60]
    ids = {document.id for document in documents}
    questions = [question for question in read_questions(FILM / "questions.jsonl") if question.document_id in ids]
    assert len(questions) > 300
    families = {"formats": lambda document: [(document, format_views(document, 2))]}
    report = measure_coverage(documents, families, count_words, questions)
    for coverage in report.questions:
        is_found = coverage.occurrence == Occurrence.FOUND
        assert coverage.views["formats"] == (2 if is_found else 0)
        occurs = any(
            re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", document.text)
            for document in documents
            if document.id == coverage.question.document_id
            for answer in coverage.question.answers
        )
        assert is_found or not occurs
    assert report.statistics["formats"].failed == {}


# Export


def test_an_exported_folder_has_the_rows_of_the_builder_by_family(
    views: Callable[..., tuple[int, str, str]], documents: Path, questions: Path, tmp_path: Path
):
    import yaml
    from datasets import load_dataset

    from hf_knowlearn import load_format_aug

    folder, cache = tmp_path / "out" / "published", str(tmp_path / "cache")
    families = ["formats", "masked", "mixed"]
    words = ("--views", *families, "--num_views", 2, "--seed", 4, "--questions", questions)
    code, shown, errors = views(documents, *words, "--export", folder)
    assert (code, errors.count("knowlearn: ")) == (0, 0)
    assert f"Wrote {folder}. Load it: load_dataset({str(folder)!r}, 'formats')" in shown
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
    assert {path.name for path in folder.iterdir()} == {"README.md", "data"}
    assert [path.name for path in folder.parent.iterdir()] == ["published"]


def test_documents_with_too_few_views_are_not_exported_and_nothing_is_written(
    views: Callable[..., tuple[int, str, str]], documents: Path, tmp_path: Path
):
    (documents / "one.txt").write_text("One.", encoding="utf-8")
    before = sorted(tmp_path.rglob("*"))
    words = ("--views", "masked", "formats", "--format_groups", "breaks", "--export", tmp_path / "published")
    code, _, errors = views(documents, *words)
    assert code == 2
    assert "some documents have too few views" in errors
    assert "one.txt" in errors
    assert sorted(tmp_path.rglob("*")) == before


# Errors


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--document", "mil.md"),
            "--document 'mil.md': no document has this id. Some ids of the 2 documents: 'mill.md'.",
        ),
        (("--document", "zzz"), "Some ids of the 2 documents: 'ferry.txt', 'mill.md'."),
        (
            ("--format_groups", "lists", "--hold_out", "lists"),
            "groups=('lists',) with hold_out='lists' leaves no format. Allow another group.",
        ),
        (("--num_views", "0"), "num_views=0: give a number of at least 1."),
        (("--max_length", "8"), "has no views of at most 8 tokens"),
        (("--views", "lost"), "views='lost' is unknown. Choose from raw, formats, order, masked, mixed, or"),
        (("--format_groups", "lost"), "lost"),
        (("--hold_out", "lost"), "hold_out: 'lost' is not one of spacing, breaks,"),
        (("--evaluation.shot", "2"), "evaluation.shot (did you mean evaluation.shots?)"),
        (("--documents", "others"), "and --documents both name documents. Give only one of them."),
        (("--config", "lost.yaml"), "There is no recipe 'lost.yaml'"),
        (("--questions", "nowhere.jsonl"), "The questions at nowhere.jsonl"),
        (("--export", "DOCUMENTS"), "is not empty. Choose a new or an empty folder"),
        (("--export", "QUESTIONS"), "is not a folder. Choose a new or an empty folder"),
        (
            ("--model", "./no/such"),
            "--model ./no/such: ",
        ),
    ],
)
def test_an_error_is_one_message_with_the_fix_and_writes_nothing(
    views: Callable[..., tuple[int, str, str]],
    documents: Path,
    questions: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    words: tuple[str, ...],
    message: str,
):
    monkeypatch.chdir(tmp_path)
    before = sorted(tmp_path.rglob("*"))
    named = {"QUESTIONS": str(questions), "DOCUMENTS": str(documents)}
    code, shown, errors = views(documents, *(named.get(word, word) for word in words))
    assert code == 2
    assert errors.startswith("knowlearn: ")
    assert message in errors
    assert "---" not in shown
    assert sorted(tmp_path.rglob("*")) == before


def test_all_problems_of_the_data_are_reported_together(views: Callable[..., tuple[int, str, str]]):
    code, _, errors = views("nowhere", "--questions", "no.jsonl", "--stats", "--model", "./no")
    assert code == 2
    assert all(text in errors for text in ("at nowhere", "at no.jsonl", "--model ./no"))
    assert "Traceback" not in errors


def test_all_problems_of_the_options_are_reported_together(views: Callable[..., tuple[int, str, str]]):
    code, _, errors = views("nowhere", "--num_views", 0, "--views", "lost", "masked", "--replay_share", 2)
    assert code == 2
    assert all(text in errors for text in ("num_views=0", "views='lost'", "replay_share=2"))
    assert errors.count("num_views=0") == 1


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--numviews", "2"], "--numviews (did you mean --num_views?)"),
        (["--stat"], "--stat (did you mean --stats?)"),
        (["--lr=1"], "--lr (did you mean --learning_rate?)"),
        (["--zzz"], "--zzz\n"),
        (["more"], "more\n"),
    ],
)
def test_an_unknown_option_is_an_error_with_a_suggestion(
    words: list[str], message: str, views: Callable[..., tuple[int, str, str]], capsys: pytest.CaptureFixture[str]
):
    with pytest.raises(SystemExit) as raised:
        views("docs", *words)
    assert raised.value.code == 2
    assert f"knowlearn views: error: unrecognized arguments: {message}" in capsys.readouterr().err


@pytest.mark.parametrize(("words", "code"), [(["--numviews", "2"], 2), (["--num_views", "2"], 0), (["--stats"], 0)])
def test_the_command_does_not_load_torch(words: list[str], code: int, documents: Path):
    command = (
        "import sys; from hf_knowlearn.cli import main\n"
        f"try: code = main(['views', {str(documents)!r}, *{words!r}])\n"
        "except SystemExit as exit: code = exit.code\n"
        "print(code, {'torch', 'transformers', 'trl'} & {*sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"{code} set()"


def test_without_documents_the_error_names_the_option(views: Callable[..., tuple[int, str, str]], tmp_path: Path):
    code, _, errors = views("--num_views", 2)
    assert (code, "--documents PATH" in errors) == (2, True)
    code, _, errors = views("--train_questions", tmp_path / "questions.jsonl")
    assert (code, "the recipe names none. Write `knowlearn views PATH`." in errors) == (2, True)


@pytest.mark.parametrize(
    "words",
    [
        ["--num_views", "2", "PATH"],
        ["PATH", "--num_views", "2"],
        ["--num-views=2", "--stats", "PATH"],
        ["--use_peft", "PATH", "--num_views", "2", "--questions", "no"],
        ["--use_peft", "false", "PATH", "--num_views", "2"],
        ["--seed", "-1", "PATH", "--num_views", "2"],
        ["--evaluation.shots", "2", "PATH", "--num_views", "2"],
        ["--stages.one.num_views", "4", "PATH", "--num_views", "2"],
        ["PATH", "--views", "raw", "masked", "--num_views", "2"],
        ["--num_views", "2", "PATH", "--format_groups", "lists", "marks"],
    ],
)
def test_options_can_precede_and_follow_the_path(words: list[str]):
    parsed = cli._parser().parse_args(["views", *words])
    assert parsed.documents == "PATH"
    of_teach = " ".join(parsed.options_of_teach).replace("=", " ").replace("-views", "_views")
    assert "num_views 2" in of_teach
    assert "PATH" not in of_teach


def test_the_recipe_can_name_the_documents_and_the_model(
    views: Callable[..., tuple[int, str, str]], documents: Path, tokenizer: Path, tmp_path: Path
):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(f"documents: {documents}\nmodel: {tokenizer}\nviews: raw\n", encoding="utf-8")
    _, shown, _ = views("--config", recipe)
    assert "--- view 0: raw/raw" in shown or "/raw, " in shown
    assert f"Tokens are counted by {tokenizer}." in shown
    assert shown.count("--- view ") == 1
    _, shown, _ = views("--config", recipe, "--model", "tiny_base", "--views", "formats", "--num_views", 2)
    assert "Tokens are counted by tiny_base." in shown
    assert shown.count("--- view ") == 2
