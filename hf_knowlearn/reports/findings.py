"""Writes the findings of a report as sentences: what the model learned, what it forgot, and what the run cost.

A difference of at most two standard errors does not count as a change.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.reports.figures import Figure, Unit, change, knowledge_of, share_of
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import (
    Report,
    best_run,
    by_knowledge_tokens,
    column_titles,
    is_replayed,
    replays,
    retrieved,
    states,
)

Figures = Mapping[str, Any]

KNOWLEDGE_TOKENS_NOTE = (
    "knowledge tokens: mean probability of the words that carry the facts of the documents, in formats and orders that"
    " training did not use."
)
# Name of a cost -> its unit, and its words in a sentence. The words of a count are its noun.
COSTS = {
    "train_seconds": (Unit.SECONDS, "{} of training"),
    "steps": (Unit.COUNT, "step"),
    "gradient_evaluations": (Unit.COUNT, "gradient evaluation"),
    "tokens": (Unit.COUNT, "token"),
    "peak_memory_bytes": (Unit.BYTES, "{} of peak memory"),
}
# By the unit of the headline figure and its `change`: the words for what the model learned.
LEARNED = {
    Unit.SHARE: {
        1: "The model learned",
        0: "The model learned nothing measurable",
        -1: "The model learned nothing and knows less than before",
        None: "It is unknown whether the model learned",
    },
    Unit.PROBABILITY: {
        1: "The words that carry the facts became more probable",
        0: "The probability of the words that carry the facts did not change measurably",
        -1: "The words that carry the facts became less probable",
        None: "Mean probability of the words that carry the facts",
    },
}
BETTER_TOOL = {
    1: "The fine-tuned model is a better tool for these documents than retrieval",
    0: "There is no clear difference between the fine-tuned model and retrieval",
    -1: "Retrieval is a better tool for these documents than the fine-tuned model",
    None: "It is unknown whether the fine-tuned model or retrieval is the better tool",
}
NOT_ABOVE_GUESSING = "The model learned no more than which answers are common"
# Path of a figure -> the words of the finding that it fell.
ABILITIES = {
    "chat.fulfilled": "Chat ability fell: the model fulfils {} of the simple instructions.",
    "chat.ended": "Fewer responses end by themselves: {}.",
    "open_book": "Reading fell: with the document in the prompt, the model answers {} of the questions correctly.",
}
FORGOTTEN = {
    1: "The model forgot nothing that was evaluated",
    0: "The model forgot nothing measurable",
    -1: "The model forgot",
    None: "It is unknown whether the model forgot",
}


def findings(report: Report) -> list[str]:
    """Return the findings about the best run: what it learned and forgot, its cost, and its rank."""
    cost = report["runs"][best_run(report)].get("cost") or {}
    words = cost_in_words(cost)
    device = f" on {cost['device']}" if cost.get("device") else ""
    spent = f"The run took {words}{device}." if words else "The cost of the run was not measured."
    others = [*lost_abilities(report), *_against_retrieval(report)]
    return [_learned(report), forgotten(report), *others, spent, *_stopped_early(report), *_compared(report)]


def trained_on(counts: Mapping[str, int]) -> str:
    """Return the training data in words, such as `3 documents and 20 questions`."""
    nouns = {
        "documents": "document",
        "train_documents": "further document" if counts.get("documents") else "document",
        "train_questions": "question",
        "train_conversations": "conversation",
    }
    *others, last = [number_of(counts[name], noun) for name, noun in nouns.items() if counts.get(name)] or ["nothing"]
    return f"{', '.join(others)} and {last}" if others else last


def _learned(report: Report) -> str:
    before, after = report["before"], report["runs"][best_run(report)]
    start = f"The model was trained on {trained_on(report['counts'])}. No questions were evaluated"
    if score := share_of(after, "correct", report["counts"]["questions"]):
        return _learned_by_questions(report, share_of(before, "correct"), score)
    if by_knowledge_tokens(report) and (tokens := knowledge_of(after)):
        return f"{start}. {_learned_by_tokens(knowledge_of(before), tokens)}"
    measured = (after.get("knowledge_tokens") or {}).get("tokens")
    facts = ", and the documents contain no words that carry facts" if measured == 0 else ""
    return f"{start}{facts}, so what it learned is unknown."


def _learned_by_questions(report: Report, before: Figure | None, after: Figure) -> str:
    counts, moved = report["counts"], change(before, after)
    data = trained_on(counts)
    about = f"about the {data} it was trained on" if counts["documents"] else f"after training on {data}"
    seeds = f" (mean of {len(report['by_seed'])} seeds)" if "by_seed" in report else ""
    questions = number_of(counts["questions"], "question")
    guess = share_of(report.get("guessing") or {}, "correct")
    above = change(guess, after) == 1
    verdict = LEARNED[after.unit][moved] if above or not guess or moved != 1 else NOT_ABOVE_GUESSING
    sentences = [f"{verdict}: {after.text} of {questions} {about} are answered correctly{seeds}."]
    if before:
        chance = ", within two standard errors" if moved == 0 else ""
        sentences.append(f"Before training, it was {before.text}{chance}.")
    if guess:
        sentences.append(
            f"The most common answer to each type of question scores {guess.text}"
            + ("." if above else ", and the model is not clearly above it.")
        )
    if book := share_of(report.get("open_book") or {}, "correct"):
        sentences.append(f"With the document in the prompt, the base model reaches {book.text}.")
    return " ".join(sentences)


def _learned_by_tokens(before: Figure | None, after: Figure) -> str:
    then = f"{before.text} before, " if before else ""
    return f"{LEARNED[after.unit][change(before, after)]}: {then}{after.text} after."


def forgotten(report: Mapping[str, Any]) -> str:
    """Return the finding that states what the model of the best run forgot."""
    counts = report["counts"]
    before = share_of(report["before"], "retention")
    figures = report["runs"][best_run(report)]
    after = share_of(figures, "retention", counts["retention_questions"])
    if after is None:
        why = report.get("retention_source") or "No retention questions were evaluated."
        return f"It is unknown what the model forgot. {why}"
    questions = number_of(counts["retention_questions"], "question")
    now = f"retention is {after.text} on {questions} about facts outside the training data"
    then = f" Before training, it was {before.text}." if before else ""
    apart = share_of(figures, "retention_untouched", figures.get("retention_untouched_n"))
    untouched = f" On general knowledge that replay does not touch, it is {apart.text}." if apart else ""
    return f"{FORGOTTEN[change(before, after)]}: {now}.{then}{untouched}"


def lost_abilities(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield a finding for each ability of the best run's model that fell: chat ability and reading."""
    for path, words in ABILITIES.items():
        before, after = (share_of(figures, path) for figures in (report["before"], report["runs"][best_run(report)]))
        if before and after and change(before, after) == -1:
            yield f"{words.format(after.text)} Before training, it was {before.text}."


