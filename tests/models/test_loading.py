"""Loading: what is loaded, and the errors that name the model and the fix."""

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_models import new_tiny_model

from hf_knowlearn.models.loading import ModelSettings, load_adapter, load_model, model_path
from hf_knowlearn.models.merging import merge_adapter
from hf_knowlearn.paths import TINY_BASE


def small_model(width: int = 8) -> Any:
    torch.manual_seed(0)
    return new_tiny_model("llama", vocab_size=11, hidden_size=width)


def save_adapter(model: Any, folder: Path) -> Any:
    adapted = get_peft_model(model, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(folder)
    return adapted


def test_a_saved_model_is_loaded_in_the_dtype_of_the_settings(tmp_path: Path):
    small_model().save_pretrained(tmp_path)
    loaded = load_model(ModelSettings(str(tmp_path), dtype="bfloat16", device="cpu"))
    assert loaded.dtype == torch.bfloat16
    assert load_model(ModelSettings(str(tmp_path), device="cpu")).dtype == torch.float32


def test_the_tiny_base_is_a_folder_of_the_package():
    assert model_path("tiny_base") == str(TINY_BASE)
    assert model_path("owner/name") == "owner/name"


def test_an_adapter_can_be_trainable_and_merging_gives_its_logits(tmp_path: Path):
    adapted = save_adapter(small_model(), tmp_path)
    frozen, trainable = (
        load_adapter(small_model(), str(tmp_path), trainable=trainable) for trainable in (False, True)
    )
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert {name for name, weight in trainable.named_parameters() if weight.requires_grad} == {
        name for name, _ in trainable.named_parameters() if "lora_" in name
    }
    ids = torch.tensor([[1, 2, 3]])
    with torch.no_grad():
        torch.testing.assert_close(merge_adapter(frozen)(ids).logits, adapted.eval()(ids).logits)


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/model", "a/b/c"])
def test_a_missing_folder_is_an_error_that_starts_with_the_label(name: str):
    with pytest.raises(ValueError, match=r"^--model x: there is no such folder"):
        load_model(ModelSettings(name, label="--model x"))


def test_an_adapter_of_another_shape_is_an_error(tmp_path: Path):
    save_adapter(small_model(), tmp_path)
    with pytest.raises(
        ValueError,
        match=r"^mine: the adapter does not fit the base model .*Use the base model that the adapter was trained on",
    ):
        load_adapter(small_model(width=16), str(tmp_path), label="mine")
