"""`ask` against a plain loop: one question at a time, without padding and cache, argmax of the logits."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_knowlearn.documents import Question
from hf_knowlearn.generation.cache_check import supports_decoder
from hf_knowlearn.generation.jobs import StopTokens
from hf_knowlearn.generation.responses import ask
from hf_knowlearn.knowledge_recall import exact_match, first_line
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.prompts.templates import plain_prompt
from hf_knowlearn.teach.sources import load_questions
from hf_knowlearn.worlds.people import World

MOST = 12  # tokens of an answer


@pytest.fixture
def talker(build: Callable[..., Any]) -> Any:
    """A model with a short context, which the tests may change."""
    return build("llama", max_position_embeddings=96)


@pytest.fixture(scope="module")
def questions() -> list[Question]:
    """Questions of several lengths, not in the order of their lengths."""
    world = World(7)
    made = [question for person in world.people(0, 8) for question in world.questions(person, 2)]
    longer = [Question(f"long {i}", f"{'Tell me, please: ' * i}{q.text}", q.answers) for i, q in enumerate(made[::20])]
    return [*made[::2], *longer, *made[1::2]]


@torch.no_grad()
def one_by_one(model: Any, tokenizer: Any, question: Question) -> str:
    ids = tokenizer(plain_prompt(question.text))["input_ids"]
    start, text = len(ids), ""
    for _ in range(MOST):
        ids.append(int(model(torch.tensor([ids]), use_cache=False).logits[0, -1].argmax()))
        if ids[-1] == tokenizer.eos_token_id:
            break
        text = tokenizer.decode(ids[start:], skip_special_tokens=True)
        if text.strip() and "\n" in tokenizer.decode(ids[-1]):
            break
    return text


@pytest.fixture
def expected(talker: Any, tokenizer: Any, questions: list[Question]) -> list[str]:
    answers = [one_by_one(talker.eval(), tokenizer, question) for question in questions]
    lengths = [len(tokenizer(answer)["input_ids"]) - 1 for answer in answers]
    # Every way to end must occur, or the tests below prove little.
    assert sum(answer.endswith("\n") for answer in answers) > 5
    assert sum(length >= MOST for length in lengths) > 5
    assert sum(length < MOST and not a.endswith("\n") for length, a in zip(lengths, answers, strict=True)) > 5
    assert any(answer.startswith("\n") and answer.strip() for answer in answers)
    return answers


@pytest.mark.parametrize("batch_size", [1, 3, 128])
def test_responses_equal_those_of_one_question_at_a_time(
    talker: Any, tokenizer: Any, questions: list[Question], expected: list[str], batch_size: int
):
    assert ask(talker, tokenizer, questions, batch_size, MOST) == expected


def test_a_response_ends_with_its_first_line(
    expected: list[str], talker: Any, tokenizer: Any, questions: list[Question]
):
    for answer in ask(talker, tokenizer, questions, 128, MOST):
        assert answer.strip() == first_line(answer)


def test_a_line_break_ends_a_response_only_after_some_text():
    words = ["a", "\n", "\n b", " ", "c\n", "\n\n", ".\n\nNext", "<think>", "</think>"]

    class Words(list[str]):
        eos_token_id = None

        added_tokens_decoder: dict[int, Any] = {}
        __hash__ = object.__hash__  # type: ignore[assignment]

        def batch_decode(self, rows: list[list[int]], **_: Any) -> list[str]:
            return ["".join(self[i] for i in row) for row in rows]

    tokenizer: Any = Words(words)
    ends = StopTokens(tokenizer)
    ended = {
        "a": False,
        "\n": False,
        "\n\n": False,
        " |\n": False,
        "\n b": False,  # the answer has just begun
        "a|\n": True,
        "\n|a|\n\n": True,
        "c\n": True,
        ".\n\nNext": True,
        "<think>|\n|a|\n": False,  # inside a thought
        "<think>|a|</think>|\n\n": False,
        "<think>|a|</think>|\n\n|a|\n": True,
    }
    for responses, expected in ended.items():
        ids = [words.index(word) for word in responses.split("|")]
        assert ends.ends(ids) is expected, responses


def test_a_tokenizer_needs_no_padding_token(
    talker: Any, tokenizer: Any, questions: list[Question], expected: list[str]
):
    bare = copy.deepcopy(tokenizer)
    bare.pad_token = None
    bare.padding_side = "right"
    assert ask(talker, bare, questions, 16, MOST) == expected
    assert bare.pad_token is None  # the tokenizer is not changed


def test_the_generation_config_has_no_effect_and_is_not_changed(
    talker: Any, tokenizer: Any, questions: list[Question], expected: list[str]
):
    habits = talker.generation_config
    habits.update(
        repetition_penalty=5.0, num_beams=2, min_new_tokens=4, suppress_tokens=[1, 5, 7], no_repeat_ngram_size=1
    )
    assert ask(talker, tokenizer, questions, 16, MOST) == expected
    assert talker.generation_config is habits
    assert habits.repetition_penalty == 5.0


def test_an_adapter_is_used(talker: Any, tokenizer: Any, questions: list[Question]):
    adapted = get_peft_model(talker, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    talker.generation_config.repetition_penalty = 5.0
    responses = ask(adapted, tokenizer, questions, 16, MOST)
    assert responses == [one_by_one(adapted.eval(), tokenizer, question) for question in questions]
    with adapted.disable_adapter():
        assert ask(adapted, tokenizer, questions, 16, MOST) != responses


def test_the_key_value_cache_is_used_after_training_disabled_it(
    talker: Any, tokenizer: Any, questions: list[Question]
):
    talker.config.use_cache = False
    talker.generation_config.use_cache = False
    supports_decoder(talker, 0)  # its own passes are not counted
    lengths = []
    talker.model.embed_tokens.register_forward_hook(lambda module, inputs, output: lengths.append(inputs[0].shape[1]))
    ask(talker, tokenizer, questions[:2], 2, MOST)
    assert len(lengths) > 1
    assert set(lengths[1:]) == {1}


@pytest.mark.parametrize("training", [True, False])
def test_dropout_is_off_and_the_mode_of_the_model_is_restored(
    talker: Any, tokenizer: Any, questions: list[Question], expected: list[str], training: bool
):
    talker.config.attention_dropout = 0.9
    for module in talker.modules():
        module.attention_dropout = 0.9
    talker.train(training)
    assert ask(talker, tokenizer, questions, 16, MOST) == expected
    assert talker.training is training


def test_an_error_restores_the_mode_of_the_model(talker: Any, tokenizer: Any, questions: list[Question]):
    habits = talker.generation_config
    talker.train()

    def fail(*_: object) -> None:
        raise RuntimeError("out of memory")

    talker.model.register_forward_pre_hook(fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        ask(talker, tokenizer, questions, 16, MOST)
    assert talker.training
    assert talker.generation_config is habits


def test_prompts_that_exceed_the_context_are_an_error_with_the_ids_of_the_questions(
    talker: Any, tokenizer: Any, questions: list[Question]
):
    long = Question("far too long", "Tell me, please: " * 30, ("x",))
    with pytest.raises(
        ValueError, match=r"12 new tokens, exceed this model's context of 96 tokens: 'far too long' \(\d+ tokens\)"
    ):
        ask(talker, tokenizer, [*questions, long], 16, MOST)
    most = 96 - max(len(tokenizer(plain_prompt(q.text))["input_ids"]) for q in questions)
    assert len(ask(talker, tokenizer, questions, 128, most)) == len(questions)
    with pytest.raises(ValueError, match=f"{most + 1} new tokens, exceed"):
        ask(talker, tokenizer, questions, 128, most + 1)


def test_no_questions_give_no_responses(talker: Any, tokenizer: Any):
    assert ask(talker, tokenizer, []) == []


def test_a_progress_bar_is_shown_if_it_has_a_label(
    talker: Any, tokenizer: Any, questions: list[Question], capfd: pytest.CaptureFixture[str]
):
    ask(talker, tokenizer, questions[:3], 2, MOST)
    assert capfd.readouterr().err == ""
    ask(talker, tokenizer, questions[:3], 2, MOST, progress="Evaluating before")
    assert "Evaluating before: 100%" in capfd.readouterr().err


def test_the_packaged_base_model_is_small_and_knows_the_questions_about_the_old_world():
    weights = TINY_BASE / "model.safetensors"
    assert weights.is_file(), (
        f"{TINY_BASE} holds no model: train it with `make base` and copy outputs/tiny_base/model."
    )
    assert sum(path.stat().st_size for path in TINY_BASE.rglob("*.safetensors")) <= 6e6
    model, tokenizer = AutoModelForCausalLM.from_pretrained(TINY_BASE), AutoTokenizer.from_pretrained(TINY_BASE)
    questions = load_questions("world:retention")[::10]
    assert len(questions) == 50
    responses = ask(model, tokenizer, questions)
    right = [
        exact_match(first_line(text), question.answers) for text, question in zip(responses, questions, strict=True)
    ]
    assert sum(right) / 50 >= 0.9
