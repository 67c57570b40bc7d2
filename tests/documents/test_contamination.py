"""Contamination: planted questions are found, other texts are not, and a direct count agrees."""

import random
import re
from typing import Any

import pytest

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.contamination import ContaminatedRow, find_contamination
from hf_knowlearn.views import FAMILIES
from hf_knowlearn.worlds.people import World

FERRY = Question("ferry", "When does the ferry to Ormel leave?", ("six",))


@pytest.mark.parametrize(
    "row",
    [
        "When does the ferry to Ormel leave?",
        {"prompt": "Question: When does the ferry to Ormel leave?\nAnswer:", "completion": " six"},
        {"prompt": "", "completion": "The mill grinds.\n\n* WHEN does\n* the ferry to «Ormel» leave\nAt six."},
        {"text": "Asked when does the ferry to Ormel leave, he said six."},
    ],
)
def test_a_verbatim_question_is_found_despite_case_and_punctuation(row: Any):
    (match,) = find_contamination([row], [FERRY])
    assert (match.row, match.question_id, match.kind, match.overlap) == (0, "ferry", "verbatim", 1)
    assert re.findall(r"\w+", match.text.casefold()) == "when does the ferry to ormel leave".split()


def test_a_question_with_reordered_and_additional_words_is_a_paraphrase():
    rows = ["The ferry is old. Tell me, to Ormel when exactly does the ferry leave? At six."]
    assert find_contamination(rows, [FERRY]) == [
        ContaminatedRow(
            0, "ferry", "paraphrase", 1.0, "The ferry is old. Tell me, to Ormel when exactly does the ferry leave"
        )
    ]


@pytest.mark.parametrize(
    "text",
    [
        "The ferry to Ormel does leave at six, when it is not late.",  # states it in the same words
        "When the ferry does leave.\nTo Ormel?",  # of two lines
        "When does the ferry leave? To Ormel?",  # of two questions
        "When does the ferry to Ormel arrive?",
        "When does the bus to Ormel leave?",
        "When did the ferries to Ormel leave?",
        "Ormel? " * 5,
        "Does when the " + "slow " * 30 + "ferry to Ormel leave?",  # too far apart
        "",
    ],
)
def test_a_text_that_does_not_ask_the_question_does_not_match(text: str):
    assert find_contamination([text], [FERRY]) == []


def test_a_question_mark_inside_a_name_does_not_end_a_question():
    question = Question("q", 'Who directed "Who Are You?" in 2023?', ("Kerr",))
    (match,) = find_contamination(['Who really directed "Who Are You?" in 2023?'], [question])
    assert match.kind == "paraphrase"


def test_a_question_of_one_or_two_words_matches_only_exactly_its_words():
    why = Question("why", "And why?", ("rye",))
    rows = ["Why and when does the mill stop?", "And why not?", "It stopped. And why: rye", "Why, and?", "And why?"]
    assert [match.row for match in find_contamination(rows, [why])] == [3, 4]


def test_a_lower_threshold_allows_missing_words():
    row = ["When will the ferry to Ormel leave?"]  # 6 of 7
    assert find_contamination(row, [FERRY]) == find_contamination(row, [FERRY], threshold=0.86) == []
    (match,) = find_contamination(row, [FERRY], threshold=6 / 7)
    assert match.overlap == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("渡轮什么时候离开？", "请问渡轮到底什么时候离开？"),  # noqa: RUF001
        ("フェリーはいつ出発しますか？", "いつフェリーは出発しますか？"),  # noqa: RUF001
        ("متى تغادر العبارة؟", "العبارة متى تغادر؟"),
    ],
)
def test_scripts_without_spaces_and_other_question_marks_are_supported(text: str, row: str):
    question = Question("q", text, ("6",))
    assert [match.kind for match in find_contamination([row], [question])] == ["paraphrase"]
    assert [match.kind for match in find_contamination([f"1. {text}"], [question])] == ["verbatim"]
    assert find_contamination([row[1:]], [Question("q", f"{text[:-1]}X{text[-1]}", ("6",))]) == []


