"""Sampling that depends on (seed, question id, prompt number, sample number, step) only.

A hash gives one uniform number for each token, and the inverse of the cumulative distribution turns it into a token.
Batch size, order, number of processes and interruptions do not change the samples.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch

STEPS = 8  # number of random numbers in a digest of 64 bytes


@dataclass
class SampleRandom:
    """The uniform random numbers in [0, 1) of one sample, one for each token. They are the same on every machine."""

    seed: int
    question: str
    prompt: int
    sample: int
    _numbers: list[float] = field(default_factory=list, repr=False)

    def __getitem__(self, step: int) -> float:
        while step >= len(self._numbers):
            key = repr((self.seed, self.question, self.prompt, self.sample, len(self._numbers) // STEPS))
            digest = np.frombuffer(hashlib.blake2b(key.encode(), digest_size=8 * STEPS).digest(), dtype="<u8")
            self._numbers.extend(((digest >> 11) * 2.0**-53).tolist())
        return self._numbers[step]


def cumulative(logits: torch.Tensor, temperature: float, top_k: int) -> tuple[np.ndarray, np.ndarray]:
    """The possible next tokens and their cumulative probabilities.

    Args:
        logits: (rows, vocabulary).
        top_k: only this number of the most probable tokens is possible. 0: all tokens are possible.

    Returns:
        Token ids in ascending order, and cumulative probabilities. Both are (rows, top_k).
    """
    scaled = logits.float() / temperature
    if 0 < top_k < scaled.shape[-1]:
        # Why tokens are sorted by id, not by probability: the last bits of a logit depend on the batch. In the order
        # of probability, they could swap two tokens. In the order of ids, they only move a border slightly.
        ids = scaled.topk(top_k).indices.sort().values
        scaled = scaled.gather(-1, ids)
    else:
        ids = torch.arange(scaled.shape[-1], device=scaled.device).expand_as(scaled)
    ends = scaled.softmax(-1).cpu().double().cumsum(-1)
    return ids.cpu().numpy(), (ends / ends[:, -1:]).numpy()


def choose(ids: np.ndarray, ends: np.ndarray, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """The sampled token for each number in `uniform`. Each number has a row, whose distribution is in `ids` and
    `ends`."""
    places = (ends[rows] <= uniform[:, None]).sum(-1)
    return ids[rows, np.minimum(places, ids.shape[1] - 1)]
