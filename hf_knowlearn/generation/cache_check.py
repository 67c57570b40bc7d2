"""Checks that a model makes the same predictions with the cache and padding of the decoder as without them.

The check fails for models that do not store their state in the cache, such as Mamba, and for models that ignore the
mask of padding, such as RWKV.
"""

import logging
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np
import torch
from accelerate.utils.memory import should_reduce_batch_size

from hf_knowlearn.generation.causal_lm import eval_mode, unwrap_adapter
from hf_knowlearn.generation.decoding import Decoder, cache_rows

if TYPE_CHECKING:
    from transformers import PreTrainedModel

logger = logging.getLogger(__name__)

PROMPTS, STEPS = (12, 7), 6  # tokens of each prompt, and tokens after each
# Largest difference of logits, relative to the largest logit. Why: steps with a cache of some hybrid models differ by
# 0.002 from steps without it; a model without its state differs by about 1.
TOLERANCE, TOLERANCE_16_BIT = 0.01, 0.1

# What models raise for a cache or a mask that they do not support.
ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)

_results: "WeakKeyDictionary[PreTrainedModel, bool]" = WeakKeyDictionary()


def supports_decoder(model: "PreTrainedModel", pad: int) -> bool:
    """Whether `Decoder` computes what the model computes. The check runs once for each model object.

    All processes must call it, because a sharded model computes on all of them.
    """
    base = unwrap_adapter(model)
    if not hasattr(base, "generate"):
        return True  # Why: there is no other way to generate
    if base not in _results:
        try:
            _results[base] = _compare(model, pad)
        except ERRORS as error:
            if should_reduce_batch_size(error):
                return True  # Why: generation reports that memory ran out, with the fix
            logger.debug("The decoder does not work with %s: %r", type(base).__name__, error)
            _results[base] = False
        if not _results[base]:
            logger.warning(
                "%s (model type %s): the model's cache does not fit our decoder. Text is generated with transformers'"
                " generate instead, which takes longer.",
                type(base).__name__,
                base.config.model_type,
            )
    return _results[base]


def _compare(model: "PreTrainedModel", pad: int) -> bool:
    with torch.no_grad(), eval_mode(model):
        differences = _differences(model, pad)
    exact = next(model.parameters()).dtype in (torch.float32, torch.float64)
    return max(differences) <= (TOLERANCE if exact else TOLERANCE_16_BIT)


def _differences(model: "PreTrainedModel", pad: int) -> list[float]:
    """The difference of the logits of each prompt: the median over the steps."""
    # Why: special tokens, such as those of images, are at the start or the end of most vocabularies.
    size = model.config.get_text_config().vocab_size
    numbers = np.linspace(size // 8, size // 2, sum(PROMPTS) + 2 * STEPS).astype(int).tolist()
    prompts = [numbers[: PROMPTS[0]], numbers[-PROMPTS[1] :]]
    steps = [numbers[PROMPTS[0] :][:STEPS], numbers[PROMPTS[0] + STEPS :][:STEPS]]
    decoded = _decoder_logits(model, pad, prompts, steps)
    differences = []
    for row, prompt in enumerate(prompts):
        ids = torch.tensor([prompt + steps[row]], device=model.device)
        out = model(input_ids=ids, attention_mask=torch.ones_like(ids), use_cache=False)
        expected = out.logits[0, len(prompt) - 1 :].float().clamp(-1e4, 1e4)
        difference = (decoded[row] - expected).abs().amax(-1) / expected.abs().amax(-1)
        differences.append(float(difference.median()))
    return differences


def _decoder_logits(
    model: "PreTrainedModel", pad: int, prompts: list[list[int]], steps: list[list[int]]
) -> torch.Tensor:
    """Logits (prompts, steps + 1, vocabulary) of the decoder. The rows change places before each step."""
    decoder = Decoder(model, pad)
    logits, mask, cache = decoder.prefill(prompts)
    found, order, swap = [logits[:, -1]], [0, 1], torch.tensor([1, 0])
    for step in range(STEPS):
        order = order[::-1]
        cache = cache_rows(cache, swap, model.device, in_place=False)
        mask = torch.cat([mask.flip(0), mask.new_ones(2, 1)], dim=1)
        ids = torch.tensor([[steps[row][step]] for row in order], device=model.device)
        logits = decoder.forward(ids, mask, cache)[:, -1]
        found.append(logits if order == [0, 1] else logits.flip(0))
    return torch.stack(found, dim=1).float().clamp(-1e4, 1e4)
