"""Loads a fine-tuned model in one of its variants.

An adapter can be separate from its base model or merged into it. Weights can be quantised, except with a merged
adapter.
"""

from typing import TYPE_CHECKING, Any

from hf_knowlearn.models.base_model import ADAPTER, BASE_MODEL
from hf_knowlearn.models.loading import (
    ModelSettings,
    load_adapter,
    load_errors,
    load_model,
    load_tokenizer,
)
from hf_knowlearn.models.merging import merge_adapter
from hf_knowlearn.models.sources import Source
from hf_knowlearn.models.tokenizers import check_embeddings

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load_variant(
    source: Source, *, merged: bool = False, bits: int | None = None, dtype: str | None = None
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load a model and its tokenizer for generation.

    Args:
        merged: Merge the adapter into its base model.
        bits: 4 or 8 to quantise the weights. With an adapter, only the weights of the base model are quantised.
        dtype: Dtype of the weights. None selects `compute_dtype()` if there is an adapter or `bits` is given, and the
            stored dtype otherwise.

    Raises:
        ValueError: The model cannot be loaded, or the adapter cannot be merged (see `check_mergeable`).
    """
    if merged:
        check_mergeable(source, bits)
    settings = ModelSettings(
        source.base or source.weights,
        source.base_revision if source.base else source.revision,
        dtype=dtype or (compute_dtype() if source.base or bits else "auto"),
        load_in_4bit=bits == 4,
        load_in_8bit=bits == 8,
        label=_label(source),
    )
    tokenizer, model = variant_tokenizer(source), load_model(settings)
    check_embeddings(model, tokenizer, source.name)
    if source.base:
        model = load_adapter(model, source.weights, revision=source.revision, label=source.name)
    if merged:
        model = merge_adapter(model)
    return model.eval(), tokenizer


def variant_tokenizer(source: Source) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model, or of its base model if an adapter has no tokenizer of its own."""
    if source.has_tokenizer or source.base is None:
        return load_tokenizer(ModelSettings(source.weights, source.revision, label=source.name))
    return load_tokenizer(ModelSettings(source.base, source.base_revision, label=_label(source)))


def check_mergeable(source: Source, bits: int | None = None) -> None:
    """Raise a `ValueError` if there is no adapter to merge, or if its base model is quantised.

    Why: PEFT also merges an adapter into 4-bit weights, but rounding then removes most of what the adapter learned.
    """
    from transformers import AutoConfig

    if source.base is None:
        raise ValueError(f"{source.name}: this is a model without an adapter, so there is nothing to merge.")
    if bits is not None:
        raise ValueError(
            f"{source.name}: merged=True with bits={bits}: rounding would remove what the adapter learned. Give only"
            " merged or only bits."
        )
    with load_errors(source.base, _label(source)):
        config = AutoConfig.from_pretrained(source.base, revision=source.base_revision)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(
            f"{_label(source)} has quantised weights, in which rounding would remove what the adapter learned. Use the"
            " adapter without merging it. Or write the name of the same model with unquantised weights into"
            f" base_model_name_or_path of the adapter's {ADAPTER}, and delete {BASE_MODEL} from that folder."
        )


def describe_variant(source: Source, model: Any, merged: bool) -> str:
    """Return a description of the variant and its precision, such as "adapter on base, 4 bits"."""
    precision = str(model.dtype).removeprefix("torch.")
    for bits in (4, 8):
        if getattr(model, f"is_loaded_in_{bits}bit", False):
            precision = f"{bits} bits"
    if source.base is None:
        return f"whole, {precision}"
    return f"merged, {precision}" if merged else f"adapter on base, {precision}"


def compute_dtype() -> str:
    """Return the default dtype for the training of an adapter on this device."""
    import torch
    from accelerate import PartialState

    if PartialState().device.type != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"


def _label(source: Source) -> str:
    return f"{source.name}: its base model {source.base}" if source.base else source.name
