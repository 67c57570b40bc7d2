"""Builds the metadata of a model card: the YAML block that the Hub parses, with the scores of the model.

Why each standard error is a separate metric: the Hub stores only the name and the value of a metric.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from hf_knowlearn.counts import number_of
from hf_knowlearn.hub.escaping import in_line
from hf_knowlearn.hub.recipe_options import answer_language, question_source, training_sources
from hf_knowlearn.hub.redaction import hub_id, public_name
from hf_knowlearn.reports.formatting import known

PLACES = 4  # number of decimals of a score
# Role of the questions -> the name of their split, and for each metric its key in the report.
RESULTS = {
    "questions": ("qa_eval", {"correct": "correct", "exact_match": "exact_match", "f1": "f1"}),
    "retention_questions": ("retention", {"correct": "retention"}),
    "replayed_questions": ("replayed", {"correct": "replayed"}),
}
TITLES = {"correct": "Correct", "exact_match": "Exact match", "f1": "F1"}


@dataclass(frozen=True)
class Published:
    """Facts for a card that the report does not contain.

    Args:
        repo_id: `owner/name`.
        license: the identifier of a licence on the Hub, such as `cc-by-4.0`.
        is_adapter: whether the weights are an adapter. Otherwise, they are a whole model.
        base_model: name of the base model on the Hub. None if the base model is not on the Hub.
        merged: whether an adapter was merged into its base model.
    """

    repo_id: str
    license: str
    is_adapter: bool
    base_model: str | None = None
    merged: bool = False

    @property
    def name(self) -> str:
        """The name of the repository without its owner."""
        return self.repo_id.rpartition("/")[2]


def single_run(report: Mapping[str, Any]) -> str:
    """Return the name of the only run in the report.

    Raises:
        ValueError: the report has several runs or several seeds, but a card describes a single model.
    """
    runs, seeds = list(report["runs"]), report.get("by_seed")
    if len(runs) != 1 or seeds:
        found = number_of(len(seeds), "seed") if seeds else f"{number_of(len(runs), 'run')} ({', '.join(runs)})"
        raise ValueError(f"The report has {found}, but a card describes one model. Give the folder of a single run.")
    return runs[0]


def metadata(report: Mapping[str, Any], about: Published) -> ModelCardData:
    """Return the metadata of a model card."""
    recipe = report["recipes"][single_run(report)]
    results = list(_results(report))
    language = answer_language(recipe)
    datasets = [name for source in training_sources(recipe) if (name := hub_id(source))]
    return ModelCardData(
        language=[language] if language else None,
        license=about.license,
        library_name="peft" if about.is_adapter else "transformers",
        pipeline_tag="text-generation",
        base_model=about.base_model,
        base_model_relation=("adapter" if about.is_adapter else "finetune") if about.base_model else None,
        datasets=datasets or None,
        tags=["hf_knowlearn", "knowledge", "trl", *(["lora"] if about.is_adapter else [])],
        metrics=sorted({result.metric_type for result in results if result.metric_type in TITLES}) or None,
        model_name=about.name if results else None,
        eval_results=results or None,
    )


def _results(report: Mapping[str, Any]) -> Iterator[EvalResult]:
    """Yield each score after training, and then its standard error, in the format of the Hub."""
    name = single_run(report)
    figures = report["runs"][name]
    for role, (split, metrics) in RESULTS.items():
        if not report["counts"].get(role):
            continue
        data = (report.get("data") or {}).get(role) or {}
        source = in_line(public_name(str(data.get("source") or question_source(report["recipes"][name], role))))
        result = partial(
            EvalResult,
            task_type="text-generation",
            task_name="Closed-book question answering",
            dataset_type=source,
            dataset_name=f"{source}, {split}",
            dataset_split=split,
            dataset_revision=data.get("sha256"),
            dataset_args={"n": report["counts"][role]},
        )
        for metric, figure in metrics.items():
            for suffix, title in (("", TITLES[metric]), ("_se", f"{TITLES[metric]}, standard error")):
                if known(value := figures.get(figure + suffix)):
                    yield result(metric_type=metric + suffix, metric_name=title, metric_value=round(value, PLACES))
