"""Tests of the check that accepted answers fit in `max_new_tokens`."""

from typing import Any

import pytest

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_lengths import check_answers_fit

LONG = "Ormel by way of the old mill and the harbour"


def test_an_answer_that_fits_exactly_is_no_problem(tokenizer: Any):
    length = min(len(tokenizer(text, add_special_tokens=False)["input_ids"]) for text in (LONG, f" {LONG}"))
    questions = [Question("q", "Where does the ferry go?", (LONG,))]
    check_answers_fit(tokenizer, questions, length)
    with pytest.raises(
        ValueError, match=rf"of 1 question are longer .*: 'q' \({length} tokens\).* at least {length},"
    ):
        check_answers_fit(tokenizer, questions, length - 1)


def test_one_short_answer_is_enough_and_all_questions_are_named(tokenizer: Any):
    short = Question("short", "Where?", (LONG, "x"))
    check_answers_fit(tokenizer, [short], 3)
    long = [Question(f"q{i}", "Where?", (LONG, LONG * 2)) for i in range(7)]
    with pytest.raises(
        ValueError, match=r"of 7 questions are longer than max_new_tokens=3.*'q0'.*'q4' \(\d+ tokens\)\."
    ):
        check_answers_fit(tokenizer, [short, *long], 3)


def test_no_questions_are_no_problem(tokenizer: Any):
    check_answers_fit(tokenizer, [], 1)