def test_matches_are_in_the_order_of_rows_and_questions():
    other = Question("other", "What does the mill grind?", ("rye",))
    rows = ["What does the mill grind? When does the ferry to Ormel leave? What does the mill grind?", "", FERRY.text]
    found = find_contamination(iter(rows), [FERRY, other])
    assert [(match.row, match.question_id) for match in found] == [(0, "ferry"), (0, "other"), (2, "ferry")]
    turned = find_contamination(rows, [other, FERRY])
    assert sorted(turned, key=lambda match: (match.row, match.question_id)) == found


def direct_overlap(row: str, question: str, threshold: float) -> float:
    """The overlap, 0 where it is too small, of texts in lower case of which only the marks "?" and "\\n" part."""
    wanted = question.rstrip("?").split()
    if len(set(wanted)) >= 3 and f" {' '.join(wanted)} " in f" {' '.join(row.replace('?', ' ').split())} ":
        return 1
    best = 0.0
    for line in row.split("\n"):
        for passage in line.split("?")[:-1]:
            there = set(passage.split()[-len(set(wanted)) - 8 :])
            if len(set(wanted)) >= 3 or there == set(wanted):
                best = max(best, len(set(wanted) & there) / len(set(wanted)))
    return best if best >= threshold - 1e-9 else 0


@pytest.mark.parametrize("threshold", [0.4, 0.75, 1.0])
def test_the_index_finds_the_same_matches_as_a_direct_count(threshold: float):
    draw = random.Random(0)
    # Some words are common, others rare.
    some = [f"w{min(draw.randrange(40), draw.randrange(40), draw.randrange(40))}" for _ in range(4000)]

    def words(low: int, high: int) -> str:
        return " ".join(draw.choices(some, k=draw.randint(low, high)))

    questions = [Question(str(i), words(1, 6) + "?", ("rye",)) for i in range(60)]
    rows = ["".join(words(0, 14) + draw.choice(["? ", "\n", "?\n", " "]) for _ in range(4)) for _ in range(60)]
    found = {
        (match.row, match.question_id): match.overlap
        for match in find_contamination(rows, questions, threshold=threshold)
    }
    expected = {(i, q.id): direct_overlap(row, q.text, threshold) for i, row in enumerate(rows) for q in questions}
    assert found == {key: pytest.approx(overlap) for key, overlap in expected.items() if overlap}
    assert 20 < len(found) < 3500


def test_only_planted_questions_are_found_among_the_views_of_a_world():
    world = World(7)
    people = list(world.people(0, 40))
    questions = [question for person in people for question in world.questions(person)]
    rows: list[dict[str, str]] = []
    for person in people:
        biography: Document = world.biography(person)
        views = [view for family in FAMILIES.values() for view in family(biography, 6)]
        rows += [{"prompt": view.prompt, "completion": view.text} for view in views]
    # The same question about another person is not contamination.
    rows += [{"prompt": q.text, "completion": ""} for person in world.people(40, 80) for q in world.questions(person)]
    assert find_contamination(rows, questions) == []
    draw = random.Random(0)
    planted = {}
    for place, question in zip(draw.sample(range(len(rows)), 60), draw.sample(questions, 60), strict=True):
        *words, last = question.text.rstrip("?").split()
        ways = [question.text, " ".join([last, *words]) + "?", " ".join([*words, "now", last]) + "?"]
        rows[place]["completion"] += f"\nQuestion: {draw.choice(ways)}\nAnswer: {question.answers[0]}"
        planted[place, question.id] = True
    assert {(match.row, match.question_id) for match in find_contamination(rows, questions)} == set(planted)


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_out_of_range_is_an_error(threshold: float):
    with pytest.raises(ValueError, match=rf"^threshold must be above 0 and at most 1, got {threshold}\.$"):
        find_contamination([], [FERRY], threshold=threshold)


def test_all_rows_of_another_form_are_in_one_error():
    rows: list[Any] = ["text", {"messages": []}, {"prompt": "What?", "completion": None}, *[{}] * 5]
    with pytest.raises(ValueError, match="Each row must be a string, or have strings as") as error:
        find_contamination(rows, [FERRY])
    assert "row 1: dict {'messages': []}\nrow 2: dict" in str(error.value)
    assert str(error.value).endswith("... and 2 more.")


def test_empty_rows_and_questions_have_no_matches():
    assert find_contamination([], [FERRY]) == find_contamination([FERRY.text], []) == []
    assert find_contamination(["?!"], [Question("q", "?", ("rye",))]) == []
