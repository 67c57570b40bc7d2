"""Checks a model card: evaluates the model again and compares the scores with those on the card.

The report in the folder of the card states the settings of the evaluation, the sources and hashes of the questions,
the versions of the libraries, the machine and the device. If the versions, the machine and the device are unchanged,
each rounded score must equal the score on the card. Otherwise, logits can differ slightly, and each score may differ
from the score on the card by up to 2 standard errors.
"""

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hf_knowlearn.config.teach_arguments import EvaluationArguments
from hf_knowlearn.documents import Question, read_questions
from hf_knowlearn.evaluation.evaluate import evaluate
from hf_knowlearn.evaluation.general_knowledge import PREFIX, general_questions
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.hub.metadata import PLACES, RESULTS, single_run
from hf_knowlearn.hub.recipe_options import quantised_bits, question_source
from hf_knowlearn.models.sources import CARD, Source
from hf_knowlearn.models.variants import describe_variant, load_variant
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.schema import made_with, run_scores
from hf_knowlearn.reports.tables import columns
from hf_knowlearn.teach.provenance import fingerprint
from hf_knowlearn.teach.sources import load_questions

QUESTION_COLUMNS = ("question_column", "answer_column")  # options of reading
EQUAL, WITHIN, DIFFERS = "equal", "within 2 standard errors", "differs"


@dataclass(frozen=True)
class Figure:
    """A score on a model card, and the same score measured now.

    Args:
        name: The name of the score in the report, such as "correct" or "retention".
        card, card_error: The score on the card, and the standard error of this score if it is known.
        now: The score measured now.
        verdict: "equal", "within 2 standard errors" or "differs".
    """

    name: str
    card: float
    card_error: float | None
    now: float
    verdict: str


@dataclass(frozen=True)
class CheckedCard:
    """The result of checking a model card.

    Args:
        model: The model's name.
        figures: The scores on the card, each with the score measured now.
        notes: Sentences about the evaluation, and about versions that differ from those in the report.
    """

    model: str
    figures: Sequence[Figure]
    notes: Sequence[str]

    @property
    def holds(self) -> bool:
        """Whether the verdict on every score is "equal" or "within 2 standard errors"."""
        return all(figure.verdict != DIFFERS for figure in self.figures)

    def text(self) -> str:
        """Return the scores in columns, and the notes."""
        rows = [["", "card", "now", "difference", ""]]
        for figure in self.figures:
            card = f"{figure.card:.4f} ± {figure.card_error:.4f}" if known(figure.card_error) else f"{figure.card:.4f}"
            now, difference = f"{figure.now:.4f}", f"{figure.now - figure.card:+.4f}"
            rows.append([figure.name, card, now, difference, figure.verdict])
        return "\n".join([self.model, "", columns(rows), "", *self.notes])

    def as_dict(self) -> dict[str, Any]:
        """Return the content of `recall.json`."""
        return {**asdict(self), "holds": self.holds}


def check(source: Source, files: Mapping[str, str]) -> CheckedCard:
    """Evaluate a model again with the settings in its report, and compare the new scores with those on its card.

    Args:
        files: For each role, a file of questions to read instead of the file that the report names. The questions must
            be the same. `question_column` and `answer_column` can name columns of these files.

    Raises:
        ValueError: There is no report, the card has no scores, or the questions are missing or have changed.
    """
    report = source.report
    if report is None:
        raise ValueError(
            f"{source.name} has no report.json, so the model card cannot be checked. Give --questions FILE to evaluate"
            " the model on your own questions."
        )
    run = single_run(report)
    recipe, figures = report["recipes"][run], report["runs"][run]
    claims = {name: claim for name, claim in _claims(source.report_folder / CARD, figures).items() if known(claim[0])}
    if not claims:
        raise ValueError(f"{source.name}: the card and the report have no scores to check.")
    questions = _questions(source, report, recipe, files)
    as_trained = {"bits": quantised_bits(recipe), "dtype": recipe.get("dtype")} if source.base else {}
    model, tokenizer = load_variant(source, **as_trained)
    settings, language = _settings(recipe, report["seeds"][run])
    # Why: few-shot examples come from all questions, also from those that the base model answered incorrectly.
    selected = (
        questions.get("retention_questions", []) if report["data"].get("retention_questions", {}).get("ids") else []
    )
    pool = [*(each for each in selected if not each.id.startswith(PREFIX)), *general_questions()]
    pools = {"retention_questions": pool} if selected else None
    progress = f"Evaluating {source.name}"
    found = evaluate(model, tokenizer, questions, settings, pools=pools, language=language, progress=progress)
    changes, now = list(_changes(report, figures)), run_scores(found.scores())
    checked = [
        Figure(name, card, error, now[name], judge(card, error, now[name], not changes))
        for name, (card, error) in claims.items()
    ]
    return CheckedCard(source.name, checked, [_description(source, model), *changes])


