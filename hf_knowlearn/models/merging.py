"""Merges an adapter into its base model, and checks that merging does not change the logits."""

import logging
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

NUM_TOKENS = 64  # number of tokens in the rows whose logits are compared
# The largest difference that rounding can cause: the norm of the difference of the logits, relative to the norm of the
# logits.
TOLERANCE = {"bfloat16": 0.15, "float16": 0.05}
TOLERANCE_FLOAT32 = 1e-3
TOLERANCE_TF32 = 0.01  # Why: with tf32, a GPU multiplies float32 numbers with 10 bits of precision


def merge_adapter(model: Any) -> "PreTrainedModel":
    """Add an adapter's weights to the weights of its base model, and return this model without the adapter.

    If the base model has tied embeddings and the adapter changes them, the embeddings of the merged model are not
    tied. Its configuration then has `tie_word_embeddings=False`.

    Args:
        model: A `PeftModel`, whose active adapter is merged.

    Raises:
        ValueError: The base model is quantised, adapters of this type cannot be merged, a merged weight is not finite,
            or the logits change by more than rounding.
    """
    if getattr(model, "is_quantized", False):
        raise ValueError(
            "An adapter cannot be merged into a quantised model, because rounding would remove what the adapter"
            " learned. Load the base model without load_in_4bit and load_in_8bit."
        )
    if not hasattr(model, "merge_and_unload"):
        raise ValueError(
            f"An adapter of type {model.active_peft_config.peft_type.value} cannot be merged, because it does not"
            " change the weights of the base model. Use the adapter without merging it."
        )
    was_training = model.training
    base = model.eval().get_base_model()
    was_tied = getattr(base.config, "tie_word_embeddings", False)
    before = _logits(base)
    _untie_adapted_embeddings(base)
    merged: PreTrainedModel = model.merge_and_unload(safe_merge=True)
    _record_untied_embeddings(merged)
    if was_tied and not merged.config.tie_word_embeddings:
        logger.info("The adapter changed embeddings with shared weights, so the merged model has separate ones.")
    _check_equal(before, _logits(merged), merged)
    return merged.train(was_training)


def _logits(model: "PreTrainedModel") -> "torch.Tensor":
    """Return the logits (2, `NUM_TOKENS` / 2, vocabulary) of tokens that are evenly spaced in the vocabulary."""
    import torch

    weight = model.get_input_embeddings().weight
    ids = torch.linspace(0, len(weight) - 1, NUM_TOKENS, device=weight.device).long().reshape(2, -1)
    with torch.no_grad():
        logits: torch.Tensor = model(input_ids=ids).logits.float()
    return logits


def _untie_adapted_embeddings(model: "PreTrainedModel") -> None:
    """Untie the output embeddings from the input embeddings if an adapter changes either of them.

    Why: PEFT merges the change of one of them into the shared weights, and thereby changes both.
    """
    from peft.tuners.tuners_utils import BaseTunerLayer
    from torch import nn

    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    is_adapted = any(isinstance(layer, BaseTunerLayer) for layer in (inputs, outputs))
    if is_adapted and outputs is not None and outputs.weight is inputs.weight:
        layer = outputs.get_base_layer() if isinstance(outputs, BaseTunerLayer) else outputs
        layer.weight = nn.Parameter(layer.weight.detach().clone(), requires_grad=layer.weight.requires_grad)
        _record_untied_embeddings(model)  # Why: otherwise PEFT warns that the embeddings are tied


def _record_untied_embeddings(model: "PreTrainedModel") -> None:
    """Set `tie_word_embeddings=False` in the configuration of a model whose embeddings do not share weights.

    Why: with `tie_word_embeddings=True`, only one of the two weights is saved and loaded.
    """
    inputs, outputs = model.get_input_embeddings(), model.get_output_embeddings()
    if outputs is None or outputs.weight is inputs.weight:
        return
    for config in (model.config, model.config.get_text_config()):
        if getattr(config, "tie_word_embeddings", False):
            config.tie_word_embeddings = False


def _check_equal(before: "torch.Tensor", after: "torch.Tensor", model: "PreTrainedModel") -> None:
    """Raise a `ValueError` if merging changed the logits by more than rounding in the model's dtype."""
    dtype = str(model.dtype).removeprefix("torch.")
    difference = float((after - before).norm() / before.norm().clamp_min(1e-9))
    tolerance = TOLERANCE.get(dtype, TOLERANCE_FLOAT32 if model.device.type == "cpu" else TOLERANCE_TF32)
    if difference <= tolerance:  # Why not ">": the difference may be NaN
        return
    fix = "Merge in float32 (--dtype float32), or use the adapter without merging it."
    if model.config.get_text_config().tie_word_embeddings:
        fix = (
            "The input and output embeddings of the base model share their weights (tie_word_embeddings), so an"
            " adapter of embed_tokens or lm_head changes both. Use the adapter without merging it. Or save the base"
            " model with separate weights and tie_word_embeddings=False, and train the adapter on that model."
        )
    largest = float((after - before).abs().max())
    raise ValueError(
        f"Merging the adapter into its base model changes the logits of the model by up to {largest:.3g}"
        f" ({difference:.1%} of their norm), which is more than rounding in {dtype}. {fix}"
    )
