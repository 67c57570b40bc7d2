"""Builds the report of a run from its measurements.

The scores of a run are the scores of its last stage. The costs of a run include all stages.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from hf_knowlearn.config.settings import RunSettings
from hf_knowlearn.evaluation.callback import early_stop
from hf_knowlearn.evaluation.editing import editing_scores
from hf_knowlearn.evaluation.guessing import guessing
from hf_knowlearn.evaluation.standard_errors import paired_difference
from hf_knowlearn.evaluation.transitions import transitions
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import new_report, run_scores
from hf_knowlearn.teach.clock import EVALUATION_BEFORE, SELF_REPLAY
from hf_knowlearn.teach.data import RunData
from hf_knowlearn.teach.measurement import Measurement
from hf_knowlearn.teach.provenance import cost_of, curve_of, data_of

if TYPE_CHECKING:
    from hf_knowlearn.evaluation.drift import Drift
    from hf_knowlearn.evaluation.evaluate import EvaluationResult
    from hf_knowlearn.evaluation.retrieval import RetrievalResult
    from hf_knowlearn.training import SAMSFTTrainer

# Scores that are logged to trackers after each stage.
LOGGED = tuple(f"{name}{of}" for name in ("correct", "exact_match", "replayed", "retention") for of in ("", "_se"))
# Costs that are summed over stages. For other costs, the maximum or the last value counts.
SUMMED_COSTS = ("train_seconds", "evaluation_seconds", "steps", "gradient_evaluations", "tokens")
SUMMED_FIGURES = ("steps", "gradient_evaluations", "seconds")


def stage_figures(
    settings: RunSettings,
    trainer: "SAMSFTTrainer",
    train_seconds: float,
    evaluation_seconds: float,
    before: Measurement,
    after: Measurement,
) -> dict[str, Any]:
    """Return the scores and the costs of a stage, and the transitions of the questions.

    Args:
        before: the measurement before the run. A transition compares the response to a question before and after.
        after: the measurement after the stage.
    """
    evaluation, language = after.evaluation, settings.evaluation.language
    cost = cost_of(trainer, train_seconds, evaluation_seconds)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    return {
        **after.scores(before),
        "train_loss": losses[-1] if losses else None,
        "steps": cost["steps"],
        "gradient_evaluations": cost["gradient_evaluations"],
        "seconds": train_seconds,
        "cost": cost,
        "transitions": {
            role: transitions(questions, before.evaluation.greedy(role), evaluation.greedy(role), language=language)
            for role, questions in evaluation.questions.items()
        },
        "curve": curve_of(trainer.state.log_history),
        **_early_stop(settings, trainer),
    }


def _early_stop(settings: RunSettings, trainer: "SAMSFTTrainer") -> dict[str, Any]:
    """Return the figure `early_stop` if the training of the stage stopped early."""
    patience, max_steps = settings.evaluation.early_stopping_patience, trainer.args.max_steps
    stop = early_stop(trainer.state.log_history, patience) if patience else None
    stopped = stop is not None and stop.step < max_steps
    return {"early_stop": {**stop._asdict(), "max_steps": max_steps}} if stop and stopped else {}


def log_figures(trainer: "SAMSFTTrainer", figures: Mapping[str, Any]) -> None:
    """Log the scores of a stage to the trackers of the trainer (`report_to`)."""
    from transformers import Trainer

    logs = {f"recall/{name}": figures[name] for name in LOGGED if known(figures.get(name))}
    logs |= {f"mastery/{name}": count for name, count in figures.get("mastery", {}).get("counts", {}).items()}
    if logs:
        Trainer.log(trainer, logs)  # Why: TRL's own `log` would add the means of the finished training


def run_figures(stages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the scores of the last stage and the total costs of all stages."""
    *_, last = stages
    if len(stages) == 1:
        return dict(last)
    costs = [stage["cost"] for stage in stages]
    summed = [name for name in SUMMED_COSTS if all(known(cost.get(name)) for cost in costs)]
    peak = max(cost["peak_memory_bytes"] for cost in costs)
    return {
        **last,
        **{name: sum(stage[name] for stage in stages) for name in SUMMED_FIGURES},
        "cost": {
            **last["cost"],
            **{name: sum(cost[name] for cost in costs) for name in summed},
            "peak_memory_bytes": peak,
        },
        "curve": _joined_curve(stages),
    }


def _joined_curve(stages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Join the curves of all stages into one curve over the steps of the run."""
    joined: list[dict[str, Any]] = []
    start = 0
    for stage in stages:
        joined += [{**point, "step": start + point["step"]} for point in stage["curve"]]
        start += stage["steps"]
    return joined


def build_report(
    settings: RunSettings,
    data: RunData,
    stages: Sequence[Mapping[str, Any]],
    before: Measurement,
    after: Measurement,
    *,
    retrieved: "Sequence[RetrievalResult]",
    drift: "Drift | None",
    base: Mapping[str, Any],
    prompt: Mapping[str, str],
    contamination: Mapping[str, Any],
    seconds: Mapping[str, float],
) -> dict[str, Any]:
    """Build the report of a run.

    Args:
        stages: the figures of each stage.
        retrieved: the results of the base model with retrieved passages in the prompts.
        base: name and revision of the base model.
        prompt: template and instruction of the prompts of the evaluation.
        seconds: duration of each part of the run, in seconds.
    """
    figures = run_figures(stages)
    cost = dict(figures["cost"])
    cost["evaluation_seconds"] += seconds[EVALUATION_BEFORE]
    if data.replay_generated:
        cost["self_replay_seconds"] = seconds[SELF_REPLAY]
    figures["cost"] = cost
    if drift:
        figures["drift"] = {**drift.figures(), "text": "generated by the base model"}
    if before.edits and after.edits:
        questions, others = (data.questions[role] for role in ("questions", "retention_questions"))
        language = settings.evaluation.language
        figures["editing"] = editing_scores(questions, others, before.edits, after.edits, language=language)
    if retrieved:
        figures["over_retrieval"] = _over_retrieval(after.evaluation, retrieved)
    report = new_report(before.scores(), {settings.name: figures}, dict(settings.options), data.counts())
    if settings.has_stages:
        named = zip(settings.stages, stages, strict=True)
        report["stages"] = [{"run": settings.name, "name": stage.name, **figures} for stage, figures in named]
    report["data"] = data_of(settings, data)
    report["model"], report["prompt"] = dict(base), dict(prompt)
    report["seeds"] = {settings.name: settings.seed}
    report["retention_source"] = data.retention_source
    report["contamination"] = dict(contamination)
    if before.open_book:
        report["open_book"] = run_scores(before.open_book.scores())
    if questions := data.questions["questions"]:
        report["guessing"] = guessing(questions, settings.evaluation.language).figures()
    if retrieved:
        report["retrieval"] = {f"top_{one.k}": run_scores({"questions": one.figures()}) for one in retrieved}
    return report


def _over_retrieval(after: "EvaluationResult", retrieved: "Sequence[RetrievalResult]") -> dict[str, float]:
    """Return the differences in `correct`, fine-tuned model minus each retrieval, with their standard errors.

    The differences are paired by question.
    """
    figures: dict[str, float] = {}
    for one in retrieved:
        scores = [list(map(float, result.correct("questions"))) for result in (one.evaluation, after)]
        difference, error = paired_difference(one.questions, *scores)
        figures |= {f"top_{one.k}": difference, f"top_{one.k}_se": error}
    return figures
