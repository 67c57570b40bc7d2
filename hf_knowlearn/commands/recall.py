"""`knowlearn recall`: compares models on the same questions, or checks the scores on model cards."""

import argparse
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.ask import GENERATION as GENERATION_OPTIONS
from hf_knowlearn.commands.ask import (
    MODEL_HELP,
    add_generation_options,
    add_loading_options,
    generation_settings,
    given,
)
from hf_knowlearn.commands.reading_options import add_question_options, question_options
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.knowledge_recall.scoring import LANGUAGES

RECALL = "recall.json"
ROLES = ("questions", "replayed_questions", "retention_questions")


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "compare models on the same questions, or check the scores on model cards"
    more = (
        "With --questions, the command prints a table of all models, with paired differences from the first model."
        " Without --questions, it evaluates each model again as its report states, and compares the scores with those"
        " on its card. The exit code is 0 if all scores are confirmed, 1 if a score differs, and 2 for an error."
    )
    parser = subparsers.add_parser("recall", help=text, description=more)
    add = parser.add_argument
    add("models", metavar="MODEL", nargs="+", help=MODEL_HELP)
    add("--questions", metavar="FILE", help="questions about the training documents: a file, or world:SPLIT")
    add("--replayed_questions", metavar="FILE", help="questions about the replayed documents")
    add("--retention_questions", metavar="FILE", help="questions about facts that appear nowhere in the run")
    add_question_options(parser)
    add("--card", action="store_true", help="check the card with the given files of questions")
    add("--merged", action="store_true", help="one more row for each adapter: merged into its unquantised base")
    add("--output_dir", metavar="DIR", type=Path, help=f"write {RECALL} there")
    add_generation_options(parser)
    add("--shots", type=int, help="answered questions of the same relation in each prompt (0)")
    add("--answer_language", help="language whose articles and punctuation are ignored in an answer (en)")
    add("--batch_size", type=int, help="questions per batch (128)")
    add_loading_options(parser, "one more row for each model: in 4 bits (an adapter: on its base in 4 bits)")


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print a table of all models, or the result of checking each card."""
    raise_problems(_problems(arguments))
    from hf_knowlearn.models.sources import resolve_model
    from hf_knowlearn.teach.missing_sources import check_exist

    sources = [resolve_model(name, arguments.revision) for name in arguments.models]
    files = {role: getattr(arguments, role) for role in given(arguments, ROLES)}
    check_exist(files.items())
    found: Any
    holds = True
    if _checks_card(arguments):
        from hf_knowlearn.commands.check_card import check

        checks = [check(source, {**files, **question_options(arguments)}) for source in sources]
        found, texts = [checked.as_dict() for checked in checks], [checked.text() for checked in checks]
        holds = all(checked.holds for checked in checks)
    else:
        from hf_knowlearn.commands.compare_models import Variants, compare, table

        variants = Variants(arguments.dtype, arguments.merged, arguments.load_in_4bit)
        language, settings = arguments.answer_language or "en", generation_settings(arguments)
        found = compare(sources, files, settings, variants, language, question_options(arguments))
        texts = [table(found["rows"])]
    for text in texts:
        show(text)
    if arguments.output_dir is not None:
        content = json.dumps(atomic_files.json_values(found), indent=2, ensure_ascii=False) + "\n"
        atomic_files.write_text(arguments.output_dir / RECALL, content)
        show(f"\nWritten to {arguments.output_dir / RECALL}")
    return 0 if holds else 1


def _checks_card(arguments: argparse.Namespace) -> bool:
    return arguments.card or arguments.questions is None


def _problems(arguments: argparse.Namespace) -> Iterator[str]:
    options = given(arguments, (*GENERATION_OPTIONS, "answer_language", "merged", "load_in_4bit", "dtype"))
    if _checks_card(arguments) and options:
        yield (
            f"{', '.join(f'--{name}' for name in options)}: a card is checked with the settings in its report."
            " Remove these options, or give --questions to compare models."
        )
    other_roles = given(arguments, ROLES[1:])
    if not arguments.card and arguments.questions is None and other_roles:
        yield f"--{other_roles[0]} needs --questions to compare models, or --card to check a card. Add one of them."
    if arguments.answer_language is not None and arguments.answer_language not in LANGUAGES:
        yield f"--answer_language {arguments.answer_language}: choose from {', '.join(LANGUAGES)}."