def _against_retrieval(report: Report) -> Iterator[str]:
    """Yield the finding that states the better tool: the fine-tuned model, or retrieval with the best number of
    passages. Yield nothing if retrieval was not evaluated."""
    tops = {top: score for top, figures in retrieved(report).items() if (score := share_of(figures, "correct"))}
    after = report["runs"][best_run(report)]
    model = share_of(after, "correct")
    if not tops or not model:
        return
    top = max(tops, key=lambda top: tops[top].value)
    more = share_of(after.get("over_retrieval") or {}, top)
    verdict = change(Figure(0, Unit.SHARE, error=0), more)
    number = top.removeprefix("top_")
    passages = "best passage" if number == "1" else f"{number} best passages"
    scores = [
        f"the fine-tuned model answers {model.short} of the questions correctly",
        f"the base model with the {passages} in the prompt answers {tops[top].short} correctly",
    ]
    compared = f"{BETTER_TOOL[verdict]}: {', and '.join(scores)}."
    if more is None or verdict is None:
        yield compared
    else:
        chance = ", within two standard errors" if verdict == 0 else ""
        yield f"{compared} The difference is {100 * more.value:+.1f} ± {more.short_error} percentage points{chance}."


def cost_in_words(cost: Figures) -> str:
    """Return the known costs in words, such as `2.2 min of training, 250 steps`; "" if no cost is known."""
    return ", ".join(
        number_of(cost[name], words) if unit is Unit.COUNT else words.format(Figure(cost[name], unit).text)
        for name, (unit, words) in COSTS.items()
        if known(cost.get(name))
    )


