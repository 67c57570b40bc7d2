"""`SAMSFTTrainer`: TRL's `SFTTrainer` with sharpness-aware minimisation, refusing what would make it wrong in silence.

With `sam_rho = 0` it is `SFTTrainer` bit for bit; all that is refused then is packing that lets documents see others.
"""

from typing import Any

import torch
from trl import SFTTrainer

from hf_knowlearn.training.config import SAMConfig
from hf_knowlearn.training.mixin import SAMMixin
from hf_knowlearn.training.packing import check_packing


class SAMSFTTrainer(SAMMixin, SFTTrainer):
    """`SFTTrainer` whose `args` are a `SAMConfig`; everything else as TRL documents it.

    `gradient_evaluations` counts the passes over accumulation windows: one for a plain step, two for a SAM step.
    """

    def __init__(self, model: Any, args: SAMConfig | None = None, *others: Any, **named: Any) -> None:
        if not isinstance(args, SAMConfig):
            # SFTTrainer would go on with a config of its own, and SAM would be off without a word.
            raise ValueError(f"args: expected a SAMConfig, got {type(args).__name__}. Pass SAMConfig(output_dir=…).")
        super().__init__(model, args, *others, **named)
        # What Trainer doesn't place itself (FSDP, DeepSpeed, device maps) is whole, and where it will run, only after
        # it is prepared: under FSDP the other processes may hold no weights yet.
        self._packing_is_unproven = not self.place_model_on_device
        if self.place_model_on_device:
            check_packing(self, self.model)

    def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
        if self._packing_is_unproven:
            check_packing(self, model)
            self._packing_is_unproven = False
        return super().compute_loss(model, inputs, *others, **named)

    def cannot_cut_rows(self) -> str | None:
        return "padding_free and packing join them to one" if self.padding_free else None

    def first_rows(self, inputs: Any, rows: int) -> tuple[Any, float]:
        count = len(inputs["input_ids"])
        if odd := [name for name, value in inputs.items() if torch.is_tensor(value) and value.shape[:1] != (count,)]:
            raise ValueError(
                f"sam_ascent_batches: the {count} rows of a micro-batch can't be cut where {', '.join(odd)} has "
                "another number of them. Accumulate over several micro-batches, or set sam_ascent_batches: 0."
            )
        cut = {name: value[:rows] if torch.is_tensor(value) else value for name, value in inputs.items()}
        return cut, min(rows / count, 1.0)
