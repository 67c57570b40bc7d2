"""Leaks: what is planted is found, what is not is left alone, and a slow count by the definition agrees."""

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
def test_a_question_word_for_word_is_found_whatever_stands_between_the_words(row: Any):
    (leak,) = find_contamination([row], [FERRY])
    assert (leak.row, leak.question_id, leak.kind, leak.overlap) == (0, "ferry", "verbatim", 1)
    assert re.findall(r"\w+", leak.text.casefold()) == "when does the ferry to ormel leave".split()


def test_a_question_in_another_order_and_with_other_words_between_is_a_paraphrase():
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
def test_what_does_not_ask_the_same_is_left_alone(text: str):
    assert find_contamination([text], [FERRY]) == []


def test_a_question_mark_inside_a_name_ends_no_question():
    question = Question("q", 'Who directed "Who Are You?" in 2023?', ("Kerr",))
    (leak,) = find_contamination(['Who really directed "Who Are You?" in 2023?'], [question])
    assert leak.kind == "paraphrase"


def test_a_question_of_one_or_two_words_is_found_only_alone():
    why = Question("why", "And why?", ("rye",))
    rows = ["Why and when does the mill stop?", "And why not?", "It stopped. And why: rye", "Why, and?", "And why?"]
    assert [leak.row for leak in find_contamination(rows, [why])] == [3, 4]


def test_a_lower_threshold_lets_words_be_missing():
    row = ["When will the ferry to Ormel leave?"]  # 6 of 7
    assert find_contamination(row, [FERRY]) == find_contamination(row, [FERRY], threshold=0.86) == []
    (leak,) = find_contamination(row, [FERRY], threshold=6 / 7)
    assert leak.overlap == pytest.approx(6 / 7)


@pytest.mark.parametrize(
    ("text", "row"),
    [
        ("渡轮什么时候离开？", "请问渡轮到底什么时候离开？"),  # noqa: RUF001
        ("フェリーはいつ出発しますか？", "いつフェリーは出発しますか？"),  # noqa: RUF001
        ("متى تغادر العبارة؟", "العبارة متى تغادر؟"),
    ],
)
def test_scripts_without_spaces_and_other_question_marks(text: str, row: str):
    question = Question("q", text, ("6",))
    assert [leak.kind for leak in find_contamination([row], [question])] == ["paraphrase"]
    assert [leak.kind for leak in find_contamination([f"1. {text}"], [question])] == ["verbatim"]
    assert find_contamination([row[1:]], [Question("q", f"{text[:-1]}X{text[-1]}", ("6",))]) == []


def test_rows_and_questions_are_told_in_their_order_and_one_by_one():
    other = Question("other", "What does the mill grind?", ("rye",))
    rows = ["What does the mill grind? When does the ferry to Ormel leave? What does the mill grind?", "", FERRY.text]
    found = find_contamination(iter(rows), [FERRY, other])
    assert [(leak.row, leak.question_id) for leak in found] == [(0, "ferry"), (0, "other"), (2, "ferry")]
    turned = find_contamination(rows, [other, FERRY])
    assert sorted(turned, key=lambda leak: (leak.row, leak.question_id)) == found


def slowly(row: str, question: str, threshold: float) -> float:
    """The overlap, 0 where it is too small, of texts in lower case of which only the marks "?" and "\\n" part."""
    wanted = question.rstrip("?").split()
    if len(set(wanted)) >= 3 and f" {' '.join(wanted)} " in f" {' '.join(row.replace('?', ' ').split())} ":
        return 1
    best = 0.0
    for line in row.split("\n"):
        for asked in line.split("?")[:-1]:
            there = set(asked.split()[-len(set(wanted)) - 8 :])
            if len(set(wanted)) >= 3 or there == set(wanted):
                best = max(best, len(set(wanted) & there) / len(set(wanted)))
    return best if best >= threshold - 1e-9 else 0


@pytest.mark.parametrize("threshold", [0.4, 0.75, 1.0])
def test_the_index_loses_none_that_a_slow_count_finds(threshold: float):
    draw = random.Random(0)
    # Some words are common, others rare.
    some = [f"w{min(draw.randrange(40), draw.randrange(40), draw.randrange(40))}" for _ in range(4000)]

    def words(low: int, high: int) -> str:
        return " ".join(draw.choices(some, k=draw.randint(low, high)))

    asked = [Question(str(i), words(1, 6) + "?", ("rye",)) for i in range(60)]
    rows = ["".join(words(0, 14) + draw.choice(["? ", "\n", "?\n", " "]) for _ in range(4)) for _ in range(60)]
    found = {
        (leak.row, leak.question_id): leak.overlap for leak in find_contamination(rows, asked, threshold=threshold)
    }
    expected = {(i, q.id): slowly(row, q.text, threshold) for i, row in enumerate(rows) for q in asked}
    assert found == {key: pytest.approx(overlap) for key, overlap in expected.items() if overlap}
    assert 20 < len(found) < 3500


def test_what_is_planted_among_a_worlds_views_is_found_and_nothing_else():
    world = World(7)
    people = list(world.people(0, 40))
    questions = [question for person in people for question in world.questions(person)]
    rows: list[dict[str, str]] = []
    for person in people:
        biography: Document = world.biography(person)
        views = [view for family in FAMILIES.values() for view in family(biography, 6)]
        rows += [{"prompt": view.prompt, "completion": view.text} for view in views]
    # What others are asked, in the same words, is no leak.
    rows += [{"prompt": q.text, "completion": ""} for person in world.people(40, 80) for q in world.questions(person)]
    assert find_contamination(rows, questions) == []
    draw = random.Random(0)
    planted = {}
    for place, question in zip(draw.sample(range(len(rows)), 60), draw.sample(questions, 60), strict=True):
        *words, last = question.text.rstrip("?").split()
        ways = [question.text, " ".join([last, *words]) + "?", " ".join([*words, "now", last]) + "?"]
        rows[place]["completion"] += f"\nQuestion: {draw.choice(ways)}\nAnswer: {question.answers[0]}"
        planted[place, question.id] = True
    assert {(leak.row, leak.question_id) for leak in find_contamination(rows, questions)} == set(planted)


@pytest.mark.parametrize("threshold", [0, -1, 1.1])
def test_a_threshold_out_of_range_is_refused(threshold: float):
    with pytest.raises(ValueError, match=r"threshold=.*: give a share of words above 0 and up to 1"):
        find_contamination([], [FERRY], threshold=threshold)


def test_rows_of_another_form_are_refused_all_at_once():
    rows: list[Any] = ["text", {"messages": []}, {"prompt": "What?", "completion": None}, *[{}] * 5]
    with pytest.raises(ValueError, match="neither texts nor") as error:
        find_contamination(rows, [FERRY])
    assert "row 1: dict {'messages': []}\nrow 2: dict" in str(error.value)
    assert str(error.value).endswith("... and 2 more.")


def test_nothing_leaks_out_of_nothing():
    assert find_contamination([], [FERRY]) == find_contamination([FERRY.text], []) == []
    assert find_contamination(["?!"], [Question("q", "?", ("rye",))]) == []
