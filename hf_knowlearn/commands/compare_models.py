"""Compares several models, and several variants of each model, on the same questions.

For an adapter, the table can have three rows: the adapter on its base model, merged into the base model, and on the
base model in 4 bits. The rows show how merging and quantisation change the scores.
"""

import gc
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_lengths import check_answers_fit
from hf_knowlearn.evaluation.correct_responses import response_checker
from hf_knowlearn.evaluation.evaluate import EvaluationResult, evaluate
from hf_knowlearn.evaluation.standard_errors import paired_difference
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.hub.metadata import RESULTS
from hf_knowlearn.knowledge_recall import exact_match, first_line
from hf_knowlearn.knowledge_recall.scoring import f1
from hf_knowlearn.models.sources import Source
from hf_knowlearn.models.variants import describe_variant, load_variant, variant_tokenizer
from hf_knowlearn.reports.formatting import known, share
from hf_knowlearn.reports.schema import CARD_COLUMNS, made_with, run_scores
from hf_knowlearn.reports.tables import columns
from hf_knowlearn.teach.provenance import fingerprint
from hf_knowlearn.teach.sources import load_questions

MEASURES = {"exact_match": exact_match, "f1": f1}  # of the first line


@dataclass(frozen=True)
class Variants:
    """The variants of each model to compare.

    Args:
        dtype: Dtype of the weights. None: `load_variant` chooses it.
        merged: Whether to also evaluate the merged adapter.
        in_4bit: Whether to also evaluate the model with 4-bit weights.
    """

    dtype: str | None = None
    merged: bool = False
    in_4bit: bool = False

    def of(self, source: Source) -> Iterator[dict[str, Any]]:
        """Yield the arguments of `load_variant` for each variant of a model."""
        yield {"dtype": self.dtype}
        if self.merged and source.base is not None:
            yield {"dtype": self.dtype, "merged": True}
        if self.in_4bit:
            yield {"dtype": self.dtype, "bits": 4}


def compare(
    sources: Sequence[Source],
    files: Mapping[str, str],
    settings: GenerationSettings,
    variants: Variants,
    language: str,
    columns: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    """Evaluate every variant of every model on the same questions.

    Args:
        files: The file of questions by role.
        language: Language whose rules normalise answers.
        columns: `question_column` and `answer_column`, if the user named them.

    Returns:
        The content of `recall.json`: settings, data, versions and rows. A row has the scores of one variant. The key
        `difference` of a row has the paired differences from the scores of the first row.
    """
    questions = {role: load_questions(file, **(columns or {})) for role, file in files.items()}
    everything = [question for of_role in questions.values() for question in of_role]
    for source in sources:  # Why first: an error in the last model must come before the first evaluation
        check_answers_fit(variant_tokenizer(source), everything, settings.max_new_tokens)
    rows: list[dict[str, Any]] = []
    first: EvaluationResult | None = None
    for source in sources:
        for options in variants.of(source):
            model, tokenizer = load_variant(source, **options)
            form = describe_variant(source, model, options.get("merged", False))
            progress = f"Evaluating {source.name}, {form}"
            found = evaluate(model, tokenizer, questions, settings, language=language, progress=progress)
            del model
            _free_memory()
            first = first or found
            named = {"model": source.name, "revision": source.revision, "form": form}
            named |= {"base": source.base, "base_revision": source.base_revision}
            rows.append({**named, **run_scores(found.scores()), "difference": difference(first, found)})
    data = {
        role: {"source": files[role], "n": len(of_role), "sha256": fingerprint(of_role)}
        for role, of_role in questions.items()
    }
    return {"settings": {**asdict(settings), "answer_language": language}, "data": data, "rows": rows, **made_with()}


def difference(first: EvaluationResult, other: EvaluationResult) -> dict[str, float]:
    """Return `other` minus `first` for each score, with the standard error of the paired difference."""
    found: dict[str, float] = {}
    for role, questions in first.questions.items():
        for measure, name in RESULTS[role][1].items():
            values = [_scores(measure, questions, of.greedy(role), first.language) for of in (first, other)]
            found[name], found[f"{name}_se"] = paired_difference(questions, *values)
    return found


def _scores(measure: str, questions: Sequence[Question], responses: Sequence[str], language: str) -> list[float]:
    """Return the score of each response, in [0, 1]."""
    if measure == "correct":
        is_right = response_checker(questions, language)
        return [float(is_right(*one)) for one in zip(questions, responses, strict=True)]
    score = MEASURES[measure]
    return [float(score(first_line(text), q.answers, language)) for q, text in zip(questions, responses, strict=True)]


def _free_memory() -> None:
    """Free the memory of a model before the next one is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Format the rows as a table: scores with their standard errors, and differences from the first row."""
    names = {name: title for name, title in CARD_COLUMNS.items() if known(rows[0].get(name))}
    compared = [name for name in names if name != "f1"] if len(rows) > 1 else []
    lines = [["", "form", *names.values(), *(f"{names[name]} - first" for name in compared)]]
    for row in rows:
        differences = ["" if row is rows[0] else _signed(row["difference"], name) for name in compared]
        lines.append([row["model"], row["form"], *(share(row, name) for name in names), *differences])
    return columns(lines)


def _signed(differences: Mapping[str, float], name: str) -> str:
    value, error = differences[name], differences[f"{name}_se"]
    return f"{value:+.3f} ± {error:.3f}" if known(error) else f"{value:+.3f}"
