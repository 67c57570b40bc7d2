"""Whether packed documents stay apart, asked of the model: one of them is replaced, and nothing else may move.

The attention's name decides nothing. A mask made without the positions, a layer that carries a state along the row and
a collator that forgets where documents end all move the others' logits, and are refused. The rows are
short: what would happen only in rows longer than a window of local attention is not seen.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, NamedTuple

import torch
from datasets import Dataset
from torch import nn
from trl import pack_dataset

from hf_knowlearn.training.rng_state import RandomState

logger = logging.getLogger("hf_knowlearn.training")

Tokens = list[int]
LENGTH = 8  # tokens in each of the probe's documents
TOLERANCE = 1e-4  # of the largest logit; a leak is some tenths of it, rounding in float32 less than a millionth
# With fewer bits than float32 a batch of another shape rounds differently, by some hundredths in a deep model. Between
# two batches of one shape nothing does, so there the first tolerance holds, but for what `rounding` shows.
COARSE_TOLERANCE = 0.1


class Layout(NamedTuple):
    """How rows come to the model."""

    option: str  # as the user writes it
    strategy: str | None  # of packing; without one, the collator alone joins rows


class Evidence(NamedTuple):
    """By how much a document's logits differ, as a share of the largest one."""

    moved: float  # packed, when another document is replaced: same shapes, so exactly 0 where packing isolates
    alone: float  # packed, from the document alone: sees what no replacement does, as positions that go on counting
    rounding: float  # rows that can't see each other, when one is replaced: not 0 where tokens share experts or scales
    joined: float  # as one document, when its beginning is replaced: what a leak would do
    coarse: bool

    @property
    def allowed(self) -> tuple[float, float]:
        """The most that `moved` and `alone` may be."""
        if not self.coarse:
            return TOLERANCE, TOLERANCE
        return min(max(TOLERANCE, 4 * self.rounding), COARSE_TOLERANCE), COARSE_TOLERANCE

    @property
    def isolates(self) -> bool:
        return self.moved <= self.allowed[0] and self.alone <= self.allowed[1]

    @property
    def decides(self) -> bool:
        """Whether a leak would have been seen; not so where no logit depends on what came before."""
        return self.joined > self.allowed[0]

    def __str__(self) -> str:
        return (
            f"its logits move by {self.moved:.1g} of the largest when another document is replaced (joined to one "
            f"document: {self.joined:.1g}), and differ by {self.alone:.1g} from those of the document alone (allowed: "
            f"{self.allowed[0]:.1g} and {self.allowed[1]:.1g})"
        )


def check_packing(trainer: Any, model: nn.Module) -> None:
    """Raises ValueError if `trainer` lays out rows in which `model` lets a token attend to another document.

    The model is left as it was: modes, gradients, random generators. Where `trainer` packs nothing, nothing is run.
    """
    problems = []
    for layout in layouts(trainer):
        evidence = probe(trainer, model, layout.strategy)
        if problem := _problem(layout, evidence, trainer.model):
            problems.append(problem)
        elif trainer.is_world_process_zero():
            logger.info("%s: each document is on its own; %s.", layout.option, evidence)
    if problems:
        raise ValueError("\n".join(problems))


def _problem(layout: Layout, evidence: Evidence, model: Any) -> str | None:
    name, attention = type(model).__name__, getattr(model.config.get_text_config(), "_attn_implementation", None)
    said = f"{layout.option} ({name}, attention {attention})"
    way_out = "Set packing: false, and with it padding_free and eval_packing"
    if not evidence.decides:
        return f"{said}: whether packed documents see each other can't be told, because {evidence}. {way_out}."
    if not evidence.isolates:
        return (
            f"{said}: a document packed with others sees them: {evidence}. {way_out}; or take "
            "packing_strategy: bfd, which keeps documents apart where attention is all that mixes tokens and obeys "
            "position_ids (attn_implementation: sdpa or eager, with most models)."
        )
    return None


def layouts(trainer: Any) -> Iterator[Layout]:
    """The ways in which rows that hold several documents reach the model, in training and in evaluation."""
    args, found = trainer.args, set()
    eval_packing = args.packing if args.eval_packing is None else args.eval_packing
    for option, packing, dataset in (
        ("packing", args.packing, trainer.train_dataset),
        ("eval_packing", eval_packing, trainer.eval_dataset),
    ):
        if packing and not trainer._skip_prepare_dataset:
            layout = Layout(f"{option}: true, packing_strategy: {args.packing_strategy}", args.packing_strategy)
        elif _packed_beforehand(dataset):
            layout = Layout(f"rows with seq_lengths, {option}: {str(packing).lower()}", "bfd")
        elif trainer.padding_free:
            layout = Layout("padding_free: true", None)
        else:
            continue
        if layout.strategy not in found:
            found.add(layout.strategy)
            yield layout


