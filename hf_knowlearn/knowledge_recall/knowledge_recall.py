"""KnowledgeRecall: the scores of `scoring.py` as a metric for Hugging Face `evaluate`.

The surprising decision: inputs are checked before `evaluate` sees them. It looks at the first row only, lets a None
in any other row through, and answers with types of Arrow where the user needs a row and a way out.
"""

from typing import Any

import datasets
import evaluate

# `evaluate.load` finds the files to copy by matching such lines with a regular expression: one module a line.
from .scoring import checked, score


class KnowledgeRecall(evaluate.Metric):
    """Does a model's answer say what its documents say?

    Args:
        predictions: what the model answered, one string per question.
        references: the accepted answers, a list of strings per question.

    Returns `exact_match` (the headline) and `f1` of each prediction's first line, with `exact_match_se` and `f1_se`,
    their standard errors; `contains`, which asks whether an accepted answer stands anywhere in the prediction, beside
    `mean_answer_words`; and `n`, the number of questions. All but the last two lie in [0, 1].
    """

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        return evaluate.MetricInfo(
            description="Does a model know what its documents say? Exact match, F1 and containment of its answers.",
            citation="",
            inputs_description=KnowledgeRecall.__doc__,
            features=datasets.Features({"predictions": text, "references": datasets.Sequence(text)}),
            reference_urls=["https://arxiv.org/abs/1606.05250"],
        )

    def compute(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> dict[str, float] | None:
        """The scores of what is given here and of what was added before, as `scoring.score` returns them.

        None in any process but the first of a distributed metric.

        Raises:
            ValueError: bad input, as `scoring.checked` says it; or nothing was given or added.
        """
        if predictions is None and references is None and self.writer is None:
            checked(predictions, references)
        scores: dict[str, float] | None = super().compute(predictions=predictions, references=references, **kwargs)
        return scores

    def add_batch(self, *, predictions: Any = None, references: Any = None, **kwargs: Any) -> None:
        """Keep these predictions and their accepted answers for `compute`. Row numbers in errors are the batch's."""
        said, accepted = checked(predictions, references)
        super().add_batch(predictions=said, references=accepted, **kwargs)

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: Any) -> None:
        """Keep one prediction and its accepted answers for `compute`."""
        [said], [accepted] = checked([prediction], [reference])
        super().add(prediction=said, reference=accepted, **kwargs)

    def _compute(self, predictions: list[str], references: list[list[str]]) -> dict[str, float]:
        return score(predictions, references)
