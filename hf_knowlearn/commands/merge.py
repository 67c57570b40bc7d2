"""`knowlearn merge`: merges an adapter into its base model, so that the result loads without PEFT."""

import argparse
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.ask import MODEL_HELP, add_dtype, add_revision
from hf_knowlearn.config.problems import raise_problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_knowlearn.models.sources import Source


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "merge an adapter into its unquantised base"
    parser = subparsers.add_parser("merge", help=text, description=f"{text.capitalize()}, and save the whole model.")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--output_dir", metavar="DIR", type=Path, required=True, help="a new folder")
    add_dtype(parser, "dtype of the merged weights (that of the base model)")
    add_revision(parser)


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Save the merged model with its tokenizer and a card."""
    folder: Path = arguments.output_dir
    raise_problems(atomic_files.new_folder_problems(folder))
    from hf_knowlearn.models.sources import CARD, resolve_model

    source = resolve_model(arguments.model, arguments.revision)
    if source.base is None:  # before torch is loaded
        raise ValueError(
            f"{source.name}: this is a model without an adapter, so there is nothing to merge. Give a run that trained"
            " an adapter, or the folder of an adapter."
        )
    from hf_knowlearn.models.variants import load_variant
    from hf_knowlearn.teach.run_folder import disk_full_errors

    model, tokenizer = load_variant(source, merged=True, dtype=arguments.dtype or "auto")
    with disk_full_errors(folder), atomic_files.atomic_write(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        atomic_files.write_text(draft / CARD, card(source, model))
    show(f"Merged {source.name} into {source.base}, in {_dtype(model)}: {folder}")
    show(f"Next: {shlex.join(['knowlearn', 'ask', str(folder), 'Who ...?'])}")
    return 0


def _dtype(model: "PreTrainedModel") -> str:
    return str(model.dtype).removeprefix("torch.")


def card(source: "Source", model: "PreTrainedModel") -> str:
    """Render a model card that names the adapter and the base model.

    The card has no scores, because the run measured the unmerged adapter. It names a folder without its path, because
    paths may be private.
    """
    from markupsafe import Markup

    from hf_knowlearn.hub.templates import render

    assert source.base is not None
    is_folder = Path(source.base).exists()
    base = Path(source.base).name if is_folder else source.base
    # Why "finetune": on the Hub "merge" means a merge of several models.
    relation = {} if is_folder else {"base_model": base, "base_model_relation": "finetune"}
    return render(
        "merged.md.jinja",
        metadata=Markup(yaml.safe_dump({**relation, "library_name": "transformers"}, sort_keys=False).strip()),
        adapter=Path(source.name).name if source.revision is None else source.name,
        adapter_commit=source.revision,
        base=base,
        base_commit=source.base_revision,
        dtype=_dtype(model),
    )
