"""Checks whether `Decoder` can be used with a model.

`Decoder` uses a key-value cache and padding. Both must leave the logits of the model unchanged. A cache changes the
logits of a model that stores its state elsewhere, such as Mamba. Padding changes the logits of a model that ignores
the attention mask, such as RWKV.
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

PROMPTS, STEPS = (12, 7), 6  # number of tokens of each prompt, and number of tokens generated after it
# Largest difference of logits, relative to the largest logit. Why 0.01: with a cache, the logits of some hybrid models
# change by 0.002. If a model loses its state, they change by about 1.
TOLERANCE, TOLERANCE_16_BIT = 0.01, 0.1

# The errors of models that do not support the cache or the mask.
ERRORS = (RuntimeError, TypeError, ValueError, AttributeError, LookupError, AssertionError)

_results: "WeakKeyDictionary[PreTrainedModel, bool]" = WeakKeyDictionary()


def supports_decoder(model: "PreTrainedModel", pad: int) -> bool:
    """Return whether `Decoder` computes the same logits as the model itself. Each model object is checked only once.

    All processes must call this function, because a sharded model computes logits only if all processes take part.
    """
    base = unwrap_adapter(model)
    if not hasattr(base, "generate"):
        return True  # Why: the alternative, `ReferenceDecoder`, needs `generate`.
    if base not in _results:
        try:
            _results[base] = _compare(model, pad)
        except ERRORS as error:
            if should_reduce_batch_size(error):
                return True  # Why: if memory runs out, generation raises an error that names the fix.
            logger.debug("Decoder cannot be used with %s: %r", type(base).__name__, error)
            _results[base] = False
        if not _results[base]:
            logger.warning(
                "%s (model type %s): the fast decoder does not support this model. generate of transformers is used"
                " instead, which takes longer.",
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
    """Return, for each prompt, how far the logits of `Decoder` differ from those of the model.

    The difference is relative to the largest logit, and is a median over several tokens.
    """
    # Why the middle of the vocabulary: most vocabularies have special tokens, such as image tokens, at an end.
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
    """Return the logits (prompts, steps + 1, vocabulary) of `Decoder`.

    The two rows are swapped before each step, because `Decoder` also reorders the rows of the cache.
    """
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
