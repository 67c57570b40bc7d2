"""The vLLM engine: its errors, how it assembles responses, and, if vLLM is installed, its responses."""

import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from hf_knowlearn.documents import Question
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, StopTokens
from hf_knowlearn.generation.responses import ask, generate_responses
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.generation.vllm_engine import VLLM, request_seed
from hf_knowlearn.paths import TINY_BASE

FEW = GenerationSettings(
    shots=3, prompts=2, samples=4, temperature=0.8, top_k=20, max_new_tokens=10, batch_size=16, seed=5
)


def test_without_vllm_the_error_has_the_install_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(ValueError, match=r"needs the package vllm .*`pip install vllm` in a separate environment"):
        VLLM(TINY_BASE)


class Recorded:
    """Replaces `vllm.LLM`, and stores its arguments."""

    def __init__(self, name: str, **settings: Any) -> None:
        self.name, self.settings = name, settings
        self.model_config = SimpleNamespace(max_model_len=settings.get("max_model_len", 99))


@pytest.fixture
def recording(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `vllm` that loads nothing, as on a CPU."""
    for name, values in {
        "vllm": {"LLM": Recorded},
        "vllm.platforms": {"current_platform": SimpleNamespace(is_cpu=lambda: True)},
    }.items():
        module = ModuleType(name)
        vars(module).update(values)
        monkeypatch.setitem(sys.modules, name, module)


@pytest.mark.usefixtures("recording")
def test_the_engine_gets_the_dtype_of_the_weights_and_all_settings(model: Any, tmp_path: Path):
    model.save_pretrained(tmp_path)
    loaded = VLLM(tmp_path, max_model_len=64)
    assert loaded.engine.name == str(tmp_path)
    assert loaded.engine.settings == {
        "dtype": "float32",
        "skip_tokenizer_init": True,
        "enable_prefix_caching": True,
        "enable_chunked_prefill": False,
        "max_model_len": 64,
    }
    assert loaded.config.max_position_embeddings == 64
    assert loaded.generation_config.eos_token_id == model.generation_config.eos_token_id
    (tmp_path / "generation_config.json").unlink()
    assert VLLM(tmp_path, dtype="bfloat16").engine.settings["dtype"] == "bfloat16"


@pytest.mark.usefixtures("recording")
def test_adapters_and_quantised_weights_are_an_error_with_the_fix(model: Any, tmp_path: Path):
    with pytest.raises(ValueError, match=r"vLLM cannot load .*nowhere': .*\nGive an unquantised model"):
        VLLM(tmp_path / "nowhere")
    (tmp_path / "adapter_config.json").write_text("{}", encoding="utf-8")
    with pytest.raises(
        ValueError, match=r"vLLM cannot load .*\n.* without an adapter \(`knowlearn merge` merges an adapter\)"
    ):
        VLLM(tmp_path)
    model.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"vLLM cannot load .*the weights are quantised"):
        VLLM(tmp_path, quantization="bitsandbytes")
    four = LlamaConfig(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    four.save_pretrained(tmp_path)
    with pytest.raises(ValueError, match=r"the weights are quantised"):
        VLLM(tmp_path)


def test_a_request_seed_depends_on_the_sample_only_and_differs_between_samples():
    keys = [(seed, id, prompt, sample) for seed in (0, 1) for id in "ab" for prompt in (0, 1) for sample in (0, 1)]
    seeds = {request_seed(SampleRandom(*key), step) for key in keys for step in (0, 1)}
    assert len(seeds) == 2 * len(keys)
    assert all(0 <= seed < 2**62 for seed in seeds)  # vLLM takes -1 for none
    assert request_seed(SampleRandom(0, "a", 0, 0), 0) == 3877758983268325826


class Script:
    """Replaces `vllm.LLM`: continues each prompt with the tokens of a script, and stops as vLLM does."""

    def __init__(self, *lines: Sequence[int]) -> None:
        self.lines, self.requests = lines, []

    def generate(self, prompts: list[Any], params: list[Any], **_: Any) -> list[Any]:
        self.requests.append(params)
        return [self._output(prompt["prompt_token_ids"], one) for prompt, one in zip(prompts, params, strict=True)]

    def _output(self, ids: list[int], params: Any) -> Any:
        rest = self.lines[ids[0]][len(ids) - 1 :][: params.max_tokens]
        end = next((i for i, token in enumerate(rest) if token in params.stop_token_ids), len(rest) - 1)
        return SimpleNamespace(outputs=[SimpleNamespace(token_ids=rest[: end + 1])])


@pytest.fixture
def parameters_only(monkeypatch: pytest.MonkeyPatch) -> None:
    """A module `vllm` with `SamplingParams` only."""
    module = ModuleType("vllm")
    module.SamplingParams = SimpleNamespace  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "vllm", module)


def scripted(tokenizer: Any, *lines: Sequence[int]) -> VLLM:
    engine = VLLM.__new__(VLLM)
    engine.engine = Script(*lines)  # type: ignore[assignment]
    engine.config = LlamaConfig(vocab_size=len(tokenizer))
    return engine


@pytest.mark.usefixtures("parameters_only")
def test_a_line_break_ends_a_response_only_after_some_text(tokenizer: Any):
    line, end = tokenizer.convert_tokens_to_ids("Ċ"), tokenizer.eos_token_id
    word = tokenizer("word", add_special_tokens=False)["input_ids"][0]
    engine = scripted(
        tokenizer,
        [line, line, word, line, word, word],
        [word, end, word, word, word, word],
        [word, word, word, word, word, word],
        [line, line, line, line, line, line],
        [line, end, word, word, word, word],
        [line, word, word, word, word, word],
    )
    responses = engine.decode(
        [GenerationJob([i], ("",)) for i in range(6)], StopTokens(tokenizer), GenerationSettings(max_new_tokens=5)
    )
    assert [of_it[0] for of_it in responses] == [
        GeneratedTokens([line, line, word, line], line),
        GeneratedTokens([word], end),
        GeneratedTokens([word] * 5, None),
        GeneratedTokens([line] * 5, None),
        GeneratedTokens([line], end),
        GeneratedTokens([line, *[word] * 4], None),
    ]


@pytest.mark.usefixtures("parameters_only")
def test_each_sample_is_a_request_with_its_own_seed_and_the_greedy_response_has_none(tokenizer: Any):
    word = tokenizer("word", add_special_tokens=False)["input_ids"][0]
    engine = scripted(tokenizer, [word] * 9, [word] * 9)
    draws = [(None, SampleRandom(3, id, 0, 0), SampleRandom(3, id, 0, 1)) for id in "ab"]
    jobs = [GenerationJob([i], ("",), of_it) for i, of_it in enumerate(draws)]
    responses = engine.decode(jobs, StopTokens(tokenizer), replace(FEW, max_new_tokens=7))
    assert [len(of_it) for of_it in responses] == [3, 3]
    (params,) = engine.engine.requests
    assert [getattr(one, "seed", None) for one in params] == [
        seed if seed is None else request_seed(seed, 0) for of_it in draws for seed in of_it
    ]
    assert [(one.temperature, getattr(one, "top_k", 0), one.max_tokens) for one in params[:2]] == [
        (0.0, 0, 7),
        (0.8, 20, 7),
    ]


# These tests run vLLM.


def needs_vllm(test: Callable[..., None]) -> Callable[..., None]:
    for mark in (
        pytest.mark.slow,
        pytest.mark.skipif(find_spec("vllm") is None, reason="vLLM is not installed; docs/evaluation.md says how"),
        pytest.mark.filterwarnings("ignore"),  # of vLLM and of what it imports
    ):
        test = mark(test)
    return test


SETTINGS = {"enforce_eager": True, "max_num_seqs": 64, "block_size": 32}


@pytest.fixture(scope="module")
def babbler(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained Llama with a head size that vLLM supports. Its responses end in all ways."""
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        head_dim=64,
        max_position_embeddings=512,
        initializer_range=0.3,
        **{name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")},
    )
    model = LlamaForCausalLM(config)
    with torch.no_grad():
        model.lm_head.weight[[tokenizer.convert_tokens_to_ids("Ċ"), tokenizer.eos_token_id]] *= 2
    folder = tmp_path_factory.mktemp("babbler")
    model.save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def served(babbler: Path) -> Iterator[VLLM]:
    with pytest.MonkeyPatch.context() as patch:
        in_this_process(patch)
        yield VLLM(babbler, **SETTINGS)


def in_this_process(patch: pytest.MonkeyPatch) -> None:
    for name, value in {
        "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
        "VLLM_CPU_KVCACHE_SPACE": "1",  # GB
        "VLLM_CPU_OMP_THREADS_BIND": "nobind",
        "VLLM_NO_USAGE_STATS": "1",
    }.items():
        patch.setenv(name, value)


@needs_vllm
def test_greedy_responses_and_their_endings_equal_those_of_transformers(
    served: VLLM, babbler: Path, tokenizer: Any, world_questions: list[Question]
):
    model = LlamaForCausalLM.from_pretrained(babbler)
    for settings in (FEW, replace(FEW, shots=0, prompts=1), replace(FEW, template="chat", instruction="Be brief.")):
        ours = generate_responses(model, tokenizer, world_questions, settings)
        theirs = generate_responses(served, tokenizer, world_questions, settings)
        assert [a.greedy for a in theirs] == [a.greedy for a in ours]
        assert [a.ended for a in theirs] == [a.ended for a in ours]
        assert len({how for a in ours for how in a.ended}) > 1
        assert len({text for a in ours for text in a.greedy}) > len(world_questions) / 2
    assert ask(served, tokenizer, world_questions, 7, 10) == [
        a.greedy[0]
        for a in generate_responses(served, tokenizer, world_questions, GenerationSettings(max_new_tokens=10))
    ]


@needs_vllm
def test_neither_batch_size_nor_order_nor_other_questions_change_a_sample(
    served: VLLM, tokenizer: Any, world_questions: list[Question]
):
    expected = generate_responses(served, tokenizer, world_questions, FEW)
    texts = [text for a in expected for samples in a.sampled for text in samples]
    assert len(set(texts)) > len(texts) / 2
    for size in (1, 7, 64):
        assert generate_responses(served, tokenizer, world_questions, replace(FEW, batch_size=size)) == expected
    backwards = generate_responses(served, tokenizer, world_questions[7:3:-1], FEW, pool=world_questions)
    assert backwards == expected[7:3:-1]
    other = generate_responses(served, tokenizer, world_questions, replace(FEW, seed=6, shots=3))
    assert all(a.sampled != b.sampled for a, b in zip(expected, other, strict=True))


@needs_vllm
def test_samples_occur_as_often_as_their_probabilities(served: VLLM, babbler: Path, tokenizer: Any):
    question = [Question("q", "Who?", ("x",))]
    settings = GenerationSettings(samples=2000, temperature=0.9, top_k=5, max_new_tokens=1)
    model = LlamaForCausalLM.from_pretrained(babbler)
    ids = tokenizer("Question: Who?\nAnswer:", return_tensors="pt")["input_ids"]
    with torch.no_grad():
        top = (model(ids).logits[0, -1] / settings.temperature).topk(5)
    shares = dict(zip(tokenizer.batch_decode(top.indices[:, None]), top.values.softmax(0).tolist(), strict=True))
    (responses,) = generate_responses(served, tokenizer, question, settings)[0].sampled
    assert set(responses) <= set(shares)
    for text, share in shares.items():
        error = (share * (1 - share) / len(responses)) ** 0.5
        assert abs(responses.count(text) / len(responses) - share) < 5 * error


@needs_vllm
def test_an_interrupted_run_continues_to_the_same_responses(
    served: VLLM, tokenizer: Any, world_questions: list[Question], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    expected = generate_responses(served, tokenizer, world_questions, FEW)
    decode, calls = VLLM.decode, []

    def dies(self: VLLM, *args: Any) -> Any:
        calls.append(len(args[0]))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return decode(self, *args)

    monkeypatch.setattr(VLLM, "decode", dies)
    file = tmp_path / "answers.jsonl"
    with pytest.raises(KeyboardInterrupt):
        generate_responses(served, tokenizer, world_questions, replace(FEW, batch_size=5), answer_cache=file)
    assert generate_responses(served, tokenizer, world_questions, FEW, answer_cache=file) == expected
    assert sum(calls[3:]) == 2 * len(world_questions) - 10
    header = json.loads(file.read_text(encoding="utf-8").splitlines()[0])
    assert (header["engine"], header["dtype"]) == ("vllm", "float32")
    model = LlamaForCausalLM.from_pretrained(served.name)
    with pytest.raises(ValueError, match="contains answers of another model"):
        generate_responses(model, tokenizer, world_questions, FEW, answer_cache=file)


@needs_vllm
def test_a_long_prompt_is_an_error(served: VLLM, tokenizer: Any):
    long = Question("far too long", "Tell me, please: " * 200, ("x",))
    with pytest.raises(ValueError, match=r"10 new tokens, exceed .* context of 512 tokens: 'far too long'"):
        generate_responses(served, tokenizer, [long], replace(FEW, shots=0, prompts=1))
