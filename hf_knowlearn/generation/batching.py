"""Batches over rows and processes.

Only `run_batches` distributes rows over processes, halves the batch size when memory runs out, shows a progress bar,
and gathers the results of all processes.
"""

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
from tqdm.auto import tqdm

from hf_knowlearn.generation.causal_lm import eval_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_knowlearn.generation.decoding import Decoder
    from hf_knowlearn.generation.jobs import PrefixKey

logger = logging.getLogger(__name__)

T = TypeVar("T")
Compute = Callable[[list[int], int], Sequence[T]]


def run_batches(
    order: Sequence[int],
    batch_size: int,
    compute: Compute[T],
    *,
    model: "PreTrainedModel | None" = None,
    groups: Sequence[Hashable] | None = None,
    progress: str | None = None,
) -> list[T]:
    """Compute a result for every row, in batches, and return the results by row number.

    With n processes, each process computes every n-th batch of `order`. All processes return all results. No gradients
    are computed. When memory runs out, the batch size is halved for the rest of the rows.

    Args:
        order: all row numbers, in the order in which they are computed.
        batch_size: rows in a batch.
        compute: a function of the row numbers of a batch and the number of rows that fit into memory at once. It
            returns the results of the batch.
        model: the model, which is put into evaluation mode during the computation.
        groups: the group of each row. A batch has rows of one group only.
        progress: label of the progress bar. None: no bar.

    Raises:
        MemoryError: a batch of one row does not fit.
    """
    state, found = PartialState(), dict[int, T]()
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    mine = [row for batch in batches[state.process_index :: state.num_processes] for row in batch]
    hidden = progress is None or not state.is_main_process
    with (
        tqdm(total=len(mine), desc=progress, unit="row", disable=hidden) as bar,
        torch.no_grad(),
        eval_mode(model) if model is not None else nullcontext(),
    ):
        while len(found) < len(mine):
            batch = _next_batch(mine[len(found) : len(found) + batch_size], groups)
            problem = _compute_into(found, compute, batch, batch_size)
            if problem is None:
                bar.update(len(batch))
            else:
                batch_size = _smaller(batch_size, problem)
    by_row = dict(gather_object(list(found.items())))
    return [by_row[row] for row in range(len(order))]


def _next_batch(rows: list[int], groups: Sequence[Hashable] | None) -> list[int]:
    """The rows at the start of `rows` that belong to one group."""
    return rows if groups is None else list(takewhile(lambda row: groups[row] == groups[rows[0]], rows))


def _compute_into(found: dict[int, T], compute: Compute[T], batch: list[int], batch_size: int) -> str | None:
    """Add the results of a batch to `found`. If memory runs out, return the error message."""
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
            f"A batch of one row does not fit into memory ({problem}). Use fewer shots or new tokens, load the model"
            " in 4-bit, or use a larger device."
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
) -> list[T]:
    """Call `run_batches` in an order that groups rows with a shared prefix, and then rows of similar length.

    Call `decoder.find_prefixes` before. The prefixes of a batch are in the decoder's cache when it is computed.

    Args:
        rows: the tokens of each row.
        keys: the prefix key of each row.
    """
    shared = decoder.prefix_lengths

    def rank(row: int) -> tuple[object, ...]:
        key = keys[row]
        return key in shared, shared.get(key, 0), key, len(rows[row]), row

    def compute_batch(batch: list[int], rows_at_once: int) -> Sequence[T]:
        decoder.prefill_prefixes({keys[row]: rows[row] for row in batch}, rows_at_once)
        return compute(batch, rows_at_once)

    # Why: the longest rows come first, so that a lack of memory shows at the start.
    order = sorted(range(len(rows)), key=rank, reverse=True)
    groups = [key in shared for key in keys]
    return run_batches(order, batch_size, compute_batch, model=decoder.model, groups=groups, progress=progress)


def longest_first(rows: Sequence[Sequence[int]]) -> list[int]:
    """Row numbers, from the longest row to the shortest."""
    return sorted(range(len(rows)), key=lambda row: (-len(rows[row]), row))


def row_logits(model: "PreTrainedModel", rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """The logits (rows, longest, vocabulary) after each token. Logits after the end of a row have no meaning."""
    ids = [torch.tensor(row, device=model.device) for row in rows]
    padded = pad_sequence(ids, batch_first=True, padding_value=pad)
    mask = pad_sequence([torch.ones_like(row) for row in ids], batch_first=True)
    out = model(input_ids=padded, attention_mask=mask, use_cache=False)
    return out.logits
