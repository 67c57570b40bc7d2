"""`KnowledgeRecall`: a metric for Hugging Face `evaluate` with the scores of `aggregate.py`."""

from typing import Any

import datasets
import evaluate

from .aggregate import score

# Why: `evaluate.load` copies the files that it finds in the import lines of this file, so it needs a line for each.
from .answer_places import AnswerPlaces as AnswerPlaces
from .assertions import Assertions as Assertions
from .correctness import correct as correct
from .first_sentence import first_sentence as first_sentence
from .quantities import quantity as quantity
from .scoring import exact_match as exact_match
from .sentence_tokens import tokens_of as tokens_of
from .stated_answers import states_answer as states_answer
from .unicode_forms import unicode_normal as unicode_normal
from .validation import validated_columns as validated_columns
from .word_lists import words_of as words_of


class KnowledgeRecall(evaluate.Metric):
    """Scores a model's responses to questions about the documents that it was trained on.

    Args:
        predictions: the model's response to each question. Or, for every question, a list of sampled responses: then
            only `sample_accuracy` uses all of them, and the other scores use the first one.
        references: the accepted answers to each question, a list of strings.
        questions: the text of each question, whose values do not compete with the answer in a sentence.
        fact_ids: the id of the fact that each question asks for. A fact can have questions in several wordings.
        relations: the relation that each question is about, such as "born in".
        documents: the id of the document that each question is about.
        language: the language of the answers: "en", "ar", "de", "es", "hi", "ja", "vi", "zh", or "und" for another
            language.
        abstentions: a list of responses that count as "I don't know".
        whole: score the whole prediction, as SQuAD's script does, instead of its first line.

    Returns:
        A dictionary with `correct` (the main score), `exact_match`, `f1`, `contains`, `mean_answer_words`,
        `abstention`, `wrong` and `n`. Optional arguments add `sample_accuracy`, `consistency_all`, `consistency_most`
        and `by_relation`. `NAME_se` is the standard error of a score. `aggregate.score` describes all of them.

    Example:
        >>> metric = KnowledgeRecall()
        >>> scores = metric.compute(predictions=["Lyon.", "Nice"], references=[["Lyon"], ["Lyon", "Lugdunum"]])
        >>> scores["correct"]
        0.5
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        texts = datasets.List(text)
        return evaluate.MetricInfo(
            description="Does a model know the facts in its documents? Correctness, exact match, F1 and other scores.",
            citation="",
            inputs_description=KnowledgeRecall.__doc__,
            features=[datasets.Features({"predictions": kind, "references": texts}) for kind in (text, texts)],
            reference_urls=["https://arxiv.org/abs/1606.05250", "https://arxiv.org/abs/1910.07475"],
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any] | None:
        """Compute the scores of all rows: the rows that `add` and `add_batch` added, and the rows in these arguments.

        With several processes, only the first one returns scores. The others return None.

        Args:
            options: the other arguments of `aggregate.score`. `questions`, `fact_ids`, `relations` and `documents`
                need one value for each row, including the added rows.

        Raises:
            ValueError: there are no rows, or an argument is invalid (see `aggregate.score`).
        """
        if self.writer is None and self.num_process == 1:
            # Why: `evaluate` would write the rows to a file and load them again.
            return score(predictions, references, **options)
        figures: dict[str, Any] | None = super().compute(predictions=predictions, references=references, **options)
        return figures

    def _compute(self, predictions: Any, references: Any, **options: Any) -> dict[str, Any]:
        return score(predictions, references, **options)
