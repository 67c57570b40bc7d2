"""The findings in words, computed from the figures: what the model learned, what it forgot and what that cost.

A difference within two standard errors is not called a change.
"""

from collections.abc import Callable, Iterator, Mapping
from math import hypot
from typing import Any

from hf_knowlearn.reports.formatting import duration, knowledge_share, known, number_of, percent, size
from hf_knowlearn.reports.schema import Report, best_run, by_knowledge_tokens

Figures = Mapping[str, Any]

KNOWLEDGE_TOKENS_NOTE = (
    "knowledge tokens: mean probability of the words that carry the facts of the documents, in views that are not"
    " trained on."
)
COSTS: dict[str, Callable[[float], str]] = {
    "train_seconds": lambda seconds: f"{duration(seconds)} of training",
    "steps": lambda count: number_of(count, "step"),
    "gradient_evaluations": lambda count: number_of(count, "gradient evaluation"),
    "tokens": lambda count: number_of(count, "token"),
    "peak_memory_bytes": lambda count: f"{size(count)} of peak memory",
}


def findings(report: Report) -> list[str]:
    """The findings about the run with the highest exact match; the first is about learning."""
    cost = report["runs"][best_run(report)].get("cost") or {}
    words = cost_in_words(cost)
    device = f" on {cost['device']}" if cost.get("device") else ""
    spent = f"The run took {words}{device}." if words else "The cost of the run was not measured."
    return [_learned(report), forgotten(report), spent, *_compared(report)]


def _change(before: Figures, after: Figures, name: str) -> int | None:
    """1 if the figure rose, -1 if it fell, 0 if it stayed within two standard errors; None if that is unknown."""
    values: list[Any] = [figures.get(key) for key in (name, f"{name}_se") for figures in (before, after)]
    if not all(map(known, values)):
        return None
    was, now, *errors = values
    if abs(now - was) <= 2 * hypot(*errors):
        return 0
    return 1 if now > was else -1


def _learned(report: Report) -> str:
    counts, before, after = report["counts"], report["before"], report["runs"][best_run(report)]
    documents = number_of(counts["documents"], "document")
    other = "question" if counts.get("train_questions") else "conversation"
    trained_on = documents if counts["documents"] else number_of(counts.get(f"train_{other}s", 0), other)
    if by_knowledge_tokens(report):
        return f"The model was trained on {trained_on}. No questions were evaluated. {_more_probable(before, after)}"
    if not known(after.get("exact_match")):
        return f"The model was trained on {trained_on}. No questions were evaluated, so what it learned is unknown."
    change = _change(before, after, "exact_match")
    verdict = {
        1: "The model learned",
        0: "The model learned nothing measurable",
        -1: "The model learned nothing and knows less than before",
        None: "It is unknown whether the model learned",
    }[change]
    about = f"about the {documents} it was trained on" if counts["documents"] else f"after training on {trained_on}"
    seeds = f" (mean of {len(report['by_seed'])} seeds)" if "by_seed" in report else ""
    now = f"{percent(after['exact_match'])} on {number_of(counts['questions'], 'question')} {about}{seeds}"
    sentences = [f"{verdict}: exact match is {now}."]
    if known(before.get("exact_match")):
        chance = ", within two standard errors" if change == 0 else ""
        sentences.append(f"Before training it was {percent(before['exact_match'])}{chance}.")
    book = report.get("open_book") or {}
    if known(book.get("exact_match")):
        sentences.append(f"With the document in the prompt, the base model reaches {percent(book['exact_match'])}.")
    return " ".join(sentences)


def _more_probable(before: Figures, after: Figures) -> str:
    was, now = (figures.get("knowledge_tokens") or {} for figures in (before, after))
    verdict = {
        1: "The words that carry the facts became more probable",
        0: "The probability of the words that carry the facts did not change measurably",
        -1: "The words that carry the facts became less probable",
        None: "Probability of the words that carry the facts",
    }[_change(was, now, "probability")]
    return f"{verdict}: {knowledge_share(before)} before, {knowledge_share(after)} after."


