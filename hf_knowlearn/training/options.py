"""`SAMOptions`: options of sharpness-aware minimisation (SAM). This module does not load torch."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, get_args

Direction = Literal["gradient", "random"]


@dataclass
class SAMOptions:
    """Options of sharpness-aware minimisation (SAM). Inherit from this class before the config class of a trainer.

    Args:
        sam_rho: length of the ascent step, as the L2 norm over all trained weights, 0 or more. 0 disables SAM.
        sam_adaptive: use ASAM, whose step is proportional to the size of each weight.
        sam_ascent_batches: number of micro-batches that the gradient of the ascent step is computed from, 0 to
            `gradient_accumulation_steps`. 0 means all of them.
        sam_start: fraction of `max_steps` after which SAM begins, at least 0 and less than 1.
        sam_direction: direction of the ascent step: "gradient", or "random" as a control.

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
            "help": "Length of SAM's ascent step, as the L2 norm over all trained weights. 0 disables SAM. Each SAM "
            "step costs two passes. Start at 0.01 for LoRA, and at 0.05 if all weights are trained. With "
            "sam_adaptive, start at ten times these values."
        },
    )
    sam_adaptive: bool = field(
        default=False,
        metadata={"help": "Make the ascent step proportional to the size of each weight (ASAM, arXiv 2102.11600)."},
    )
    sam_ascent_batches: int = field(
        default=0,
        metadata={
            "help": "Number of the micro-batches of a step from which the gradient of the ascent step is computed. 0 "
            "means all micro-batches. A step takes 1 + sam_ascent_batches / gradient_accumulation_steps times the "
            "computation of a step without SAM. If a step has one micro-batch, this option is a number of rows of it."
        },
    )
    sam_start: float = field(
        default=0.0,
        metadata={"help": "Share of the training steps that run before SAM begins: at least 0 and less than 1."},
    )
    sam_direction: Direction = field(
        default="gradient",
        metadata={
            "help": "Direction of the ascent step: the direction of the gradient, or a random direction. A step in a "
            "random direction costs one pass. It is a control, which shows whether the direction of the gradient "
            "matters."
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
        for name, is_valid, rule in _RULES:
            value = getattr(self, name)  # of any type, because a recipe may contain any value
            if not is_valid(value):
                yield f"{name}: {value!r} is not {rule}"

    def _invalid_ascent_batches(self) -> Iterator[str]:
        batches = self.sam_ascent_batches
        window: Any = getattr(self, "gradient_accumulation_steps", None)
        rows: Any = getattr(self, "per_device_train_batch_size", None)
        if not _is_count(batches) or batches == 0:
            return
        if self.sam_direction == "random":
            yield f"sam_ascent_batches: {batches} has no effect with sam_direction: random. Set sam_ascent_batches: 0."
        elif window == 1 and (rows == 1 or (_is_count(rows) and batches > rows)):
            yield (
                f"sam_ascent_batches: {batches} is a number of rows of the micro-batch, because "
                f"gradient_accumulation_steps is 1. A micro-batch has {rows} (per_device_train_batch_size), which is "
                "too few. Set 0 to use all rows, or accumulate over several micro-batches."
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


# For each option: whether a value is valid, and the rest of the message "OPTION: VALUE is not ...".
_RULES: tuple[tuple[str, Callable[[Any], bool], str], ...] = (
    ("sam_rho", _is_number, "a finite number of 0 or more. Set 0.05, or 0 to disable SAM."),
    ("sam_adaptive", lambda value: isinstance(value, bool), "true or false. Set true or false, without quotes."),
    ("sam_ascent_batches", _is_count, "a whole number of 0 or more. Set 0 to use the whole accumulation window."),
    (
        "sam_start",
        lambda value: _is_number(value) and float(value) < 1,
        "a number of at least 0 and less than 1. Set 0 to begin at the first step, or sam_rho: 0 to disable SAM.",
    ),
    ("sam_direction", lambda value: value in get_args(Direction), "one of gradient, random. Set gradient."),
)
