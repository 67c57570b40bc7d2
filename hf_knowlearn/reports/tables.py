"""Tables: every figure of a report as rows of text, from which the terminal, the Markdown and the page are made.

The surprising decision: whether an answer stands anywhere in the words (`contains`) has no column of its own. It is
said in one breath with the length of the answers, since whoever lists every value has it at 1.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from math import isfinite
from typing import Any, NamedTuple, TypeGuard

from hf_knowlearn.evaluation.mastery import CATEGORIES

Report = Mapping[str, Any]
Rows = list[list[str]]

# What the report calls the exact match of each role, and the column of it.
COLUMNS = {"exact_match": "recall", "replayed": "replayed", "retention": "retention"}
ROLES = {"questions": "exact_match", "replayed_questions": "replayed", "retention_questions": "retention"}
NOT_ASKED = "not asked"
DETAILS = {
    "f1": "F1",
    "consistency_all": "right in all wordings",
    "consistency_most": "right in most wordings",
    "sample_accuracy": "right samples",
    "abstention": "abstained",
    "wrong": "wrong",
    "stopped": "stopped by itself",
    "end_of_turn": "ended as its template does",
}
KNOWLEDGE_TOKENS_NOTE = (
    "Knowledge tokens: mean probability that the model gives to the words of the documents that hold their facts,"
    " where they are told in ways that it is never taught in."
)
EDITING = ("reliability", "generalisation", "portability", "locality")


class Table(NamedTuple):
    """A header and rows of text; `figures` stand to the right, under the end of their heading."""

    title: str
    rows: Rows
    note: str = ""
    figures: bool = True


def known(value: object) -> TypeGuard[float]:
    """Whether it is a number one can show: a run that diverged has a loss of nan, a single document no error."""
    return isinstance(value, int | float) and isfinite(value)


def states(report: Report) -> list[tuple[str, Mapping[str, Any]]]:
    """The scores of the model before, with the document before its eyes (if it was asked so), and of each arm; before
    an arm of several stages those after each but the last, which is the arm's own."""
    book, arms = report.get("open_book"), report["runs"]
    found = [("before", report["before"]), *([("open book", book)] if book else [])]
    for name, arm in arms.items():
        whose = f"{name}, " if len(arms) > 1 else ""
        found += [(f"{whose}after {stage['name']}", stage) for stage in stages_of(report, name)[:-1]]
        found.append((name, arm))
    return found


def stages_of(report: Report, arm: str) -> list[Mapping[str, Any]]:
    """The stages of an arm, in their order; none where it was all one."""
    return [stage for stage in report.get("stages") or () if stage["run"] == arm]


def share(scores: Mapping[str, Any], name: str, absent: str = NOT_ASKED) -> str:
    """A figure with its standard error, where that is known."""
    value, error = scores.get(name), scores.get(f"{name}_se")
    if not known(value):
        return absent
    return f"{value:.3f} ± {error:.3f}" if known(error) else f"{value:.3f}"


def headline_rows(report: Report) -> Rows:
    """The report's table: a header, a row for the model before, one for the open book, and one for each arm."""
    tokens = ["knowledge tokens"] if by_knowledge_tokens(report) else []
    rows = [["", *COLUMNS.values(), *tokens, "loss", "steps", "gradient evals", "time"]]
    for name, scores in states(report):
        # With the document before its eyes the model is asked about the new documents only.
        absent = "" if scores is report.get("open_book") else NOT_ASKED
        shares = (share(scores, column, absent) for column in COLUMNS)
        loss, seconds = _number(scores, "train_loss", ".3f"), _number(scores, "seconds")
        cost = [_number(scores, "steps"), _number(scores, "gradient_evaluations"), f"{seconds} s" if seconds else ""]
        rows.append([name, *shares, *(knowledge_share(scores) for _ in tokens), loss, *cost])
    return rows


def by_knowledge_tokens(report: Report) -> bool:
    """Whether knowledge tokens are what the run is measured by: no questions were asked, and these were weighed."""
    return not report["counts"]["questions"] and bool(report["before"].get("knowledge_tokens"))


def knowledge_share(scores: Mapping[str, Any]) -> str:
    """The mean probability of the tokens that carry facts, with its standard error over documents."""
    return share(scores.get("knowledge_tokens") or {}, "probability", "")


def _number(figures: Mapping[str, Any], name: str, form: str = ".0f") -> str:
    return format(figures[name], form) if known(figures.get(name)) else ""


