"""Decodes several responses to each of many prompts. Tokens that prompts or responses share are computed only once.

Prompts with the same prefix key share the cache of their common prefix. Responses to a prompt share a row of the batch
until their tokens differ, so 16 similar samples cost little more than one. Rows are padded on the left.
"""

import copy
import inspect
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from hf_knowlearn.generation.causal_lm import unwrap_adapter
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, PrefixKey, StopTokens
from hf_knowlearn.generation.kv_cache import GROWTH, PreallocatedLayer, assign_rows
from hf_knowlearn.generation.progress import GENERATED
from hf_knowlearn.generation.sampling import SampleRandom, choose, cumulative
from hf_knowlearn.generation.settings import GenerationSettings

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MIN_PREFIX = 16  # number of tokens; to copy a shorter prefix takes longer than to compute it

Ids = Sequence[int]


@dataclass
class Branch:
    """Rows of a batch that are decoded together. Responses that have equal tokens so far share a row."""

    cache: Cache
    cache_rows: int
    parents: np.ndarray  # (rows,): the row of `cache` that each row continues
    mask: torch.Tensor  # (rows, tokens so far), false on padding
    tokens: np.ndarray  # (rows, tokens of the response so far)
    responses: np.ndarray  # numbers of the responses
    rows: np.ndarray  # (responses,): the row of each response
    owns_cache: bool = True  # whether no other branch continues `cache`


