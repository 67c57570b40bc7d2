"""Sampling whose noise is a function of (seed, question id, prompt number, sample number, step) and of nothing else.

One uniform number a token, by hashing, then the inverse of the cumulative distribution: batch size, order, ranks and
resuming change no draw. The surprising decision: tokens are laid on the unit interval in the order of their ids, not
of their probabilities, because the last bits of a logit depend on the batch it was computed in, and would swap two
near-equal tokens and all the room they take; in the order of ids they move a border by as little as themselves.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch

STEPS = 8  # numbers that one digest of 64 bytes gives


@dataclass
class SampleRandom:
    """The uniform numbers in [0, 1) of one sample, a token each; the same on every machine."""

    seed: int
    question: str
    prompt: int
    sample: int
    _drawn: list[float] = field(default_factory=list, repr=False)

    def __getitem__(self, step: int) -> float:
        while step >= len(self._drawn):
            key = repr((self.seed, self.question, self.prompt, self.sample, len(self._drawn) // STEPS))
            digest = np.frombuffer(hashlib.blake2b(key.encode(), digest_size=8 * STEPS).digest(), dtype="<u8")
            self._drawn.extend(((digest >> 11) * 2.0**-53).tolist())
        return self._drawn[step]


def cumulative(logits: torch.Tensor, temperature: float, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The tokens that may follow, ascending, and the upper ends of their stretches of [0, 1).

    Args:
        logits: (rows, vocabulary).
        top_k: how many of the most probable tokens may follow; 0 for all of them.

    Returns:
        ids and upper ends, both (rows, top_k).
    """
    scaled = logits.float() / temperature
    if 0 < top_k < scaled.shape[-1]:
        ids = scaled.topk(top_k).indices.sort().values
        scaled = scaled.gather(-1, ids)
    else:
        ids = torch.arange(scaled.shape[-1], device=scaled.device).expand_as(scaled)
    ends = scaled.softmax(-1).cpu().double().cumsum(-1)
    return ids.cpu().numpy(), (ends / ends[:, -1:]).numpy()


def choose(ids: np.ndarray, ends: np.ndarray, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The token whose stretch each number of `uniform` falls in, of the distribution in row `rows` of the others."""
    places = (ends[rows] <= uniform[:, None]).sum(-1)
    return ids[rows, np.minimum(places, ids.shape[1] - 1)]