def difference_rows(report: Report) -> Rows:
    """A study's second table: what each arm has over the first one, by the mean of paired differences over seeds."""
    if not report.get("differences"):
        return []
    shown = "{mean:+.3f} [{low:+.3f}, {high:+.3f}]"
    rows = [
        [arms, *(shown.format(**by[name]) if name in by else NOT_ASKED for name in COLUMNS)]
        for arms, by in report["differences"].items()
    ]
    return [["difference [95 % interval]", *COLUMNS.values()], *rows]


def tables(report: Report) -> list[Table]:
    """All tables of the report that hold anything, in the order they are read in."""
    all_tables = (
        Table("Before and after", headline_rows(report)),
        Table("Differences over seeds", difference_rows(report)),
        Table("Stage by stage", _filled(_stages(report)), _STAGES_NOTE),
        Table("The answers more closely", _filled(_details(report)), _DETAILS_NOTE),
        Table("Recall by relation", list(_relations(report))),
        Table("Learned, kept, forgotten", list(_changes(report)), _CHANGES_NOTE),
        Table("Mastery", list(_mastery(report)), _MASTERY_NOTE),
        Table("Acquired, kept, lost by class", list(_flows(report)), _FLOWS_NOTE),
        Table("Drift", _filled(_drift(report)), _DRIFT_NOTE),
        Table("Sharpness", _filled(_sharpness(report)), _SHARPNESS_NOTE),
        Table("Editing", _filled(_editing(report)), _EDITING_NOTE),
        Table("Cost", _filled(_cost(report))),
        Table("Questions that leak", _filled(_leaks(report)), figures=False),
        Table("Data", _filled(_data(report)), figures=False),
        Table("Made with", list(_made_with(report)), figures=False),
    )
    return [table for table in all_tables if len(table.rows) > 1]


def _filled(rows: Iterable[list[str]]) -> Rows:
    """The rows and columns that hold anything but their own name."""
    header, *body = rows
    body = [row for row in body if any(row[1:])]
    places = [i for i in range(len(header)) if not i or any(row[i] for row in body)]
    return [[row[i] for i in places] for row in (header, *body)]


_DETAILS_NOTE = (
    "F1: shared words. Abstained: said that it doesn't know; what is neither right nor abstained is wrong. Stopped by"
    " itself: the answer ended, with its line or its text, before it was cut. Ended as its template does: with the"
    " token that the chat template puts at the end of a turn. Somewhere"
    " in the answer: an accepted answer stands anywhere in what was said, which means little if much is said."
    f" {KNOWLEDGE_TOKENS_NOTE}"
)
_CHANGES_NOTE = (
    "Learned: wrong before and right after. Kept: right both times. Forgotten: right before and wrong after. Never:"
    " wrong both times."
)
_STAGES_NOTE = "What each stage took; what was known after it stands above."
_MASTERY_NOTE = (
    "Questions by how well they are known. HighlyKnown: right with every prompt. MaybeKnown: with some. WeaklyKnown:"
    " in a sampled answer alone. Unknown: never (arXiv 2405.05904)."
)
_FLOWS_NOTE = "By the class before the run. Acquired: in a better class now. Kept: in the same. Lost: in a worse one."
_DRIFT_NOTE = (
    "How far the model's next-token probabilities on general text have moved from those before: Kullback-Leibler"
    " divergence in nats a token; 0 is not at all."
)
_SHARPNESS_NOTE = (
    "By how much the loss on some of what is taught, as written, rises where all trained weights together are moved by"
    " the radius: along the gradient, and along random directions (± standard error over them)."
)
_EDITING_NOTE = (
    "Each cell: share of right tokens when the answer is forced, then share of right answers when the model writes"
    " them. Fluency: entropy of the n-grams of what it writes, in bits, before and after; low where it repeats itself."
)


def _details(report: Report) -> Iterator[list[str]]:
    """One row for each measure that there is, and a column for each state of the model."""
    names, scores = zip(*states(report), strict=True)
    yield ["", *names]
    for measure, title in DETAILS.items():
        yield [title, *(share(of_state, measure, "") for of_state in scores)]
    yield ["somewhere in the answer (words said)", *map(_somewhere, scores)]
    yield ["knowledge tokens", *map(knowledge_share, scores)]


def _somewhere(scores: Mapping[str, Any]) -> str:
    words = _number(scores, "mean_answer_words", ".1f")
    return f"{scores['contains']:.3f} ({words})" if words and known(scores.get("contains")) else ""


