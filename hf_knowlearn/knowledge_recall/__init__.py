"""The metric Knowledge Recall: it scores a model's responses to questions. Users can publish this folder as a Space.

Scoring needs the standard library only. The class `KnowledgeRecall` needs `evaluate` and `datasets`. These libraries
are slow to import, so the class is imported at its first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .aggregate import score
from .correctness import correct
from .scoring import contains, exact_match, f1, first_line, normalize

if TYPE_CHECKING:
    from .knowledge_recall import KnowledgeRecall

__all__ = ["KnowledgeRecall", "contains", "correct", "exact_match", "f1", "first_line", "normalize", "score"]


def __getattr__(name: str) -> Any:
    if name != "KnowledgeRecall":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.knowledge_recall").KnowledgeRecall


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