def _stopped_early(report: Report) -> Iterator[str]:
    is_named = bool(report.get("stages")) or len(report["runs"]) > 1
    for name, figures in states(report):
        if stop := figures.get("early_stop"):
            evaluations = number_of(stop["patience"], "evaluation")
            yield (
                f"{f'{name}: t' if is_named else 'T'}raining stopped early, at step {stop['step']:,} of"
                f" {stop['max_steps']:,}, because correct did not improve in {evaluations}. Its best value was"
                f" {stop['best']:.3f}, at step {stop['best_step']:,}; the model is that of step {stop['step']:,}. The"
                " questions decided when training stopped, so their scores are optimistic."
            )


def _compared(report: Report) -> Iterator[str]:
    runs, best = report["runs"], best_run(report)
    scores = {name: share_of(figures, "correct") for name, figures in runs.items()}
    equals = [name for name in runs if name != best and change(scores[name], scores[best]) == 0]
    if len(runs) > 1 and scores[best]:
        equal = f" These runs are within two standard errors of it: {', '.join(equals)}." if equals else ""
        yield f"These are the figures of {best}, which has the most correct responses of {len(runs)} runs.{equal}"


def legend(report: Report) -> list[str]:
    """Return a line for each column of the headline table, with its name and meaning: `name: meaning`."""
    counts, titles = report["counts"], column_titles(report)
    documents = f" about the {number_of(counts['documents'], 'training document')}" if counts["documents"] else ""
    replayed = (
        f"documents that were replayed{_replayed_by(report)}"
        if is_replayed(report)
        else "other documents. No run replayed documents or questions"
    )
    meanings = {
        "correct": ("questions", f"questions{documents}."),
        "replayed": ("replayed_questions", f"questions about {replayed}."),
        "retention": ("retention_questions", "questions about facts outside the training data."),
    }
    shown = {name: title for name, title in titles.items() if name in meanings and counts.get(meanings[name][0])}
    lines = [
        f"{title}: {number_of(counts[meanings[name][0]], 'question')}{meanings[name][1].removeprefix('questions')}"
        for name, title in shown.items()
    ]
    if lines:
        over = "seeds" if "by_seed" in report else "questions"
        rule = "share of questions where the response is an accepted answer, in any spelling, or states one"
        lines.insert(0, f"{', '.join(shown.values())}: {rule}, ± standard error over {over}.")
    if "chat.fulfilled" in titles:
        lines.append("chat: share of simple instructions that the response fulfils, ± standard error.")
    if by_knowledge_tokens(report):
        lines.append(KNOWLEDGE_TOKENS_NOTE)
    if report.get("guessing"):
        lines.append("guessing: the most common answer to the questions of each type.")
    if report.get("open_book"):
        lines.append("open book: the base model with the document in the prompt. A trained model can be better.")
    if retrieved(report):
        lines.append("retrieval: the base model with the passages in the prompt that BM25 finds for the question.")
    if report.get("retention_source"):
        lines.append(report["retention_source"])
    lines.append("loss: mean training loss over the last logged steps.")
    lines.append("gradient evals: gradient evaluations. SAM needs two for each step.")
    return lines


def _replayed_by(report: Report) -> str:
    without = [name for name, recipe in report.get("recipes", {}).items() if not replays(recipe)]
    return f" (by all runs except {', '.join(without)})" if without else " in every batch"


def examples(report: Report) -> list[tuple[str, list[dict[str, Any]]]]:
    """Return examples of questions that the model of the best run learned or forgot.

    Each item is a title and the examples for one role and one kind of transition.
    """
    name = best_run(report)
    about = {
        "questions": "about the training documents",
        "replayed_questions": "about replayed documents" if is_replayed(report) else "of replayed_questions",
        "retention_questions": "about facts outside the training data",
    }
    whose = f" ({name})" if len(report["runs"]) > 1 else ""
    return [
        (f"{kind.capitalize()}, {about[role]}{whose}", rows)
        for role, counts in (report["runs"][name].get("transitions") or {}).items()
        for kind, rows in (counts.get("examples") or {}).items()
        if rows
    ]
