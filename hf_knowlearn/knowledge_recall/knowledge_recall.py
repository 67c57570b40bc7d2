"""KnowledgeRecall: the scores of `aggregate.py` as a metric for Hugging Face `evaluate`."""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

from .aggregate import score
from .scoring import raise_problems

# Why: `evaluate.load` finds the files to copy with a regular expression that matches these lines. Each needs a line of
# its own, in this file.
from .validation import option_problems, validated_columns


class KnowledgeRecall(evaluate.Metric):
    """Does a model know what its documents say? Scores its responses to questions.

    Args:
        predictions: the model's response to each question; or, for every question, a list of sampled responses, of
            which the first is scored.
        references: the accepted answers to each question, a list of strings.
        fact_ids, relations, documents: optional. For each question, the fact that it asks for (in one of several
            wordings), its kind, and its document, as strings.
        language: "en", "ar", "de", "es", "hi", "ja", "vi", "zh" or "und", for the normalisation of texts.
        abstentions: a list of ways to state "I don't know".
        whole: score whole predictions, as SQuAD's script does, instead of their first lines.

    Returns:
        `exact_match` (the headline) and `f1` of the first line of each prediction; `contains`, whether an accepted
        answer occurs in the whole prediction, with `mean_answer_words`; `abstention` and `wrong`; `n`; with the
        optional inputs `sample_accuracy`, `consistency_all`, `consistency_most` and `by_relation`. `NAME_se` is the
        standard error, clustered by document if documents are given. Shares are in [0, 1].

    Example:
        >>> metric = KnowledgeRecall()
        >>> scores = metric.compute(predictions=["Lyon.", "Nice"], references=[["Lyon"], ["Lyon", "Lugdunum"]])
        >>> scores["exact_match"]
        0.5
    """

    data: Any  # of `evaluate.Metric`, which does not declare it

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        texts = datasets.List(text)
        return evaluate.MetricInfo(
            description="Does a model know what its documents say? Exact match, F1 and other scores of its responses.",
            citation="",
            inputs_description=KnowledgeRecall.__doc__,
            features=[datasets.Features({"predictions": kind, "references": texts}) for kind in (text, texts)],
            reference_urls=["https://arxiv.org/abs/1606.05250", "https://arxiv.org/abs/1910.07475"],
        )

    def compute(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        fact_ids: Any = None,
        relations: Any = None,
        documents: Any = None,
        language: str = "en",
        abstentions: Any = None,
        whole: bool = False,
    ) -> dict[str, Any] | None:
        """The scores of these rows and of all rows added before, see `aggregate.score`.

        Without predictions and references, `fact_ids`, `relations` and `documents` are those of all added rows. A
        distributed metric returns None in every process except the first.

        Raises:
            ValueError: as `aggregate.score`; or there are no rows.
        """
        options = {"language": language, "abstentions": abstentions, "whole": whole}
        ids = _given(fact_ids=fact_ids, relations=relations, documents=documents)
        if self.writer is None and self.num_process == 1:
            # Why: `evaluate` would write the rows to a file and load them again.
            return score(predictions, references, **ids, **options)
        raise_problems(option_problems(language, abstentions))
        if predictions is None and references is None and self.writer is not None:
            self._check_late(ids)
        else:
            self._hold({"predictions": predictions, "references": references, **ids})
            ids = {}
        figures: dict[str, Any] | None = super().compute(ids=ids, **options)
        if figures and "error" in figures:
            raise figures["error"]
        return figures

    def add_batch(
        self,
        *,
        predictions: Any = None,
        references: Any = None,
        fact_ids: Any = None,
        relations: Any = None,
        documents: Any = None,
    ) -> None:
        """Add these rows for `compute`. Row numbers in errors are those of the batch."""
        ids = _given(fact_ids=fact_ids, relations=relations, documents=documents)
        self._hold({"predictions": predictions, "references": references, **ids})

    def add(
        self,
        *,
        prediction: Any = None,
        reference: Any = None,
        fact_id: Any = None,
        relation: Any = None,
        document: Any = None,
        predictions: Any = None,
        references: Any = None,
    ) -> None:
        """Add one row for `compute`. `evaluate.combine` passes its values as `predictions` and `references`."""
        response = prediction if predictions is None else predictions
        accepted = reference if references is None else references
        ids = _given(fact_ids=fact_id, relations=relation, documents=document)
        self._hold({"predictions": [response], "references": [accepted], **{name: [ids[name]] for name in ids}})

    def _hold(self, columns: dict[str, Any]) -> None:
        """Add rows to the file or the memory that `compute` uses.

        Why: rows are validated here, because `evaluate` checks the first row only and reports Arrow types.
        """
        # The language is an argument of `compute`, so normalised answers are checked there.
        columns = validated_columns(columns, str.strip)
        features = datasets.Features({name: _feature(column) for name, column in columns.items()})
        if self.writer is None:
            self.selected_feature_format = features
            self._init_writer()
        elif features != self.selected_feature_format:
            raise_problems(
                [
                    f"these rows have {_inputs(features)}, those before {_inputs(self.selected_feature_format)}: "
                    "give the same inputs for every row"
                ]
            )
        if len(columns["predictions"]) == 1:
            self.writer.write({name: column[0] for name, column in columns.items()})  # it buffers single rows
        else:
            self.writer.write_batch(columns)

    def _check_late(self, ids: dict[str, Any]) -> None:
        """Raise ValueError unless `ids` has one value for each added row."""
        if not ids:
            return
        if self.num_process > 1:
            raise_problems(
                [
                    f"{' and '.join(ids)} without predictions: each of several processes knows its own rows only; "
                    "pass them to add_batch with the rows"
                ]
            )
        if twice := [name for name in ids if name in self.selected_feature_format]:
            raise_problems([f"{' and '.join(twice)} were added with the rows already: pass them once"])
        validated_columns(ids, str.strip)
        if wrong := [f"{len(column)} {name}" for name, column in ids.items() if len(column) != len(self)]:
            raise_problems(
                [f"{' and '.join(wrong)}, but {len(self)} rows were added: pass one for each, in their order"]
            )

    def _finalize(self) -> None:
        super()._finalize()
        if self.data is not None:
            self.data = _OnDisk(self.data)

    def _compute(self, predictions: Any, references: Any, ids: dict[str, Any], **options: Any) -> dict[str, Any]:
        held = {name: self.data[name] for name in self.data.column_names}
        try:
            return score(**{**held, **ids}, **options)
        except ValueError as error:
            return {"error": error}  # Why: `compute` raises it after `evaluate` has removed its files and locks.


class _OnDisk:
    """A dataset whose columns stay on disk when `evaluate` requests all of their rows."""

    def __init__(self, rows: datasets.Dataset) -> None:
        self._rows = rows
        self.column_names = rows.column_names

    def set_format(self, type: str | None) -> None:
        self._rows.set_format(type=type)

    def __getitem__(self, name: str) -> "_Column":
        return _Column(self._rows[name])


class _Column(Sequence[Any]):
    def __init__(self, column: Any) -> None:
        self._column = column

    def __len__(self) -> int:
        return len(self._column)

    def __getitem__(self, rows: Any) -> Any:
        return self if rows == slice(None) else self._column[rows]


def _given(**columns: Any) -> dict[str, Any]:
    return {name: column for name, column in columns.items() if column is not None}


def _feature(column: list[Any]) -> Any:
    text = datasets.Value("string")
    return text if isinstance(column[0], str) else datasets.List(text)


def _inputs(features: datasets.Features) -> str:
    kinds = {
        name: "samples" if name == "predictions" and not isinstance(feature, datasets.Value) else name
        for name, feature in features.items()
    }
    return ", ".join(kinds.values())
