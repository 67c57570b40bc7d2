"""Helps generation with a causal language model: checks, stop tokens, padding, and evaluation mode."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np

from hf_knowlearn.generation.jobs import StopTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def check_causal_lm(model: "PreTrainedModel") -> None:
    """Raise ValueError for a model with an encoder and for an adapter that learns a prompt."""
    base = unwrap_adapter(model)
    if base.config.is_encoder_decoder:
        raise ValueError(
            f"{type(base).__name__} has an encoder. Generation needs a causal language model (AutoModelForCausalLM)."
        )
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise ValueError(
            f"{model.active_peft_config.peft_type} learns a prompt, which generation would ignore: use an adapter of"
            " the weights (LoRA), or call model.generate."
        )


def unwrap_adapter(model: "PreTrainedModel") -> "PreTrainedModel":
    """The model inside an adapter, or the model itself."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def stop_tokens(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", turn_end: int | None = None
) -> StopTokens:
    """The tokens that end a response of this model, including those in its generation config."""
    named = getattr(getattr(unwrap_adapter(model), "generation_config", None), "eos_token_id", None)
    ids = [] if named is None else [int(id) for id in np.atleast_1d(named)]
    return StopTokens(tokenizer, model.config.get_text_config().vocab_size, ids, turn_end)


def pad_token_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The padding token. Without a padding token, the end token; without both, 0. Padding is masked, so its value has
    no effect."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


@contextmanager
def eval_mode(model: "PreTrainedModel") -> Iterator[None]:
    """Put all modules into evaluation mode without router logits, and restore the state of each on exit.

    Why: TRL turns on router logits in the config of a mixture of experts. The loss of the router fails with a cache.
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
