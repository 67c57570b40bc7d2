"""Builds the tables of a report as rows of text, for both the Markdown page and the HTML page."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from hf_knowlearn.reports.figures import Figure, Unit
from hf_knowlearn.reports.findings import KNOWLEDGE_TOKENS_NOTE
from hf_knowlearn.reports.formatting import NOT_EVALUATED, duration, known, number, share
from hf_knowlearn.reports.schema import ROLES, by_knowledge_tokens, column_titles, in_words, retrieved, states

Report = Mapping[str, Any]
Rows = list[list[str]]

KNOWLEDGE_TOKENS = "knowledge_tokens.probability"

# Figure -> its title, and a sentence that explains it.
DETAILS = {
    "correct": ("correct", ""),
    "exact_match": ("exact match", "Exact match: SQuAD's rule."),
    "f1": ("F1", "F1: shared words."),
    "consistency_all": ("right in all wordings", ""),
    "consistency_most": ("right in most wordings", ""),
    "sample_accuracy": ("right samples", ""),
    "abstention": ("abstained", "Abstained: the response states that the model does not know."),
    "wrong": ("wrong", "Wrong: neither right nor abstained."),
    "stopped": ("stopped by itself", "Stopped by itself: the response ended before the token limit."),
    "end_of_turn": (
        "ended its turn",
        "Ended its turn: the response ended with the token that the chat template puts at the end of a turn.",
    ),
    "contains": (
        "contains (words of the response)",
        "Contains: an accepted answer occurs anywhere in the response. The mean number of words is in brackets,"
        " because a longer response contains more answers.",
    ),
    "answer_logprob": (
        "log-probability of the answer",
        "Log-probability of the answer: that of the most probable accepted answer, in nats. It rises before the share"
        " of correct responses does.",
    ),
    KNOWLEDGE_TOKENS: ("knowledge tokens", KNOWLEDGE_TOKENS_NOTE.capitalize()),
}
# The same for abilities that are unrelated to the questions about the training documents.
ABILITIES = {
    "retention": ("retention", ""),
    "retention_untouched": (
        "retention, untouched relations",
        "Untouched relations: general knowledge that no prompt of self-generated replay is about.",
    ),
    "chat.fulfilled": ("instructions fulfilled", "Instructions: 100 simple instructions that a rule can check."),
    "chat.ended": ("responses that end", ""),
    "open_book": (
        "reading",
        "Reading: correct answers to the questions about the training documents, with the document in the prompt.",
    ),
    "perplexity.perplexity": ("perplexity", "Perplexity: on general text of the package. Lower is better."),
}
TRANSITIONS = ("learned", "retained", "forgotten", "never")
EDITING = ("reliability", "generalisation", "portability", "locality")
COSTS = {
    "train_seconds": ("training", Unit.SECONDS),
    "evaluation_seconds": ("evaluation", Unit.SECONDS),
    "self_replay_seconds": ("generating replay text", Unit.SECONDS),
    "steps": ("optimizer steps", Unit.COUNT),
    "gradient_evaluations": ("gradient evaluations", Unit.COUNT),
    "tokens": ("training tokens", Unit.COUNT),
    "peak_memory_bytes": ("peak memory of a process", Unit.BYTES),
    "processes": ("processes", Unit.COUNT),
}


class Table(NamedTuple):
    """A table of a report.

    Args:
        rows: the header, then the rows. All have the same length.
        note: a sentence that is shown below the table.
        figures: whether the cells are figures. Figures are aligned to the right.
    """

    title: str
    rows: Rows
    note: str = ""
    figures: bool = True


def tables(report: Report) -> list[Table]:
    """Return the tables of a report, in their order. Tables without rows are left out."""
    all_tables = (
        Table("Before and after", headline_rows(report)),
        Table("Differences over seeds", difference_rows(report)),
        Table("Retrieval", _filled(_retrieval(report)), _RETRIEVAL_NOTE),
        Table("Stage by stage", _filled(_stages(report)), _stages_note(report)),
        _details_table("Details of the answers", report, DETAILS),
        Table("Correct by relation", list(_relations(report))),
        Table("Learned, retained, forgotten", list(_transitions(report)), _TRANSITIONS_NOTE),
        Table("Mastery", list(_mastery(report)), _MASTERY_NOTE),
        Table("Acquired, retained, lost by class", list(_mastery_moves(report)), _MOVES_NOTE),
        _details_table("General abilities", report, ABILITIES),
        Table("Drift", _filled(_drift(report)), _DRIFT_NOTE),
        Table("Editing", _filled(_editing(report)), _EDITING_NOTE),
        Table("Cost", _filled(_cost(report))),
        Table("Contamination", _filled(_contamination(report)), figures=False),
        Table("Data", _filled(_data(report)), figures=False),
        Table("Made with", list(_made_with(report)), figures=False),
    )
    return [table for table in all_tables if len(table.rows) > 1]


_RETRIEVAL_NOTE = (
    "The base model with passages of the documents in the prompt. BM25 ranks the passages by the words of the"
    " question. Answer found: share of questions whose passages contain an accepted answer. Document found: share of"
    " questions whose document is among those of the passages. Passages, prompt tokens: means. Shortened: number of"
    " prompts with fewer passages, because not all fit into the context. Run - retrieval: difference in correct,"
    " paired by question."
)
_TRANSITIONS_NOTE = (
    "Learned: wrong before and right after. Retained: right both times. Forgotten: right before and wrong after."
    " Never: wrong both times."
)
_MASTERY_NOTE = (
    "Number of questions in each class (arXiv 2405.05904). HighlyKnown: right with every prompt. MaybeKnown: right"
    " with some prompts. WeaklyKnown: right only in some sampled responses. Unknown: never right."
)
_MOVES_NOTE = (
    "Questions by their class before the run. Acquired: in a better class after the run. Retained: in the same class."
    " Lost: in a worse class."
)
_DRIFT_NOTE = (
    "Kullback-Leibler divergence between the next-token probabilities of the base model and of the trained model, on"
    " general text, in nats per token. 0 means no change."
)
_EDITING_NOTE = (
    "Each cell has the share of right tokens with teacher forcing, then the share of right generated answers."
    " Fluency is the entropy of the n-grams of generated text, in bits, before and after. It is low if the text"
    " repeats itself."
)


def headline_rows(report: Report) -> Rows:
    """Return a header, then a row for each evaluated state of the model: its headline figures, loss and cost."""
    titles = column_titles(report)
    tokens = ["knowledge tokens"] if by_knowledge_tokens(report) else []
    rows = [["", *titles.values(), *tokens, "loss", "steps", "gradient evals", "time"]]
    for name, scores in states(report):
        # Why: these are evaluated only on the questions about the training documents.
        controls = [report.get("guessing"), report.get("open_book"), *retrieved(report).values()]
        absent = "" if any(scores is one for one in controls) else NOT_EVALUATED
        shares = [share(scores, column, absent) for column in titles]
        weighed = [share(scores, KNOWLEDGE_TOKENS, "") for _ in tokens]
        rows.append([name, *shares, *weighed, number(scores, "train_loss", ".3f"), *_spent(scores.get("cost") or {})])
    return rows


def _spent(cost: Report) -> list[str]:
    seconds = number(cost, "train_seconds", ".0f")
    passes = [number(cost, name, ".0f") for name in ("steps", "gradient_evaluations")]
    return [*passes, f"{seconds} s" if seconds else ""]


def difference_rows(report: Report) -> Rows:
    """Return a header, then a row for each run: the mean over seeds of its differences from the first run.

    Return no rows if the report is not over several seeds.
    """
    if not report.get("differences"):
        return []
    form, titles = "{mean:+.3f} [{low:+.3f}, {high:+.3f}]", column_titles(report)
    rows = [
        [runs, *(form.format(**by[name]) if name in by else NOT_EVALUATED for name in titles)]
        for runs, by in report["differences"].items()
    ]
    return [["difference [95 % interval]", *titles.values()], *rows]


def _retrieval(report: Report) -> Iterator[list[str]]:
    runs = {f"{name} - retrieval": figures.get("over_retrieval") or {} for name, figures in report["runs"].items()}
    yield ["", "correct", "answer found", "document found", "passages", "prompt tokens", "shortened", *runs]
    for top, figures in retrieved(report).items():
        shares = [share(figures, name, "") for name in ("correct", "found", "document_found")]
        means = [number(figures, name, ",.1f") for name in ("passages", "prompt_tokens")]
        differences = (share(difference, top, "", "+") for difference in runs.values())
        yield [in_words(top), *shares, *means, number(figures, "shortened"), *differences]


def _filled(rows: Iterable[list[str]]) -> Rows:
    """Remove the rows and columns that have only a title and no value."""
    header, *body = rows
    body = [row for row in body if any(row[1:])]
    places = [i for i in range(len(header)) if i == 0 or any(row[i] for row in body)]
    return [[row[i] for i in places] for row in (header, *body)]


def _details_table(title: str, report: Report, details: Mapping[str, tuple[str, str]]) -> Table:
    """Return a table with a row for each figure in `details`, and a column for each evaluated state of the model.

    The note below the table explains the figures.
    """
    names, scores = zip(*(state for state in states(report) if state[1] is not report.get("guessing")), strict=True)
    rows = _filled(
        [["", *names], *([name, *(_detail(of, figure) for of in scores)] for figure, (name, _) in details.items())]
    )
    shown = {row[0] for row in rows[1:]}
    return Table(title, rows, " ".join(note for name, note in details.values() if name in shown and note))


def _detail(scores: Report, name: str) -> str:
    if name != "contains":
        return share(scores, name, "")
    # Why with the length: a response that lists all possible answers contains every answer.
    words = number(scores, "mean_answer_words", ".1f")
    return f"{share(scores, name, '')} ({words})" if words and known(scores.get(name)) else ""


def _relations(report: Report) -> Iterator[list[str]]:
    by_state = [(name, of) for name, scores in states(report) if (of := scores.get("by_relation"))]
    yield ["relation", "questions", *(name for name, _ in by_state)]
    for relation in sorted({relation for _, of in by_state for relation in of}):
        questions = next(number(of[relation], "n") for _, of in by_state if relation in of)
        yield [relation, questions, *(share(of.get(relation, {}), "correct") for _, of in by_state)]


def _transitions(report: Report) -> Iterator[list[str]]:
    titles = column_titles(report)
    yield ["", "questions", *TRANSITIONS]
    for name, figures in report["runs"].items():
        for role, counts in (figures.get("transitions") or {}).items():
            if ROLES[role] in titles:
                yield [name, titles[ROLES[role]], *(number(counts, kind) for kind in TRANSITIONS)]


def _stages(report: Report) -> Iterator[list[str]]:
    yield ["", "loss", "steps", "gradient evals", "training", "evaluation"]
    for stage in report.get("stages") or ():
        cost = stage["cost"]
        name = f"{stage['run']}, {stage['name']}" if len(report["runs"]) > 1 else stage["name"]
        passes = [number(cost, key) for key in ("steps", "gradient_evaluations")]
        seconds = [cost.get(key) for key in ("train_seconds", "evaluation_seconds")]
        yield [name, number(stage, "train_loss", ".3f"), *passes, *(duration(s) if known(s) else "" for s in seconds)]


def _stages_note(report: Report) -> str:
    return "The first table has the scores after each stage." if len(report.get("stages") or ()) > 1 else ""


def _mastery(report: Report) -> Iterator[list[str]]:
    found = [(name, scores["mastery"]) for name, scores in states(report) if scores.get("mastery")]
    yield ["", "questions", *(found[0][1]["counts"] if found else ())]
    for name, mastery in found:
        yield [name, number(mastery, "n"), *(f"{count:,.0f}" for count in mastery["counts"].values())]


def _mastery_moves(report: Report) -> Iterator[list[str]]:
    yield ["", "class before", "questions", "acquired", "retained", "lost"]
    for name, scores in states(report):
        for category, *counts in moves((scores.get("mastery") or {}).get("flow") or {}):
            yield [name, category, *(f"{count:,.0f}" for count in counts)]


def moves(flow: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float, float, float, float]]:
    """Yield a tuple for each class that had questions before training.

    The tuple has the name of the class and four numbers of questions: all questions of the class before training, and
    those of them that are in a better class, in the same class and in a worse class after training.

    Args:
        flow: class before training -> class after training -> number of questions. Classes are in order from the best
            to the worst.
    """
    for place, (category, after) in enumerate(flow.items()):
        counts = list(after.values())
        if any(counts):
            yield category, sum(counts), sum(counts[:place]), counts[place], sum(counts[place + 1 :])


def _drift(report: Report) -> Iterator[list[str]]:
    yield ["", "nats per token", "tokens", "texts", "source"]
    for name, figures in report["runs"].items():
        if drift := figures.get("drift"):
            counts = [number(drift, count) for count in ("tokens", "texts")]
            yield [name, share(figures, "drift.kl", ""), *counts, str(drift.get("text") or "")]


def _editing(report: Report) -> Iterator[list[str]]:
    yield ["", *EDITING, "fluency"]
    for name, figures in report["runs"].items():
        if editing := figures.get("editing"):
            fluency = editing.get("fluency") or {}
            bits = [share(fluency, f"{when}.bits", "") for when in ("before", "after")]
            yield [name, *(_edited(editing.get(kind) or {}) for kind in EDITING), " → ".join(filter(None, bits))]


def _edited(figures: Report) -> str:
    shares = " / ".join(filter(None, (share(figures, how, "") for how in ("teacher_forced", "generated"))))
    questions = number(figures, "n")
    return f"{shares} of {questions}" if shares and questions else shares


def _cost(report: Report) -> Iterator[list[str]]:
    """Yield a row for each kind of cost, with a column for each run."""
    costs = [figures.get("cost") or {} for figures in report["runs"].values()]
    yield ["", *report["runs"]]
    for name, (title, unit) in COSTS.items():
        yield [title, *(Figure(cost[name], unit).text if known(cost.get(name)) else "" for cost in costs)]
    yield ["device", *(str(cost.get("device") or "") for cost in costs)]


def _contamination(report: Report) -> Iterator[list[str]]:
    names = ("row", "question", "overlap", "text")
    yield ["training row", "question", "overlap", "passage"]
    for example in (report.get("contamination") or {}).get("examples") or ():
        yield [number(example, name, ".3g") or str(example.get(name) or "") for name in names]


def _data(report: Report) -> Iterator[list[str]]:
    yield ["", "source", "rows", "SHA-256"]
    for name, of in (report.get("data") or {}).items():
        yield [name, str(of.get("source") or ""), number(of, "n"), str(of.get("sha256") or "")]


def _made_with(report: Report) -> Iterator[list[str]]:
    yield ["", ""]
    model, seeds = report.get("model") or {}, report.get("seeds") or {}
    if model:
        revision = model.get("revision")
        yield ["model", f"{model.get('name')}{f', revision {revision}' if revision else ''}"]
    if by_seed := report.get("by_seed"):
        yield ["seeds", ", ".join(by_seed)]
    elif len(set(seeds.values())) > 1:
        yield ["seed", ", ".join(f"{seed} ({run})" for run, seed in seeds.items())]
    elif seeds:
        yield ["seed", str(next(iter(seeds.values())))]
    yield from ([name, str(report[name])] for name in ("created", "machine") if name in report)
    yield from ([name, str(number)] for name, number in (report.get("versions") or {}).items())


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Return rows as text in columns, for a terminal. The first row is the header.

    The first column is aligned to the left, all others are aligned to the right.

    >>> print(columns([["", "steps"], ["formats", "250"]]))
             steps
    --------------
    formats    250
    """
    from tabulate import tabulate

    align = ["left", *["right"] * (len(rows[0]) - 1)]
    lines = tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=align).splitlines()
    return "\n".join([lines[0], "-" * max(map(len, lines)), *lines[1:]])
