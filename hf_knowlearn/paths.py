"""Defines the paths of the data files of this package.

An installed package contains these files. In a checkout, they are at the top of the repository.

`[tool.hatch.build.targets.wheel.sources]` puts the files into the package. This module imports no other module of the
package.
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
HANDBOOK = PACKAGE / "worlds" / "handbook"
TINY_BASE = PACKAGE / "worlds" / "tiny_base"
FORMAT_AUG = PACKAGE / "format_aug"
KNOWLEDGE_RECALL = PACKAGE / "knowledge_recall"
