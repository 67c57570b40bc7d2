"""The division of facts into exam and training."""

from collections import Counter
from pathlib import Path
from random import Random

import pytest

from hf_knowlearn.study import StudyQuestion, read_study_questions, split_facts, write_questions
from hf_knowlearn.worlds.handbook_data import Handbook


def question(number: int, document: str, start: int, answer: str) -> StudyQuestion:
    return StudyQuestion(f"q{number}", f"Question {number}?", (answer,), document, start=start, length=len(answer))


def test_questions_about_one_fact_stay_together():
    questions = [
        question(0, "a", 10, "3 May 1890"),
        question(1, "a", 16, "1890"),  # a part of the span
        question(2, "a", 50, "3 May 1890"),  # the same answer elsewhere
        question(3, "a", 90, "Tarn"),
        question(4, "b", 10, "3 May 1890"),  # another document
    ]
    sides = set()
    for seed in range(20):
        split = split_facts(questions, exam=1, seed=seed)
        assert (split.exam_facts, split.training_facts) == (1, 2)
        exam = {each.id for each in split.exam}
        assert len({"q0" in exam, "q1" in exam, "q2" in exam}) == 1
        sides.add(frozenset(exam))
    assert sides == {frozenset({"q0", "q1", "q2"}), frozenset({"q3"}), frozenset({"q4"})}


def test_each_document_contributes_in_proportion():
    sizes = {"a": 40, "b": 80, "c": 400}
    questions = [question(i, name, 10 * i, f"fact {i}") for name, size in sizes.items() for i in range(size)]
    questions = [StudyQuestion(**{**vars(each), "id": f"{each.document_id}-{each.id}"}) for each in questions]
    split = split_facts(questions, exam=52)
    counts = Counter(each.document_id for each in split.exam)
    assert {name: abs(counts[name] - size / 10) <= 1 for name, size in sizes.items()} == dict.fromkeys(sizes, True)
    assert split.standard_error == pytest.approx(0.5 / 52**0.5)
    shuffled = split_facts(Random(1).sample(questions, len(questions)), exam=52)
    assert {each.id for each in shuffled.exam} == {each.id for each in split.exam}


def test_every_question_of_the_handbook_is_on_one_side(tmp_path: Path):
    write_questions(Handbook().documents(), tmp_path / "q.jsonl")
    questions = list(read_study_questions(tmp_path / "q.jsonl"))
    split = split_facts(questions, exam=100)
    assert len(split.exam) + len(split.training) == len(questions)
    answers = [
        {(each.document_id, each.answers[0].casefold()) for each in part} for part in (split.exam, split.training)
    ]
    assert answers[0].isdisjoint(answers[1])


@pytest.mark.parametrize("exam", [0, 2, 5])
def test_an_impossible_size_is_an_error(exam: int):
    with pytest.raises(ValueError, match=f"exam={exam} must be at least 1 and less than the number of facts.*2 facts"):
        split_facts([question(0, "a", 0, "Tarn"), question(1, "a", 9, "Ormel")], exam=exam)
