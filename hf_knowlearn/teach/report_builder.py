"""Results: the figures of a stage, of a run of them, and the report that says it all.

The surprising decision: an arm's figures are those of its last stage, and its costs those of all of them.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_knowlearn.config.parsing import Recipe
from hf_knowlearn.evaluation.editing import editing_scores
from hf_knowlearn.evaluation.transitions import transitions
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import new_report, run_scores
from hf_knowlearn.teach import run_folder
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.measurements import Measurement, list_leaks
from hf_knowlearn.teach.provenance import cost_of, curve_of, data_of

if TYPE_CHECKING:
    from hf_knowlearn.evaluation.drift import Drift
    from hf_knowlearn.evaluation.evaluate import Evaluation
    from hf_knowlearn.teach.schedule import Row
    from hf_knowlearn.training import SAMSFTTrainer

# What trackers are told of after each stage.
LOGGED = ("exact_match", "exact_match_se", "replayed", "replayed_se", "retention", "retention_se")
# Costs that add up over stages; of the others, the most counts, or they are the same.
SUMS = ("train_seconds", "evaluation_seconds", "steps", "gradient_evaluations", "tokens")
TOTALS = ("steps", "gradient_evaluations", "seconds")


def figures_of(
    recipe: Recipe,
    trainer: "SAMSFTTrainer",
    seconds: float,
    before: Measurement,
    after: Measurement,
) -> dict[str, Any]:
    """What is known after a stage, what became of each question since `before` the run, and what the stage cost."""
    evaluation, language = after.evaluation, recipe.teach.answer_language
    cost = cost_of(trainer, seconds, evaluation.seconds)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        **after.scores(before),
        "train_loss": losses[-1] if losses else None,
        "steps": cost["steps"],
        "gradient_evaluations": cost["gradient_evaluations"],
        "seconds": seconds,
        "cost": cost,
        "transitions": {
            role: transitions(questions, before.evaluation.greedy(role), evaluation.greedy(role), language=language)
            for role, questions in evaluation.asked.items()
        },
        "curve": curve_of(trainer.state.log_history),
    }


def log_figures(trainer: "SAMSFTTrainer", figures: Mapping[str, Any]) -> None:
    """Put what is known after a stage where the trainer's losses go, for any tracker (`report_to`) to have it.

    The trainer's log makes the curve of the figures, so these are to be made before.
    """
    from transformers import Trainer

    logs = {f"recall/{name}": figures[name] for name in LOGGED if known(figures.get(name))}
    logs |= {f"mastery/{name}": count for name, count in figures.get("mastery", {}).get("counts", {}).items()}
    if logs:
        Trainer.log(trainer, logs)  # TRL's own would add the means of a training that is over


def total(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The figures of an arm from those of its stages: what is known in the end, and what all of it cost."""
    *_, last = stages
    if len(stages) == 1:
        return dict(last)
    costs = [stage["cost"] for stage in stages]
    sums = {name: sum(cost[name] for cost in costs) for name in SUMS if all(known(cost.get(name)) for cost in costs)}
    most = max(cost["peak_memory_bytes"] for cost in costs)
    return {
        **last,
        **{name: sum(stage[name] for stage in stages) for name in TOTALS},
        "cost": {**last["cost"], **sums, "peak_memory_bytes": most},
        "curve": _joined(stages),
    }


def _joined(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The stages' curves as one, over the steps of the run."""
    joined, start = [], 0
    for stage in stages:
        joined += [{**point, "step": start + point["step"]} for point in stage["curve"]]
        start += stage["steps"]
    return joined


def publish(
    recipe: Recipe,
    material: RunData,
    trainer: "SAMSFTTrainer",
    rows: Sequence[list["Row"]],
    stages: Sequence[Mapping[str, Any]],
    measured: Sequence[Measurement],
    open_book: "Evaluation | None",
    drifted: "Drift | None",
    origin: Mapping[str, Any],
    sampling: Mapping[str, float],
) -> dict[str, Any]:
    """Put the run's results into the report and its pages.

    Args:
        rows, stages: the training rows and the figures of each stage.
        measured: before the run, and after it.
        origin: the model that the run started from.
        sampling: what it took to write what the model replays of its own, by the name of the cost.
    """
    before, after = measured
    name, arm = recipe.teach.arm, total(stages)
    asked = [before.evaluation, *([open_book] if open_book else [])]
    arm["cost"] = {
        **arm["cost"],
        **sampling,
        "evaluation_seconds": arm["cost"]["evaluation_seconds"] + sum(one.seconds for one in asked),
    }
    if drifted:
        arm["drift"] = {**drifted.figures(), "text": recipe.teach.general_text or "sampled from the model before"}
    if before.said and after.said:
        questions, others = (material.asked[role] for role in ("questions", "retention_questions"))
        language = recipe.teach.answer_language
        arm["editing"] = editing_scores(questions, others, before.said, after.said, language=language)
    report = new_report(before.scores(), {name: arm}, dict(recipe.options), material.counts())
    if recipe.stages:
        named = zip(recipe.stages, stages, strict=True)
        report["stages"] = [{"run": name, "name": stage.name, **figures} for stage, figures in named]
    report["data"] = data_of(recipe, material.sets())
    report["model"] = dict(origin)
    report["seeds"] = {name: recipe.training.seed}
    report["retention_source"] = material.retention
    report["contamination"] = list_leaks(recipe, trainer, material, [row for of_stage in rows for row in of_stage])
    if open_book:
        report["open_book"] = run_scores(open_book.scores())
    if trainer.accelerator.is_main_process:
        run_folder.write_report(recipe.output_dir, report)
    return report
