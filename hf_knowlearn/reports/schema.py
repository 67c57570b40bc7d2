"""The report: one dictionary of plain values with all figures of a run, or of several runs.

Keys of the report:
    created: the time when the report was written, in ISO 8601, UTC.
    before: the figures of the base model.
    runs: the figures after training, by run name.
    stages: the figures after each stage, in order, with the keys `run` and `name`. Only for runs with several stages.
    open_book: the figures of the base model with the document in the prompt. Only if they were evaluated.
    guessing: the score of the most common answers (see `evaluation.guessing`). Only if there are questions.
    retrieval: for `top_1` and `top_3`, the figures of the base model with retrieved passages in the prompt. They
        include `found` (the share of questions whose passages contain an accepted answer), `document_found` (the share
        of questions whose document is among those of the passages), `passages` and `prompt_tokens` (means), and
        `shortened` (the number of prompts with fewer passages, because not all fit). Only if retrieval was evaluated.
    recipes, seeds: the options and the seed of each run, by run name.
    counts: the number of documents, and the number of questions in each role.
    data: for each option that names data, the `source`, the number of items `n` and the `sha256`. Retention questions
        that the run selected also have their `ids`.
    model: the `name` and `revision` of the base model.
    prompt: the `template` ("plain" or "chat") and the `instruction` of the prompts of the evaluation.
    contamination: the number `n` of the training rows that contain an evaluation question, the number `rows` of all
        training rows, and examples.
    retention_source: one sentence that states the source of the retention questions.
    versions, machine: the versions of the packages, and a description of the computer.
    differences, by_seed: only for several seeds (see `lab.quickstart`).

Figures (shares are from 0 to 1; `NAME_se` is the standard error of the figure NAME):
    correct, exact_match, f1, contains: the scores on questions about the training documents.
    replayed: `correct` on questions about replayed documents.
    retention: `correct` on questions about facts that are not in the training data.
    retention_untouched: retention on the `retention_untouched_n` questions of the package about relations that no
        prompt of self-generated replay is about.
    answer_logprob: the mean log-probability of the most probable accepted answer to the questions about the training
        documents, in nats per answer.
    open_book: `correct` on these questions with the document in the prompt. Only before training and after the last
        stage.
    chat: the shares `fulfilled` and `ended` of the responses to `n` instructions (see `evaluation.chat_ability`).
    perplexity: the `perplexity` and the mean negative log-probability `nll` of a token of general text.
    transitions: for each role, the number of questions `learned`, `retained`, `forgotten` and `never` right.
    mastery: the number of questions in each class. `flow` has the number for each class before training and each
        class after training.
    knowledge_tokens, drift, editing: see the modules of these names in `evaluation`.
    over_retrieval: for `top_1` and `top_3`, `correct` minus that of retrieval, paired by question.
    cost: `train_seconds`, `evaluation_seconds`, `self_replay_seconds`, `steps`, `tokens`, `peak_memory_bytes`, ...
    curve: the loss, `correct` and `exact_match` at optimizer steps during training.
    train_loss: the mean loss over the last logged steps.
    early_stop: only if training stopped early: the `step`, the planned `max_steps`, the `best` value of `correct` and
        its `best_step`, and the `patience`, the number of evaluations since then.
"""

import platform
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from typing import Any

from hf_knowlearn import __version__
from hf_knowlearn.reports.formatting import known

Report = dict[str, Any]

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets", "accelerate", "evaluate")
# Role of a set of questions -> the figure with its share of correct responses.
ROLES = {"questions": "correct", "replayed_questions": "replayed", "retention_questions": "retention"}
# Headline figure -> its title in tables and charts.
COLUMNS = {"correct": "correct", "replayed": "replayed", "retention": "retention", "chat.fulfilled": "chat"}
# Figure -> its title in cards and model comparisons.
CARD_COLUMNS = {
    "correct": "correct",
    "exact_match": "exact match",
    "f1": "F1",
    "replayed": "replayed",
    "retention": "retention",
}

# Options that name replayed data. Self-generated text has other options.
REPLAYED = ("replay_documents", "replay_questions", "replay_categories")


