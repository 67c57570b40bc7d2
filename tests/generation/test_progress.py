"""The progress of generation: the work that a watcher receives, and the bar of a computation without a watcher."""

import io
from typing import Any

import pytest
import torch

from hf_knowlearn.documents import Question
from hf_knowlearn.generation import progress, reference_decoder
from hf_knowlearn.generation.batching import UNKNOWN_WORK, run_batches
from hf_knowlearn.generation.free_text import generate_texts
from hf_knowlearn.generation.progress import ANSWERS, FORWARD, GENERATED, TEXTS, RowProgress, watched_by
from hf_knowlearn.generation.responses import build_prompts, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings


class Record:
    """A watcher that records what it receives."""

    def __init__(self) -> None:
        self.started: list[tuple[str, float]] = []
        self.done: list[tuple[str, float]] = []

    def starts(self, kind: str, work: float) -> None:
        self.started.append((kind, work))

    def advances(self, kind: str, work: float) -> None:
        self.done.append((kind, work))


@pytest.mark.parametrize("uses_generate", [False, True])
def test_the_work_of_responses_is_their_prompts_and_their_largest_number_of_tokens(
    build: Any, tokenizer: Any, world_questions: list[Question], monkeypatch: pytest.MonkeyPatch, uses_generate: bool
):
    if uses_generate:
        monkeypatch.setattr(reference_decoder, "supports_decoder", lambda *_: False)
    settings = GenerationSettings(max_new_tokens=6, batch_size=len(world_questions))
    model, record = build("llama"), Record()
    with watched_by(record):
        generate_responses(model, tokenizer, world_questions, settings, progress="Evaluating")
    prompts = build_prompts(model, tokenizer, world_questions, settings)
    expected = sum(len(prompt.ids) + GENERATED * 6 for prompt in prompts)
    assert record.started == [(ANSWERS, pytest.approx(expected))]
    assert {kind for kind, _ in record.done} == {ANSWERS}
    assert sum(work for _, work in record.done) == pytest.approx(expected)
    assert len(record.done) >= 7  # the prompts and every token, although there is one batch
    assert min(work for _, work in record.done) >= 0
    # The last report only corrects rounding: all work was reported while the batch was computed.
    assert record.done[-1][1] == pytest.approx(0, abs=1e-6)


def test_free_texts_have_a_kind_of_their_own(build: Any, tokenizer: Any):
    record = Record()
    with watched_by(record):
        generate_texts(build("llama"), tokenizer, 3, max_new_tokens=4, batch_size=2)
    assert {kind for kind, _ in record.done} == {TEXTS}
    assert sum(work for _, work in record.done) == sum(work for _, work in record.started) == 3 * (1 + GENERATED * 4)


def test_a_batch_that_does_not_fit_into_memory_takes_its_work_back():
    record = Record()

    def compute(batch: list[int], _: int) -> list[int]:
        if len(batch) > 1:
            raise torch.OutOfMemoryError("too large")
        return batch

    with watched_by(record):
        assert run_batches([1, 0], 2, compute, work=[3, 4]) == [0, 1]
    assert record.started == [(FORWARD, 7)]
    assert [work for _, work in record.done] == [0, 4, 3]

    progress = RowProgress(None, FORWARD, {0: 5})
    progress.watcher = Record()
    progress.advance(4)
    progress.finish([])
    progress.finish([0])
    assert [work for _, work in progress.watcher.done] == [4, -4, 5]


def test_rows_without_known_work_count_equally():
    record = Record()
    with watched_by(record):
        run_batches([0, 1], 1, lambda batch, _: batch)
    assert [work for _, work in record.done] == [UNKNOWN_WORK, UNKNOWN_WORK]


def test_a_computation_without_a_watcher_has_its_own_bar(monkeypatch: pytest.MonkeyPatch):
    written, tqdm = io.StringIO(), progress.tqdm
    monkeypatch.setattr(progress, "tqdm", lambda **options: tqdm(**options, file=written, mininterval=0))
    with RowProgress("Evaluating", FORWARD, {0: 1, 1: 3}) as reported:
        reported.advance(1)
        reported.finish([0])
        reported.finish([1])
    assert "Evaluating: 100%" in written.getvalue()
    assert "2/2 [" in written.getvalue()

    written.truncate(0)
    with watched_by(Record()):
        run_batches([0], 1, lambda batch, _: batch, progress="Evaluating")
    run_batches([0], 1, lambda batch, _: batch)  # without a label
    assert written.getvalue() == ""
