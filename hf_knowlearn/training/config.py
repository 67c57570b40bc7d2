"""The options of `SAMSFTTrainer`: TRL's `SFTConfig`, none of its defaults changed, and how far SAM climbs."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import inf
from typing import Any

from trl import SFTConfig


@dataclass
class SAMConfig(SFTConfig):
    """`SFTConfig` and sharpness-aware minimisation, which is off until `sam_rho` is set.

    No default differs from `SFTConfig`'s.
    """

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

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("\n".join(problems))
        self.sam_rho, self.sam_eta = float(self.sam_rho), float(self.sam_eta)
        super().__post_init__()

    def _problems(self) -> Iterator[str]:
        written: dict[str, Any] = self.__dict__  # from YAML it can be anything
        if not _is_length(written["sam_rho"]):
            yield (
                f"sam_rho: {self.sam_rho!r} is not a finite number of 0 or more. "
                "Write 0 to train without SAM, or a length such as 0.05."
            )
        if not isinstance(written["sam_adaptive"], bool):
            yield f"sam_adaptive: {self.sam_adaptive!r} is not true or false. Write one of them, without quotes."
        if not _is_length(written["sam_eta"]):
            yield (
                f"sam_eta: {self.sam_eta!r} is not a finite number of 0 or more. "
                "Leave it out to have the value of the paper."
            )


def _is_length(value: Any) -> bool:
    # A string that spells a number is one: YAML 1.1 reads 5e-2, which has no point, as a string.
    try:
        return not isinstance(value, bool) and 0 <= float(value) < inf
    except (TypeError, ValueError):
        return False