def _relations(report: Report) -> Iterator[list[str]]:
    by_state = [(name, scores.get("by_relation") or {}) for name, scores in states(report)]
    by_state = [(name, by) for name, by in by_state if by]
    relations = sorted({relation for _, by in by_state for relation in by})
    yield ["relation", "questions", *(name for name, _ in by_state)]
    for relation in relations:
        asked = next(_number(by[relation], "n") for _, by in by_state if relation in by)
        yield [relation, asked, *(share(by.get(relation, {}), "exact_match") for _, by in by_state)]


def _changes(report: Report) -> Iterator[list[str]]:
    kinds = ("learned", "retained", "forgotten", "never")
    yield ["", "questions", *kinds]
    for name, arm in report["runs"].items():
        for role, counts in (arm.get("transitions") or {}).items():
            yield [name, COLUMNS[ROLES[role]], *(_number(counts, kind, ",.0f") for kind in kinds)]


def _stages(report: Report) -> Iterator[list[str]]:
    yield ["", "loss", "steps", "gradient evals", "training", "asking"]
    for stage in report.get("stages") or ():
        cost = [stage["cost"].get(name) for name in ("train_seconds", "evaluation_seconds")]
        passes = [_number(stage, name, ",.0f") for name in ("steps", "gradient_evaluations")]
        name = f"{stage['run']}, {stage['name']}" if len(report["runs"]) > 1 else stage["name"]
        yield [name, _number(stage, "train_loss", ".3f"), *passes, *(duration(s) if known(s) else "" for s in cost)]


def _mastery(report: Report) -> Iterator[list[str]]:
    found = [(name, scores["mastery"]) for name, scores in states(report) if scores.get("mastery")]
    yield ["", "questions", *(found[0][1]["counts"] if found else ())]
    for name, mastery in found:
        yield [name, _number(mastery, "n", ",.0f"), *(f"{count:,.0f}" for count in mastery["counts"].values())]


def _flows(report: Report) -> Iterator[list[str]]:
    """A row for each class before, and what of it is in a better, the same or a worse one; for each state after."""
    yield ["", "class before", "questions", "acquired", "retained", "lost"]
    for name, scores in states(report):
        for category, *counts in moves((scores.get("mastery") or {}).get("flow") or {}):
            yield [name, category, *(f"{count:,.0f}" for count in counts)]


def moves(flow: Mapping[str, Mapping[str, float]]) -> Iterator[tuple[str, float, float, float, float]]:
    """Each class that held questions before: how many, and how many are in a better, the same and a worse one now."""
    for place, (category, now) in enumerate(flow.items()):
        counts = list(now.values())  # best class first, as the classes before are
        if any(counts):
            yield category, sum(counts), sum(counts[:place]), counts[place], sum(counts[place + 1 :])


_FLOW_HEAD = ["before \u2193 after \u2192", *CATEGORIES, "all before"]


def flow_rows(flow: Mapping[str, Mapping[str, int]]) -> Rows:
    """What `mastery.flow` has counted: a header, a row for each class before, and one of all after."""
    body = [[flow[was][now] for now in CATEGORIES] for was in CATEGORIES]
    body.append([sum(column) for column in zip(*body, strict=True)])
    names = [*CATEGORIES, "all after"]
    return [
        _FLOW_HEAD,
        *([name, *map(str, row), str(sum(row))] for name, row in zip(names, body, strict=True)),
    ]


