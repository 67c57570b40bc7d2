"""Transitions: what was learned, retained and forgotten, question by question."""

from itertools import product

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.transitions import transitions
from hf_knowlearn.knowledge_recall import score


def questions(number: int) -> list[Question]:
    return [
        Question(id=f"q{i}", text=f"What is {i}?", answers=(f"answer {i}", f"response {i}")) for i in range(number)
    ]


def test_each_question_has_one_of_four_kinds():
    made = questions(5)
    before = ["wrong", "Answer 1.", " response 2\nand more", "", "wrong"]
    after = ["the answer 0", "response 1", "answer 3", "I don't know", " Response 4\nQuestion: What"]
    found = transitions(made, before, after)
    assert {kind: found[kind] for kind in ("learned", "retained", "forgotten", "never")} == {
        "learned": 2,
        "retained": 1,
        "forgotten": 1,
        "never": 1,
    }
    assert [row["id"] for row in found["examples"]["learned"]] == ["q0", "q4"]
    assert found["examples"]["forgotten"] == [
        {
            "id": "q2",
            "question": "What is 2?",
            "answers": ["answer 2", "response 2"],
            "before": " response 2\nand more",
            "after": "answer 3",
        }
    ]


def test_the_counts_add_up_to_correct_responses_before_and_after():
    texts = ["answer {}", "Response {}!", "wrong", "it is answer {}", "wrong\nanswer {}", ""]
    both = list(product(texts, repeat=2))
    made = questions(len(both))
    before, after = ([pair[k].format(i) for i, pair in enumerate(both)] for k in (0, 1))
    found = transitions(made, before, after)
    references = [list(question.answers) for question in made]
    n = len(made)
    assert found["learned"] + found["retained"] + found["forgotten"] + found["never"] == n
    assert (found["retained"] + found["forgotten"]) / n == score(before, references)["correct"]
    assert (found["retained"] + found["learned"]) / n == score(after, references)["correct"]


def test_a_response_that_lists_every_value_is_not_learned():
    made = questions(4)
    everything = " ".join(answer for question in made for answer in question.answers)
    assert transitions(made, [""] * 4, [everything] * 4)["learned"] == 0


def test_examples_are_at_equal_distances_and_deterministic():
    made = questions(23)
    right = [question.answers[0] for question in made]
    found = transitions(made, ["wrong"] * 23, right)
    assert [row["id"] for row in found["examples"]["learned"]] == ["q0", "q4", "q9", "q13", "q18"]
    assert found == transitions(made, ["wrong"] * 23, right)
    assert [row["id"] for row in transitions(made[:3], ["no"] * 3, right[:3])["examples"]["learned"]] == [
        "q0",
        "q1",
        "q2",
    ]
    assert transitions(made, ["wrong"] * 23, right, examples=0)["examples"] == {"learned": [], "forgotten": []}


def test_responses_are_compared_in_their_language():
    made = [Question(id="q", text="Wo?", answers=("das Haus",))]
    assert transitions(made, ["Hütte"], ["ein Haus"], language="de")["learned"] == 1
    assert transitions(made, ["Hütte"], ["ein Haus"])["never"] == 1


def test_a_missing_response_is_an_error():
    with pytest.raises(ValueError, match=r"questions: 2, before: 2, after: 1\. Give one response in `before`"):
        transitions(questions(2), ["", ""], [""])
    assert transitions([], [], [])["learned"] == 0


def test_a_number_without_its_decimal_point_is_not_correct_and_another_spelling_is():
    made = [Question("q", "How many?", ("3.5",)), Question("r", "When?", ("2023-06-02",))]
    found = transitions(made, ["35", "June 2, 2023"], ["3.50", "2 July 2023"])
    assert (found["learned"], found["forgotten"]) == (1, 1)
