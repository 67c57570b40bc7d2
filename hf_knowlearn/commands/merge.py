"""`knowlearn merge`: an adapter and its unquantised base become one model, which needs no PEFT to be loaded."""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import yaml

from hf_knowlearn import atomic_files
from hf_knowlearn.models.sources import CARD, Source, resolve_model
from hf_knowlearn.models.variants import load_variant
from hf_knowlearn.teach import run_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Write the merged model with its tokenizer and a note, whole or not at all."""
    folder: Path = arguments.output_dir
    if wrong := list(atomic_files.new_folder_problems(folder)):
        raise ValueError("\n".join(wrong))
    source = resolve_model(arguments.model, arguments.revision)
    model, tokenizer = load_variant(source, merged=True, dtype=arguments.dtype or "auto")
    with run_folder.room_for(folder), atomic_files.atomic_write(folder) as draft:
        model.save_pretrained(draft)
        tokenizer.save_pretrained(draft)
        atomic_files.write_text(draft / CARD, note(source, model))
    show(f"Merged {source.name} into {source.base}, in {_dtype(model)}: {folder}")
    return 0


def _dtype(model: "PreTrainedModel") -> str:
    return str(model.dtype).removeprefix("torch.")


def note(source: Source, model: "PreTrainedModel") -> str:
    """A card that says what was merged into what. It claims no figures: those of the adapter were measured apart."""
    assert source.base is not None
    is_folder = Path(source.base).exists()  # its path is nobody else's business, and no name on the Hub
    base = Path(source.base).name if is_folder else source.base
    adapter = Path(source.name).name if source.revision is None else source.name
    at, of = (f" at {commit}" if commit else "" for commit in (source.base_revision, source.revision))
    # On the Hub "merge" is of several models; a merged adapter is a finetune of its base.
    relation = {} if is_folder else {"base_model": base, "base_model_relation": "finetune"}
    front = yaml.safe_dump({**relation, "library_name": "transformers"}, sort_keys=False)
    return (
        f"---\n{front}---\n\n# {adapter}, merged\n\nThe adapter `{adapter}`{of}, merged into `{base}`{at} in"
        f" {_dtype(model)} by `knowlearn merge`. The adapter's figures are not\nthis model's: `knowlearn recall`"
        " measures it.\n"
    )