def flow_markdown(flow: Mapping[str, Mapping[str, int]]) -> str:
    """`flow_rows` as a table of Markdown."""
    header, *body = flow_rows(flow)
    aligned = [":---", *["---:"] * (len(header) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (header, aligned, *body)) + "\n"


def _drift(report: Report) -> Iterator[list[str]]:
    yield ["", "nats a token", "tokens", "texts", "of"]
    for name, arm in report["runs"].items():
        if drift := arm.get("drift"):
            counts = [_number(drift, count, ",.0f") for count in ("tokens", "texts")]
            yield [name, share(drift, "kl", ""), *counts, str(drift.get("text") or "")]


def _sharpness(report: Report) -> Iterator[list[str]]:
    yield ["", "radius", "loss", "along the gradient", "along random directions"]
    for name, scores in states(report):
        of = scores.get("sharpness") or {}
        random = " ± ".join(filter(None, (_number(of, figure, ".2g") for figure in ("random", "random_se"))))
        yield [name, _number(of, "radius", "g"), _number(of, "loss", ".3f"), _number(of, "gradient", ".3g"), random]


def _editing(report: Report) -> Iterator[list[str]]:
    yield ["", *EDITING, "fluency"]
    for name, arm in report["runs"].items():
        if editing := arm.get("editing"):
            fluency = editing.get("fluency") or {}
            bits = [_number(fluency.get(when) or {}, "bits", ".2f") for when in ("before", "after")]
            yield [name, *(_edited(editing.get(kind) or {}) for kind in EDITING), " → ".join(filter(None, bits))]


def _edited(figures: Mapping[str, Any]) -> str:
    told = [_number(figures, how, ".3f") for how in ("teacher_forced", "generated")]
    asked = _number(figures, "n", ",.0f")
    return f"{' / '.join(filter(None, told))} of {asked}" if any(told) and asked else " / ".join(filter(None, told))


def _cost(report: Report) -> Iterator[list[str]]:
    """One row for each kind of cost that was measured, and a column for each arm."""
    costs = [cost_of(arm) for arm in report["runs"].values()]
    yield ["", *report["runs"]]
    shown = {
        "train_seconds": ("training", duration),
        "evaluation_seconds": ("asking", duration),
        "self_replay_seconds": ("writing what it replays", duration),
        "steps": ("optimizer steps", "{:,.0f}".format),
        "gradient_evaluations": ("gradient evaluations", "{:,.0f}".format),
        "tokens": ("tokens read in training", "{:,.0f}".format),
        "peak_memory_bytes": ("peak memory of a process", size),
        "processes": ("processes", "{:,.0f}".format),
    }
    for name, (title, form) in shown.items():
        yield [title, *(form(cost[name]) if known(cost.get(name)) else "" for cost in costs)]
    yield ["device", *(str(cost.get("device") or "") for cost in costs)]


def cost_of(arm: Mapping[str, Any]) -> dict[str, Any]:
    """An arm's `cost`, which an older report has not; its steps, evaluations and seconds it always has."""
    plain = {"train_seconds": "seconds", "steps": "steps", "gradient_evaluations": "gradient_evaluations"}
    return {name: arm.get(old) for name, old in plain.items()} | dict(arm.get("cost") or {})


def duration(seconds: float) -> str:
    """Seconds as a person says them: in the largest unit of which there are two."""
    unit, length = next(((u, s) for u, s in (("h", 3600), ("min", 60)) if seconds >= 2 * s), ("s", 1))
    return f"{seconds / length:.{0 if length == 1 else 1}f} {unit}"


def size(count: float) -> str:
    """Bytes in GB or MB, of which one is a thousand of the next."""
    return f"{count / 1e9:.2f} GB" if count >= 1e9 else f"{count / 1e6:.0f} MB"


def _leaks(report: Report) -> Iterator[list[str]]:
    names = ("row", "question", "overlap", "text")
    yield ["training row", "question", "overlap", "passage"]
    for example in (report.get("contamination") or {}).get("examples") or ():
        yield [_number(example, name, ".3g") or str(example.get(name) or "") for name in names]


def _data(report: Report) -> Iterator[list[str]]:
    yield ["", "source", "rows", "SHA-256"]
    for name, of in (report.get("data") or {}).items():
        yield [name, str(of.get("source") or ""), _number(of, "n", ",.0f"), str(of.get("sha256") or "")]


def _made_with(report: Report) -> Iterator[list[str]]:
    yield ["", ""]
    model, seeds = report.get("model") or {}, report.get("seeds") or {}
    if model:
        revision = model.get("revision")
        yield ["model", f"{model.get('name')}{f', revision {revision}' if revision else ''}"]
    if by_seed := report.get("by_seed"):
        yield ["seeds", ", ".join(by_seed)]
    elif seeds:
        different = sorted(set(seeds.values()))
        of_arms = ", ".join(f"{seed} ({arm})" for arm, seed in seeds.items())
        yield ["seed", of_arms if len(different) > 1 else str(different[0])]
    yield from ([name, str(report[name])] for name in ("created", "machine") if name in report)
    yield from ([name, str(number)] for name, number in (report.get("versions") or {}).items())


def columns(rows: Sequence[Sequence[str]]) -> str:
    """Rows under each other, for a terminal: figures end where their headings end."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    lines.insert(1, "-" * len(lines[0]))
    return "\n".join(line.rstrip() for line in lines)
