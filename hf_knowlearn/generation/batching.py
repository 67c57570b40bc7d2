"""Computes results for rows of tokens in batches, on one or several processes."""

import logging
from collections.abc import Callable, Hashable, Sequence
from contextlib import nullcontext
from itertools import takewhile
from typing import TYPE_CHECKING, TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import gather_object
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from torch.nn.utils.rnn import pad_sequence

from hf_knowlearn.generation.causal_lm import eval_mode
from hf_knowlearn.generation.progress import ANSWERS, FORWARD, RowProgress, work_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_knowlearn.generation.decoding import Decoder
    from hf_knowlearn.generation.jobs import PrefixKey

logger = logging.getLogger(__name__)

T = TypeVar("T")
Compute = Callable[[list[int], int], Sequence[T]]

UNKNOWN_WORK = 128.0  # work of a row if the caller does not give it


def run_batches(
    order: Sequence[int],
    batch_size: int,
    compute: Compute[T],
    *,
    model: "PreTrainedModel | None" = None,
    groups: Sequence[Hashable] | None = None,
    progress: str | None = None,
    decoder: "Decoder | None" = None,
    work: Sequence[float] | None = None,
    kind: str = FORWARD,
) -> list[T]:
    """Compute a result for every row, in batches, and return the results in the order of the row numbers.

    The batches are distributed over the processes, and every process returns all results. No gradients are computed.
    If memory runs out, the batch size is halved for the remaining rows.

    Args:
        order: All row numbers, in the order in which they are computed.
        batch_size: The number of rows in a batch.
        compute: A function that returns the results of a batch. Its arguments are the row numbers of the batch and the
            current batch size.
        model: The model that `compute` uses. It is put into evaluation mode during the computation.
        groups: The group of each row. Rows of different groups are never in the same batch.
        progress: The label of the progress bar. None shows no bar.
        decoder: The decoder that `compute` uses. It reports the progress within a batch.
        work: The work of each row (see `generation.progress`). None: all rows have the same work.
        kind: The kind of the computation, as a watcher receives it.

    Raises:
        MemoryError: A batch of one row does not fit into memory.
    """
    state, found = PartialState(), dict[int, T]()
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    mine = [row for batch in batches[state.process_index :: state.num_processes] for row in batch]
    with (
        RowProgress(progress, kind, {row: work[row] if work else UNKNOWN_WORK for row in mine}) as reported,
        torch.no_grad(),
        eval_mode(model) if model is not None else nullcontext(),
    ):
        if decoder is not None:
            decoder.advanced = reported.advance
        while len(found) < len(mine):
            batch = _next_batch(mine[len(found) : len(found) + batch_size], groups)
            problem = _compute_into(found, compute, batch, batch_size)
            reported.finish(batch if problem is None else [])
            if problem is not None:
                batch_size = _smaller(batch_size, problem)
    by_row = dict(gather_object(list(found.items())))
    return [by_row[row] for row in range(len(order))]


def _next_batch(rows: list[int], groups: Sequence[Hashable] | None) -> list[int]:
    """Return the rows before the first row that belongs to another group than `rows[0]`."""
    return rows if groups is None else list(takewhile(lambda row: groups[row] == groups[rows[0]], rows))


def _compute_into(found: dict[int, T], compute: Compute[T], batch: list[int], batch_size: int) -> str | None:
    """Add the results of a batch to `found`, and return None. If memory runs out, return the error message instead."""
    try:
        found.update(zip(batch, compute(batch, batch_size), strict=True))
    except (RuntimeError, MemoryError) as error:
        if not (isinstance(error, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(error)):
            raise
        # Why only the message is returned: the exception keeps the tensors of every frame on its traceback in memory.
        return str(error)
    return None


def _smaller(batch_size: int, problem: str) -> int:
    if batch_size == 1:
        raise MemoryError(
            f"A batch of one row does not fit into memory ({problem}). Use fewer shots or fewer new tokens, load the"
            " model in 4 bits, or use a device with more memory."
        )
    logger.warning("Out of memory: the batch size is now %d.", batch_size // 2)
    clear_device_cache(garbage_collection=True)
    return batch_size // 2


def run_with_prefixes(
    decoder: "Decoder",
    rows: Sequence[Sequence[int]],
    keys: Sequence["PrefixKey"],
    batch_size: int,
    compute: Compute[T],
    progress: str | None,
    generated: Sequence[int] | None = None,
) -> list[T]:
    """Compute a result for every row, as `run_batches` does.

    Rows that share a prefix are batched together. The other rows are batched with rows of similar length.
    `decoder.find_prefixes` must be called first. Before `compute` is called with a batch, the prefixes of the rows
    are put into the cache of the decoder.

    Args:
        rows: The tokens of each row.
        keys: The prefix key of each row (see `GenerationJob`).
        batch_size, compute, progress: See `run_batches`.
        generated: The largest number of tokens that are generated for each row. None: nothing is generated.
    """
    shared = decoder.prefix_lengths

    def rank(row: int) -> tuple[object, ...]:
        key = keys[row]
        return key in shared, shared.get(key, 0), key, len(rows[row]), row

    def compute_batch(batch: list[int], rows_at_once: int) -> Sequence[T]:
        decoder.prefill_prefixes({keys[row]: rows[row] for row in batch}, rows_at_once)
        return compute(batch, rows_at_once)

    # Why the longest rows are first: if memory is too small, it runs out at the start.
    order = sorted(range(len(rows)), key=rank, reverse=True)
    groups = [key in shared for key in keys]
    return run_batches(
        order,
        batch_size,
        compute_batch,
        model=decoder.model,
        groups=groups,
        progress=progress,
        decoder=decoder,
        work=work_of([len(ids) for ids in rows], generated or [0] * len(rows)),
        kind=FORWARD if generated is None else ANSWERS,
    )


def longest_first(rows: Sequence[Sequence[int]]) -> list[int]:
    """Return the row numbers, sorted from the longest row to the shortest."""
    return sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row))


def row_logits(model: "PreTrainedModel", rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """Return the logits after each token of each row, of shape (rows, tokens of the longest row, vocabulary).

    In a shorter row, the logits after the last token have no meaning.
    """
    ids = [torch.tensor(row, device=model.device) for row in rows]
    padded = pad_sequence(ids, batch_first=True, padding_value=pad)
    mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    out = model(input_ids=padded, attention_mask=mask, use_cache=False)
    return out.logits
