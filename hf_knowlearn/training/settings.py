"""`ReplaySettings`: how a run replays text to preserve the knowledge that the model has before training."""

from dataclasses import dataclass
from math import inf


@dataclass(frozen=True)
class ReplaySettings:
    """Settings of replay.

    Args:
        share: share of the rows of each step that are replayed, at least 0 and less than 1.
        kl_weight: weight of KL(base model, fine-tuned model) on self-generated text, 0 or more. With 0, this text
            has the same loss as all other rows.
        num_generated: number of texts that the base model generates before training for replay, 0 or more.
        prompts: prompts for generating these texts, as in the option `replay_self_prompts`. Each prompt is a text, a
            file, or "" for the empty prompt. The default is the empty prompt and the general questions of the package.

    Raises:
        ValueError: a value is out of range. The message lists all problems.

    Example:

        ReplaySettings(share=0.25, kl_weight=1.0, num_generated=200, prompts=("The river",))
    """

    share: float
    kl_weight: float
    num_generated: int
    prompts: tuple[str, ...] | None = None

    def __post_init__(self) -> None:
        problems = []
        if not 0 <= self.share < 1:
            problems.append(f"share: {self.share!r} is not a number of at least 0 and less than 1. Set 0.25.")
        if not 0 <= self.kl_weight < inf:
            problems.append(
                f"kl_weight: {self.kl_weight!r} is not a finite number of 0 or more. Set 1, or 0 to train without KL."
            )
        if self.num_generated < 0:
            problems.append(f"num_generated: {self.num_generated!r} is less than 0. Set 0 to generate no text.")
        if self.prompts is not None and not self.prompts:
            problems.append("prompts: the list is empty. Add a prompt, or set None to use the default prompts.")
        if problems:
            raise ValueError("\n".join(problems))
