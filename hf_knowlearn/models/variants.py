"""Forms: a taught model as it can be used: an adapter over its base, merged into it, or quantised.

The surprising decision: what is merged is never quantised before. `merge_and_unload` would merge into 4-bit weights
without a word, and round most of what was learned away; so a base that only exists quantised is refused.
"""

from functools import partial
from typing import TYPE_CHECKING, Any

from hf_knowlearn.models.loading import pretrained, refuse_odd_widths
from hf_knowlearn.models.sources import Source

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    source: Source, *, merged: bool = False, bits: int | None = None, dtype: str | None = None, **quantised: Any
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """The model, ready to be asked, and its tokenizer.

    Args:
        merged: an adapter becomes a part of its base.
        bits: 4 or 8, of the weights (under an adapter, of the base's); None: as they are stored.
        dtype: of the weights. None: as stored; under an adapter and in bits that of the computation, as in training.
        quantised: more of how, by the names of TRL's ModelConfig.

    Raises:
        ValueError: it can't be loaded; or it is to be merged, and is no adapter or its base is quantised.
    """
    from accelerate import PartialState
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import ModelConfig, get_quantization_config

    if merged:
        refuse_merging(source, bits)
    device = PartialState().device
    dtype = dtype or (_computing(device.type) if source.base or bits else "auto")
    quantization = None
    if bits is not None:
        quantization = get_quantization_config(ModelConfig(dtype=dtype, **{f"load_in_{bits}bit": True}, **quantised))
    name, revision = (source.base, source.base_revision) if source.base else (source.weights, source.revision)
    what = f"{source.name}: its base {name}" if source.base else source.name
    at = (source.weights, source.revision) if source.has_tokenizer else (name, revision)
    tokenizer = pretrained(AutoTokenizer.from_pretrained, at[0], source.name, revision=at[1])
    from_pretrained = AutoModelForCausalLM.from_pretrained
    model = pretrained(from_pretrained, name, what, revision=revision, dtype=dtype, quantization_config=quantization)
    refuse_odd_widths(model, what)
    if source.base:
        model = _adapted(model, source)
    if merged:
        model = model.merge_and_unload(safe_merge=True)
    if not getattr(model, "is_quantized", False):  # bitsandbytes has put it where it belongs
        model.to(device)
    return model.eval(), tokenizer


def _adapted(model: "PreTrainedModel", source: Source) -> Any:
    from peft import PeftModel

    try:
        over = partial(PeftModel.from_pretrained, model)
        return pretrained(over, source.weights, source.name, revision=source.revision)
    except RuntimeError as error:  # torch's, of weights of another shape
        raise ValueError(f"{source.name}: doesn't fit its base {source.base}: {error}") from error


def refuse_merging(source: Source, bits: int | None = None) -> None:
    """Refuse what can't be merged, or not without loss."""
    from transformers import AutoConfig

    if source.base is None:
        raise ValueError(f"{source.name}: a whole model, so there is nothing to merge.")
    if bits is not None:
        raise ValueError(f"{source.name}: merging into {bits} bits rounds away what was learned: merge unquantised.")
    what = f"{source.name}: its base {source.base}"
    config = pretrained(AutoConfig.from_pretrained, source.base, what, revision=source.base_revision)
    if getattr(config, "quantization_config", None) is not None:
        raise ValueError(
            f"{source.name}: its base {source.base} is there in quantised weights only, and merging into these rounds"
            " away what was learned. Use the adapter over it as it is; or write the name of the same model unquantised"
            " into base_model_name_or_path of its adapter_config.json."
        )


def told(source: Source, model: "PreTrainedModel", merged: bool) -> str:
    """The form in words: of what parts, and in which precision."""
    bits = [f"{bits} bits" for bits in (4, 8) if getattr(model, f"is_loaded_in_{bits}bit", False)]
    precision = bits[0] if bits else str(model.dtype).removeprefix("torch.")
    parts = "whole" if source.base is None else "merged" if merged else "adapter over base"
    return f"{parts}, {precision}"


def _computing(device: str) -> str:
    """The dtype that a run with an adapter computes in where nothing else is asked for, as `recipe` chooses it."""
    import torch

    if device != "cuda":
        return "float32"
    return "bfloat16" if torch.cuda.is_bf16_supported(including_emulation=False) else "float16"
