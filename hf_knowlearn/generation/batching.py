"""Batches over rows and processes: each process computes its share, and memory that runs out halves the batch."""

import logging
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING

import torch
from accelerate import PartialState
from accelerate.utils.memory import clear_device_cache, should_reduce_batch_size
from tqdm.auto import tqdm

from hf_knowlearn.generation.models import in_eval_mode

if TYPE_CHECKING:
    from transformers import PreTrainedModel
logger = logging.getLogger(__name__)


def read_rows(model: "PreTrainedModel", rows: Sequence[Sequence[int]], pad: int) -> torch.Tensor:
    """The logits (rows, longest, vocabulary) after each token; behind a row's end they mean nothing."""
    longest = max(map(len, rows))
    padded = [[*ids, *[pad] * (longest - len(ids))] for ids in rows]
    mask = [[1] * len(ids) + [0] * (longest - len(ids)) for ids in rows]
    device = model.device
    out = model(
        input_ids=torch.tensor(padded, device=device),
        attention_mask=torch.tensor(mask, device=device),
        use_cache=False,
    )
    return out.logits


def in_shares(
    model: "PreTrainedModel",
    lengths: Sequence[int],
    batch_size: int,
    work: Callable[[list[int]], None],
    progress: str | None,
) -> None:
    """Do `work` on this rank's share of the rows, by their places: batches of like length, without gradients."""
    # The longest come first: if the memory runs out, it does so at once.
    order = sorted(range(len(lengths)), key=lambda i: (-lengths[i], i))
    state = PartialState()
    batches = [order[i : i + batch_size] for i in range(0, len(order), batch_size)]
    mine = [i for batch in batches[state.process_index :: state.num_processes] for i in batch]
    bar = tqdm(total=len(mine), desc=progress, unit="text", disable=progress is None or not state.is_main_process)

    def some(batch: list[int], _: int) -> None:
        work(batch)
        bar.update(len(batch))

    with bar, torch.no_grad(), in_eval_mode(model):
        in_batches(mine, batch_size, [None] * len(lengths), some, logger)


def in_batches(
    order: Sequence[int],
    batch_size: int,
    kinds: Sequence[object],
    work: Callable[[list[int], int], None],
    logger: "logging.Logger",
) -> None:
    """Do `work` on batches of `order`, each of one of the `kinds`. Where memory runs out, they get half as large.

    Args:
        kinds: the kind of each item.
        work: takes the items of a batch, and how many rows it may compute at a time.

    Raises:
        MemoryError: not even one item at a time will fit.
    """
    place = 0
    while place < len(order):
        first = kinds[order[place]]
        batch = list(takewhile(lambda i: kinds[i] == first, order[place : place + batch_size]))  # noqa: B023
        ran_out = None
        try:
            work(batch, batch_size)
        except (RuntimeError, MemoryError) as error:
            if not (isinstance(error, torch.OutOfMemoryError | MemoryError) or should_reduce_batch_size(error)):
                raise
            ran_out = str(error)
        # Outside the handler: the exception holds the tensors of the frames that it went through.
        if ran_out is None:
            place += len(batch)
        elif batch_size == 1:
            raise MemoryError(
                f"The memory does not hold one question at a time ({ran_out}). Ask with fewer shots or new tokens,"
                " load the model in 4-bit or on a larger device."
            )
        else:
            batch_size = max(batch_size // 2, 1)
            logger.warning("Out of memory: going on with batches of %d.", batch_size)
            clear_device_cache(garbage_collection=True)
