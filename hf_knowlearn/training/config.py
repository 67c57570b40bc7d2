"""The options of SAM, to be put before any trainer's config; `SAMConfig` is TRL's `SFTConfig` with them.

No default of the config beneath is changed, and SAM is off until `sam_rho` is set.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any, Literal, get_args

from trl import SFTConfig

Scope = Literal["global", "local"]
Direction = Literal["gradient", "random"]


@dataclass
class SAMOptions:
    """What sharpness-aware minimisation can be told; `class MyConfig(SAMOptions, DPOConfig)` gives it to another."""

    sam_rho: float = field(
        default=0.0,
        metadata={
            "help": "How far SAM climbs before it takes the gradient: the length of the step over all trained weights "
            "together. 0 is off; above 0 each step costs two passes. Places to start from: 0.01 for LoRA, 0.05 for "
            "all weights, ten times as much with sam_adaptive."
        },
    )
    sam_adaptive: bool = field(
        default=False,
        metadata={"help": "Climb in proportion to each weight's own size (ASAM, arXiv 2102.11600)."},
    )
    sam_eta: float = field(
        default=0.01,
        metadata={
            "help": "With sam_adaptive, added to each weight's size. 0 makes the climb indifferent to rescaled "
            "weights, and leaves weights that are 0 where they are, such as LoRA's B before the first step."
        },
    )
    sam_ascent_batches: int = field(
        default=0,
        metadata={
            "help": "Climb along the gradient of the first so many micro-batches of an accumulation window; 0 takes "
            "all of them, which is exact SAM. A step then costs 1 + sam_ascent_batches / gradient_accumulation_steps "
            "passes, and the loss of the other micro-batches is logged where they are run, uphill. With a window of "
            "one micro-batch it is so many of its rows."
        },
    )
    sam_interval: int = field(
        default=1,
        metadata={
            "help": "Climb at every so many steps; those between are plain ones. sam_rho is not scaled with it."
        },
    )
    sam_start: float = field(
        default=0.0,
        metadata={
            "help": "The fraction of the training's steps after which SAM begins, from 0 up to, not including, 1. It "
            "should leave steps whose learning rate still moves something."
        },
    )
    sam_scope: Scope = field(
        default="global",
        metadata={
            "help": "With several processes: global climbs along the gradient of all of them; local lets each climb "
            "along its own (m-sharpness), which spares them one exchange of gradients."
        },
    )
    sam_direction: Direction = field(
        default="gradient",
        metadata={
            "help": "What to climb along: the gradient, or random numbers in its place. random costs one pass, and is "
            "the control that says whether it is the direction that helps, or any noise of that length."
        },
    )
    sam_bf16_weights: bool = field(
        default=False,
        metadata={
            "help": "Climb even if trained weights are bfloat16, where most of a small step is rounded away; "
            "sam/realised_rho and sam/cosine in the log say how much. Without it such weights are refused."
        },
    )

    msam_rho: float = field(
        default=0.0,
        metadata={
            "help": "Take each gradient so far along the optimizer's momentum (MSAM, arXiv 2401.12033); it costs one "
            "pass, and needs an optimizer that keeps a momentum, such as adamw_torch. 0 is off. Not beside sam_rho or "
            "nbar_alpha."
        },
    )
    nbar_alpha: float = field(
        default=0.0,
        metadata={
            "help": "Before each step scale the factors of LoRA against each other: the one with the larger gradient "
            "grows by 1 + nbar_alpha * learning rate, the other shrinks as much (nBAR, arXiv 2410.14802: balanced "
            "factors, not a sharpness step); it costs one pass. 0 is off. Not beside sam_rho or msam_rho."
        },
    )

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        for name in ("sam_rho", "sam_eta", "sam_start", "msam_rho", "nbar_alpha"):
            setattr(self, name, float(getattr(self, name)))
        beneath: Any = super()
        if hasattr(beneath, "__post_init__"):
            beneath.__post_init__()

    def _problems(self) -> Iterator[str]:
        written: dict[str, Any] = self.__dict__  # from YAML it can be anything
        if not _is_length(written["sam_rho"]):
            yield (
                f"sam_rho: {self.sam_rho!r} is not a finite number of 0 or more. "
                "Write 0 to train without SAM, or a length such as 0.05."
            )
        for name in ("sam_adaptive", "sam_bf16_weights"):
            if not isinstance(written[name], bool):
                yield f"{name}: {written[name]!r} is not true or false. Write one of them, without quotes."
        if not _is_length(written["sam_eta"]):
            yield (
                f"sam_eta: {self.sam_eta!r} is not a finite number of 0 or more. "
                "Leave it out to have the value of the paper."
            )
        for name, least, way_out in (
            ("sam_ascent_batches", 0, "Write 0 to climb from the whole accumulation window."),
            ("sam_interval", 1, "Write 1 to climb at every step."),
        ):
            if not _is_count(written[name]) or written[name] < least:
                yield f"{name}: {written[name]!r} is not a whole number of {least} or more. {way_out}"
        if not _is_length(written["sam_start"]) or float(written["sam_start"]) >= 1:
            yield (
                f"sam_start: {self.sam_start!r} is not a fraction from 0 up to, not including, 1. "
                "Write 0 to climb from the first step, or sam_rho: 0 to train without SAM."
            )
        for name, choices in (("sam_scope", get_args(Scope)), ("sam_direction", get_args(Direction))):
            if written[name] not in choices:
                yield f"{name}: {written[name]!r} is not one of {', '.join(choices)}. Write one of them."
        for name in ("msam_rho", "nbar_alpha"):
            if not _is_length(written[name]):
                yield f"{name}: {written[name]!r} is not a finite number of 0 or more. Write 0 to train without it."
        yield from self._problems_of_ascent_batches()
        kinds = {name: written[name] for name in ("sam_rho", "msam_rho", "nbar_alpha") if _is_length(written[name])}
        if len(on := [f"{name}: {value}" for name, value in kinds.items() if float(value)]) > 1:
            yield f"{' with '.join(on)}: each takes the place of the others. Leave one of them above 0."

    def _problems_of_ascent_batches(self) -> Iterator[str]:
        batches: int = self.sam_ascent_batches
        window: Any = getattr(self, "gradient_accumulation_steps", None)
        if not _is_count(batches) or batches < 1:
            return
        if self.sam_direction == "random":
            yield (
                f"sam_ascent_batches: {batches} with sam_direction: random: no gradient is taken to climb along. "
                "Write 0."
            )
        elif window == 1:
            rows: Any = getattr(self, "per_device_train_batch_size", None)
            if rows == 1 or (_is_count(rows) and batches > rows):
                yield (
                    f"sam_ascent_batches: {batches} with gradient_accumulation_steps: 1 takes rows of the one "
                    f"micro-batch, and it has {rows} (per_device_train_batch_size). Write 0 to climb from all of it, "
                    "or accumulate over more micro-batches."
                )
        elif _is_count(window) and batches > window:
            yield (
                f"sam_ascent_batches: {batches} is more than the {window} micro-batches of a step "
                "(gradient_accumulation_steps). Write 0 to climb from all of them."
            )


@dataclass
class SAMConfig(SAMOptions, SFTConfig):
    """`SFTConfig` and sharpness-aware minimisation, which is off until `sam_rho` is set.

    No default differs from `SFTConfig`'s.
    """


def _is_length(value: Any) -> bool:
    # A string that spells a number is one: YAML 1.1 reads 5e-2, which has no point, as a string.
    try:
        return not isinstance(value, bool) and 0 <= float(value) < inf
    except (TypeError, ValueError):
        return False


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)
