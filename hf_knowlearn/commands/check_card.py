"""Claims: what a card says that its model knows, and whether it still does when the same questions are asked again.

Nothing but the repository is used: its card has the figures, its report the SHA-256 of the questions, how they were
asked, of what base, with which versions. The surprising decision: with the versions, the machine and the device of the
card a figure holds only if it is equal, as the card rounds it. Elsewhere the last bits of the logits differ, and it
holds within 2 standard errors of the difference: of the paired one where the answers of then are there, else of the
figure itself, which is laxer, and said.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_knowlearn.commands.differences import FIGURES, counts
from hf_knowlearn.config.teach_arguments import TeachArguments
from hf_knowlearn.documents import Question, read_questions
from hf_knowlearn.evaluation.evaluate import Evaluation, evaluate
from hf_knowlearn.evaluation.standard_errors import paired
from hf_knowlearn.generation.ask import GenerationSettings
from hf_knowlearn.hub.metadata import PLACES, ROLES
from hf_knowlearn.models.sources import CARD, Source
from hf_knowlearn.models.variants import describe_variant, load_variant
from hf_knowlearn.reports.report import made_with, run_scores
from hf_knowlearn.reports.tables import COLUMNS, columns, known
from hf_knowlearn.teach.measurements import asking_by
from hf_knowlearn.teach.provenance import fingerprint
from hf_knowlearn.teach.sources import load_questions

ANSWERS = "answers.after.jsonl"
# A role's questions as a split of a published dataset.
SPLITS = {role: split for role, (split, _) in ROLES.items()}
EQUAL, WITHIN, NOT = "holds: equal", "holds within 2 standard errors", "does not hold"
# How a run asks, as far as its greedy answers depend on it, which every claim is about; and how a base was quantised.
ASKED = ("ask_shots", "ask_template", "ask_instruction", "ask_batch_size", "max_answer_tokens", "answer_language")
QUANTISED = ("bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_quant_storage")


@dataclass(frozen=True)
class Claim:
    """A figure that is claimed.

    Args:
        role, measure: of which questions, and "exact_match" or "f1".
        value, error: the figure and its standard error, where that is known.
        places: decimals that it was rounded to; None: not rounded.
    """

    role: str
    measure: str
    value: float
    error: float | None
    places: int | None

    @property
    def name(self) -> str:
        """What a report calls the figure."""
        return FIGURES[self.role][self.measure]


@dataclass(frozen=True)
class Verdict:
    """A claim beside what was measured now; `error` is of their difference, `differ` how many answers do, if known."""

    claim: Claim
    n: int
    now: float
    now_error: float | None
    error: float | None
    differ: int | None
    holds: str

    @property
    def difference(self) -> float:
        """Now less the card."""
        return self.now - self.claim.value

    def row(self) -> list[str]:
        """As a row of the table."""
        name = "F1" if self.claim.measure == "f1" else COLUMNS[self.claim.name]
        now = _with_error(self.now, self.now_error)
        errors = f"{self.difference / self.error:+.1f}" if known(self.error) and self.error else ""
        differ = "" if self.differ is None else f"{self.differ:,}"
        card, apart = _with_error(self.claim.value, self.claim.error), f"{self.difference:+.4f}"
        return [name, f"{self.n:,}", card, now, apart, errors, differ, self.holds]


@dataclass(frozen=True)
class Checked:
    """A model whose claims were checked: each with its verdict, and how in words."""

    name: str
    verdicts: Sequence[Verdict]
    how: str

    @property
    def holds(self) -> bool:
        """Whether all do."""
        return all(verdict.holds != NOT for verdict in self.verdicts)

    def text(self) -> str:
        """What is printed."""
        head = ["", "questions", "card", "now", "difference", "standard errors", "other answers", ""]
        filled = [i for i in range(len(head)) if i in (0, 7) or any(verdict.row()[i] for verdict in self.verdicts)]
        rows = [[row[i] for i in filled] for row in (head, *(verdict.row() for verdict in self.verdicts))]
        return f"{self.name}\n\n{columns(rows)}\n\n{self.how}"

    def as_dict(self) -> dict[str, Any]:
        """What `recall.json` holds."""
        verdicts = [{**asdict(verdict), "difference": verdict.difference} for verdict in self.verdicts]
        return {"model": self.name, "holds": self.holds, "figures": verdicts, "how": self.how}


def check(source: Source, files: Mapping[str, str], examples: str | None = None) -> Checked:
    """Ask what the model was measured by once more, in the same way, and compare each figure of its card.

    Args:
        files: by role, questions in place of those that the card names; they must be the same.
        examples: likewise, those that went before each question.

    Raises:
        ValueError: it can't be repeated: the card has no figures, the report is not there, or the questions aren't,
            or are others.
    """
    report = source.report
    if report is None:
        raise ValueError(
            f"{source.name}: holds no report.json, which says how it was asked: measure it with --questions FILE."
        )
    if len(report["runs"]) != 1 or "by_seed" in report:
        raise ValueError(f"{source.name}: its report is of several runs: name the folder of one of them.")
    ((arm, figures),) = report["runs"].items()
    claims = list(_of_card(source.report_folder / CARD)) or list(_of_report(figures))
    if not claims:
        raise ValueError(f"{source.name}: makes no claim of recall: no questions were asked after it was taught.")
    recipe = report["recipes"][arm]
    arguments = TeachArguments(**{name: recipe[name] for name in ASKED if name in recipe})
    asking = asking_by(arguments, report["seeds"][arm])
    asked, pool = _questions(
        source, report, recipe, {claim.role for claim in claims}, {**files, "ask_examples": examples}
    )
    model, tokenizer = load_variant(source, **_as_taught(source, recipe))
    progress, language = f"Asking {source.name}", arguments.answer_language
    said = evaluate(model, tokenizer, asked, asking, pool=pool, language=language, progress=progress)
    others = list(_other_surroundings(report, figures))
    before = _answers(source, asked)
    measured = run_scores(said.scores())
    verdicts = [_verdict(claim, said, measured, before.get(claim.role), not others) for claim in claims]
    how = "\n".join(_how(source, report, asking, describe_variant(source, model, False), asked, others, bool(before)))
    return Checked(source.name, verdicts, how)


# What is claimed


def _of_card(path: Path) -> Iterator[Claim]:
    """The figures in the card's metadata, as `publish` puts them there."""
    from huggingface_hub import ModelCard

    if not path.is_file():
        return
    data: Any = ModelCard(path.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    results = data.eval_results or []
    values = {(result.dataset_split, result.metric_type): result.metric_value for result in results}
    for role, split in SPLITS.items():
        for measure in FIGURES[role]:
            value, error = values.get((split, measure)), values.get((split, f"{measure}_se"))
            if known(value):
                yield Claim(role, measure, float(value), float(error) if known(error) else None, PLACES)


def _of_report(figures: Mapping[str, Any]) -> Iterator[Claim]:
    for role, names in FIGURES.items():
        for measure, name in names.items():
            value, error = figures.get(name), figures.get(f"{name}_se")
            if known(value):
                yield Claim(role, measure, value, error if known(error) else None, None)


# What was asked, and of what


def _questions(
    source: Source,
    report: Mapping[str, Any],
    recipe: Mapping[str, Any],
    roles: set[str],
    files: Mapping[str, str | None],
) -> tuple[dict[str, list[Question]], list[Question] | None]:
    """The questions that were asked, by role, and the examples that went before them."""
    found: dict[str, list[Question]] = {}
    problems: list[str] = []
    data: Mapping[str, Any] = report.get("data") or {}
    for role in (*(role for role in FIGURES if role in roles), "ask_examples"):
        was = data.get(role)
        if was is None:
            problems += [f"{role}: the report doesn't say which were asked."] if role in roles else []
            continue
        # Where a recipe names no questions of retention, some of those that it asks were.
        file = files.get(role) or recipe.get(role) or files.get("questions") or recipe.get("questions")
        try:
            read = _read(str(file), role)
            found[role] = _those_asked(source, role, read, was["sha256"])
            if fingerprint(found[role]) != was["sha256"]:
                now = fingerprint(read)
                problems.append(
                    f"{role}: {file} is not what was asked. {len(read)} questions, SHA-256 {now}; {_of(was)}"
                )
        except ValueError as error:
            problems.append(f"{role}: {error} {_of(was)}")
    if problems:
        raise ValueError(
            f"{source.name}: what it was measured by can't be asked again.\n"
            + "\n".join(problems)
            + f"\nGive the questions themselves: knowlearn recall {source.name} --card"
            " --questions FILE [--retention_questions FILE] [--replayed_questions FILE] [--examples FILE]"
        )
    return {role: of for role, of in found.items() if role in FIGURES}, found.get("ask_examples")


def _of(was: Mapping[str, Any]) -> str:
    return f"The card's: {was['n']} questions, SHA-256 {was['sha256']}."


def _read(file: str, role: str) -> list[Question]:
    """A file of questions, or of a dataset on the Hub the split that such questions are published as."""
    try:
        return load_questions(file)
    except ValueError:
        if role not in SPLITS or Path(file).exists() or file.count("/") != 1:
            raise
        return read_questions(file, split=SPLITS[role])


def _those_asked(source: Source, role: str, questions: list[Question], sha256: str) -> list[Question]:
    """Of the questions those that were asked in the role, where its run chose: its answers say which."""
    if fingerprint(questions) == sha256:
        return questions
    ids = _said(source.report_folder / ANSWERS, role)
    return [question for question in questions if question.id in ids] if ids else questions


def _said(path: Path, role: str) -> dict[str, str]:
    """The answers to a role's questions by their ids, as a run's folder has them; a repository has not."""
    if not path.is_file():
        return {}
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    return {row["id"]: row["response"] for row in rows if row["role"] == role}


def _answers(source: Source, asked: Mapping[str, Sequence[Question]]) -> dict[str, list[str]]:
    """The answers of then by role, in the questions' order, where all of them are there."""
    said = {role: _said(source.report_folder / ANSWERS, role) for role in asked}
    return {
        role: [said[role][question.id] for question in questions]
        for role, questions in asked.items()
        if {question.id for question in questions} <= {*said[role]}
    }


def _as_taught(source: Source, recipe: Mapping[str, Any]) -> dict[str, Any]:
    """The form that was measured: an adapter over its base as that was loaded, or the whole model."""
    if source.base is None:
        return {}
    bits = next((bits for bits in (4, 8) if recipe.get(f"load_in_{bits}bit")), None)
    quantised = {name: recipe[name] for name in QUANTISED if bits and name in recipe}
    return {"bits": bits, "dtype": recipe.get("dtype"), **quantised}


# Whether it holds


def _verdict(
    claim: Claim, said: Evaluation, figures: Mapping[str, Any], before: Sequence[str] | None, same: bool
) -> Verdict:
    questions = said.asked[claim.role]
    now, now_error = figures[claim.name], figures.get(f"{claim.name}_se")
    error, differ = claim.error, None
    if before is not None:
        then_now = before, said.greedy(claim.role)
        _, error = paired(questions, *(counts(claim.measure, questions, of, said.language) for of in then_now))
        differ = sum(old != new for old, new in zip(*then_now, strict=True))
    holds = judge(claim, now, error, same)
    return Verdict(claim, len(questions), now, now_error, error, differ, holds)


def judge(claim: Claim, now: float, error: float | None, same: bool) -> str:
    """Whether the claim holds.

    Args:
        error: of the difference, if known.
        same: the versions, the machine and the device are those of then.
    """
    rounded = now if claim.places is None else round(now, claim.places)
    if math.isclose(rounded, claim.value, abs_tol=1e-9):
        return EQUAL
    apart = abs(now - claim.value)
    return WITHIN if not same and known(error) and apart <= 2 * error else NOT


def _other_surroundings(report: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    """What is otherwise than it was, in words."""
    then, now = report.get("versions") or {}, made_with()
    for name in now["versions"]:
        if then.get(name) != now["versions"][name]:
            yield f"{name} {then.get(name)} then, {now['versions'][name]} now"
    here = {"machine": now["machine"], "device": _device()}
    there = {"machine": report.get("machine"), "device": (figures.get("cost") or {}).get("device")}
    yield from (f"{name} {there[name]} then, {here[name]} now" for name in here if there[name] != here[name])


def _device() -> str:
    import torch
    from accelerate import PartialState

    device: str = PartialState().device.type
    return torch.cuda.get_device_name() if device == "cuda" else device


def _how(
    source: Source,
    report: Mapping[str, Any],
    asking: GenerationSettings,
    form: str,
    asked: Mapping[str, Sequence[Question]],
    others: Sequence[str],
    is_paired: bool,
) -> Iterator[str]:
    at = f" at {source.revision}" if source.revision else ""
    base = f" {source.base}{f' at {source.base_revision}' if source.base_revision else ''}" if source.base else ""
    yield f"{source.name}{at}: {form}{base}; seed {asking.seed}, {asking.shots} shots, template {asking.template}."
    for role in asked:
        yield f"{role}: SHA-256 {report['data'][role]['sha256']}, those of the card."
    if not others:
        yield "Versions, machine and device are those of the card: a figure holds if it is equal, as rounded there."
        return
    error = (
        "the paired difference to the answers of then"
        if is_paired
        else "the figure, which is more than that of a paired difference: the answers of then are not there"
    )
    yield f"Not as it was: {'; '.join(others)}."
    yield f"So a figure holds if it is equal, or else within 2 standard errors of {error}."


def _with_error(value: float, error: float | None) -> str:
    return f"{value:.4f} ± {error:.4f}" if known(error) else f"{value:.4f}"
