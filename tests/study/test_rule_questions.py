"""Questions made by rule: every answer is a span, every question has one answer, and nothing depends on the order."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from hf_knowlearn.documents import Document, read_documents, read_questions
from hf_knowlearn.documents.answer_search import normalize
from hf_knowlearn.study import QUESTION_KINDS, QuestionSummary, StudyQuestion, read_study_questions, write_questions
from hf_knowlearn.worlds.handbook_data import Handbook
from tests.generated_documents import generated_document

DATA = Path(__file__).parents[2].parent / "shared" / "data"
MILL = (
    "The mill in Tarn was built on 3 May 1890 by Ada Krug. Every year the miller sells 40 sacks of rye to Ormel.\n\n"
    "## Data\n\n- Owner: Ada Krug\n- Built: 1890\n\n| Year | Sacks |\n|---|---|\n| 1990 | 40 |\n| 1991 | **52** |"
)
Make = Callable[..., tuple[list[StudyQuestion], QuestionSummary]]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """`make(documents, **options)` returns the questions that `write_questions` writes, and the summary."""

    def make(documents: Iterable[Document], **options: object) -> tuple[list[StudyQuestion], QuestionSummary]:
        path = tmp_path / "questions.jsonl"
        summary = write_questions(documents, path, **options)
        return list(read_study_questions(path)), summary

    return make


def texts(questions: Iterable[StudyQuestion]) -> dict[str, str]:
    return {question.text: question.answers[0] for question in questions}


@pytest.fixture
def handbook() -> list[Document]:
    return Handbook().documents()


@pytest.fixture
def generated() -> list[Document]:
    return [replace(generated_document(Random(i)).document, id=f"generated-{i}") for i in range(60)]


def assert_valid(documents: list[Document], questions: list[StudyQuestion]) -> None:
    text_of = {document.id: document.text for document in documents}
    for question in questions:
        (answer,) = question.answers
        assert text_of[question.document_id][question.start : question.start + question.length] == answer
        assert "\n" not in answer
        assert len(answer.split()) <= 10
        assert f" {normalize(answer)} " not in f" {normalize(question.text)} "
        assert question.kind in QUESTION_KINDS
        assert question.maker == "rule"
    assert len({question.id for question in questions}) == len(questions)
    assert Counter(question.text.casefold() for question in questions).most_common(1)[0][1] == 1


def test_every_answer_is_a_span_and_no_question_contains_it(
    make: Make, handbook: list[Document], generated: list[Document]
):
    for documents in (handbook, generated):
        questions, summary = make(documents)
        assert_valid(documents, questions)
        assert summary.accepted.total() == len(questions)


@pytest.mark.skipif(not (DATA / "film").is_dir(), reason="needs ../shared/data/film")
def test_film_documents_give_at_least_two_questions_for_1000_characters(make: Make):
    documents = read_documents(DATA / "film" / "documents.jsonl", language="en")[:200]
    questions, summary = make(documents)
    assert_valid(documents, questions)
    assert len(questions) > 2 * summary.characters / 1000


def test_questions_of_each_kind(make: Make):
    found = texts(make([Document("mill", MILL, title="The mill")])[0])
    assert found['What is the "Owner" of "The mill, Data"?'] == "Ada Krug"
    assert found['What is the "Sacks" of "1991" in "The mill, Data"?'] == "52"
    assert found["The mill: The mill in Tarn was built on 3 May 1890 by ..."] == "Ada Krug"
    assert found["The mill: The mill in Tarn was built on ____ by Ada Krug."] == "3 May 1890"


def test_an_acronym_and_a_defined_term_are_facts(make: Make):
    text = "The World Rye Board (WRB) meets in Tarn every spring.\n\n**Sluice.** A gate that holds the water back."
    found = texts(make([Document("terms", text, title="Terms")], kinds=["direct"])[0])
    assert found == {
        "What does WRB stand for?": "World Rye Board",
        'Which entry of "Terms" has this description: "A gate that holds the water back."?': "Sluice",
    }


def test_options_have_the_same_form_and_come_from_other_documents(make: Make):
    documents = [
        Document(
            f"mill-{year}",
            f"Old mill number {'abcdefgh'[i]} was first opened in the year {year} by monks.",
            title=f"M{i}",
        )
        for i, year in enumerate(range(1801, 1809))
    ]
    questions, _ = make(documents, kinds=["choice"])
    assert len(questions) == len(documents)
    for question in questions:
        assert len(set(question.options)) == 4
        assert question.answers[0] in question.options
        assert {*question.options} <= {str(year) for year in range(1801, 1809)}


def test_a_prompt_with_two_answers_gets_the_section_or_is_rejected(make: Make):
    cells = "| Ship | Speed |\n|---|---|\n| Solan | {} knots |"
    sections = (
        f"# Fleet\n\n## Summer\n\n### Limits\n\n{cells.format(12)}\n\n## Winter\n\n### Limits\n\n{cells.format(9)}"
    )
    questions, _ = make([Document("fleet", sections, title="Fleet")], kinds=["direct"])
    assert texts(questions) == {
        'What is the "Speed" of "Solan" in "Fleet, Summer, Limits"?': "12 knots",
        'What is the "Speed" of "Solan" in "Fleet, Winter, Limits"?': "9 knots",
    }
    same = [Document(name, cells.format(name), title="Fleet") for name in ("12", "9")]
    other = Document("other", cells.format(7), title="Harbour")
    questions, summary = make([*same, other], kinds=["direct"])
    assert [question.document_id for question in questions] == ["other"]
    assert summary.rejected["ambiguous"] == 2
    assert summary.without == ["12", "9"]


def test_the_questions_do_not_depend_on_the_order_of_the_documents(make: Make, handbook: list[Document]):
    copies = [*handbook, *(replace(document, id=f"copy of {document.id}") for document in handbook[:5])]
    rows = sorted(json.dumps(question.row()) for question in make(copies, seed=3)[0])
    shuffled = Random(0).sample(copies, len(copies))
    assert sorted(json.dumps(question.row()) for question in make(shuffled, seed=3)[0]) == rows
    assert sorted(json.dumps(question.row()) for question in make(copies, seed=4)[0]) != rows


def test_a_recorded_question_has_the_same_id_on_every_machine(make: Make):
    questions, _ = make([Document("mill", MILL, title="The mill")], kinds=["completion"])
    assert [question.id for question in questions] == [
        "mill:completion:44:3c39cb16574d0691",
        "mill:completion:101:65eef3ce61f319be",
    ]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("He moved to Tarn with his sister in 1890.", "refers to other sentences"),
        ("Was the mill in Tarn built before 1890?", "sentence is a question"),
        ("The pictures below show the mill of Tarn in 1890.", "refers to its section"),
        ("The mill is shown at https://tarn.example/1890 all day.", "address or code"),
        ("The mill of the town is shown in Figure 12 there.", "number of a figure or section"),
        ('"The mill was built in Tarn in 1890," she cried.', "speech or part of a quotation"),
        ("I bought the mill of Tarn in 1890.", "first person"),
        ("Nobody left Tarn.", "sentence too short or too long"),
        ("```\nprint('The mill in Tarn was built in 1890.')\n```", "in a block of the kind code"),
        ("From: Ada Krug\nTo: Bo Lind\nSubject: The mill in Tarn 1890", "in a block of the kind mail header"),
        ("2024-01-02 10:30 The mill of Tarn stopped.\n\n2024-01-02 10:31 It ran.", "in a block of the kind log line"),
    ],
)
def test_each_rejected_fact_has_a_reason(make: Make, text: str, reason: str):
    other = Document("other", "The ferry of the town leaves the harbour at 6:30 in summer.", title="Ferry")
    questions, summary = make([Document("mill", f"{text}\n\nNothing else is here.", title="Home"), other])
    assert summary.rejected[reason] > 0
    assert {question.document_id for question in questions} == {"other"}
    assert summary.without == ["mill"]


def test_a_pronoun_is_resolved_by_the_title(make: Make):
    text = "Solan is a ferry of the islands. It sails from Skelwick every morning."
    found = texts(make([Document("a", text, title="Solan"), Document("b", text, title="Fleet")])[0])
    assert "Solan: It sails from ____ every morning." in found
    assert not any(question.startswith("Fleet: It sails") for question in found)


@pytest.mark.parametrize(
    ("language", "title", "text", "question", "answer"),
    [
        ("de", "Mühle", "- Baujahr: 1890", "Was steht in „Mühle“ bei „Baujahr“?", "1890"),
        ("fr", "Moulin", "- Année: 1890", "Quelle est la valeur de « Année » dans « Moulin » ?", "1890"),
        ("es", "Molino", "- Año: 1890", "¿Cuál es el valor de «Año» en «Molino»?", "1890"),
        (
            "fi",
            "Mylly",
            "Mylläri myy joka vuosi 40 säkkiä ruista kylässä.",
            "Mylly: Mylläri myy joka vuosi ____ säkkiä ruista kylässä.",
            "40",
        ),
        ("ru", "Мельница", "Он продаёт мешки ржи в Ормеле.", "Мельница: Он продаёт мешки ржи в ...", "Ормеле"),
        ("ja", "水車小屋", "古い水車は1890年に建てられた。", "水車小屋: 古い水車は____年に建てられた。", "1890"),
    ],
)  # fmt: skip
def test_languages(make: Make, language: str, title: str, text: str, question: str, answer: str):
    assert texts(make([Document("d", text, title=title, language=language)])[0])[question] == answer


def test_read_questions_reads_the_file(tmp_path: Path, handbook: list[Document]):
    write_questions(handbook, tmp_path / "questions.jsonl")
    read, made = read_questions(tmp_path / "questions.jsonl"), read_study_questions(tmp_path / "questions.jsonl")
    assert [vars(question) for question in read] == [
        {name: value for name, value in vars(question).items() if name not in ("start", "length", "maker")}
        for question in made
    ]


def test_no_question_leaves_no_file(tmp_path: Path):
    path = tmp_path / "questions.jsonl"
    path.write_text("before")
    with pytest.raises(ValueError, match=r"No question can be made from 1 document.*code"):
        write_questions([Document("code", "import os\n\nprint(os.name)\nx = 1890\n")], path)
    assert [file.read_text() for file in tmp_path.iterdir()] == ["before"]


def test_a_line_that_is_no_question_is_an_error(tmp_path: Path):
    (tmp_path / "q.jsonl").write_text('{"question": "x"}\n')
    with pytest.raises(ValueError, match=r"q\.jsonl:1 is not a question"):
        list(read_study_questions(tmp_path / "q.jsonl"))


@pytest.mark.parametrize("piece", ["[", "- ", "**a ", "|", "A ", "1 ", "Ada: ", "(", "\u201c", "Tarn and ", "a_"])
def test_long_lines_take_linear_time(make: Make, piece: str):
    other = Document("other", MILL, title="The mill")
    questions, _ = make([Document("long", piece * 20_000 + "\n\nNothing else is here."), other])
    assert "other" in {question.document_id for question in questions}


def test_names_without_a_word_after_normalization_are_no_answers(make: Make):
    text = "The concert of The The in the old hall of Tarn began at eight."
    questions, _ = make([Document("band", text, title="Concert")])
    assert {question.answers[0] for question in questions} == {"Tarn"}
