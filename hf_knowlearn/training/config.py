"""`SAMConfig`: TRL's `SFTConfig` with the options of SAM."""

from dataclasses import dataclass

from trl import SFTConfig

from hf_knowlearn.training.options import SAMOptions


@dataclass
class SAMConfig(SAMOptions, SFTConfig):
    """`SFTConfig` with the options of `SAMOptions`. All other defaults are those of `SFTConfig`.

    Example:

        SAMConfig("outputs/sam", sam_rho=0.05, gradient_accumulation_steps=8)
    """
