"""Samples tokens with random numbers that do not depend on the batch, the process or an interruption.

A uniform random number for each token comes from a hash of the seed, the question id, the prompt number, the sample
number and the step. The inverse of the cumulative distribution turns this number into a token.
"""

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch

STEPS = 8  # number of random numbers in a hash of 64 bytes


@dataclass
class SampleRandom:
    """The random numbers of a sampled response: one for each token, uniform in [0, 1).

    The numbers are a hash of the fields, so they do not differ between machines.
    """

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
    """Return the possible next tokens of each row and their cumulative probabilities.

    Args:
        logits: (rows, vocabulary).
        top_k: Only this number of the most probable tokens is possible. With 0, all tokens are possible.

    Returns:
        The token ids in ascending order, and their cumulative probabilities. Both have the shape (rows, tokens).
    """
    scaled = logits.float() / temperature
    if 0 < top_k < scaled.shape[-1]:
        # Why tokens are sorted by id: the last bits of the logits depend on the batch. If tokens were sorted by
        # probability, these bits could swap two tokens.
        ids = scaled.topk(top_k).indices.sort().values
        scaled = scaled.gather(-1, ids)
    else:
        ids = torch.arange(scaled.shape[-1], device=scaled.device).expand_as(scaled)
    ends = scaled.softmax(-1).cpu().double().cumsum(-1)
    return ids.cpu().numpy(), (ends / ends[:, -1:]).numpy()


def choose(ids: np.ndarray, ends: np.ndarray, rows: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """Return the sampled token for each uniform random number.

    Args:
        ids, ends: The results of `cumulative`.
        rows: The row of each random number.
    """
    places = (ends[rows] <= uniform[:, None]).sum(-1)
    return ids[rows, np.minimum(places, ids.shape[1] - 1)]
