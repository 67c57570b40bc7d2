"""Where the files that travel with the package lie: inside it once installed, at the repository's top in a checkout.

One copy in the repository, placed by `[tool.hatch.build.targets.wheel.sources]`; imports nothing of ours.
"""

from pathlib import Path

PACKAGE = Path(__file__).resolve().parent


def _shipped(name: str) -> Path:
    installed = PACKAGE / name
    return installed if installed.is_dir() else PACKAGE.parent / name


RECIPES = _shipped("recipes")
CURRICULA = RECIPES / "curricula"
MODEL_CARDS = _shipped("model_cards")

GENERAL_QUESTIONS = PACKAGE / "general_questions.txt"
TINY_BASE = PACKAGE / "worlds" / "tiny_base"
FORMAT_AUG = PACKAGE / "format_aug"
KNOWLEDGE_RECALL = PACKAGE / "knowledge_recall"
