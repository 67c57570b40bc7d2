"""Teach a language model the facts in your documents, and measure what the model has learned.

    documents -> views -> format_aug (rows) -> training -> generation -> evaluation -> reports -> hub

The public names are loaded when they are first used, so that `import hf_knowlearn` does not load torch.
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

# Why the names occur three times: type checkers cannot read this list, and Python does not run the block above. A test
# compares them.
_PACKAGES = {
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
    if name not in _PACKAGES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_PACKAGES[name]}"), name)
    globals()[name] = value  # Why: the next use then does not call this function
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
