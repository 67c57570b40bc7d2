"""Evaluation during training: what it logs and shows, when it stops the training, and that it changes no weight."""

import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from datasets import Dataset
from torch import nn
from transformers import Trainer, TrainerState, TrainingArguments

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.callback import (
    FIGURES,
    EarlyStop,
    PreviewCallback,
    RecallCallback,
    early_stop,
    preview_text,
    spread,
)
from hf_knowlearn.generation.responses import Responses, generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall import score
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer

SETTINGS = GenerationSettings(shots=2, samples=2, max_new_tokens=6, batch_size=16)


@pytest.fixture
def rows(tokenizer: Any, world_questions: list[Question]) -> Dataset:
    ids = [tokenizer(f"{q.text} {q.answers[0]}")["input_ids"][:12] for q in world_questions]
    return Dataset.from_list(
        [{"input_ids": row + [2] * (12 - len(row)), "labels": row + [-100] * (12 - len(row))} for row in ids]
    )


@pytest.fixture
def new_trainer(build: Any, tokenizer: Any, rows: Dataset, tmp_path: Path) -> Any:
    def new_trainer() -> Trainer:
        torch.manual_seed(0)
        model = build("llama")
        model.config.attention_dropout = 0.3
        for layer in model.model.layers:
            layer.self_attn.attention_dropout = 0.3
        args = TrainingArguments(
            output_dir=str(tmp_path),
            max_steps=5,
            per_device_train_batch_size=4,
            learning_rate=1e-2,
            use_cpu=True,
            report_to="none",
            disable_tqdm=True,
            logging_steps=1,
            save_strategy="no",
        )
        return Trainer(model, args, train_dataset=rows, processing_class=tokenizer)

    return new_trainer


def weights(trainer: Trainer) -> list[torch.Tensor]:
    return [weight.detach().clone() for weight in trainer.model.parameters()]


def figures(trainer: Trainer, start: str) -> list[tuple[int, dict[str, float]]]:
    found = []
    for log in trainer.state.log_history:
        if matching := {name: value for name, value in log.items() if name.startswith(start)}:
            found.append((log["step"], matching))
    return found


def test_the_callback_changes_no_bit_of_the_training(new_trainer: Any, world_questions: list[Question]):
    plain = new_trainer()
    plain.train()
    evaluating = new_trainer()
    callback = RecallCallback(evaluating, world_questions, every=2, settings=SETTINGS)
    evaluating.add_callback(callback)
    evaluating.train()
    assert all(map(torch.equal, weights(plain), weights(evaluating)))
    assert [step for step, _ in figures(plain, "loss")] == [1, 2, 3, 4, 5]
    assert figures(evaluating, "loss") == figures(plain, "loss")
    assert [step for step, _ in figures(evaluating, "recall/")] == [2, 4, 5]
    # The model can be trained afterwards: nothing that the evaluation computed is left in it.
    evaluating.model.train()
    evaluating.model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()


def test_the_last_scores_are_those_of_the_trained_model(
    new_trainer: Any, tokenizer: Any, world_questions: list[Question]
):
    trainer = new_trainer()
    callback = RecallCallback(trainer, world_questions, settings=SETTINGS, name="new")
    trainer.add_callback(callback)
    trainer.train()
    responses = generate_responses(trainer.model, tokenizer, world_questions, SETTINGS)
    assert callback.responses == responses
    scores = score([answers.greedy[0] for answers in responses], [list(q.answers) for q in world_questions])
    ((step, logged),) = figures(trainer, "new/")
    assert step == callback.step == 5
    assert logged == {f"new/{name}": scores[name] for name in FIGURES}
    (same,) = [log for log in trainer.state.log_history if "new/f1" in log]
    assert same["step"] == 5


def test_an_evaluation_at_the_last_step_is_not_repeated_at_the_end(new_trainer: Any, world_questions: list[Question]):
    trainer = new_trainer()
    trainer.add_callback(RecallCallback(trainer, world_questions, every=5, settings=SETTINGS))
    trainer.train()
    assert [step for step, _ in figures(trainer, "recall/")] == [5]


