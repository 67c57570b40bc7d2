"""Metadata: what the Hub reads of a card, the figures of its model among it.

The surprising decision: standard errors are metrics of their own, because the Hub keeps nothing of a figure but its
name and its value.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from math import isfinite
from typing import Any, TypeGuard

import yaml
from markupsafe import Markup

from hf_knowlearn.hub.escaping import in_line
from hf_knowlearn.hub.redaction import hub_id, shown, taught_from

Report = Mapping[str, Any]

PLACES = 4  # decimals of a figure
# Roles of questions: their split, as `publish questions` names it, and what the report calls their figures.
ROLES = {
    "questions": ("qa_eval", {"exact_match": "exact_match", "f1": "f1"}),
    "retention_questions": ("retention", {"exact_match": "retention"}),
    "replayed_questions": ("replayed", {"exact_match": "replayed"}),
}
TITLES = {"exact_match": "Exact match", "f1": "F1"}


@dataclass(frozen=True)
class Published:
    """What a card says and no report knows.

    Args:
        repo_id: `owner/name`.
        license: an identifier of the Hub's, such as `cc-by-4.0`.
        is_adapter: whether the weights are an adapter's, or a whole model's.
        base_model: the model that it was made from, by its name on the Hub; None where it isn't there.
        merged: whether an adapter was made part of its base.
    """

    repo_id: str
    license: str
    is_adapter: bool
    base_model: str | None = None
    merged: bool = False

    @property
    def name(self) -> str:
        """The repository's name without its owner."""
        return self.repo_id.rpartition("/")[2]


def known(value: object) -> TypeGuard[float]:
    """Whether it is a number, and one that can be shown."""
    return isinstance(value, int | float) and isfinite(value)


def arm_of(report: Report) -> str:
    """The name of the one arm of the report.

    Raises:
        ValueError: it has several, or is of several seeds, so that no one model has its figures.
    """
    arms = list(report["runs"])
    if len(arms) != 1 or "by_seed" in report:
        of = f"{len(report['by_seed'])} seeds" if "by_seed" in report else f"{len(arms)} arms ({', '.join(arms)})"
        raise ValueError(f"The report is of {of}, and a card is of one model: name the folder of one run below it.")
    return arms[0]


def metadata(report: Report, about: Published) -> str:
    """The card's YAML, without its fences."""
    from huggingface_hub import ModelCardData

    recipe = report["recipes"][arm_of(report)]
    results = list(_results(report))
    language = recipe.get("answer_language") or "en"
    sources = [name for source in taught_from(recipe) if (name := hub_id(source))]
    data = ModelCardData(
        language=None if language == "und" else [language],
        license=about.license,
        library_name="peft" if about.is_adapter else "transformers",
        pipeline_tag="text-generation",
        base_model=about.base_model,
        base_model_relation=("adapter" if about.is_adapter else "finetune") if about.base_model else None,
        datasets=sources or None,
        tags=["hf_knowlearn", "knowledge", "trl", *(["lora"] if about.is_adapter else [])],
        metrics=sorted({result.metric_type for result in results if result.metric_type in TITLES}) or None,
        model_name=about.name if results else None,
        eval_results=results or None,
    )
    return str(data.to_yaml()).strip()


def _results(report: Report) -> Iterator[Any]:
    """What was measured after the run, as the Hub has it: each figure, then its standard error."""
    from huggingface_hub import EvalResult

    arm = report["runs"][arm_of(report)]
    for role, (split, figures) in ROLES.items():
        if not report["counts"].get(role):
            continue
        source, revision = source_of(report, role)
        result = partial(
            EvalResult,
            task_type="text-generation",
            task_name="Closed-book question answering",
            dataset_type=source,
            dataset_name=f"{source}, {split}",
            dataset_split=split,
            dataset_revision=revision,
            dataset_args={"n": report["counts"][role]},
        )
        for metric, column in figures.items():
            named = {metric: (TITLES[metric], column)}
            named[f"{metric}_se"] = (f"{TITLES[metric]}, standard error", f"{column}_se")
            for type_, (title, figure) in named.items():
                if known(value := arm.get(figure)):
                    yield result(metric_type=type_, metric_name=title, metric_value=round(value, PLACES))


def source_of(report: Report, role: str) -> tuple[str, str | None]:
    """What a role's questions came from, as a card names it, and the SHA-256 of what was read."""
    data = report.get("data") or {}
    recipe = report["recipes"][arm_of(report)]
    of_role = data.get(role) or {}
    # Where the recipe names no retention questions, they are some of those that were asked before.
    source = of_role.get("source") or recipe.get(role) or recipe.get("questions") or "questions"
    return in_line(shown(str(source))), of_role.get("sha256")


def dataset_metadata(**fields: Any) -> Markup:
    """The YAML of a dataset's card, without its fences."""
    return Markup(yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).strip())
