"""`knowlearn merge`: merges an adapter into its unquantised base model. The result loads without PEFT."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.commands.ask import MODEL_HELP, add_dtype, add_revision

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from hf_knowlearn.models.sources import Source


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "merge an adapter into its unquantised base"
    parser = subparsers.add_parser("merge", help=text, description=f"{text.capitalize()}, and save the whole model.")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("--output_dir", metavar="DIR", type=Path, required=True, help="a new folder")
    add_dtype(parser, "dtype of the merged weights (the base's own)")
    add_revision(parser)


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Save the merged model with its tokenizer and a card."""
    folder: Path = arguments.output_dir
    if problems := list(atomic_files.new_folder_problems(folder)):
        raise ValueError("\n".join(problems))
    from hf_knowlearn.models.sources import CARD, resolve_model
    from hf_knowlearn.models.variants import load_variant
    from hf_knowlearn.teach.run_folder import disk_full_errors

    source = resolve_model(arguments.model, arguments.revision)
    model, tokenizer = load_variant(source, merged=True, dtype=arguments.dtype or "auto")
    with disk_full_errors(folder), atomic_files.atomic_write(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        atomic_files.write_text(draft / CARD, card(source, model))
    show(f"Merged {source.name} into {source.base}, in {_dtype(model)}: {folder}")
    return 0


def _dtype(model: "PreTrainedModel") -> str:
    return str(model.dtype).removeprefix("torch.")


def card(source: "Source", model: "PreTrainedModel") -> str:
    """A model card that names the adapter and the base model. It has no figures, because the known figures were
    measured with the unmerged adapter.

    A folder is named without its path, which may be private.
    """
    assert source.base is not None
    is_folder = Path(source.base).exists()
    base = Path(source.base).name if is_folder else source.base
    adapter = Path(source.name).name if source.revision is None else source.name
    at_base, at_adapter = (f" at {commit}" if commit else "" for commit in (source.base_revision, source.revision))
    # Why "finetune": on the Hub "merge" means a merge of several models.
    relation = {} if is_folder else {"base_model": base, "base_model_relation": "finetune"}
    front = yaml.safe_dump({**relation, "library_name": "transformers"}, sort_keys=False)
    return (
        f"---\n{front}---\n\n# {adapter}, merged\n\nThe adapter `{adapter}`{at_adapter}, merged into"
        f" `{base}`{at_base} in {_dtype(model)} by `knowlearn merge`.\nThe figures of the adapter's card were not"
        " measured on this model: `knowlearn recall` measures it.\n"
    )
