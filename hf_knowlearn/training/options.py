"""`SAMOptions`: options of sharpness-aware minimisation (SAM). This module does not load torch."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, get_args

Direction = Literal["gradient", "random"]


@dataclass
class SAMOptions:
    """Options of sharpness-aware minimisation (SAM). They go before the config of any trainer.

    Args:
        sam_rho: length of the ascent step: an L2 norm over all trained weights together, 0 or more. 0 disables SAM.
        sam_adaptive: use ASAM, whose step is proportional to the size of each weight.
        sam_ascent_batches: number of micro-batches that give the ascent gradient, from 0 to
            `gradient_accumulation_steps`. 0 means all of them.
        sam_start: fraction of `max_steps` after which SAM begins, at least 0 and less than 1.
        sam_direction: "gradient", or "random" for the control.

    Raises:
        ValueError: an option is invalid. The message lists all problems.

    Example:

        @dataclass
        class SAMDPOConfig(SAMOptions, DPOConfig):
            pass

        class SAMDPOTrainer(SAMMixin, DPOTrainer):
            pass
    """

    sam_rho: float = field(
        default=0.0,
        metadata={
            "help": "Length of SAM's ascent step over all trained weights together; 0 disables SAM. Each SAM step "
            "costs two passes. Start at 0.01 for LoRA and 0.05 for all weights; with sam_adaptive at ten times that."
        },
    )
    sam_adaptive: bool = field(
        default=False,
        metadata={"help": "Make the ascent step proportional to the size of each weight (ASAM, arXiv 2102.11600)."},
    )
    sam_ascent_batches: int = field(
        default=0,
        metadata={
            "help": "Number of micro-batches of an accumulation window that give the ascent gradient; 0 means all. "
            "A step costs 1 + sam_ascent_batches / gradient_accumulation_steps passes. If the window has one "
            "micro-batch, this is the number of its rows."
        },
    )
    sam_start: float = field(
        default=0.0,
        metadata={"help": "Fraction of the training steps after which SAM begins: at least 0 and less than 1."},
    )
    sam_direction: Direction = field(
        default="gradient",
        metadata={
            "help": "Direction of the ascent step: the gradient, or random numbers. Random costs one pass. It is the "
            "control that shows whether the gradient's direction matters."
        },
    )

    def __post_init__(self) -> None:
        if problems := [*self._invalid_values(), *self._invalid_ascent_batches()]:
            raise ValueError("\n".join(problems))
        self.sam_rho, self.sam_start = float(self.sam_rho), float(self.sam_start)
        trainer_config: Any = super()
        if hasattr(trainer_config, "__post_init__"):
            trainer_config.__post_init__()

    def _invalid_values(self) -> Iterator[str]:
        values: dict[str, Any] = self.__dict__  # a recipe may contain values of any type
        if not _is_number(values["sam_rho"]):
            yield f"sam_rho: {self.sam_rho!r} is not a finite number of 0 or more. Set 0.05, or 0 to disable SAM."
        if not isinstance(values["sam_adaptive"], bool):
            yield f"sam_adaptive: {self.sam_adaptive!r} is not true or false. Set one of them, without quotes."
        if not _is_count(values["sam_ascent_batches"]):
            yield (
                f"sam_ascent_batches: {self.sam_ascent_batches!r} is not a whole number of 0 or more. "
                "Set 0 to use the whole accumulation window."
            )
        if not _is_number(values["sam_start"]) or float(values["sam_start"]) >= 1:
            yield (
                f"sam_start: {self.sam_start!r} is not a number of at least 0 and less than 1. "
                "Set 0 to begin at the first step, or sam_rho: 0 to disable SAM."
            )
        if values["sam_direction"] not in get_args(Direction):
            yield f"sam_direction: {self.sam_direction!r} is not one of {', '.join(get_args(Direction))}. Set one."

    def _invalid_ascent_batches(self) -> Iterator[str]:
        batches = self.sam_ascent_batches
        window: Any = getattr(self, "gradient_accumulation_steps", None)
        rows: Any = getattr(self, "per_device_train_batch_size", None)
        if not _is_count(batches) or batches == 0:
            return
        if self.sam_direction == "random":
            yield f"sam_ascent_batches: {batches} with sam_direction: random, which uses no gradient. Set 0."
        elif window == 1 and (rows == 1 or (_is_count(rows) and batches > rows)):
            yield (
                f"sam_ascent_batches: {batches} with gradient_accumulation_steps: 1 is a number of rows of the "
                f"micro-batch, which has {rows} (per_device_train_batch_size). Set 0 to use all rows, or accumulate "
                "over more micro-batches."
            )
        elif _is_count(window) and window > 1 and batches > window:
            yield (
                f"sam_ascent_batches: {batches} is more than the {window} micro-batches of a step "
                "(gradient_accumulation_steps). Set 0 to use all of them."
            )


def _is_number(value: Any) -> bool:
    """Whether `value` is a finite number of 0 or more."""
    # Why: a string is accepted, because YAML 1.1 parses 5e-2 as a string.
    try:
        return not isinstance(value, bool) and 0 <= float(value) < inf
    except (TypeError, ValueError):
        return False


def _is_count(value: Any) -> bool:
    """Whether `value` is a whole number of 0 or more."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
