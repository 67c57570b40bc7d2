"""Drift against divergences in closed form, and the texts that a model samples."""

import math
import random
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_knowlearn.evaluation.drift import Drift, divergence, drift
from hf_knowlearn.generation.free_text import sample_texts
from hf_knowlearn.generation.sampling import SampleRandom, choose, cumulative
from hf_knowlearn.paths import TINY_BASE

TEXTS = ["The ferry to Ormel leaves at six.", "Rye.", "It carries forty cars,\nand a bakery. It is blue."]


def kl(base: torch.Tensor, model: torch.Tensor) -> np.ndarray:
    """Return the divergence of each row, computed from its definition."""
    p, q = (np.exp(table.detach().double().numpy()) for table in (base, model))
    p, q = p / p.sum(-1, keepdims=True), q / q.sum(-1, keepdims=True)
    return np.sum(p * np.log(p / q), axis=-1)


@pytest.mark.parametrize("batch_size", [1, 2, 7])
def test_drift_is_the_mean_divergence_over_tokens_with_an_error_clustered_by_text(
    tokenizer: Any, bigrams: Any, batch_size: int
):
    base, model = bigrams(0), bigrams(1)
    found = drift(model, base, tokenizer, TEXTS, batch_size=batch_size)
    rows = kl(base.table, model.table)
    each = [rows[tokenizer(text)["input_ids"][:-1]] for text in TEXTS]
    mean = np.concatenate(each).mean()
    residuals = sum((of_it.sum() - mean * len(of_it)) ** 2 for of_it in each)
    assert found.kl == pytest.approx(mean, rel=1e-5)
    assert found.kl_se == pytest.approx(math.sqrt(3 / 2 * residuals) / sum(map(len, each)), rel=1e-4)
    assert (found.tokens, found.texts) == (sum(map(len, each)), 3)
    assert found.figures() == {"kl": found.kl, "kl_se": found.kl_se, "tokens": found.tokens, "texts": 3}
    other_way = drift(base, model, tokenizer, TEXTS)
    assert other_way.kl == pytest.approx(kl(model.table, base.table)[tokenizer_ids(tokenizer)].mean(), rel=1e-5)
    assert other_way.kl != pytest.approx(found.kl, rel=1e-3)


def tokenizer_ids(tokenizer: Any) -> list[int]:
    return [token for text in TEXTS for token in tokenizer(text)["input_ids"][:-1]]


def test_the_divergence_of_two_coins_is_the_closed_form():
    base, model = torch.tensor([[0.5, 0.5, 0.0]]).log(), torch.tensor([[0.25, 0.75, 0.0]]).log()
    assert float(divergence(base, model)) == pytest.approx(math.log(2 / math.sqrt(3)))
    assert float(divergence(base, torch.tensor([[0.5, 0.0, 0.5]]).log())) == math.inf


@pytest.mark.parametrize("kind", ["llama", "gpt2"])
def test_a_model_has_no_drift_from_itself(build: Any, tokenizer: Any, kind: str):
    assert drift(build(kind), build(kind), tokenizer, TEXTS, batch_size=2).kl == 0.0


@pytest.mark.parametrize("frozen", [False, True])
def test_an_adapter_is_compared_with_its_base_model(build: Any, tokenizer: Any, frozen: bool):
    model = get_peft_model(build("llama"), LoraConfig(r=2, target_modules=["q_proj", "v_proj"]))
    model.train()
    if frozen:
        model.requires_grad_(False)
    flags = [weight.requires_grad for weight in model.parameters()]
    assert drift(model, None, tokenizer, TEXTS) == Drift(0.0, 0.0, len(tokenizer_ids(tokenizer)), 3)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "lora_B" in name:
                weight.fill_(0.5)
    moved = drift(model, None, tokenizer, TEXTS)
    assert moved.kl > 0.01
    assert moved.kl == pytest.approx(drift(model, build("llama"), tokenizer, TEXTS).kl, rel=1e-4)
    assert [weight.requires_grad for weight in model.parameters()] == flags
    assert all(module.training for module in model.modules())


def test_long_texts_are_split_and_count_once(tokenizer: Any, bigrams: Any):
    base, model = bigrams(0), bigrams(1)
    long = " ".join(TEXTS * 20)
    found = drift(model, base, tokenizer, [long, "Rye."], max_length=30)
    whole = drift(model, base, tokenizer, [long, "Rye."])
    assert found.texts == 2
    # The first tokens of a part have a shorter context; no token is left out.
    assert found.kl == pytest.approx(whole.kl, rel=0.2)
    assert abs(found.tokens - whole.tokens) < 0.1 * whole.tokens


