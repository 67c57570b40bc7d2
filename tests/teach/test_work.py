"""The planned work of a run: its parts, SAM, and how close the plan is to the work that the run does."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hf_knowlearn.generation.progress import ANSWERS, FORWARD, TEXTS
from hf_knowlearn.teach import progress
from hf_knowlearn.teach.estimate import TRAINING
from hf_knowlearn.teach.work import gradient_evaluations_per_step


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, 1.0),
        ({"sam_rho": 0.05}, 2.0),
        ({"sam_rho": 0.05, "sam_direction": "random"}, 1.0),
        ({"sam_rho": 0.05, "sam_ascent_batches": 1}, 1.25),
        ({"sam_rho": 0.05, "sam_ascent_batches": 2, "gradient_accumulation_steps": 1}, 1.25),
        ({"sam_rho": 0.05, "sam_start": 0.5}, 1.5),
    ],
)
def test_a_sam_step_is_planned_with_its_gradient_evaluations(changes: dict[str, Any], expected: float):
    plain = {"sam_rho": 0.0, "sam_direction": "gradient", "sam_ascent_batches": 0, "sam_start": 0.0}
    sizes = {"gradient_accumulation_steps": 4, "per_device_train_batch_size": 8}
    training: Any = SimpleNamespace(**{**plain, **sizes, **changes})
    assert gradient_evaluations_per_step(training) == expected


def test_a_run_does_about_the_planned_work_in_the_planned_parts(
    knowlearn: Callable[..., int], options: dict[str, Any], questions: Path, monkeypatch: pytest.MonkeyPatch
):
    made, run_progress, plans = list[Any](), progress.run_progress, list[Any]()

    def recording(*arguments: Any) -> Any:
        made.append(run_progress(*arguments))
        plans.extend((part.name, part.planned) for part in made[0].estimate.parts)
        return made[0]

    monkeypatch.setattr(progress, "run_progress", recording)
    more = {"questions": questions, "replay_self": 8, "evaluation.preview": 0}
    assert knowlearn("teach", **options | more | {"evaluation.general_knowledge": False}) == 0
    parts = made[0].estimate.parts
    names = ["evaluation of the base model", "self-replay", "training", "evaluation", "drift"]
    assert [name for name, _ in plans] == [part.name for part in parts] == names
    assert all(part.has_ended for part in parts)
    assert made[0].estimate.seconds_left() == 0
    expected = [{ANSWERS, FORWARD, TEXTS}, {TEXTS}, {TRAINING}, {ANSWERS, FORWARD}, {FORWARD}]
    assert [set(part.done) for part in parts] == expected
    for part, (_, planned) in zip(parts, plans, strict=True):
        for kind, done in part.done.items():
            # The texts of an untrained model are longer than the plan assumes.
            most = 4 if kind == TRAINING else 2
            assert 0.5 < done / planned[kind] < most, (part.name, kind)
