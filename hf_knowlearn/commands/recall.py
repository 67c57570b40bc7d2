"""`knowlearn recall`: models asked the same questions side by side; or each asked once more what its card says of it.

The surprising decision: an adapter over its base, merged into it and over its base in 4 bits are three rows, because
they are three models: what merging rounds and quantising loses is measured, not assumed.
"""

import argparse
import gc
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.check_card import check
from hf_knowlearn.commands.differences import difference
from hf_knowlearn.commands.model_arguments import given
from hf_knowlearn.evaluation.evaluate import Evaluation, evaluate
from hf_knowlearn.generation.ask import GenerationSettings
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES
from hf_knowlearn.models.sources import Source, resolve_model
from hf_knowlearn.models.variants import describe_variant, load_variant
from hf_knowlearn.reports.report import made_with, run_scores
from hf_knowlearn.reports.tables import COLUMNS, ROLES, columns, known, share
from hf_knowlearn.teach.provenance import fingerprint
from hf_knowlearn.teach.sources import load_questions

RECALL = "recall.json"


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print the table of all models, or of each whether its card holds; returns the exit code."""
    if wrong := list(_wrong(arguments)):
        raise ValueError("\n".join(wrong))
    sources = [resolve_model(name, arguments.revision) for name in arguments.models]
    files = {role: getattr(arguments, role) for role in ROLES}
    files = {role: file for role, file in files.items() if file is not None}
    found: Any
    if _is_check(arguments):
        checks = [check(source, files, arguments.examples) for source in sources]
        found, texts = [checked.as_dict() for checked in checks], [checked.text() for checked in checks]
        holds = all(checked.holds for checked in checks)
    else:
        found, holds = compare(arguments, sources, files), True
        texts = [table(found["rows"])]
    for text in texts:
        show(text)
    if arguments.output_dir is not None:
        content = atomic_files.json_values(found)
        atomic_files.write_text(
            arguments.output_dir / RECALL, json.dumps(content, indent=2, ensure_ascii=False) + "\n"
        )
        show(f"\nWritten to {arguments.output_dir / RECALL}")
    return 0 if holds else 1


def _is_check(arguments: argparse.Namespace) -> bool:
    return arguments.card or arguments.questions is None


def _wrong(arguments: argparse.Namespace) -> Iterator[str]:
    options = [
        *given(arguments),
        *(name for name in ("language", "merged", "load_in_4bit", "dtype") if getattr(arguments, name)),
    ]
    if _is_check(arguments) and options:
        typed = ", ".join("--" + {"max_new_tokens": "max_answer_tokens"}.get(name, name) for name in options)
        yield f"{typed}: a card is checked as its model was measured; leave this out, or name --questions to compare."
    if not arguments.card and arguments.questions is None:
        beside = [role for role in ROLES if getattr(arguments, role) is not None]
        if beside:
            yield f"--{beside[0]} without --questions: name these too; or add --card to check the card with it."
    if arguments.language is not None and arguments.language not in LANGUAGES:
        yield f"--language {arguments.language}: choose from {', '.join(LANGUAGES)}."
    if arguments.examples is not None and not _is_check(arguments) and not arguments.shots:
        yield f"--examples {arguments.examples}: without --shots there are none before a question; say how many."


# Side by side


def compare(arguments: argparse.Namespace, sources: Sequence[Source], files: Mapping[str, str]) -> dict[str, Any]:
    """Every form of every model, asked the same questions in the same way: a row each.

    Returns:
        What `recall.json` holds: how it was asked, what, with what, and the rows. A row has the figures of a report's
        arm, and those of `difference`, its own less the first row's.
    """
    asking, language = GenerationSettings(**given(arguments)), arguments.language or "en"
    asked = {role: load_questions(file) for role, file in files.items()}
    pool = load_questions(arguments.examples) or None
    rows: list[dict[str, Any]] = []
    first: Evaluation | None = None
    for source in sources:
        for options in _forms(source, arguments):
            model, tokenizer = load_variant(source, **options)
            form = describe_variant(source, model, options.get("merged", False))
            progress = f"Asking {source.name}, {form}"
            said = evaluate(model, tokenizer, asked, asking, pool=pool, language=language, progress=progress)
            del model
            _free()
            first = first or said
            named = {"model": source.name, "revision": source.revision, "form": form}
            named |= {"base": source.base, "base_revision": source.base_revision}
            rows.append({**named, **run_scores(said.scores()), "difference": difference(first, said)})
    data = {role: {"source": files[role], "n": len(of), "sha256": fingerprint(of)} for role, of in asked.items()}
    return {"asking": {**asdict(asking), "language": language}, "data": data, "rows": rows, **made_with()}


def _forms(source: Source, arguments: argparse.Namespace) -> Iterator[dict[str, Any]]:
    yield {"dtype": arguments.dtype}
    if arguments.merged and source.base is not None:
        yield {"dtype": arguments.dtype, "merged": True}
    if arguments.load_in_4bit:
        yield {"dtype": arguments.dtype, "bits": 4}


def _free() -> None:
    """Give the memory of a model back before the next is loaded."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows in columns: figures with their standard errors, then the differences to the first row."""
    names = {"exact_match": COLUMNS["exact_match"], "f1": "F1", "replayed": "replayed", "retention": "retention"}
    names = {name: title for name, title in names.items() if known(rows[0].get(name))}
    apart = [name for name in names if name != "f1"] if len(rows) > 1 else []
    head = ["", "form", *names.values(), *(f"{names[name]} - first" for name in apart)]
    body = []
    for row in rows:
        less = row["difference"] if row is not rows[0] else {}
        differences = (_signed(less[name], less[f"{name}_se"]) if less else "" for name in apart)
        body.append([row["model"], row["form"], *(share(row, name) for name in names), *differences])
    return columns([head, *body])


def _signed(value: float, error: float) -> str:
    return f"{value:+.3f} ± {error:.3f}" if known(error) else f"{value:+.3f}"
