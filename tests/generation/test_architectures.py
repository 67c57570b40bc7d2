"""Responses of many architectures, against `generate` and against forward passes without cache and padding."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from tiny_models import GPT2, SMALL
from transformers import AutoConfig, AutoModelForCausalLM, GenerationConfig

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
from hf_knowlearn.generation.batching import row_logits, run_batches
from hf_knowlearn.generation.cache_check import supports_decoder
from hf_knowlearn.generation.causal_lm import eval_mode, stop_tokens
from hf_knowlearn.generation.decoding import Decoder
from hf_knowlearn.generation.free_text import generate_texts
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob
from hf_knowlearn.generation.reference_decoder import ReferenceDecoder, new_decoder
from hf_knowlearn.generation.responses import generate_responses
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings

MOST = 8
SETTINGS = GenerationSettings(max_new_tokens=MOST, batch_size=16, temperature=1.0, top_k=0)
EXPERTS = {"num_experts": 4, "num_local_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16}
MIXTURE = {**SMALL, **EXPERTS, "output_router_logits": True}  # as TRL leaves the config of a mixture of experts
STATE = {"hidden_size": 32, "num_hidden_layers": 2, "state_size": 8, "initializer_range": 0.3}
HYBRID = {
    "mamba_n_heads": 8,
    "mamba_d_head": 8,
    "mamba_d_state": 8,
    "mamba_n_groups": 1,
    "mamba_chunk_size": 8,
}
FAST: dict[str, dict[str, Any]] = {
    "qwen3_moe": MIXTURE,
    "mixtral": MIXTURE,
    "mamba": STATE,
    "rwkv": {"hidden_size": 32, "num_hidden_layers": 2, "attention_hidden_size": 32, "context_length": 256},
    "recurrent_gemma": {**SMALL, "num_hidden_layers": 3, "lru_width": 32, "attention_window_size": 24},
    "lfm2": {**SMALL, "layer_types": ["conv", "full_attention"]},
}
SLOW: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("llama", "mistral", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text", "phi3"), SMALL),
    **dict.fromkeys(("olmo2", "olmo3", "starcoder2", "stablelm", "granite", "cohere2", "smollm3", "glm4"), SMALL),
    **dict.fromkeys(("gpt_neox", "persimmon", "opt", "exaone4", "ministral", "seed_oss"), SMALL),
    **dict.fromkeys(("gpt2", "gpt_bigcode"), GPT2),
    **{name: {**GPT2, "rotary_dim": 4} for name in ("gptj", "codegen")},
    **dict.fromkeys(("qwen2_moe", "olmoe", "phimoe", "granitemoe"), MIXTURE),
    "falcon": {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "initializer_range": 0.3},
    "bloom": {"hidden_size": 32, "n_layer": 2, "n_head": 4, "initializer_range": 0.3},
    "mpt": {"d_model": 32, "n_layers": 2, "n_heads": 4, "initializer_range": 0.3},
    "gpt_oss": {**MIXTURE, "sliding_window": 24},
    "falcon_mamba": STATE,
    "mamba2": {**STATE, "num_heads": 8, "head_dim": 8, "n_groups": 2, "chunk_size": 8},
    "jamba": {
        **MIXTURE,
        "attn_layer_period": 2,
        "attn_layer_offset": 1,
        "expert_layer_period": 2,
        "expert_layer_offset": 1,
        "mamba_d_state": 8,
        "use_mamba_kernels": False,
    },
    "bamba": {**SMALL, **HYBRID, "attn_layer_indices": [1]},
    "falcon_h1": {**SMALL, **HYBRID, "mamba_d_ssm": 64},
    "granitemoehybrid": {**MIXTURE, **HYBRID, "layer_types": ["mamba", "attention"], "shared_intermediate_size": 16},
    "qwen3_next": {
        **MIXTURE,
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "shared_expert_intermediate_size": 16,
    },
    "zamba2": {
        **SMALL,
        "layers_block_type": ["mamba", "hybrid"],
        "mamba_d_state": 8,
        "n_mamba_heads": 8,
        "mamba_headdim": 8,
        "mamba_ngroups": 1,
        "chunk_size": 8,
        "num_mem_blocks": 1,
    },
}
WITHOUT_DECODER = {"mamba", "mamba2", "falcon_mamba", "rwkv", "recurrent_gemma"}
# A step with a cache differs from a forward pass without it by about 0.003 of the largest logit, in `generate` too.
INEXACT = {"zamba2": 0.02}
ALL = [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)]

pytestmark = pytest.mark.filterwarnings("ignore")  # of the models themselves


def build(name: str, tokenizer: Any) -> Any:
    ids = {key: getattr(tokenizer, key) for key in ("bos_token_id", "eos_token_id", "pad_token_id")}
    config = AutoConfig.for_model(name, vocab_size=len(tokenizer), **{**FAST, **SLOW}[name], **ids)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = AutoModelForCausalLM.from_config(config).float().eval()
        if name == "rwkv":  # its initial weights are all 0 or small
            for weight in model.parameters():
                weight.data += torch.randn_like(weight) * 0.2
    return model


def plain_logits(model: Any, ids: Sequence[int]) -> torch.Tensor:
    with torch.no_grad(), eval_mode(model):
        return model(input_ids=torch.tensor([list(ids)]), use_cache=False).logits[0].float()


def generate_alone(model: Any, prompt: Sequence[int]) -> list[int]:
    ids = torch.tensor([list(prompt)])
    config = GenerationConfig(max_new_tokens=MOST, do_sample=False, eos_token_id=None, pad_token_id=0)
    model.generation_config = GenerationConfig()
    with eval_mode(model):
        output = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    return output[0, len(prompt) :].tolist()


def margin(model: Any, ids: Sequence[int], one: int, other: int) -> float:
    """How much two tokens after `ids` differ, relative to the largest logit."""
    logits = plain_logits(model, ids)[-1]
    return float((logits[one] - logits[other]).abs() / logits.abs().max())


@pytest.mark.parametrize("name", ALL)
def test_responses_of_an_architecture_equal_those_of_generate(tokenizer: Any, name: str):
    model = build(name, tokenizer)
    tolerance = INEXACT.get(name, 1e-4)
    texts = ["Where?", "Where does the ferry go?", "Who keeps the bees of Ormel in the mill?", "Why?", "Who?"]
    prompts = [tokenizer(text)["input_ids"] for text in texts]
    shared = [i % len(tokenizer) for i in range(40, 60)]
    prompts += [[*shared, *prompt] for prompt in prompts]
    keys = [("",)] * len(texts) + [("shared",)] * len(texts)
    samplers = [(None, SampleRandom(0, str(i), 0, 0), SampleRandom(0, str(i), 0, 1)) for i in range(len(prompts))]
    stop = stop_tokens(model, tokenizer)
    stop.line_break[:] = stop.end_of_text[:] = False
    decoder = new_decoder(model, 0, stop, SETTINGS)
    assert type(decoder) is (ReferenceDecoder if name in WITHOUT_DECODER else Decoder)
    jobs = [GenerationJob(ids, key, own) for ids, key, own in zip(prompts, keys, samplers, strict=True)]
    decoder.find_prefixes(prompts, keys)
    with torch.no_grad(), eval_mode(model):
        decoder.prefill_prefixes({key: prompt for prompt, key in zip(prompts, keys, strict=True)}, 4)
        found = decoder.decode(jobs[: len(texts)], 16) + decoder.decode(jobs[len(texts) :], 16)
    for prompt, own, responses in zip(prompts, samplers, found, strict=True):
        greedy = responses[0].tokens
        expected = generate_alone(model, prompt)
        step = next((i for i in range(MOST) if greedy[i] != expected[i]), None)
        if step is not None:
            assert margin(model, [*prompt, *greedy[:step]], greedy[step], expected[step]) < tolerance
        logits = plain_logits(model, [*prompt, *greedy])[len(prompt) - 1 : -1]
        for token, row in zip(greedy, logits, strict=True):
            assert row[token] >= row.max() - tolerance * row.abs().max()
        for sampler, response in zip(own[1:], responses[1:], strict=True):
            assert_sampled(model, prompt, sampler, response, 20 * tolerance)


def assert_sampled(
    model: Any, prompt: Sequence[int], sampler: Any, response: GeneratedTokens, tolerance: float
) -> None:
    """Every token is the one whose share of the probabilities contains the random number."""
    logits = plain_logits(model, [*prompt, *response.tokens])[len(prompt) - 1 : -1]
    for step, (token, row) in enumerate(zip(response.tokens, logits, strict=True)):
        ends = row.double().softmax(-1).cumsum(-1)
        start = float(ends[token - 1]) if token else 0.0
        assert start - tolerance <= sampler[step] <= float(ends[token]) + tolerance


@pytest.mark.parametrize("name", ALL)
def test_logits_of_padded_rows_equal_those_of_single_rows(tokenizer: Any, name: str):
    model = build(name, tokenizer)
    rows = [list(range(60, 72)), list(range(90, 95)), list(range(40, 61))]
    tolerance = INEXACT.get(name, 1e-4)

    def compute(batch: list[int], _: int) -> list[torch.Tensor]:
        return list(row_logits(model, [rows[i] for i in batch], 0))

    last = new_decoder(model, 0)
    with torch.no_grad(), eval_mode(model):
        after = last.last_logits(rows, keep=3)
    for row, padded, end in zip(rows, run_batches(range(3), 3, compute, model=model), after, strict=True):
        expected = plain_logits(model, row)
        assert (padded[: len(row)] - expected).abs().max() < tolerance * expected.abs().max()
        assert (end - expected[-3:]).abs().max() < tolerance * expected.abs().max()


@pytest.mark.parametrize("name", ["qwen3_moe", "mamba"])
def test_log_probabilities_of_answers_are_those_of_single_rows(
    tokenizer: Any, world_questions: list[Question], name: str
):
    model = build(name, tokenizer)
    for question, found in zip(
        world_questions[:5], answer_logprobs(model, tokenizer, world_questions[:5]), strict=True
    ):
        text = f"Question: {question.text}\nAnswer:"
        prompt, ids = tokenizer(text)["input_ids"], tokenizer(f"{text} {found.answer}")["input_ids"]
        logprobs = plain_logits(model, ids).log_softmax(-1)
        expected = sum(float(logprobs[i - 1, ids[i]]) for i in range(len(prompt), len(ids)))
        assert found.total == pytest.approx(expected, abs=1e-3)


def test_responses_of_a_recurrent_model_end_and_do_not_depend_on_the_batch(
    tokenizer: Any, world_questions: list[Question], caplog: pytest.LogCaptureFixture
):
    model = build("mamba", tokenizer)
    weight = model.get_output_embeddings().weight
    torch.manual_seed(7)  # with these weights some responses end, some continue on a new line, and some are cut
    model.get_output_embeddings().weight = torch.nn.Parameter(torch.randn_like(weight) * 0.3)
    with torch.no_grad():
        for token in (tokenizer.convert_tokens_to_ids("Ċ"), tokenizer.eos_token_id):
            model.get_output_embeddings().weight[token] *= 3
    model.generation_config.repetition_penalty = 5.0  # `generate` would use it
    before = model.generation_config
    settings = replace(SETTINGS, samples=3)
    with caplog.at_level(logging.WARNING, "hf_knowlearn"):
        responses = generate_responses(model, tokenizer, world_questions, settings)
        assert generate_responses(model, tokenizer, world_questions, replace(settings, batch_size=3)) == responses
    ours = [record.getMessage() for record in caplog.records if record.name.startswith("hf_knowlearn")]
    assert [message[:50] for message in ours] == ["MambaForCausalLM (model type mamba): the fast deco"]
    assert model.generation_config is before
    assert len({ended for one in responses for ended in one.ended}) == 3
    for one in responses:
        assert (one.ended[0] == "line") == one.greedy[0].endswith("\n")


def test_texts_of_a_recurrent_model_continue_their_prompts(tokenizer: Any):
    model = build("mamba", tokenizer)
    few = generate_texts(model, tokenizer, 4, ["The ferry", ""], max_new_tokens=5, batch_size=3)
    assert [one.prompt for one in few] == ["The ferry", "", "The ferry", ""]
    assert few == generate_texts(model, tokenizer, 4, ["The ferry", ""], max_new_tokens=5, batch_size=1)


def test_router_logits_are_off_during_generation_only(tokenizer: Any, world_questions: list[Question]):
    model = build("mixtral", tokenizer)
    assert model.config.output_router_logits
    seen: list[bool] = []
    model.model.register_forward_hook(lambda *_: seen.append(model.config.output_router_logits))
    generate_responses(model, tokenizer, world_questions[:2], SETTINGS)
    assert set(seen) == {False}
    assert model.config.output_router_logits


def test_the_check_of_a_model_runs_once(tokenizer: Any):
    model = build("mixtral", tokenizer)
    passes: list[int] = []
    model.model.register_forward_hook(lambda *_: passes.append(1))
    assert supports_decoder(model, 0)
    first = len(passes)
    assert supports_decoder(model, 0)
    assert first == len(passes) <= 10
