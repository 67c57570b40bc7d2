"""Recall: asking a model what it knows, and reporting what it answered."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hf_knowlearn.recall.asking import Answers, Asking, ask, ask_many, prompt_for
    from hf_knowlearn.recall.callback import RecallCallback
    from hf_knowlearn.recall.drift import Drift
    from hf_knowlearn.recall.editing import Said, TeacherForced, editing_scores, fluency, say, teacher_forced
    from hf_knowlearn.recall.facts import fact_spans
    from hf_knowlearn.recall.held_out import held_out_views
    from hf_knowlearn.recall.knowledge_tokens import KnowledgeTokens
    from hf_knowlearn.recall.leaks import Leak, find_leaks
    from hf_knowlearn.recall.logprobs import AnswerLogprob, answer_logprobs
    from hf_knowlearn.recall.mastery import Mastery, classify_mastery
    from hf_knowlearn.recall.with_vllm import VLLM

# asking needs torch; the report of a run that is finished does not
_WHERE = {
    "AnswerLogprob": "logprobs",
    "Answers": "asking",
    "Asking": "asking",
    "Drift": "drift",
    "KnowledgeTokens": "knowledge_tokens",
    "Leak": "leaks",
    "Mastery": "mastery",
    "RecallCallback": "callback",
    "Said": "editing",
    "TeacherForced": "editing",
    "VLLM": "with_vllm",
    "answer_logprobs": "logprobs",
    "ask": "asking",
    "ask_many": "asking",
    "classify_mastery": "mastery",
    "editing_scores": "editing",
    "fact_spans": "facts",
    "find_leaks": "leaks",
    "fluency": "editing",
    "held_out_views": "held_out",
    "prompt_for": "asking",
    "sample_texts": "free_text",
    "say": "editing",
    "teacher_forced": "editing",
}
__all__ = [
    "VLLM",
    "AnswerLogprob",
    "Answers",
    "Asking",
    "Drift",
    "KnowledgeTokens",
    "Leak",
    "Mastery",
    "RecallCallback",
    "Said",
    "TeacherForced",
    "answer_logprobs",
    "ask",
    "ask_many",
    "classify_mastery",
    "editing_scores",
    "fact_spans",
    "find_leaks",
    "fluency",
    "held_out_views",
    "prompt_for",
    "sample_texts",
    "say",
    "teacher_forced",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
