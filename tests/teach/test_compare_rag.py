"""Runs with `evaluation.compare_rag`: the errors before training. `test_pipeline.py` has a whole run."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Knowlearn = Callable[..., int]


def test_retrieval_needs_documents_and_questions(
    knowlearn: Knowlearn, options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    assert knowlearn("teach", **options, **{"evaluation.compare_rag": True}) == 2
    assert "--evaluation.compare_rag compares training with retrieval on questions" in capsys.readouterr().err
    assert not options["output_dir"].exists()


def test_a_passage_that_exceeds_the_context_is_an_error_before_the_run(
    knowlearn: Knowlearn, options: dict[str, Any], questions: Path, capsys: pytest.CaptureFixture[str]
):
    changes = {"questions": questions, "evaluation.template": "plain", "evaluation.max_new_tokens": 512 - 25}
    assert knowlearn("teach", **options, **changes, **{"evaluation.compare_rag": True}) == 2
    [line] = [line for line in capsys.readouterr().err.splitlines() if "exceed" in line]
    assert "--evaluation.compare_rag: The prompts of 2 questions, together with 487 new tokens, exceed" in line
    assert not options["output_dir"].exists()