def _packed_beforehand(dataset: Any) -> bool:
    """Whether rows say themselves that they hold several documents; a stream doesn't always know its columns."""
    datasets = dataset.values() if isinstance(dataset, dict) else [dataset]
    return any("seq_lengths" in (getattr(rows, "column_names", None) or ()) for rows in datasets)


def probe(trainer: Any, model: nn.Module, strategy: str | None) -> Evidence:
    """Three documents of a few random tokens, packed into two rows and collated as the trainer does it.

    Their logits are compared with those beside another neighbour, and with those of each document alone.
    """
    *documents, other = _documents(trainer)

    def logits(inputs: dict[str, Any], of: list[Tokens]) -> torch.Tensor:
        return _logits(trainer, model, inputs, of)

    def packed(rows: list[Tokens]) -> dict[str, Any]:
        return _collated(trainer, rows, strategy)

    def share(difference: torch.Tensor) -> float:
        return float(difference.abs().max() / alone.abs().max())

    def moved(lay_out: Callable[[list[Tokens]], dict[str, Any]], *replaced: int) -> float:
        here, differences = logits(lay_out(documents), documents), []
        for index in replaced:
            kept = [place for place in range(len(documents)) if place != index]
            changed = [documents[place] if place != index else other for place in range(len(documents))]
            differences.append(here[kept] - logits(lay_out(changed), [documents[place] for place in kept]))
        return share(torch.cat(differences))

    with undisturbed(model), trainer.accelerator.autocast():
        alone = torch.cat([logits(_apart([document]), [document]) for document in documents])
        return Evidence(
            moved=moved(packed, 0, 1, 2),
            alone=share(logits(packed(documents), documents) - alone),
            rounding=moved(_apart, 0),
            joined=moved(_joined, 0),
            coarse=_is_coarse(trainer, model),
        )


def _documents(trainer: Any) -> list[Tokens]:
    """Three documents, and one to replace any of them."""
    tokenizer = getattr(trainer.processing_class, "tokenizer", trainer.processing_class)
    words = sorted(set(range(tokenizer.vocab_size)) - set(tokenizer.all_special_ids))
    random = Random(0)
    return [random.choices(words, k=LENGTH) for _ in range(4)]


def _apart(documents: list[Tokens]) -> dict[str, Any]:
    return {"input_ids": torch.tensor(documents)}


def _joined(documents: list[Tokens]) -> dict[str, Any]:
    return _apart([[token for document in documents for token in document]])


def _collated(trainer: Any, documents: list[Tokens], strategy: str | None) -> dict[str, Any]:
    rows: Any = [{"input_ids": tokens, "labels": tokens} for tokens in documents]
    if strategy:
        # As a stream, which shows no progress bar and leaves no cache behind.
        rows = list(pack_dataset(Dataset.from_list(rows).to_iterable_dataset(), 2 * LENGTH, strategy))
    return trainer._get_collator_with_removed_columns(trainer.data_collator)(rows)


def _logits(trainer: Any, model: nn.Module, inputs: dict[str, Any], documents: Sequence[Tokens]) -> torch.Tensor:
    """Those of the `documents`, wherever in the batch they are: (documents, tokens, vocabulary)."""
    rows = inputs["input_ids"].tolist()
    places = [place for document in documents for place in _places(rows, document)]
    if len(places) != len(documents):
        raise ValueError(
            f"data_collator {type(trainer.data_collator).__name__}: its batch doesn't hold each document once and "
            "whole, so it can't be told whether packed documents see each other. Set packing: false, or leave the "
            "collator out."
        )
    inputs = trainer._prepare_inputs({name: value for name, value in inputs.items() if name != "labels"})
    logits = model(**inputs, use_cache=False).logits[:, -len(rows[0]) :]  # a learned prompt may stand before the row
    return torch.stack([logits[row, start : start + LENGTH].float().cpu() for row, start in places])


def _places(rows: list[Tokens], document: Tokens) -> Iterator[tuple[int, int]]:
    for index, row in enumerate(rows):
        for start in range(len(row) - LENGTH + 1):
            if row[start : start + LENGTH] == document:
                yield index, start


def _is_coarse(trainer: Any, model: nn.Module) -> bool:
    """Whether anything is computed in less than float32: autocast, narrow or quantised weights, TF32."""
    dtypes = {weight.dtype for weight in model.parameters()}
    tf32 = torch.backends.cuda.matmul.fp32_precision == "tf32"
    return trainer.accelerator.native_amp or tf32 or not dtypes <= {torch.float32, torch.float64}


@contextmanager
def undisturbed(model: nn.Module) -> Iterator[None]:
    """Within the block nothing is random or recorded; afterwards modes and generators are what they were."""
    modes = [(module, module.training) for module in model.modules()]
    generators = RandomState.now()
    model.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for module, training in modes:
            module.training = training
        generators.restore()