def test_random_states_gradients_and_modes_are_unchanged(
    new_trainer: Any, tokenizer: Any, world_questions: list[Question]
):
    model = new_trainer().model
    model.train()
    model.model.layers[0].eval()  # frozen by the user
    model(torch.tensor([[5, 6, 7]]), labels=torch.tensor([[5, 6, 7]])).loss.backward()
    gradients = [weight.grad.clone() for weight in model.parameters()]
    modes = [module.training for module in model.modules()]
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()  # noqa: NPY002
    generate_responses(model, tokenizer, world_questions, SETTINGS)
    assert (random.getstate(), np.random.get_state()[1].tolist(), torch.get_rng_state().tolist()) == states  # noqa: NPY002
    assert [module.training for module in model.modules()] == modes
    assert all(map(torch.equal, gradients, [weight.grad for weight in model.parameters()]))
    assert not any(tensor.is_inference() for tensor in (*model.buffers(), *model.parameters()))


def test_dropout_is_off_during_generation(new_trainer: Any, tokenizer: Any, world_questions: list[Question]):
    model = new_trainer().model
    expected = generate_responses(model.eval(), tokenizer, world_questions, SETTINGS)
    assert generate_responses(model.train(), tokenizer, world_questions, SETTINGS) == expected


def test_an_error_restores_the_modes(new_trainer: Any, tokenizer: Any, world_questions: list[Question]):
    model = new_trainer().model.train()

    def fail(*_: object) -> None:
        raise RuntimeError("no")

    model.lm_head.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="no"):
        generate_responses(model, tokenizer, world_questions, SETTINGS)
    assert all(module.training for module in model.modules())


def test_the_metrics_that_the_sam_trainer_collects_are_unchanged(
    build: Any, tokenizer: Any, world_questions: list[Question], tmp_path: Path
):
    def train(every: int | None) -> Any:
        torch.manual_seed(0)
        args = SAMConfig(
            output_dir=str(tmp_path),
            max_steps=4,
            per_device_train_batch_size=2,
            use_cpu=True,
            bf16=False,
            report_to="none",
            disable_tqdm=True,
            logging_steps=4,
            save_strategy="no",
            gradient_checkpointing=False,
            sam_rho=0.05,
            max_length=32,
        )
        texts = Dataset.from_list([{"text": f"{q.text} {q.answers[0]}"} for q in world_questions])
        trainer = SAMSFTTrainer(build("llama"), args, train_dataset=texts, processing_class=tokenizer)
        if every:
            trainer.add_callback(RecallCallback(trainer, world_questions, every=every, settings=SETTINGS))
        trainer.train()
        return trainer

    plain, evaluating = train(None), train(3)
    assert all(map(torch.equal, weights(plain), weights(evaluating)))
    matching = ("loss", "entropy", "num_tokens", "mean_token_accuracy", "grad_norm")
    (one,), (other,) = ([log for log in t.state.log_history if "loss" in log] for t in (plain, evaluating))
    assert {name: one[name] for name in matching if name in one} == {
        name: other[name] for name in matching if name in other
    }
    assert "mean_token_accuracy" in one


@pytest.mark.parametrize("every", [0, -1, 2.0, True])
def test_a_wrong_number_of_steps_is_an_error(new_trainer: Any, world_questions: list[Question], every: Any):
    with pytest.raises(ValueError, match=f"every={every}: give an integer of at least 1, or None"):
        RecallCallback(new_trainer(), world_questions, every=every)


def test_problems_are_an_error_before_training(new_trainer: Any, world_questions: list[Question]):
    trainer = new_trainer()
    with pytest.raises(ValueError, match="needs at least one question"):
        RecallCallback(trainer, [])
    with pytest.raises(ValueError, match="shots=40: 24 questions have fewer"):
        RecallCallback(trainer, world_questions, settings=GenerationSettings(shots=40))
    trainer.is_fsdp_enabled = True
    with pytest.raises(ValueError, match=r"a sharded model .*Train with DDP, or evaluate the saved model"):
        RecallCallback(trainer, world_questions)


