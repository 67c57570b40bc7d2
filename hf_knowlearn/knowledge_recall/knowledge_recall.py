"""KnowledgeRecall: the scores of `aggregate.py` as a metric for Hugging Face `evaluate`."""

from typing import Any

import datasets
import evaluate

from .aggregate import score

# Why: `evaluate.load` copies the files that it finds in the import lines of this file, so it needs a line for each.
from .correctness import correct as correct
from .quantities import quantity as quantity
from .scoring import exact_match as exact_match
from .validation import validated_columns as validated_columns


class KnowledgeRecall(evaluate.Metric):
    """Scores a model's responses to questions about the documents that it was trained on.

    Args:
        predictions: the model's response to each question; or, for every question, a list of sampled responses, of
            which the first is scored.
        references: the accepted answers to each question, a list of strings.
        fact_ids, relations, documents: optional, for `compute`. For each question, strings that identify the fact (a
            fact can have questions in several wordings), the kind of the question, and its document.
        language: "en", "ar", "de", "es", "hi", "ja", "vi", "zh" or "und", for the normalisation of texts.
        abstentions: a list of ways to state "I don't know".
        whole: score whole predictions, as SQuAD's script does, instead of their first lines.

    Returns:
        `correct` (the main score), `exact_match` and `f1` of the first line of each prediction; `contains` (whether an
        accepted answer occurs in the whole prediction) and `mean_answer_words`; `abstention` and `wrong`; and `n`.
        With the optional inputs, also `sample_accuracy`, `consistency_all`, `consistency_most` and `by_relation`.
        `NAME_se` is the standard error, clustered by document if documents are given. Shares are in [0, 1].

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
            description="Does a model know what its documents say? Correctness, exact match, F1 and other scores.",
            citation="",
            inputs_description=KnowledgeRecall.__doc__,
            features=[datasets.Features({"predictions": kind, "references": texts}) for kind in (text, texts)],
            reference_urls=["https://arxiv.org/abs/1606.05250", "https://arxiv.org/abs/1910.07475"],
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **options: Any) -> dict[str, Any] | None:
        """Compute the scores of these rows together with the rows from `add` and `add_batch`.

        A distributed metric returns None in every process except the first.

        Args:
            options: all other arguments of `aggregate.score`. `fact_ids`, `relations` and `documents` have one value
                for each row, including the added rows.

        Raises:
            ValueError: `aggregate.score` raises it, or there are no rows.
        """
        if self.writer is None and self.num_process == 1:
            # Why: `evaluate` would write the rows to a file and load them again.
            return score(predictions, references, **options)
        figures: dict[str, Any] | None = super().compute(predictions=predictions, references=references, **options)
        return figures

    def _compute(self, predictions: Any, references: Any, **options: Any) -> dict[str, Any]:
        return score(predictions, references, **options)
