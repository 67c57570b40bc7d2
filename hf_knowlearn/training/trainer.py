"""`SAMSFTTrainer`: TRL's `SFTTrainer` with sharpness-aware minimisation and a check of packing."""

from typing import Any

import torch
from trl import SFTTrainer

from hf_knowlearn.training.config import SAMConfig
from hf_knowlearn.training.mixin import SAMMixin
from hf_knowlearn.training.packing import check_packing


class SAMSFTTrainer(SAMMixin, SFTTrainer):
    """`SFTTrainer` with SAM. With `sam_rho: 0`, the trained weights equal those of `SFTTrainer` bit for bit.

    The attribute `gradient_evaluations` is the number of passes over accumulation windows: one for a plain step, and
    two for a SAM step.

    Args:
        model: as in `SFTTrainer`.
        args: a `SAMConfig`.

    Raises:
        ValueError: `args` is not a `SAMConfig`; SAM cannot run in this setting; or packing lets a token attend to
            another document.

    Example:

        args = SAMConfig("outputs/sam", sam_rho=0.05)
        SAMSFTTrainer("MODEL", args=args, train_dataset=rows).train()
    """

    def __init__(self, model: Any, args: SAMConfig | None = None, *others: Any, **named: Any) -> None:
        if not isinstance(args, SAMConfig):
            # Why: SFTTrainer would replace None by its own config, and SAM would be silently off.
            raise ValueError(f"args: expected a SAMConfig, got {type(args).__name__}. Pass SAMConfig(output_dir=…).")
        super().__init__(model, args, *others, **named)
        # Why: with FSDP, DeepSpeed and device maps, the weights are complete only after training has prepared the
        # model.
        self._packing_is_checked = self.place_model_on_device
        if self.place_model_on_device:
            check_packing(self, self.model)

    def compute_loss(self, model: Any, inputs: Any, *others: Any, **named: Any) -> Any:
        if not self._packing_is_checked:
            check_packing(self, model)
            self._packing_is_checked = True
        return super().compute_loss(model, inputs, *others, **named)

    def rows_cannot_be_split(self) -> str | None:
        return "padding_free and packing join the rows" if self.padding_free else None

    def first_rows(self, inputs: Any, rows: int) -> tuple[Any, float]:
        count = len(inputs["input_ids"])
        tensors = {name: value for name, value in inputs.items() if torch.is_tensor(value)}
        if other_sizes := [name for name, value in tensors.items() if value.shape[:1] != (count,)]:
            raise ValueError(
                f"sam_ascent_batches: the {count} rows of a micro-batch cannot be split, because"
                f" {', '.join(other_sizes)} does not have {count} rows. Accumulate over several micro-batches, or set"
                " sam_ascent_batches: 0."
            )
        part = {name: value[:rows] for name, value in tensors.items()}
        return {**inputs, **part}, min(rows / count, 1.0)
