"""Thoughts over several lines: the answer after the thought is generated and scored."""

import copy
import sys
from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from transformers import AddedToken, LlamaConfig

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.evaluate import evaluate
from hf_knowlearn.generation.cache_check import supports_decoder
from hf_knowlearn.generation.causal_lm import eval_mode
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, StopTokens
from hf_knowlearn.generation.reference_decoder import ReferenceDecoder
from hf_knowlearn.generation.responses import generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.generation.vllm_engine import VLLM
from hf_knowlearn.prompts.questions import question_prompts

FERRY = Question("ferry", "Where does the ferry go?", ("Ormel",))
THOUGHT = "\nThe ferry leaves at six.\n\nIt goes to Ormel, not to Tarn.\n"
THINK = f"<think>{THOUGHT}</think>\n\n"
SETTINGS = GenerationSettings(max_new_tokens=110)


def add_special(*tags: str) -> Callable[[Any], Any]:
    return lambda tokenizer: tokenizer.add_special_tokens({"additional_special_tokens": list(tags)})


# Forms of thoughts: the text of a thought before an answer, and a function that adds its tags to a tokenizer.
FORMS: dict[str, tuple[str, Callable[[Any], Any]]] = {
    "tags of several tokens": (THINK, lambda tokenizer: None),
    "tags of one token": (
        THINK,
        lambda tokenizer: tokenizer.add_tokens([AddedToken(tag, normalized=False) for tag in ("<think>", "</think>")]),
    ),
    "tags that are special tokens": (THINK, add_special("<think>", "</think>")),
    "Magistral": (f"[THINK]{THOUGHT}[/THINK]", add_special("[THINK]", "[/THINK]")),
    "GPT-OSS": (
        f"<|channel|>analysis<|message|>{THOUGHT}<|close|><|start|>assistant<|channel|>final<|message|>",
        add_special("<|channel|>", "<|message|>", "<|start|>", "<|close|>"),
    ),
}


@pytest.fixture(params=FORMS.values(), ids=FORMS)
def form(request: pytest.FixtureRequest) -> Any:
    return request.param


@pytest.fixture
def thought(form: Any) -> Any:
    """The text of a thought."""
    return form[0]


@pytest.fixture
def thinker(form: Any, tokenizer: Any) -> Any:
    """A tokenizer with the tags of the thought."""
    thinker = copy.deepcopy(tokenizer)
    form[1](thinker)
    return thinker


def tokens_of(tokenizer: Any, text: str) -> list[int]:
    ids: list[int] = tokenizer(text, add_special_tokens=False)["input_ids"]
    return ids


@pytest.fixture
def saying(build: Callable[[str], Any], thinker: Any) -> Callable[[str], Any]:
    """A function that returns a model which generates a text after the question's prompt, and then line breaks."""

    def saying(text: str) -> Any:
        model = build("llama")
        model.resize_token_embeddings(len(thinker), mean_resizing=False)
        supports_decoder(model, 0)  # compares the real logits
        forward, generated = model.forward, [*tokens_of(thinker, text), *tokens_of(thinker, "\n")]
        (prompt,) = question_prompts(thinker, [FERRY])

        def answer(*args: Any, **kwargs: Any) -> Any:
            out = forward(*args, **kwargs)
            place = int(kwargs["attention_mask"].sum(1)[0]) - len(prompt.ids)
            out.logits[:] = 0
            out.logits[..., generated[min(place, len(generated) - 1)]] = 9
            return out

        model.forward = answer
        return model

    return saying


@pytest.mark.parametrize("answer", [" Ormel\n", "Ormel\n\nThe mill\n", "\n Ormel\n"])
def test_the_answer_after_a_thought_of_several_lines_is_scored(
    saying: Callable[[str], Any], thinker: Any, thought: str, answer: str
):
    evaluation = evaluate(saying(thought + answer), thinker, {"questions": [FERRY]}, SETTINGS)
    (responses,) = evaluation.responses["questions"]
    assert responses.greedy[0].strip() == "Ormel"
    assert responses.ended == ("line",)
    assert evaluation.scores()["questions"]["exact_match"] == 1.0


def test_a_thought_does_not_end_a_sampled_response(saying: Callable[[str], Any], thinker: Any, thought: str):
    settings = GenerationSettings(max_new_tokens=110, samples=2, temperature=0.01)
    (responses,) = generate_responses(saying(thought + "Ormel\n"), thinker, [FERRY], settings)
    assert {text.strip() for text in responses.sampled[0]} == {"Ormel"}


def test_a_line_without_a_thought_ends_a_response(saying: Callable[[str], Any], thinker: Any):
    (responses,) = generate_responses(saying(" Ormel\nIt goes there.\n"), thinker, [FERRY], SETTINGS)
    assert responses.greedy == (" Ormel\n",)


def test_a_thought_that_is_cut_is_no_answer(saying: Callable[[str], Any], thinker: Any, thought: str):
    settings = GenerationSettings(max_new_tokens=12)
    evaluation = evaluate(saying(thought + "Ormel\n"), thinker, {"questions": [FERRY]}, settings)
    assert evaluation.responses["questions"][0].ended == ("cut",)
    assert evaluation.scores()["questions"]["exact_match"] == 0.0


def test_the_reference_decoder_generates_the_answer_after_a_thought(
    saying: Callable[[str], Any], thinker: Any, thought: str
):
    model, stop = saying(thought + "Ormel\n"), StopTokens(thinker)
    (prompt,) = question_prompts(thinker, [FERRY])
    decoder = ReferenceDecoder(model, thinker.pad_token_id, stop, SETTINGS)
    with eval_mode(model):
        [[generated]] = decoder.decode([GenerationJob(prompt.ids, ("",))], 1)
    expected = tokens_of(thinker, thought + "Ormel\n")
    assert generated == GeneratedTokens(expected, expected[-1])


class Scripted:
    """Replaces `vllm.LLM`: continues a prompt of one token with a list of tokens, and stops as vLLM does."""

    def __init__(self, tokens: list[int]) -> None:
        self.tokens = tokens

    def generate(self, prompts: list[Any], params: list[Any], **_: Any) -> list[Any]:
        outputs = []
        for prompt, one in zip(prompts, params, strict=True):
            rest = self.tokens[len(prompt["prompt_token_ids"]) - 1 :][: one.max_tokens]
            end = next((i for i, token in enumerate(rest) if token in one.stop_token_ids), len(rest) - 1)
            outputs.append(SimpleNamespace(outputs=[SimpleNamespace(token_ids=rest[: end + 1])]))
        return outputs


def test_the_vllm_engine_generates_the_answer_after_a_thought(
    thinker: Any, thought: str, monkeypatch: pytest.MonkeyPatch
):
    module = ModuleType("vllm")
    module.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)
    engine = VLLM.__new__(VLLM)
    expected = tokens_of(thinker, thought + "Ormel\n")
    engine.engine = Scripted(expected + tokens_of(thinker, "The mill\n"))  # type: ignore[assignment]
    engine.config = LlamaConfig(vocab_size=len(thinker))
    [[generated]] = engine.decode([GenerationJob([0], ("",))], StopTokens(thinker), SETTINGS)
    assert generated == GeneratedTokens(expected, expected[-1])