def _settings(recipe: Mapping[str, Any], seed: int) -> tuple[GenerationSettings, str]:
    """Return the generation settings of the run and the language of the answers."""
    options = EvaluationArguments(**recipe.get("evaluation") or {})
    settings = GenerationSettings(
        shots=options.shots,
        template=options.template,
        instruction=options.instruction,
        max_new_tokens=options.max_new_tokens,
        batch_size=recipe.get("per_device_eval_batch_size") or GenerationSettings.batch_size,
        seed=seed,
    )
    return settings, options.answer_language


def _claims(card: Path, figures: Mapping[str, Any]) -> dict[str, tuple[Any, Any]]:
    """Return each score in the card's metadata with its standard error. Without a card, return the scores of the
    report."""
    names = {(split, measure): name for split, of in RESULTS.values() for measure, name in of.items()}
    if not card.is_file():
        return {name: (figures.get(name), figures.get(f"{name}_se")) for name in names.values()}
    from huggingface_hub import ModelCard

    data: Any = ModelCard(card.read_text(encoding="utf-8"), ignore_metadata_errors=True).data
    values = {(result.dataset_split, result.metric_type): result.metric_value for result in data.eval_results or []}
    return {name: (values.get(key), values.get((key[0], f"{key[1]}_se"))) for key, name in names.items()}


def _questions(
    source: Source, report: Mapping[str, Any], recipe: Mapping[str, Any], files: Mapping[str, str]
) -> dict[str, list[Question]]:
    """Return the questions of the evaluation by role. Raise one error for all missing or changed files."""
    found: dict[str, list[Question]] = {}
    problems: list[str] = []
    named = {name: value for name, value in {**recipe, **files}.items() if name in QUESTION_COLUMNS}
    for role in [role for role in RESULTS if role in report["data"]]:
        sha256 = report["data"][role]["sha256"]
        file = question_source({**recipe, **files}, role)
        try:
            found[role] = _read(source, file, role, named, report["data"][role].get("ids"))
            if fingerprint(found[role]) != sha256:
                problems.append(f"{role}: {file} has changed. SHA-256 of the report: {sha256}.")
        except ValueError as error:
            problems.append(f"{role}: {error} SHA-256 of the report: {sha256}.")
    if problems:
        raise ValueError(
            f"{source.name}: questions of its report are missing or have changed.\n"
            + "\n".join(problems)
            + "\nName the files:"
            f" knowlearn recall {source.name} --card --questions FILE [--retention_questions FILE]"
            " [--replayed_questions FILE]"
        )
    return found


def _read(
    source: Source, file: str, role: str, columns: Mapping[str, Any], ids: Sequence[str] | None
) -> list[Question]:
    """Read the questions of a file, or of a dataset on the Hub. Return only the questions that the run evaluated.

    Args:
        ids: The ids of the questions that the run selected as retention questions, also from the general-knowledge
            questions of the package. None: The recipe names the questions.
    """
    general = [question for question in general_questions() if question.id in (ids or ())]
    if ids and len(general) == len(ids):
        return general
    on_hub = not Path(file).exists() and file.count("/") == 1
    questions = read_questions(file, split=RESULTS[role][0]) if on_hub else load_questions(file, **columns)
    answers = source.report_folder / "answers.after.jsonl"
    if ids is None and answers.is_file():
        # Why: a question whose document the run does not contain is no question about the training documents.
        rows = [json.loads(line) for line in answers.read_text(encoding="utf-8").splitlines()]
        ids = [row["id"] for row in rows if row["role"] == role]
    return questions if ids is None else [question for question in [*questions, *general] if question.id in {*ids}]


def judge(card: float, error: float | None, now: float, same_machine: bool) -> str:
    """Return the verdict on a score (see `Figure`).

    Args:
        card: The score on the card.
        error: The standard error of the score on the card, or None if it is unknown.
        now: The score measured now.
        same_machine: Whether the versions, the machine and the device are those in the report.
    """
    if math.isclose(round(now, PLACES), round(card, PLACES), abs_tol=1e-9):
        return EQUAL
    return WITHIN if not same_machine and known(error) and abs(now - card) <= 2 * error else DIFFERS


def _changes(report: Mapping[str, Any], figures: Mapping[str, Any]) -> Iterator[str]:
    """Yield a sentence for each version that differs from the report, and for another machine or device."""
    import torch
    from accelerate import PartialState

    device = PartialState().device.type
    here = {**made_with(), "device": torch.cuda.get_device_name() if device == "cuda" else device}
    there = {**report, "device": (figures.get("cost") or {}).get("device")}
    now, then = ({**of["versions"], "machine": of["machine"], "device": of["device"]} for of in (here, there))
    yield from (f"{name}: {then.get(name)} then, {now[name]} now." for name in now if now[name] != then.get(name))


def _description(source: Source, model: Any) -> str:
    name = f"{source.name} at {source.revision}" if source.revision else source.name
    base = f" {source.base}" if source.base else ""
    commit = f" at {source.base_revision}" if source.base_revision else ""
    return f"{name}: {describe_variant(source, model, False)}{base}{commit}."
