"""Knowledge recall: is an answer right? The folder that is published as the metric's Space.

Scoring needs the standard library alone and is here at once. `KnowledgeRecall` brings `evaluate` and `datasets`,
seconds of import, and is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from .checking import checked
from .figures import score, score_by_id
from .scoring import contains, exact_match, f1, first_line, normalize

if TYPE_CHECKING:
    from .knowledge_recall import KnowledgeRecall

__all__ = [
    "KnowledgeRecall",
    "checked",
    "contains",
    "exact_match",
    "f1",
    "first_line",
    "normalize",
    "score",
    "score_by_id",
]


def __getattr__(name: str) -> Any:
    if name != "KnowledgeRecall":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.knowledge_recall").KnowledgeRecall


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
