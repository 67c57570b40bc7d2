"""Prepares a causal language model for generation: checks, stop tokens, padding token and evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hf_knowlearn.generation.jobs import StopTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_causal_lm(model: "PreTrainedModel") -> None:
    """Raise a `ValueError` if the model has an encoder or an adapter that learns a prompt."""
    base = unwrap_adapter(model)
    if base.config.is_encoder_decoder:
        raise ValueError(f"{type(base).__name__} has an encoder. Use a causal language model (AutoModelForCausalLM).")
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise ValueError(
            f"An adapter of type {model.active_peft_config.peft_type.value} learns a prompt, and this prompt would be"
            " ignored here. Use an adapter that changes the weights, such as LoRA, or call model.generate."
        )


def unwrap_adapter(model: "PreTrainedModel") -> "PreTrainedModel":
    """Return the base model of a model with an adapter. Return a model without an adapter unchanged."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def stop_tokens(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", turn_end: int | None = None
) -> StopTokens:
    """Return the tokens that end a response, including the end tokens in the model's generation configuration."""
    named = getattr(getattr(unwrap_adapter(model), "generation_config", None), "eos_token_id", None)
    ids = [] if named is None else [int(id) for id in np.atleast_1d(named)]
    return StopTokens(tokenizer, model.config.get_text_config().vocab_size, ids, turn_end)


def pad_token_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """Return the id of the padding token, or of any other token if there is none. Padding is masked anyway."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


@contextmanager
def eval_mode(model: "PreTrainedModel") -> Iterator[None]:
    """Within the block, put all modules into evaluation mode, and turn router logits off.

    Why: TRL turns router logits on for a mixture of experts, and the router's loss fails when the model uses a cache.
    """
    modes = [(module, module.training) for module in model.modules()]
    config = unwrap_adapter(model).config.get_text_config()
    router_logits = getattr(config, "output_router_logits", None)
    model.eval()
    if router_logits:
        config.output_router_logits = False
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode
        if router_logits:
            config.output_router_logits = router_logits