def forgotten(report: Mapping[str, Any]) -> str:
    """What the best run forgot, in words."""
    after, before = report["runs"][best_run(report)], report["before"]
    if not known(after.get("retention")):
        why = report.get("retention_source") or "No retention questions were evaluated."
        return f"It is unknown what the model forgot. {why}"
    verdict = {
        1: "The model forgot nothing that was evaluated",
        0: "The model forgot nothing measurable",
        -1: "The model forgot",
        None: "It is unknown whether the model forgot",
    }[_change(before, after, "retention")]
    questions = number_of(report["counts"]["retention_questions"], "question")
    now = f"retention is {percent(after['retention'])} on {questions} about what appears nowhere in the run"
    then = f" Before training it was {percent(before['retention'])}." if known(before.get("retention")) else ""
    return f"{verdict}: {now}.{then}"


def cost_in_words(cost: Figures) -> str:
    """The known costs, such as `2.2 min of training, 250 steps`; empty if none is known."""
    return ", ".join(shown(cost[name]) for name, shown in COSTS.items() if known(cost.get(name)))


def _compared(report: Report) -> Iterator[str]:
    runs, best = report["runs"], best_run(report)
    equals = [name for name in runs if name != best and _change(runs[name], runs[best], "exact_match") == 0]
    if len(runs) > 1:
        equal = f" Within two standard errors of it: {', '.join(equals)}." if equals else ""
        yield f"These are the figures of {best}, which has the highest exact match of {len(runs)} runs.{equal}"


def legend(report: Report) -> list[str]:
    """What the columns of the headline table mean: one line each, `name: meaning`."""
    counts = report["counts"]
    documents = f" about the {number_of(counts['documents'], 'training document')}" if counts["documents"] else ""
    meanings = {
        "questions": f"exact match: {{n}} questions{documents}.",
        "replayed_questions": f"replayed: {{n}} questions about documents that were replayed{_replayed_by(report)}.",
        "retention_questions": "retention: {n} questions about what appears nowhere in the run.",
    }
    lines = [meaning.format(n=counts[role]) for role, meaning in meanings.items() if counts[role]]
    if lines:
        over = "seeds" if "by_seed" in report else "questions"
        rule = "share of questions whose response equals an accepted answer (first line, SQuAD's normalisation)"
        lines.insert(0, f"exact match, replayed, retention: {rule}, ± standard error over {over}.")
    if by_knowledge_tokens(report):
        lines.append(KNOWLEDGE_TOKENS_NOTE)
    if report.get("open_book"):
        lines.append("open book: the base model with the document in the prompt. This is not an upper limit.")
    if report.get("retention_source"):
        lines.append(report["retention_source"])
    lines.append("loss: mean training loss over the last logged steps.")
    lines.append("gradient evals: gradient evaluations. SAM needs two for each step.")
    return lines


def _replayed_by(report: Report) -> str:
    """Which runs replayed documents or questions. A run that replays only self-generated text does not count."""
    recipes = report.get("recipes", {})
    without = [name for name, recipe in recipes.items() if not _replays(recipe)]
    if not without:
        return " in every batch"
    return f" (by all runs except {', '.join(without)})" if len(without) < len(recipes) else " (by no run)"


def _replays(recipe: Figures) -> bool:
    stages = [{**recipe, **stage} for stage in recipe.get("stages") or [{}]]
    return any(stage.get("replay_documents") or stage.get("replay_questions") for stage in stages)


def examples(report: Report) -> list[tuple[str, list[dict[str, Any]]]]:
    """Learned and forgotten answers of the best run: a title and the examples, for each role and transition."""
    name = best_run(report)
    about = {
        "questions": "about the training documents",
        "replayed_questions": "about replayed documents",
        "retention_questions": "about documents outside the run",
    }
    whose = f" ({name})" if len(report["runs"]) > 1 else ""
    return [
        (f"{kind.capitalize()}, {about[role]}{whose}", rows)
        for role, counts in (report["runs"][name].get("transitions") or {}).items()
        for kind, rows in (counts.get("examples") or {}).items()
        if rows
    ]
