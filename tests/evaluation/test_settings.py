"""Settings of an evaluation: their values, and the problems that one error lists."""

import pytest

from hf_knowlearn.evaluation.settings import EvaluationSettings
from hf_knowlearn.generation.settings import GenerationSettings


def test_the_settings_keep_their_values():
    settings = EvaluationSettings(GenerationSettings(samples=4), language="de", hold_out="marks", every=100)
    assert (settings.generation.samples, settings.language, settings.hold_out, settings.every) == (
        4,
        "de",
        "marks",
        100,
    )
    assert EvaluationSettings().generation == GenerationSettings()


def test_all_problems_are_in_one_error():
    with pytest.raises(ValueError, match="language='xx': choose from en, ") as error:
        EvaluationSettings(
            language="xx", hold_out="fences", every=0, preview=-1, early_stopping_patience=0, part_tokens=True,
            batch_size=0,
        )  # fmt: skip
    assert [line.partition(":")[0] for line in str(error.value).splitlines()] == [
        "language='xx'",
        "hold_out='fences'",
        "every=0",
        "preview=-1",
        "early_stopping_patience=0",
        "part_tokens=True",
        "batch_size=0",
    ]


def test_early_stopping_needs_evaluations_during_training():
    assert EvaluationSettings(every=5, early_stopping_patience=2).early_stopping_patience == 2
    with pytest.raises(ValueError, match="early_stopping_patience=2: give an integer of at least 1 and set every"):
        EvaluationSettings(early_stopping_patience=2)