class Decoder:
    """Generates responses. The caller puts the model into evaluation mode and turns gradients off.

    Args:
        model: A causal language model, with or without an adapter.
        pad: The padding token. It is masked, so any token can be used.
        stop_tokens: The tokens that end a response. Only `decode` needs them.
        settings: Only the settings `max_new_tokens`, `temperature` and `top_k` are used.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        pad: int,
        stop_tokens: StopTokens | None = None,
        settings: GenerationSettings | None = None,
    ) -> None:
        self.model, self.pad, self.stop_tokens = model, pad, stop_tokens
        self.settings = settings or GenerationSettings()
        base = unwrap_adapter(model)
        self.config = base.config
        self.accepts = inspect.signature(base.forward).parameters
        # Why: prefixes are shared only if the cache stores all of their tokens, unlike a sliding window or a state.
        layers = DynamicCache(config=self.config).layers
        self.stores_everything = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
        self.prefix_lengths: dict[PrefixKey, int] = {}
        self.prefix_cache: dict[PrefixKey, list[tuple[torch.Tensor, torch.Tensor]]] = {}
        self.advanced: Callable[[float], None] = lambda work: None  # receives work that is done

    def find_prefixes(self, rows: Sequence[Ids], keys: Sequence[PrefixKey]) -> None:
        """For each key, store in `prefix_lengths` the length of the prefix that all rows with this key share.

        The last token of a row never belongs to the prefix. Prefixes of fewer than `MIN_PREFIX` tokens are not stored.
        """
        self.prefix_cache.clear()
        members: dict[PrefixKey, list[Ids]] = defaultdict(list)
        for ids, key in zip(rows, keys, strict=True):
            members[key].append(ids)
        lengths = {
            key: min(_common_prefix(some), min(map(len, some)) - 1)
            for key, some in members.items()
            if len(some) > 1 and self.stores_everything
        }
        self.prefix_lengths = {key: length for key, length in lengths.items() if length >= MIN_PREFIX}

    def decode(self, jobs: Sequence[GenerationJob], batch_size: int) -> list[list[GeneratedTokens]]:
        """Return the responses to each job. At most `batch_size` rows are computed at once."""
        logits, mask, cache = self.prefill([job.ids for job in jobs], [job.prefix_key for job in jobs])
        self.advanced(sum(len(job.ids) for job in jobs))
        samplers = [sampler for job in jobs for sampler in job.samplers]
        counts = [len(job.samplers) for job in jobs]
        generated = [GeneratedTokens([], None) for _ in samplers]
        number = len(jobs)
        root = Branch(
            cache=cache,
            cache_rows=number,
            parents=np.arange(number),
            mask=mask,
            tokens=np.zeros((number, 0), dtype=np.int64),
            responses=np.arange(len(samplers)),
            rows=np.repeat(np.arange(number), counts),
        )
        waiting = self._extend(root, logits[:, -1], samplers, generated, batch_size)
        del root, cache, logits
        while waiting:
            branch = waiting.pop()
            waiting += self._extend(branch, self._step(branch), samplers, generated, batch_size)
        ends = np.cumsum(counts)
        return [generated[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def _extend(
        self,
        branch: Branch,
        logits: torch.Tensor,
        samplers: Sequence[SampleRandom | None],
        generated: list[GeneratedTokens],
        batch_size: int,
    ) -> list[Branch]:
        """Choose the next token of every response. Store the responses that end with this token in `generated`.

        Args:
            logits: (rows, vocabulary).

        Returns:
            The branches of the responses that have not ended.
        """
        assert self.stop_tokens is not None
        stop = self.stop_tokens
        here = [samplers[response] for response in branch.responses]
        chosen = self.choose(logits, branch.rows, here, branch.tokens.shape[1])
        # Responses of a row continue to share a row if their next tokens are equal.
        pairs, rows = np.unique(branch.rows * logits.shape[-1] + chosen, return_inverse=True)
        parents, last = np.divmod(pairs, logits.shape[-1])
        tokens = np.concatenate([branch.tokens[parents], last[:, None]], axis=1)
        stopped = stop.end_of_text[last]
        for row in np.flatnonzero(stop.line_break[last]):
            stopped[row] = stop.ends(tokens[row].tolist())
        finished = stopped | (tokens.shape[1] >= self.settings.max_new_tokens)
        for response, row in zip(branch.responses[finished[rows]], rows[finished[rows]], strict=True):
            without_end = tokens[row, : -1 if stop.end_of_text[last[row]] else None].tolist()
            generated[response] = GeneratedTokens(without_end, int(last[row]) if stopped[row] else None)
        self.report_tokens(len(rows), int(finished[rows].sum()), tokens.shape[1])
        going = np.flatnonzero(~finished)
        branches = []
        for start in range(0, len(going), batch_size):
            chunk = going[start : start + batch_size]
            if len(going) <= batch_size:
                chunk = chunk[np.argsort(assign_rows(parents[chunk]))]
            row_of = np.full(len(pairs), -1)
            row_of[chunk] = np.arange(len(chunk))
            going_on = row_of[rows] >= 0
            branches.append(
                Branch(
                    cache=branch.cache,
                    cache_rows=len(branch.tokens),
                    parents=parents[chunk],
                    mask=branch.mask[torch.from_numpy(parents[chunk]).to(branch.mask.device)],
                    tokens=tokens[chunk],
                    responses=branch.responses[going_on],
                    rows=row_of[rows[going_on]],
                    owns_cache=len(going) <= batch_size,
                )
            )
        return branches

    def report_tokens(self, responses: int, ended: int, length: int) -> None:
        """Report that `responses` got a token, and that `ended` of them end at this `length`, in tokens."""
        self.advanced(GENERATED * (responses + ended * (self.settings.max_new_tokens - length)))

    def choose(
        self, logits: torch.Tensor, rows: np.ndarray, samplers: Sequence[SampleRandom | None], step: int
    ) -> np.ndarray:
        """Return the next token of each response.

        Args:
            logits: (rows, vocabulary).
            rows: (responses,): the row of each response.
            samplers: The sampler of each response. None chooses the most probable token.
            step: The number of tokens that each response already has.
        """
        sampled = np.array([sampler is not None for sampler in samplers], dtype=bool)
        chosen = np.zeros(len(samplers), dtype=np.int64)
        if not sampled.all():
            chosen[~sampled] = logits.float().argmax(-1).cpu().numpy()[rows[~sampled]]
        if sampled.any():
            uniform = np.array([sampler[step] for sampler in samplers if sampler is not None])
            ids, ends = cumulative(logits, self.settings.temperature, self.settings.top_k)
            chosen[sampled] = choose(ids, ends, rows[sampled], uniform)
        return chosen

    def _step(self, branch: Branch) -> torch.Tensor:
        """Run the model on the last token of each row, which extends the cache and the mask. Return the logits of the
        next token."""
        number = len(branch.parents)
        if not branch.owns_cache or not np.array_equal(branch.parents, np.arange(branch.cache_rows)):
            rows = torch.from_numpy(branch.parents)
            branch.cache = cache_rows(branch.cache, rows, self.model.device, in_place=branch.owns_cache)
        branch.mask = torch.cat([branch.mask, branch.mask.new_ones(number, 1)], dim=1)
        last = torch.from_numpy(branch.tokens[:, -1:]).to(self.model.device)
        return self.forward(last, branch.mask, branch.cache)[:, -1]

    def last_logits(self, rows: Sequence[Ids], keys: Sequence[PrefixKey] = (), keep: int = 1) -> torch.Tensor:
        """Return the logits (rows, `keep`, vocabulary) after each of the last `keep` tokens of each row."""
        return self.prefill(rows, keys, keep)[0]

    def prefill(
        self, rows: Sequence[Ids], keys: Sequence[PrefixKey] = (), keep: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor, Cache]:
        """Compute the logits and the key-value cache of the rows.

        If `keys` are given, the prefixes of the rows are copied from `prefix_cache` and not computed again.

        Returns:
            The logits (rows, `keep`, vocabulary) after the last `keep` tokens, the mask (rows, tokens of the longest
            row), and the cache.
        """
        lengths = [len(ids) for ids in rows]
        longest = max(lengths)
        # Why: all rows of a batch compute the same number of tokens. A row with fewer new tokens computes the end of
        # its prefix again, because padding cannot follow a prefix.
        shared = [self.prefix_lengths.get(key, 0) for key in keys] or [0] * len(rows)
        fresh = max(length - prefix for length, prefix in zip(lengths, shared, strict=True))
        known = longest - fresh
        cache = self.new_cache()
        if known:
            self._copy_prefixes(cache, known, fresh, keys, [max(length - fresh, 0) for length in lengths])
        padded = [[self.pad] * (longest - len(ids)) + list(ids) for ids in rows]
        ids = torch.tensor(padded, device=self.model.device)[:, known:]
        pads = longest - torch.tensor(lengths, device=self.model.device)
        mask = torch.arange(longest, device=self.model.device) >= pads[:, None]
        return self.forward(ids, mask, cache, keep), mask, cache

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Cache, keep: int = 1) -> torch.Tensor:
        """Compute the tokens `ids` after the tokens in the cache, and return logits (rows, `keep`, vocabulary).

        Args:
            ids: (rows, tokens).
            mask: (rows, number of tokens in the cache and in `ids`), false on padding.
            keep: The number of tokens, at the end of each row, after which the logits are returned.
        """
        extra: dict[str, Any] = {}
        if "position_ids" in self.accepts:
            extra["position_ids"] = (mask.long().cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        if "logits_to_keep" in self.accepts:
            extra["logits_to_keep"] = keep
        out = self.model(input_ids=ids, attention_mask=mask.long(), past_key_values=cache, use_cache=True, **extra)
        return out.logits[:, -keep:]

    def new_cache(self) -> Cache:
        cache = DynamicCache(config=self.config)
        if self.stores_everything:
            cache.layers = [PreallocatedLayer() for _ in cache.layers]
        return cache

    def _copy_prefixes(
        self, cache: Cache, known: int, fresh: int, keys: Sequence[PrefixKey], lengths: Sequence[int]
    ) -> None:
        """Fill the first `known` tokens of a cache with the prefixes of the rows, padded on the left.

        Args:
            fresh: The number of tokens for which memory is reserved after the prefixes.
            lengths: For each row, the number of tokens of the prefix that are copied.
        """
        for number, layer in enumerate(cache.layers):
            both = []
            for which in (0, 1):
                some = self.prefix_cache[keys[0]][number][which]
                filled = some.new_empty((len(keys), some.shape[1], known + fresh + GROWTH, some.shape[-1]))
                row = 0
                for (key, length), group in groupby(zip(keys, lengths, strict=True)):
                    end = row + len(list(group))
                    filled[row:end, :, : known - length] = (
                        0  # Why: new memory may contain NaN, which a mask does not remove.
                    )
                    prefix = self.prefix_cache[key][number][which]
                    filled[row:end, :, known - length : known] = prefix[:, :, :length]
                    row = end
                both.append(filled)
            layer.set_storage(*both, known)

    def prefill_prefixes(self, rows: Mapping[PrefixKey, Ids], batch_size: int) -> None:
        """Compute the prefixes of the keys of `rows`, and store them in `prefix_cache` in place of all other prefixes.

        Args:
            rows: For each key, the tokens of any row with this key.
        """
        wanted = {key: ids for key, ids in rows.items() if key in self.prefix_lengths}
        self.prefix_cache = {key: known for key, known in self.prefix_cache.items() if key in wanted}
        new = sorted((key for key in wanted if key not in self.prefix_cache), key=self.prefix_lengths.__getitem__)
        for start in range(0, len(new), batch_size):
            keys = new[start : start + batch_size]
            prefixes = [wanted[key][: self.prefix_lengths[key]] for key in keys]
            _, _, cache = self.prefill(prefixes)
            for row, key in enumerate(keys):
                here = (slice(row, row + 1), slice(None), slice(-self.prefix_lengths[key], None))
                self.prefix_cache[key] = [(x.keys[here].clone(), x.values[here].clone()) for x in cache.layers]


def _common_prefix(rows: Sequence[Ids]) -> int:
    """Return the length of the longest common prefix of all rows, in tokens."""
    # Why two rows are enough: all others are between them in lexicographic order.
    first, last = min(map(tuple, rows)), max(map(tuple, rows))
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def cache_rows(cache: Cache, rows: torch.Tensor, device: torch.device, in_place: bool) -> Cache:
    """Return a cache with the given rows of `cache`. With `in_place`, `cache` itself is changed and returned."""
    preallocated = all(type(layer) is PreallocatedLayer for layer in cache.layers)
    if preallocated and in_place:
        for layer in cache.layers:
            layer.rearrange_rows(rows)
        return cache
    if preallocated:
        new = copy.copy(cache)
        new.layers = [layer.select_rows(rows) for layer in cache.layers]
        return new
    new = cache if in_place else copy.deepcopy(cache)
    new.reorder_cache(rows.to(device))
    return new
