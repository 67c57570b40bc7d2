"""Merging: the merged model has the logits of the adapter on its base, also after it is saved and loaded."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from peft import IA3Config, LoraConfig, PromptTuningConfig, get_peft_model
from tiny_models import new_tiny_model
from transformers import AutoModelForCausalLM

from hf_knowlearn.models import merging
from hf_knowlearn.models.loading import ModelSettings, load_adapter, load_model
from hf_knowlearn.models.merging import merge_adapter

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning:peft")  # of changed embeddings and of Conv1D

KINDS = ("llama", "gemma2, every other layer a window of 24", "gpt2")
# Adapters as lists: what LoRA changes, what is trained as a whole, and the other options.
ADAPTERS: dict[str, tuple[list[str], list[str], dict[str, Any]]] = {
    "attention": ([], [], {}),
    "lm_head": (["lm_head"], [], {}),
    "embeddings": (["EMBEDDINGS"], [], {}),
    "both embeddings": (["EMBEDDINGS", "lm_head"], [], {}),
    "lm_head with DoRA": (["lm_head"], [], {"use_dora": True}),
    "saved lm_head": ([], ["lm_head"], {}),
    "saved embeddings": ([], ["EMBEDDINGS"], {}),
    "saved both": ([], ["EMBEDDINGS", "lm_head"], {}),
    "saved both, tied": ([], ["EMBEDDINGS", "lm_head"], {"ensure_weight_tying": True}),
    "LoRA on lm_head, saved embeddings": (["lm_head"], ["EMBEDDINGS"], {}),
    "some tokens": ([], [], {"trainable_token_indices": [3, 4]}),
    "DoRA": ([], [], {"use_dora": True}),
    "rsLoRA": ([], [], {"use_rslora": True}),
}
IDS = torch.arange(1, 31).reshape(2, 15)


def new_model(kind: str, tied: bool) -> Any:
    torch.manual_seed(0)
    return new_tiny_model(kind, tie_word_embeddings=tied, vocab_size=37, initializer_range=0.5).eval()


def new_adapter(kind: str, tied: bool, adapter: str) -> Any:
    """An adapter with random weights, also where PEFT starts with zeros."""
    names = {"EMBEDDINGS": "wte" if kind == "gpt2" else "embed_tokens"}
    changed, saved, options = ADAPTERS[adapter]
    attention = ["c_attn"] if kind == "gpt2" else ["q_proj", "v_proj"]
    config = LoraConfig(
        target_modules=[*attention, *(names.get(name, name) for name in changed)],
        modules_to_save=[names.get(name, name) for name in saved] or None,
        **options,
    )
    return randomised(get_peft_model(new_model(kind, tied), config))


def randomised(model: Any) -> Any:
    torch.manual_seed(1)
    for weight in model.parameters():
        if weight.requires_grad:
            weight.data += 0.3 * torch.randn_like(weight)
    return model.eval()


def logits(model: Any) -> torch.Tensor:
    with torch.no_grad():
        return model(IDS).logits


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("adapter", ADAPTERS)
@pytest.mark.parametrize("kind", KINDS)
def test_a_merged_model_has_the_logits_of_the_adapter_also_after_reloading(
    tmp_path: Path, kind: str, adapter: str, tied: bool
):
    new_model(kind, tied).save_pretrained(tmp_path / "base")
    new_adapter(kind, tied, adapter).save_pretrained(tmp_path / "adapter")
    base = load_model(ModelSettings(str(tmp_path / "base"), device="cpu"))
    unchanged = logits(base.eval())
    adapted = load_adapter(base, str(tmp_path / "adapter")).eval()
    expected = logits(adapted)
    assert (expected - unchanged).abs().max() > 1
    merged = merge_adapter(adapted)
    torch.testing.assert_close(logits(merged), expected, atol=1e-3, rtol=0)
    merged.save_pretrained(tmp_path / "merged")
    reloaded = AutoModelForCausalLM.from_pretrained(tmp_path / "merged").eval()
    torch.testing.assert_close(logits(reloaded), logits(merged), atol=1e-5, rtol=0)


@pytest.mark.parametrize(("adapter", "stays_tied"), [("attention", True), ("lm_head", False), ("saved both", False)])
def test_embeddings_are_untied_only_if_the_adapter_changes_them(
    adapter: str, stays_tied: bool, caplog: pytest.LogCaptureFixture
):
    with caplog.at_level(logging.INFO, "hf_knowlearn"):
        merged = merge_adapter(new_adapter("llama", True, adapter))
    assert ("so the merged model has separate ones" in caplog.text) is not stays_tied
    assert merged.config.tie_word_embeddings is stays_tied
    assert (merged.lm_head.weight is merged.model.embed_tokens.weight) is stays_tied


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_rounding_in_a_small_dtype_is_not_an_error(dtype: torch.dtype):
    adapted = new_adapter("llama", False, "attention").to(dtype)
    expected = logits(adapted)
    assert not torch.equal(logits(merge_adapter(adapted)), expected)


def test_a_merged_model_with_other_logits_is_an_error_that_names_tied_embeddings(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(merging, "_untie_adapted_embeddings", lambda _: None)
    with pytest.raises(ValueError, match=r"changes the logits of the model by up to \d.*tie_word_embeddings"):
        merge_adapter(new_adapter("llama", True, "lm_head"))


def test_a_merged_model_with_other_logits_is_an_error(monkeypatch: pytest.MonkeyPatch):
    adapted = new_adapter("llama", False, "attention")
    monkeypatch.setattr(adapted.base_model, "merge_and_unload", lambda **_: new_model("llama", False))
    with pytest.raises(ValueError, match=r"changes the logits.*more than rounding in float32\. Merge in float32"):
        merge_adapter(adapted)


def test_dropout_is_off_while_logits_are_compared_and_the_mode_is_restored():
    config = LoraConfig(target_modules=["q_proj"], lora_dropout=0.5)
    adapted = randomised(get_peft_model(new_model("llama", False), config)).train()
    assert merge_adapter(adapted).training


def test_another_adapter_of_weights_is_merged():
    adapted = randomised(get_peft_model(new_model("llama", True), IA3Config(task_type="CAUSAL_LM")))
    expected = logits(adapted)
    torch.testing.assert_close(logits(merge_adapter(adapted)), expected, atol=1e-3, rtol=0)


def test_an_adapter_that_learns_a_prompt_cannot_be_merged():
    config = PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=2)
    with pytest.raises(ValueError, match="An adapter of type PROMPT_TUNING cannot be merged"):
        merge_adapter(get_peft_model(new_model("llama", False), config))


def test_merging_into_a_quantised_model_is_an_error():
    with pytest.raises(ValueError, match="cannot be merged into a quantised model"):
        merge_adapter(SimpleNamespace(is_quantized=True))


@pytest.mark.parametrize("adapter", ["attention", "saved lm_head"])
def test_merging_weights_that_are_not_finite_is_an_error(adapter: str):
    adapted = new_adapter("llama", False, adapter)
    for name, weight in adapted.named_parameters():
        if ("lora_B" if adapter == "attention" else "lm_head") in name and weight.requires_grad:
            weight.data.fill_(float("nan"))
    with pytest.raises(ValueError, match=r"NaNs detected in the merged weights|by up to nan"):
        merge_adapter(adapted)