def run_scores(scores: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Return the figures of a run.

    Args:
        scores: the metric's scores of each role. All scores of the role `questions` become figures. Of the other
            roles, only `correct` and its standard error become figures, such as `retention` and `retention_se`.
    """
    figures = dict(scores.get("questions", {}))
    figures.pop("n", None)  # Why: the report has it in `counts`
    for role in ("replayed_questions", "retention_questions"):
        if role in scores:
            figures[ROLES[role]] = scores[role]["correct"]
            figures[f"{ROLES[role]}_se"] = scores[role]["correct_se"]
    return figures


def new_report(
    before: Mapping[str, Any],
    runs: Mapping[str, Mapping[str, Any]],
    recipe: Mapping[str, Any],
    counts: Mapping[str, int],
) -> Report:
    """Return the report of one run.

    Args:
        before: the figures of the base model.
        runs: the figures after training, by run name.
        recipe: the options of the run.
        counts: the number of documents, and the number of questions in each role.
    """
    return {
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "before": dict(before),
        "runs": {name: dict(figures) for name, figures in runs.items()},
        "recipes": {name: dict(recipe) for name in runs},
        "counts": dict(counts),
        **made_with(),
    }


def made_with() -> dict[str, Any]:
    """Return the versions of the packages, and a description of the machine."""
    return {
        "versions": {"hf_knowlearn": __version__, **{name: version(name) for name in PACKAGES}},
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
    }


def merge(reports: Sequence[Report]) -> Report:
    """Return one report with the runs of all reports. All other values are those of the first report."""
    by_run = [key for key in ("runs", "recipes", "seeds") if any(key in report for report in reports)]
    merged = {key: {name: of for report in reports for name, of in report.get(key, {}).items()} for key in by_run}
    stages = [stage for report in reports for stage in report.get("stages", ())]
    return {**reports[0], **merged, **({"stages": stages} if stages else {})}


def states(report: Mapping[str, Any]) -> list[tuple[str, Mapping[str, Any]]]:
    """Return the figures of each evaluated state of the model: before, open book, retrieval, after each stage and each
    run. The figures of the guessing control come after those before training."""
    runs, others = report["runs"], {"guessing": report.get("guessing"), "open book": report.get("open_book")}
    found = [("before", report["before"]), *((name, figures) for name, figures in others.items() if figures)]
    found += [(f"retrieval, {in_words(top)}", figures) for top, figures in retrieved(report).items()]
    for name, figures in runs.items():
        whose = f"{name}, " if len(runs) > 1 else ""
        # Why with len(runs) == 1: in a redacted report, the name of the only run can differ from the stage's.
        of_run = [stage for stage in report.get("stages") or () if stage["run"] == name or len(runs) == 1]
        # Why without the last stage: its figures are those of the run.
        found += [(f"{whose}after {stage['name']}", stage) for stage in of_run[:-1]]
        found.append((name, figures))
    return found


def retrieved(report: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the figures of retrieval by their keys, `top_1` and `top_3`. Empty if retrieval was not evaluated."""
    return report.get("retrieval") or {}


def in_words(top: str) -> str:
    """Return the key of a retrieval as words, such as `top 3`."""
    return top.replace("_", " ")


def best_run(report: Mapping[str, Any]) -> str:
    """Return the name of the run with the highest `correct`, or of the first run if no run has this score."""
    runs: Mapping[str, Mapping[str, Any]] = report["runs"]
    scores = {name: figures["correct"] for name, figures in runs.items() if known(figures.get("correct"))}
    return max(scores, key=scores.__getitem__) if scores else next(iter(runs))


def by_knowledge_tokens(report: Mapping[str, Any]) -> bool:
    """Return whether knowledge tokens are the headline: they were measured, and no questions were evaluated."""
    measured = (figures.get("knowledge_tokens") or {} for _, figures in states(report))
    return not report["counts"]["questions"] and any(known(tokens.get("probability")) for tokens in measured)


def replays(recipe: Mapping[str, Any]) -> bool:
    """Return whether a run replays documents or questions. Self-generated text does not count."""
    stages = [{**recipe, **stage} for stage in recipe.get("stages") or [{}]]
    return any(stage.get(name) and stage.get("replay_share", 1) for stage in stages for name in REPLAYED)


def is_replayed(report: Mapping[str, Any]) -> bool:
    """Return whether at least one run of the report replayed documents or questions."""
    return any(map(replays, report.get("recipes", {}).values()))


def column_titles(report: Mapping[str, Any]) -> dict[str, str]:
    """Return the title of each column of the headline table, by the name of its figure.

    There is a column for the figures `replayed` and `chat` only if they were measured. If no run replayed documents or
    questions, the title of the column `replayed` is `replayed_questions`.
    """
    titles, figures = dict(COLUMNS), [scores for _, scores in states(report)]
    if not report["counts"].get("replayed_questions") and not any(known(of.get("replayed")) for of in figures):
        del titles["replayed"]
    elif not is_replayed(report):
        titles["replayed"] = "replayed_questions"
    if not any(of.get("chat") for of in figures):
        del titles["chat.fulfilled"]
    return titles
