"""KnowledgeRecall: the figures of `figures.py` as a metric for Hugging Face `evaluate`.

The surprising decisions: inputs are checked before `evaluate` sees them, because it looks at the first row only, lets
a None in any other row through, and answers with types of Arrow where the user needs a row and a way out. And what is
given to `compute` all at once is scored where it lies: `evaluate` would first write it to a file and read it back.
"""

from collections.abc import Sequence
from typing import Any

import datasets
import evaluate

# `evaluate.load` copies the files that it finds by matching such lines, in this file alone, with a regular expression:
# one module a line, and all of them here.
from .checking import checked_columns, option_problems
from .figures import score
from .scoring import refuse


class KnowledgeRecall(evaluate.Metric):
    """Does a model's answer say what its documents say?

    Args:
        predictions: for each question what the model answered, a string; or for every question a list of sampled
            strings, the first of which is its answer.
        references: for each question its accepted answers, a list of strings.
        fact_ids, relations, documents: optional; for each question a string that says which fact it asks for (in one
            of several wordings), of which kind it is, and which document it is about.
        language: "en" (default), "ar", "de", "es", "hi", "ja", "vi", "zh" or "und": how texts are normalised.
        abstentions: a list of ways to say "I don't know".
        whole: judge whole predictions, as SQuAD's script does, and not their first lines. Default: False.

    Returns `exact_match` (the headline) and `f1` of each prediction's first line; `recall`, which asks whether an
    accepted answer stands anywhere in the prediction, beside `mean_answer_words`; `abstention` and `wrong`; `n`; with
    the optional inputs `sample_accuracy`, `consistency_all`, `consistency_most`, `by_relation`; and with each of them
    its standard error, `NAME_se`, clustered by document where documents are given. Shares lie in [0, 1].
    """

    data: Any  # of `evaluate`, which does not declare it

    def _info(self) -> evaluate.MetricInfo:
        text = datasets.Value("string")
        texts = datasets.List(text)
        return evaluate.MetricInfo(
            description="Does a model know what its documents say? Exact match, F1 and recall of its answers.",
            citation="",
            inputs_description=KnowledgeRecall.__doc__,
            features=[datasets.Features({"predictions": said, "references": texts}) for said in (text, texts)],
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
        """The figures of what is given here and of what was added before, as `figures.score` returns them.

        Without predictions and references, `fact_ids`, `relations` and `documents` are about all rows that were added.
        None in any process but the first of a distributed metric.

        Raises:
            ValueError: bad input, as `figures.score` says it; or nothing was given or added.
        """
        options = {"language": language, "abstentions": abstentions, "whole": whole}
        ids = _given(fact_ids=fact_ids, relations=relations, documents=documents)
        if self.writer is None and self.num_process == 1:
            return score(predictions, references, **ids, **options)
        refuse(option_problems(language, abstentions))
        if predictions is None and references is None and self.writer is not None:
            self._check_late(ids)
        else:
            self._hold({"predictions": predictions, "references": references, **ids})
            ids = {}
        figures: dict[str, Any] | None = super().compute(ids=ids, **options)
        if figures and "refusal" in figures:
            raise figures["refusal"]
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
        """Keep these rows for `compute`. Row numbers in errors are the batch's."""
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
        """Keep one row for `compute`. `evaluate.combine` calls what is in it `predictions` and `references`."""
        said = prediction if predictions is None else predictions
        accepted = reference if references is None else references
        ids = _given(fact_ids=fact_id, relations=relation, documents=document)
        self._hold({"predictions": [said], "references": [accepted], **{name: [ids[name]] for name in ids}})

    def _hold(self, columns: dict[str, Any]) -> None:
        """Write rows to the file that `compute` reads, or to memory."""
        # What is left of an answer depends on the language, which `compute` is told; here it must only say something.
        columns = checked_columns(columns, str.strip)
        features = datasets.Features({name: _feature(column) for name, column in columns.items()})
        if self.writer is None:
            self.selected_feature_format = features
            self._init_writer()
        elif features != self.selected_feature_format:
            refuse(
                [
                    f"these rows have {_told(features)}, those added before {_told(self.selected_feature_format)}: "
                    "give the same inputs for every row"
                ]
            )
        if len(columns["predictions"]) == 1:
            self.writer.write({name: column[0] for name, column in columns.items()})  # it gathers single rows
        else:
            self.writer.write_batch(columns)

    def _check_late(self, ids: dict[str, Any]) -> None:
        """Refuse ids that aren't one for each row that was added, while those rows are still here."""
        if not ids:
            return
        if self.num_process > 1:
            refuse(
                [
                    f"{' and '.join(ids)} without predictions: of several processes each knows its own rows only; "
                    "give them to add_batch, with the rows"
                ]
            )
        if twice := [name for name in ids if name in self.selected_feature_format]:
            refuse([f"{' and '.join(twice)} were added with the rows already: give them once"])
        checked_columns(ids, str.strip)
        if wrong := [f"{len(column)} {name}" for name, column in ids.items() if len(column) != len(self)]:
            refuse([f"{' and '.join(wrong)}, but {len(self)} rows were added: give one for each, in their order"])

    def _finalize(self) -> None:
        super()._finalize()
        if self.data is not None:
            self.data = _Unread(self.data)

    def _compute(self, predictions: Any, references: Any, ids: dict[str, Any], **options: Any) -> dict[str, Any]:
        held = {name: self.data[name] for name in self.data.column_names}
        try:
            return score(**{**held, **ids}, **options)
        except ValueError as error:
            return {"refusal": error}  # raised once `evaluate` has put its files and locks away


class _Unread:
    """A dataset whose columns stay on disk when `evaluate` asks for all of their rows."""

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


def _told(features: datasets.Features) -> str:
    kinds = {
        name: "samples" if name == "predictions" and not isinstance(feature, datasets.Value) else name
        for name, feature in features.items()
    }
    return ", ".join(kinds.values())
