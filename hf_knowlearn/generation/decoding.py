"""Decoding: many answers to many prompts, where nothing that two of them share is computed twice.

Prompts of one family share the keys and values of what they begin with. The surprising decision: answers to one prompt
are the leaves of a tree. They go on as one row for as long as they say the same, so that sixteen samples of a sure
model cost what one does, and each is still drawn by itself. Rows lie as `generate` would lay them, padded on the left.
"""

import copy
import inspect
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from transformers import DynamicCache
from transformers.cache_utils import Cache, DynamicLayer

from hf_knowlearn.generation.sampling import SampleRandom, choose, cumulative

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

WORTH_SHARING = 16  # tokens; a shorter beginning costs less than laying it out
ROOM = 32  # tokens by which a cache grows at a time

Ids = Sequence[int]
Family = tuple[str, ...]


@dataclass(frozen=True)
class Job:
    """A prompt and the answers wanted to it: a greedy one for a None among `draws`, a sampled one for a noise."""

    ids: Ids
    family: Family
    draws: tuple[SampleRandom | None, ...] = (None,)


class Written(NamedTuple):
    """An answer: its tokens without the one that ended the text, and the token that ended it; None if it was cut."""

    tokens: list[int]
    end: int | None


class Ends:
    """What ends an answer: the end of the text, or a line break once something was said; the first line is it."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", vocabulary: int = 0, ends: Sequence[int] = ()) -> None:
        words = tokenizer.batch_decode([[i] for i in range(len(tokenizer))], skip_special_tokens=True)
        size = max(len(words), vocabulary)  # a model's vocabulary is often padded
        self.text = np.zeros(size, dtype=bool)
        self.text[[i for i in {tokenizer.eos_token_id, *ends} if i is not None]] = True
        # A break that text follows in the same token may stand before the answer; it ends nothing.
        self.line = np.zeros(size, dtype=bool)
        self.line[[i for i, word in enumerate(words) if "\n" in (word.lstrip() or word)]] = True
        self.speaks = np.ones(size, dtype=bool)
        self.speaks[[i for i, word in enumerate(words) if not word.strip()]] = False


class RoomyLayer(DynamicLayer):
    """A cache layer with room at its end: a token is written into it, where its parent class copies all of it."""

    def __init__(self, **_: object) -> None:
        super().__init__()
        self.room: tuple[torch.Tensor, torch.Tensor] | None = None

    def hold(self, keys: torch.Tensor, values: torch.Tensor, used: int) -> None:
        """Take over keys and values, both (rows, heads, tokens, head size), of which `used` tokens are written."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.room = (keys, values)
        self.keys, self.values = keys[:, :, :used], values[:, :, :used]

    def update(
        self, key_states: torch.Tensor, value_states: torch.Tensor, *args: object, **kwargs: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if self.room is None:
            self.hold(with_room(key_states), with_room(value_states), key_states.shape[-2])
            return self.keys, self.values
        before, used = self.keys.shape[-2], self.keys.shape[-2] + key_states.shape[-2]
        keys, values = self.room
        if used > keys.shape[-2]:
            more = key_states.shape[-2] + ROOM
            keys, values = with_room(self.keys, more), with_room(self.values, more)
        rows = len(key_states)
        keys[:rows, :, before:used], values[:rows, :, before:used] = key_states, value_states
        self.hold(keys, values, used)
        self.keys, self.values = self.keys[:rows], self.values[:rows]
        return self.keys, self.values

    def of_rows(self, rows: torch.Tensor) -> "RoomyLayer":
        """A layer of some of the rows, any of them more than once."""
        assert self.room is not None
        layer, rows, used = RoomyLayer(), rows.to(self.keys.device), self.keys.shape[-2]
        keys, values = (room.index_select(0, rows) for room in self.room)
        layer.hold(keys, values, used)
        return layer

    def rearrange(self, parents: torch.Tensor) -> None:
        """Let row i be what row `parents[i]` was. A row that is its own parent is not touched.

        No row that is written may be the parent of another, which `places` sees to.
        """
        assert self.room is not None
        number, used = len(parents), self.keys.shape[-2]
        keys, values = self.room
        if (lacking := number - len(keys)) > 0:
            more = lacking + number // 2  # and some for the next
            keys, values = with_room(keys, 0, more), with_room(values, 0, more)
        parents = parents.to(keys.device)
        (moved,) = (parents != torch.arange(number, device=parents.device)).nonzero(as_tuple=True)
        for room in (keys, values):
            room[moved, :, :used] = room[parents[moved], :, :used]
        self.hold(keys, values, used)
        self.keys, self.values = self.keys[:number], self.values[:number]


def with_room(old: torch.Tensor, tokens: int = ROOM, rows: int = 0) -> torch.Tensor:
    """A copy of `old` (rows, heads, tokens, size of a head), with room for more tokens and rows behind."""
    number, heads, length, size = old.shape
    new = old.new_empty((number + rows, heads, length + tokens, size))
    new[:number, :, :length] = old
    return new


def places(parents: np.ndarray) -> np.ndarray:
    """Rows for as many children, so that most of them stay where their parents, which ascend, are."""
    number = len(parents)
    stays = (parents < number) & (np.diff(parents, prepend=-1) > 0)
    found = np.empty(number, dtype=np.int64)
    found[stays] = parents[stays]
    found[~stays] = np.setdiff1d(np.arange(number), parents[stays])
    return found


@dataclass
class Branch:
    """Rows that are decoded together: what each has said, and which answers are agreed on it so far."""

    cache: Cache
    width: int  # rows of `cache`
    parents: np.ndarray  # (rows,): the row of `cache` that each goes on from
    mask: torch.Tensor  # (rows, tokens so far), false on padding
    said: np.ndarray  # (rows, tokens of the answer so far)
    spoke: np.ndarray  # (rows,): whether more than white space was said
    answers: np.ndarray  # numbers of the answers
    rows: np.ndarray  # (answers,): the row that each is on
    alone: bool = True  # whether no other branch goes on from `cache`


class Decoder:
    """Answers jobs with a model that is in eval mode, without gradients.

    Args:
        model: a causal language model; within an adapter, too.
        pad: the token that stands on the left of short rows. It is masked, so any will do.
        temperature, top_k: of the sampled answers.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        pad: int,
        ends: Ends | None = None,
        max_new_tokens: int = 32,
        temperature: float = 1.0,
        top_k: int = 0,
    ) -> None:
        self.model, self.pad, self.ends = model, pad, ends
        self.max_new_tokens, self.temperature, self.top_k = max_new_tokens, temperature, top_k
        bare = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.config = bare.config
        self.accepts = inspect.signature(bare.forward).parameters
        # A layer that forgets (a sliding window) or sums up (a state space) has no beginning to share.
        layers = DynamicCache(config=self.config).layers
        self.remembers = bool(layers) and all(type(layer) is DynamicLayer for layer in layers)
        self.shared: dict[Family, int] = {}
        self.beginnings: dict[Family, list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def share(self, rows: Sequence[Ids], families: Sequence[Family]) -> None:
        """Look how far the rows of each family agree, apart from their last token."""
        self.beginnings.clear()
        members: dict[Family, list[Ids]] = defaultdict(list)
        for ids, family in zip(rows, families, strict=True):
            members[family].append(ids)
        agreed = {
            family: min(_agreement(of_it), min(map(len, of_it)) - 1)
            for family, of_it in members.items()
            if len(of_it) > 1 and self.remembers
        }
        self.shared = {family: length for family, length in agreed.items() if length >= WORTH_SHARING}

    def decode(self, jobs: Sequence[Job], batch_size: int) -> list[list[Written]]:
        """The answers to each job. At most `batch_size` rows at a time."""
        assert self.ends is not None
        logits, mask, cache = self.prefill([job.ids for job in jobs], [job.family for job in jobs])
        draws = [draw for job in jobs for draw in job.draws]
        counts = [len(job.draws) for job in jobs]
        said = [Written([], None) for _ in draws]
        number = len(jobs)
        root = Branch(
            cache=cache,
            width=number,
            parents=np.arange(number),
            mask=mask,
            said=np.zeros((number, 0), dtype=np.int64),
            spoke=np.zeros(number, dtype=bool),
            answers=np.arange(len(draws)),
            rows=np.repeat(np.arange(number), counts),
        )
        waiting = self._grow(root, logits[:, -1], draws, said, batch_size)
        del root, cache, logits
        while waiting:
            branch = waiting.pop()
            waiting += self._grow(branch, self._step(branch), draws, said, batch_size)
        ends = np.cumsum(counts)
        return [said[end - count : end] for end, count in zip(ends, counts, strict=True)]

    def _grow(
        self,
        branch: Branch,
        logits: torch.Tensor,
        draws: Sequence[SampleRandom | None],
        said: list[Written],
        batch_size: int,
    ) -> list[Branch]:
        """Choose every answer's next token; write down those that end with it; return the branches of the others.

        Args:
            logits: (rows, vocabulary).
        """
        assert self.ends is not None
        chosen = self._choose(logits, branch, draws)
        # Answers that were on one row and chose one token are on one row again.
        pairs, rows = np.unique(branch.rows * logits.shape[-1] + chosen, return_inverse=True)
        parents, tokens = np.divmod(pairs, logits.shape[-1])
        words = np.concatenate([branch.said[parents], tokens[:, None]], axis=1)
        spoke = branch.spoke[parents] | self.ends.speaks[tokens]
        ended = self.ends.text[tokens] | (spoke & self.ends.line[tokens])
        over = ended | (words.shape[1] >= self.max_new_tokens)
        for answer, row in zip(branch.answers[over[rows]], rows[over[rows]], strict=True):
            written = words[row, : -1 if self.ends.text[tokens[row]] else None].tolist()
            said[answer] = Written(written, int(tokens[row]) if ended[row] else None)
        going = np.flatnonzero(~over)
        found = []
        for start in range(0, len(going), batch_size):
            chunk = going[start : start + batch_size]
            if len(going) <= batch_size:
                chunk = chunk[np.argsort(places(parents[chunk]))]
            row_of = np.full(len(pairs), -1)
            row_of[chunk] = np.arange(len(chunk))
            here = row_of[rows] >= 0
            found.append(
                Branch(
                    cache=branch.cache,
                    width=len(branch.said),
                    parents=parents[chunk],
                    mask=branch.mask[torch.from_numpy(parents[chunk]).to(branch.mask.device)],
                    said=words[chunk],
                    spoke=spoke[chunk],
                    answers=branch.answers[here],
                    rows=row_of[rows[here]],
                )
            )
        for one in found:
            one.alone = len(found) == 1
        return found

    def _choose(self, logits: torch.Tensor, branch: Branch, draws: Sequence[SampleRandom | None]) -> np.ndarray:
        noises = [draws[answer] for answer in branch.answers]
        sampled = np.array([noise is not None for noise in noises], dtype=bool)
        chosen = np.zeros(len(noises), dtype=np.int64)
        if not sampled.all():
            chosen[~sampled] = logits.float().argmax(-1).cpu().numpy()[branch.rows[~sampled]]
        if sampled.any():
            step = branch.said.shape[1]
            uniform = np.array([noise[step] for noise in noises if noise is not None])
            ids, ends = cumulative(logits, self.temperature, self.top_k)
            chosen[sampled] = choose(ids, ends, branch.rows[sampled], uniform)
        return chosen

    def _step(self, branch: Branch) -> torch.Tensor:
        """The logits after the last token of each row of the branch, whose cache and mask grow by it."""
        number = len(branch.parents)
        if not branch.alone or not np.array_equal(branch.parents, np.arange(branch.width)):
            rows = torch.from_numpy(branch.parents)
            branch.cache = _of_rows(branch.cache, rows, self.model.device, keep=not branch.alone)
        branch.mask = torch.cat([branch.mask, branch.mask.new_ones(number, 1)], dim=1)
        last = torch.from_numpy(branch.said[:, -1:]).to(self.model.device)
        return self.forward(last, branch.mask, branch.cache)[:, -1]

    def prefill(
        self, rows: Sequence[Ids], families: Sequence[Family], keep: int = 1
    ) -> tuple[torch.Tensor, torch.Tensor, Cache]:
        """Read the rows, whose families' beginnings are read once and taken from there afterwards.

        Returns:
            logits (rows, `keep`, vocabulary) after the last `keep` tokens, mask (rows, longest), and the cache.
        """
        lengths = [len(ids) for ids in rows]
        longest = max(lengths)
        # As many tokens of each row are read as of the one with the most to read: instead of padding between the
        # beginning and what follows, a row reads the end of its beginning again.
        fresh = max(length - self.shared.get(family, 0) for length, family in zip(lengths, families, strict=True))
        known = longest - fresh
        cache = self.new_cache()
        if known:
            self._lay_out(cache, known, fresh, families, [max(length - fresh, 0) for length in lengths])
        padded = [[self.pad] * (longest - len(ids)) + list(ids) for ids in rows]
        ids = torch.tensor(padded, device=self.model.device)[:, known:]
        pads = longest - torch.tensor(lengths, device=self.model.device)
        mask = torch.arange(longest, device=self.model.device) >= pads[:, None]
        return self.forward(ids, mask, cache, keep), mask, cache

    def forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Cache, keep: int = 1) -> torch.Tensor:
        """Logits (rows, keep, vocabulary) after the last of `ids`, (rows, tokens), which `cache` goes before.

        Args:
            mask: (rows, tokens in the cache and tokens of `ids`).
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
        if self.remembers:
            cache.layers = [RoomyLayer() for _ in cache.layers]
        return cache

    def _lay_out(
        self, cache: Cache, known: int, fresh: int, families: Sequence[Family], lengths: Sequence[int]
    ) -> None:
        """Fill `cache`, `known` tokens wide, with the first so many tokens of each row's family, on its right."""
        for number, layer in enumerate(cache.layers):
            both = []
            for which in (0, 1):
                some = self.beginnings[families[0]][number][which]
                laid = some.new_empty((len(families), some.shape[1], known + fresh + ROOM, some.shape[-1]))
                row = 0
                for (family, length), group in groupby(zip(families, lengths, strict=True)):
                    end = row + len(list(group))
                    laid[row:end, :, : known - length] = 0  # masked, but what lies in fresh memory may be NaN
                    laid[row:end, :, known - length : known] = self.beginnings[family][number][which][:, :, :length]
                    row = end
                both.append(laid)
            layer.hold(*both, known)

    def read_beginnings(self, jobs: Mapping[Family, Ids], batch_size: int) -> None:
        """Read what the families begin with, and forget those of other families.

        Args:
            jobs: a row of each family.
        """
        wanted = {family: ids for family, ids in jobs.items() if family in self.shared}
        self.beginnings = {family: known for family, known in self.beginnings.items() if family in wanted}
        new = sorted((f for f in wanted if f not in self.beginnings), key=lambda family: self.shared[family])
        for start in range(0, len(new), batch_size):
            families = new[start : start + batch_size]
            rows = [wanted[family][: self.shared[family]] for family in families]
            lengths, self.shared = self.shared, {}  # they are read whole
            try:
                _, _, cache = self.prefill(rows, families)
            finally:
                self.shared = lengths
            for row, family in enumerate(families):
                here = (slice(row, row + 1), slice(None), slice(-self.shared[family], None))
                self.beginnings[family] = [(x.keys[here].clone(), x.values[here].clone()) for x in cache.layers]


def _agreement(rows: Sequence[Ids]) -> int:
    """How many tokens all rows begin with."""
    first, last = min(map(tuple, rows)), max(map(tuple, rows))  # what these two agree on, all in between do
    return next((i for i, (a, b) in enumerate(zip(first, last, strict=False)) if a != b), min(len(first), len(last)))


def _of_rows(cache: Cache, rows: torch.Tensor, device: torch.device, keep: bool) -> Cache:
    """The rows of `cache`, in a cache of their own. If not `keep`, the old one may be used up."""
    roomy = all(type(layer) is RoomyLayer for layer in cache.layers)
    if roomy and keep:
        new = copy.copy(cache)
        new.layers = [layer.of_rows(rows) for layer in cache.layers]
        return new
    if roomy:
        for layer in cache.layers:
            layer.rearrange(rows)
        return cache
    new = copy.deepcopy(cache) if keep else cache
    new.reorder_cache(rows.to(device))
    return new
