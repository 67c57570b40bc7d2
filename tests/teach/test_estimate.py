"""The estimate of the remaining time of a run, in closed form with a fake clock."""

from types import SimpleNamespace

import pytest

from hf_knowlearn.generation.progress import ANSWERS, FORWARD, TEXTS
from hf_knowlearn.teach import estimate as module
from hf_knowlearn.teach.estimate import TRAINING, Estimate, Part


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """The time that `time.monotonic` returns: `now.value` seconds."""
    now = SimpleNamespace(value=100.0)
    monkeypatch.setattr(module.time, "monotonic", lambda: now.value)
    return now


@pytest.fixture
def run(now: SimpleNamespace) -> Estimate:
    """A run whose forward pass takes 0.01 s a token: 10 s, 60 s and 10 s."""
    estimate = Estimate(0.01)
    estimate.plan(
        [
            Part("before", {ANSWERS: 1000}, "evaluation"),
            Part("training", {TRAINING: 6000}),
            Part("after", {ANSWERS: 1000}, "evaluation"),
        ]
    )
    return estimate


def test_without_a_measurement_every_token_takes_as_long_as_in_a_forward_pass(run: Estimate):
    assert run.seconds_left() == pytest.approx(80)
    assert run.share() == 0


def test_a_measured_speed_replaces_that_of_the_forward_pass(run: Estimate, now: SimpleNamespace):
    run.begin("before")
    run.start(ANSWERS, 1000)
    now.value += 1.9
    run.advance(ANSWERS, 95)
    assert run.seconds_left() == pytest.approx(80 - 0.95)  # two seconds are not over
    now.value += 8.1
    run.advance(ANSWERS, 405)  # 500 tokens took 10 s
    assert run.seconds_left() == pytest.approx(10 + 60 + 20)
    assert run.share() == pytest.approx(10 / 100)


def test_the_speed_of_free_texts_is_that_of_responses_until_it_is_measured(now: SimpleNamespace):
    run = Estimate(0.01)
    run.plan([Part("before", {ANSWERS: 100}), Part("replay", {TEXTS: 100}), Part("drift", {FORWARD: 100})])
    run.begin("before")
    run.start(ANSWERS, 100)
    now.value += 50
    run.advance(ANSWERS, 100)
    assert run.seconds_left() == pytest.approx(50 + 1)
    run.begin("replay")
    run.start(TEXTS, 100)
    now.value += 10
    run.advance(TEXTS, 50)
    assert run.seconds_left() == pytest.approx(10 + 1)


def test_a_part_that_does_more_than_planned_grows_and_its_group_grows_with_it(run: Estimate, now: SimpleNamespace):
    part = run.begin("before")
    run.start(ANSWERS, 1000)
    now.value += 10
    run.advance(ANSWERS, 1000)
    run.start(ANSWERS, 500)  # nobody planned this evaluation
    assert run.seconds_left() == pytest.approx(5 + 60 + 10)
    now.value += 5
    run.advance(ANSWERS, 500)
    run.end(part, 15)
    assert run.seconds_left() == pytest.approx(60 + 15)


def test_a_part_that_ends_early_has_no_time_left(run: Estimate):
    run.end(run.begin("before"), 0)
    training = run.begin("training")
    run.start(TRAINING, 6000)
    run.advance(TRAINING, 300)
    run.end(training, 3)  # early stopping
    assert run.seconds_left() == pytest.approx(10)


def test_time_between_two_computations_belongs_to_no_kind(run: Estimate, now: SimpleNamespace):
    run.begin("before")
    run.start(ANSWERS, 500)
    now.value += 10
    run.advance(ANSWERS, 500)
    now.value += 1000
    run.start(ANSWERS, 500)
    assert run.seconds_left() == pytest.approx(10 + 60 + 20)


def test_a_resumed_run_knows_the_duration_of_what_an_earlier_session_did(run: Estimate, now: SimpleNamespace):
    run.earlier = 30.0
    run.end(run.begin("before"), 25.0)  # from the answer cache, in no time
    run.begin("training")
    run.skip(TRAINING, 1500)  # from a checkpoint
    assert run.seconds_left() == pytest.approx(45 + 25)
    assert run.share() == pytest.approx(30 / 100)
    now.value += 4
    run.advance(TRAINING, 100)
    assert run.seconds_left() == pytest.approx(4400 * 0.04 + 25)


def test_a_new_plan_keeps_the_parts_that_have_begun(run: Estimate, now: SimpleNamespace):
    run.begin("before")
    run.start(ANSWERS, 1000)
    run.advance(ANSWERS, 1000)
    run.plan([Part("before", {ANSWERS: 5}), Part("training", {TRAINING: 100}), Part("other", {FORWARD: 100})])
    assert [(part.name, part.done) for part in run.parts] == [
        ("before", {ANSWERS: 1000}), ("training", {}), ("other", {}),
    ]  # fmt: skip
    assert run.seconds_left() == pytest.approx(2)


def test_a_part_that_was_not_planned_counts_from_its_start(run: Estimate):
    part = run.begin("more")
    run.start(FORWARD, 200)
    assert run.seconds_left() == pytest.approx(80 + 2)
    run.end(part, 0)
    assert run.seconds_left() == pytest.approx(80)
