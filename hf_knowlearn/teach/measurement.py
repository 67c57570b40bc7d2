"""The measurements of a model before training or after a stage, and their figures for a report."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_knowlearn.evaluation.answer_logprobs import AnswerLogprob
from hf_knowlearn.evaluation.chat_ability import ChatAbility
from hf_knowlearn.evaluation.evaluate import EvaluationResult
from hf_knowlearn.evaluation.knowledge_tokens import KnowledgeTokens
from hf_knowlearn.evaluation.model_responses import ModelResponses
from hf_knowlearn.evaluation.perplexity import Perplexity
from hf_knowlearn.evaluation.standard_errors import clustered_mean, documents_of
from hf_knowlearn.reports.schema import run_scores
from hf_knowlearn.teach.retention import untouched_scores

if TYPE_CHECKING:
    from hf_knowlearn.evaluation.mastery import Mastery


@dataclass(frozen=True)
class Measurement:
    """The measurements of a model before training or after a stage. None means that a value was not measured."""

    evaluation: EvaluationResult
    answer_logprobs: Sequence[AnswerLogprob] = ()
    open_book: EvaluationResult | None = None
    chat: ChatAbility | None = None
    perplexity: Perplexity | None = None
    knowledge_tokens: KnowledgeTokens | None = None
    edits: ModelResponses | None = None
    mastery: "Sequence[Mastery] | None" = None

    def scores(self, before: "Measurement | None" = None) -> dict[str, Any]:
        """Return the figures for a report.

        Args:
            before: an earlier measurement. If given, the figures include the changes of the classes of mastery between
                `before` and this measurement.
        """
        scores = run_scores(self.evaluation.scores()) | untouched_scores(self.evaluation)
        if self.answer_logprobs:
            questions = self.evaluation.questions["questions"]
            clusters = documents_of(questions) or [question.id for question in questions]
            mean, error = clustered_mean([[one.total for one in self.answer_logprobs]], clusters)
            scores |= {"answer_logprob": mean, "answer_logprob_se": error}
        if self.open_book is not None:
            found = self.open_book.scores()["questions"]
            scores |= {"open_book": found["correct"], "open_book_se": found["correct_se"]}
        if self.chat is not None:
            scores["chat"] = self.chat.figures()
        if self.perplexity is not None:
            scores["perplexity"] = self.perplexity.figures()
        if self.knowledge_tokens is not None:
            scores["knowledge_tokens"] = self.knowledge_tokens.figures()
        if self.mastery is not None:
            scores["mastery"] = _mastery_figures(self.mastery, before.mastery if before else None)
        return scores


def _mastery_figures(now: "Sequence[Mastery]", before: "Sequence[Mastery] | None") -> dict[str, Any]:
    from hf_knowlearn.evaluation.mastery import counts, flow

    figures: dict[str, Any] = {"n": len(now), "counts": counts(now)}
    return figures if before is None else {**figures, "flow": flow(before, now)}
