"""What generation needs to know of a model and its tokenizer: end tokens, padding, fingerprint."""

import hashlib
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import numpy as np
import torch

from hf_knowlearn.generation.decoding import Ends

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase
logger = logging.getLogger(__name__)


@torch.no_grad()
def fingerprint(model: "PreTrainedModel") -> str:
    """A hash of up to 64 numbers of every weight, spread evenly: training changes it, loading again does not."""
    digest = hashlib.blake2b(digest_size=8)
    for name, weight in model.named_parameters():
        flat = weight.detach().reshape(-1)
        some = flat[:: max(len(flat) // 64, 1)][:64].cpu()
        digest.update(f"{name} {tuple(weight.shape)}".encode() + bytes(some.contiguous().view(torch.uint8).tolist()))
    return digest.hexdigest()


@contextmanager
def in_eval_mode(model: "PreTrainedModel") -> Iterator[None]:
    """Dropout is off within; afterwards every module is as it was, those too that were not in training mode."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


def ends_of(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase") -> Ends:
    """What ends an answer of this model: a chat model may name more ends of a turn than its tokenizer."""
    theirs = getattr(getattr(_bare(model), "generation_config", None), "eos_token_id", None)
    named = [] if theirs is None else list(np.atleast_1d(theirs))
    return Ends(tokenizer, model.config.get_text_config().vocab_size, [int(id) for id in named])


def _bare(model: "PreTrainedModel") -> "PreTrainedModel":
    """The model inside an adapter."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def pad_id(tokenizer: "PreTrainedTokenizerBase") -> int:
    """The padding token, else the end token, else any: padding stands left and is masked, so it changes nothing."""
    return next((i for i in (tokenizer.pad_token_id, tokenizer.eos_token_id) if i is not None), 0)


def check_model(model: "PreTrainedModel") -> None:
    """Refuse what can't be asked so."""
    if _bare(model).config.is_encoder_decoder:
        raise ValueError(
            f"{type(_bare(model)).__name__} has an encoder; asking is for causal language models"
            " (AutoModelForCausalLM)."
        )
    if getattr(getattr(model, "active_peft_config", None), "is_prompt_learning", False):
        raise ValueError(
            f"{model.active_peft_config.peft_type} learns a prompt, which asking would leave out: use an adapter of"
            " the weights (LoRA), or call model.generate."
        )
