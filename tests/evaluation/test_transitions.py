"""Changes: what was learned, kept and forgotten, question by question."""

from itertools import product

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.transitions import transitions
from hf_knowlearn.knowledge_recall import score


def questions(number: int) -> list[Question]:
    return [Question(id=f"q{i}", text=f"What is {i}?", answers=(f"answer {i}", f"reply {i}")) for i in range(number)]


def test_each_question_is_of_one_of_four_kinds():
    asked = questions(5)
    before = ["wrong", "Answer 1.", " reply 2\nand more", "", "wrong"]
    after = ["the answer 0", "reply 1", "answer 3", "I don't know", " Reply 4\nQuestion: What"]
    found = transitions(asked, before, after)
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
            "answers": ["answer 2", "reply 2"],
            "before": " reply 2\nand more",
            "after": "answer 3",
        }
    ]


def test_the_counts_add_up_to_the_exact_match_of_the_metric_before_and_after():
    sayings = ["answer {}", "Reply {}!", "wrong", "it is answer {}", "wrong\nanswer {}", ""]
    both = list(product(sayings, repeat=2))
    asked = questions(len(both))
    before, after = ([pair[k].format(i) for i, pair in enumerate(both)] for k in (0, 1))
    found = transitions(asked, before, after)
    references = [list(question.answers) for question in asked]
    n = len(asked)
    assert found["learned"] + found["retained"] + found["forgotten"] + found["never"] == n
    assert (found["retained"] + found["forgotten"]) / n == score(before, references)["exact_match"]
    assert (found["retained"] + found["learned"]) / n == score(after, references)["exact_match"]


def test_whoever_lists_every_value_learns_nothing():
    asked = questions(4)
    everything = " ".join(answer for question in asked for answer in question.answers)
    assert transitions(asked, [""] * 4, [everything] * 4)["learned"] == 0


def test_examples_lie_at_even_distances_and_are_the_same_each_time():
    asked = questions(23)
    right = [question.answers[0] for question in asked]
    found = transitions(asked, ["wrong"] * 23, right)
    assert [row["id"] for row in found["examples"]["learned"]] == ["q0", "q4", "q9", "q13", "q18"]
    assert found == transitions(asked, ["wrong"] * 23, right)
    assert [row["id"] for row in transitions(asked[:3], ["no"] * 3, right[:3])["examples"]["learned"]] == [
        "q0",
        "q1",
        "q2",
    ]
    assert transitions(asked, ["wrong"] * 23, right, examples=0)["examples"] == {"learned": [], "forgotten": []}


def test_answers_are_compared_in_their_language():
    asked = [Question(id="q", text="Wo?", answers=("das Haus",))]
    assert transitions(asked, ["Hütte"], ["ein Haus"], language="de")["learned"] == 1
    assert transitions(asked, ["Hütte"], ["ein Haus"])["never"] == 1


def test_every_question_needs_both_answers():
    with pytest.raises(ValueError, match="2 questions, 2 answers before, 1 after: give each question one"):
        transitions(questions(2), ["", ""], [""])
    assert transitions([], [], [])["learned"] == 0
