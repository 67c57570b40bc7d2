"""Recall: asking a model what it knows, and reporting what it answered."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_knowlearn.recall.asking import Answers, Asking, ask, ask_many, prompt_for
    from hf_knowlearn.recall.callback import RecallCallback
    from hf_knowlearn.recall.logprobs import AnswerLogprob, answer_logprobs

# asking needs torch; the report of a run that is finished does not
_WHERE = {
    "AnswerLogprob": "logprobs",
    "Answers": "asking",
    "Asking": "asking",
    "RecallCallback": "callback",
    "answer_logprobs": "logprobs",
    "ask": "asking",
    "ask_many": "asking",
    "prompt_for": "asking",
}
__all__ = [
    "AnswerLogprob",
    "Answers",
    "Asking",
    "RecallCallback",
    "answer_logprobs",
    "ask",
    "ask_many",
    "prompt_for",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
