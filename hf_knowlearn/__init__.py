"""Teach a language model what your documents say, and prove that it knows it.

    documents -> views -> training -> recall -> hub

The names below are loaded when first used, so that `import hf_knowlearn`, `knowlearn --help` and reading documents
do not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_knowlearn.documents import Document, Question, read_documents, read_questions
    from hf_knowlearn.evaluation.mastery import Mastery, classify_mastery
    from hf_knowlearn.format_aug import FormatAugmentedDataset, load_format_aug
    from hf_knowlearn.knowledge_recall import KnowledgeRecall
    from hf_knowlearn.training import SAMConfig, SAMSFTTrainer
    from hf_knowlearn.views import View, format_views

__version__ = "0.1.0"

__all__ = [
    "Document",
    "FormatAugmentedDataset",
    "KnowledgeRecall",
    "Mastery",
    "Question",
    "SAMConfig",
    "SAMSFTTrainer",
    "View",
    "__version__",
    "classify_mastery",
    "format_views",
    "load_format_aug",
    "read_documents",
    "read_questions",
]

# Said again, because type checkers can't read this and Python doesn't run the block above; a test compares the three.
_ROOM = {
    "Document": "documents",
    "FormatAugmentedDataset": "format_aug",
    "KnowledgeRecall": "knowledge_recall",
    "Mastery": "evaluation.mastery",
    "Question": "documents",
    "SAMConfig": "training",
    "SAMSFTTrainer": "training",
    "View": "views",
    "classify_mastery": "evaluation.mastery",
    "format_views": "views",
    "load_format_aug": "format_aug",
    "read_documents": "documents",
    "read_questions": "documents",
}


def __getattr__(name: str) -> Any:
    if name not in _ROOM:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_ROOM[name]}"), name)
    globals()[name] = value  # so that the next use does not come here
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