def test_no_gradient_is_recorded(new_trainer: Any, tokenizer: Any, world_questions: Any):
    modes = []
    model = new_trainer().model

    class Watch(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            modes.append(torch.is_grad_enabled())
            return x

    model.model.norm = nn.Sequential(model.model.norm, Watch())
    generate_responses(model, tokenizer, world_questions[:8], GenerationSettings(max_new_tokens=2))
    assert modes
    assert not any(modes)


# What is shown


def answered(question: str, response: str) -> Responses:
    return Responses(question, (response,), ((),), ("line",))


def test_the_preview_marks_right_and_wrong_responses():
    questions = [
        Question("1", "When does the\nferry leave?", ("six", "at six")),
        Question("2", "Who owns it?", ("Ada Brun",)),
        Question("3", "Long?", ("x" * 120,)),
    ]
    responses = [answered("1", " at Six.\n"), answered("2", " The town\nof Ormel"), answered("3", "")]
    assert preview_text(TrainerState(global_step=20, max_steps=200), questions, responses).splitlines() == [
        "Responses at step 20 of 200, 1 of 3 right:",
        "  right: When does the ferry leave? | expected: six | response: at Six.",
        "  wrong: Who owns it? | expected: Ada Brun | response: The town of Ormel",
        f"  wrong: Long? | expected: {'x' * 99}… | response: (empty)",
    ]


@pytest.mark.parametrize(("number", "length", "places"), [(3, 9, [0, 3, 6]), (3, 2, [0, 1]), (0, 5, []), (2, 0, [])])
def test_the_questions_of_the_preview_are_spread_over_all_questions(number: int, length: int, places: list[int]):
    assert spread(number, length) == places


def shown(caplog: pytest.LogCaptureFixture) -> list[list[str]]:
    """The lines of each preview."""
    messages = [record.getMessage() for record in caplog.records if record.name == "hf_knowlearn.evaluation.callback"]
    return [message.splitlines() for message in messages]


def test_every_evaluation_shows_the_same_questions(
    new_trainer: Any, world_questions: list[Question], caplog: pytest.LogCaptureFixture
):
    trainer = new_trainer()
    callback = RecallCallback(trainer, world_questions, every=2, settings=SETTINGS, preview=2)
    trainer.add_callback(callback)
    with caplog.at_level("INFO", "hf_knowlearn"):
        trainer.train()
    previews = shown(caplog)
    assert [lines[0].partition(",")[0] for lines in previews] == [f"Responses at step {n} of 5" for n in (2, 4, 5)]
    half = len(world_questions) // 2
    for lines in previews:
        assert [line.partition(": ")[2].partition(" | ")[0] for line in lines[1:]] == [
            world_questions[0].text, world_questions[half].text,
        ]  # fmt: skip
    last = [[all_responses[i] for i in (0, half)] for all_responses in (world_questions, callback.responses)]
    assert previews[-1] == preview_text(trainer.state, *last).splitlines()  # type: ignore[arg-type]


def test_the_preview_is_shown_ten_times_and_changes_no_bit_of_the_training(
    new_trainer: Any, world_questions: list[Question], caplog: pytest.LogCaptureFixture
):
    plain = new_trainer()
    plain.train()
    assert shown(caplog) == []
    showing = new_trainer()
    showing.add_callback(PreviewCallback(showing, world_questions, SETTINGS, number=3))
    with caplog.at_level("INFO", "hf_knowlearn"):
        showing.train()
    assert all(map(torch.equal, weights(plain), weights(showing)))
    assert figures(showing, "loss") == figures(plain, "loss")
    starts = [lines[0].partition(",")[0] for lines in shown(caplog)]
    assert starts == [f"Responses at step {step} of 5" for step in range(1, 5)]
    assert {len(lines) for lines in shown(caplog)} == {4}

    callback = PreviewCallback(showing, world_questions, SETTINGS, number=1)
    caplog.clear()
    with caplog.at_level("INFO", "hf_knowlearn"):
        for step in range(1, 26):
            callback.on_step_end(showing.args, TrainerState(global_step=step, max_steps=25), showing.control)
    assert len(shown(caplog)) == 8  # every third step


# Early stopping


@pytest.mark.parametrize(
    ("scores", "patience", "expected"),
    [
        ([], 1, None),
        ([0.1], 1, None),
        ([0.1, 0.1], 1, EarlyStop(20, 0.1, 10, 1)),
        ([0.1, 0.2, 0.3], 1, None),
        ([0.1, 0.3, 0.2], 2, None),
        ([0.1, 0.3, 0.2, 0.3], 2, EarlyStop(40, 0.3, 20, 2)),
        ([0.1, 0.3, 0.2, 0.4], 2, None),
        ([0.5, 0.3, 0.2, 0.4], 3, EarlyStop(40, 0.5, 10, 3)),
    ],
)
def test_training_stops_if_the_last_evaluations_did_not_improve(
    scores: list[float], patience: int, expected: EarlyStop | None
):
    history = [{"loss": 1.0, "step": 1}, *({"recall/correct": s, "step": 10 * i} for i, s in enumerate(scores, 1))]
    assert early_stop(history, patience) == expected
    assert early_stop(history, patience, name="other") is None


@pytest.mark.parametrize(("patience", "last"), [(1, 3), (2, 4), (3, 5), (None, 5)])
def test_early_stopping_stops_at_the_right_step(
    new_trainer: Any,
    world_questions: list[Question],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    patience: int | None,
    last: int,
):
    scores = iter([0.1, 0.3, 0.2, 0.3, 0.25, 0.2])
    monkeypatch.setattr(RecallCallback, "_figures", lambda self: {"correct": next(scores)})
    trainer = new_trainer()
    trainer.add_callback(
        RecallCallback(trainer, world_questions, every=1, settings=SETTINGS, early_stopping_patience=patience)
    )
    with caplog.at_level("INFO", "hf_knowlearn"):
        trainer.train()
    assert trainer.state.global_step == last
    assert [step for step, _ in figures(trainer, "recall/correct")] == [*range(1, last + 1)]
    reason = {1: "the last evaluation", 2: "2 evaluations"}.get(patience or 0)  # step 5 is the last one anyway
    assert [lines[0] for lines in shown(caplog)] == (
        [f"Training stops at step {last} of 5: correct has not improved in {reason} (best: 0.300 at step 2)."]
        if reason
        else []
    )


@pytest.mark.parametrize(
    ("every", "patience", "message"),
    [
        (None, 2, "early_stopping_patience=2 counts the evaluations .* Set every to a number of steps"),
        (1, 0, "early_stopping_patience=0: give an integer of at least 1, or None"),
        (1, True, "early_stopping_patience=True: give an integer of at least 1, or None"),
    ],
)
def test_early_stopping_that_cannot_work_is_an_error(
    new_trainer: Any, world_questions: list[Question], every: int | None, patience: Any, message: str
):
    with pytest.raises(ValueError, match=message):
        RecallCallback(new_trainer(), world_questions, every=every, early_stopping_patience=patience)


def test_the_scores_follow_the_rules_of_the_language_of_the_answers(new_trainer: Any, monkeypatch: pytest.MonkeyPatch):
    question = Question("1", "Wohin?", ("der Hafen",))
    callback = RecallCallback(new_trainer(), [question], settings=GenerationSettings(), language="de")
    callback.responses = [answered("1", "Hafen")]
    assert callback._figures()["exact_match"] == 1
    callback.language = "en"
    assert callback._figures()["exact_match"] == 0
