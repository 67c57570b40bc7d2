"""The guessing control against scores that can be counted by hand."""

import math

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.guessing import guessing, question_type


def questions_of(*pairs: tuple[str, str], **values: str) -> list[Question]:
    return [Question(str(i), text, (answer,), **values) for i, (text, answer) in enumerate(pairs)]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ('Who directed "Web"?', "who"),
        ('When was "Web" released?', "when"),
        ("How many cars are on it?", "how many"),
        ("What is the genre of it?", "what genre"),
        ("What genre is it?", "what genre"),
        ("In which year did it open?", "what year"),
        ("Name the author.", "name the"),
        ("Why?", "why"),
        ("What?", "what"),
    ],
)
def test_the_words_of_a_question_show_its_type(text: str, kind: str):
    assert question_type(Question("q", text, ("x",))) == kind


def test_a_relation_is_the_type():
    assert question_type(Question("q", "Who?", ("x",), relation="author")) == "author"


def test_the_most_common_answer_of_each_type_is_the_guess():
    # "2023" is right for the three films of 2023, and wrong for the other. Of the two genres none is more common.
    when = [(f"When was {i} released?", year) for i, year in enumerate(["2023", "2023", "1999", "2023"])]
    genres = [("What genre is 0?", "drama"), ("What genre is 1?", "comedy")]
    found = guessing(questions_of(*when, *genres))
    assert (found.correct, found.n) == (0.5, 6)
    assert found.correct_se == pytest.approx(math.sqrt(0.25 / 6))
    assert found.figures()["examples"] == [{"type": "when", "n": 4, "answer": "2023", "correct": 3}]


def test_an_answer_that_occurs_in_one_fact_is_no_guess():
    assert guessing(questions_of(("Who?", "Ida"))).correct == 0
    assert guessing(questions_of(("Who?", "Ida"), ("Who?", "Ola"))).correct == 0
    wordings = [Question(str(i), "Who?", ("Ida",), fact_id="f") for i in range(3)]
    assert guessing(wordings).correct == 0
    assert guessing([*wordings, Question("3", "Who?", ("Ida",), fact_id="g")]).correct == 1


def test_of_equally_common_answers_the_first_one_is_the_guess():
    found = guessing(questions_of(("Is it?", "yes"), ("Is it?", "no"), ("Is it?", "no"), ("Is it?", "yes")))
    assert found.correct == 0.5
    assert found.examples[0]["answer"] == "yes"


def test_spellings_of_an_answer_count_together():
    found = guessing(
        questions_of(("When?", "2 June 2023"), ("When?", "June 2, 2023"), ("When?", "2023-06-02"), ("When?", "x"))
    )
    assert found.correct == 0.75


def test_the_error_is_clustered_by_document():
    people = [("Ida", "a")] * 4 + [("Ola", "b"), ("Eva", "b")]
    questions = [Question(str(i), "Who?", (name,), document_id=id) for i, (name, id) in enumerate(people)]
    found = guessing(questions)  # right four times in document a, wrong twice in document b
    assert found.correct == pytest.approx(4 / 6)
    assert found.correct_se == pytest.approx(math.sqrt(2 * 2 * (4 / 3) ** 2) / 6)