def test_models_and_texts_that_cannot_be_compared_are_an_error(
    tokenizer: Any, model: Any, bigrams: Any, model_of_bigrams: Any
):
    some = bigrams(0)
    with pytest.raises(ValueError, match="base=None needs a model with an adapter, but Bigrams has no adapter"):
        drift(some, None, tokenizer, TEXTS)
    with pytest.raises(ValueError, match=r"texts is empty\. Pass general texts"):
        drift(some, some, tokenizer, [])
    with pytest.raises(
        ValueError, match="vocabulary of the base model has 5 tokens, but the vocabulary of the model has"
    ):
        drift(some, model_of_bigrams(torch.zeros(len(tokenizer), 5)), tokenizer, TEXTS)

    class OneToken:
        def __call__(self, texts: list[str], **_: Any) -> dict[str, Any]:
            return {"input_ids": [[1] for _ in texts]}

    with pytest.raises(ValueError, match=r"All texts \(3\) have fewer than two tokens"):
        drift(some, some, OneToken(), TEXTS)  # type: ignore[arg-type]


# Sampled texts


def plainly(model: Any, tokenizer: Any, sampler: SampleRandom, tokens: int) -> str:
    """Return a text that is sampled token by token, with a forward pass over the whole text for each token."""
    ids: list[int] = [tokenizer.bos_token_id]
    for step in range(tokens):
        with torch.no_grad():
            logits = model(torch.tensor([ids]), use_cache=False).logits[:, -1]
        token = int(choose(*cumulative(logits, 1.0, 0), np.array([0]), np.array([sampler[step]]))[0])
        if token == tokenizer.eos_token_id:
            break
        ids.append(token)
    return tokenizer.decode(ids[1:], skip_special_tokens=True)


def test_texts_are_sampled_from_all_tokens_at_temperature_1(model: Any, tokenizer: Any):
    texts = sample_texts(model, tokenizer, 6, max_new_tokens=12, seed=4)
    plain = [plainly(model, tokenizer, SampleRandom(4, "text", 0, i), 12) for i in range(6)]
    assert texts[: len(plain)] == [text for text in plain if text.strip()][:6]
    assert any("\n" in text.strip() for text in sample_texts(model, tokenizer, 20, max_new_tokens=40))


def test_texts_depend_on_the_seed_only(model: Any, tokenizer: Any):
    states = random.getstate(), torch.get_rng_state()
    texts = sample_texts(model, tokenizer, 9, max_new_tokens=8)
    assert sample_texts(model, tokenizer, 9, max_new_tokens=8, batch_size=2) == texts
    assert sample_texts(model, tokenizer, 5, max_new_tokens=8) == texts[:5]
    assert not set(sample_texts(model, tokenizer, 9, max_new_tokens=8, seed=1)) & set(texts)
    assert len(texts) == 9
    assert all(text.strip() for text in texts)
    assert random.getstate() == states[0]
    assert torch.equal(torch.get_rng_state(), states[1])


def test_drift_on_texts_of_the_base_model_is_the_divergence_of_whole_texts():
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    base, other = (AutoModelForCausalLM.from_pretrained(TINY_BASE).requires_grad_(False) for _ in range(2))
    other.model.norm.weight *= 0.7
    texts = sample_texts(base, tokenizer, 40, max_new_tokens=24)
    found = drift(other, base, tokenizer, texts)
    # The mean of log p(text) - log q(text) is the divergence too, with more sampler.
    ratios = []
    for text in texts:
        ids = torch.tensor([tokenizer(text)["input_ids"]])
        logs = [model(ids, use_cache=False).logits[0, :-1].log_softmax(-1) for model in (base, other)]
        ratios.append([float((logs[0] - logs[1]).gather(-1, ids[0, 1:, None]).sum()), ids.shape[1] - 1])
    sums = np.array(ratios)
    mean = sums[:, 0].sum() / sums[:, 1].sum()
    error = np.sqrt(((sums[:, 0] - mean * sums[:, 1]) ** 2).sum()) / sums[:, 1].sum()
    assert found.kl > 5 * error
    assert abs(found.kl - mean) < 3 * error


def test_a_model_without_words_and_a_tokenizer_without_a_beginning_are_an_error(build: Any, tokenizer: Any):
    silent = build("gpt2")
    silent.generation_config.eos_token_id = list(range(len(tokenizer)))
    with pytest.raises(ValueError, match=r"30 texts, but only 0 of them contain a word\. At least 3 must contain"):
        sample_texts(silent, tokenizer, 3)
    with pytest.raises(ValueError, match="number=0, 1 prompt: give number=1 or more"):
        sample_texts(silent, tokenizer, 0)
    with pytest.raises(ValueError, match="batch_size=0: give an integer of at least 1"):
        sample_texts(silent, tokenizer, 1, batch_size=0)

    class Bare:
        bos_token_id = eos_token_id = None

    with pytest.raises(ValueError, match="Bare has neither a beginning nor an end token"):
        sample_texts(silent, Bare(), 1)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="Document '1': text contains only white space"):
        drift(silent, silent, tokenizer, ["Rye.", " "])
