"""Loads the model at the start of a stage: the base model with the adapters or weights of earlier stages.

If the run trains adapters, every stage loads the base model again, and attaches or merges the adapters of earlier
stages. No merged model is saved between stages.
"""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from hf_knowlearn.config.settings import RunSettings
from hf_knowlearn.models.loading import load_adapter, load_model, load_tokenizer
from hf_knowlearn.models.merging import merge_adapter
from hf_knowlearn.models.tokenizers import apply_tokenizer_options, check_embeddings, check_end_token

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

MODEL = "model"  # folder of the trained model or adapter, inside the run folder and inside the folder of each stage


def load_base(
    settings: RunSettings, folder: Path | None = None
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load the base model and its tokenizer. With `folder`, load the model in this folder, which a stage saved."""
    from transformers import set_seed

    set_seed(settings.seed)
    model = settings.model
    if folder:
        model = replace(model, name_or_path=str(folder), revision=None, label=str(folder))
    tokenizer, loaded = load_tokenizer(model), load_model(model)
    if folder is None:  # a trained model is saved with its tokenizer
        training = settings.stages[0].training
        apply_tokenizer_options(
            loaded,
            tokenizer,
            chat_template_path=training.chat_template_path,
            eos_token=training.eos_token,
            pad_token=training.pad_token,
            uses_adapter=settings.uses_adapter,
        )
    check_embeddings(loaded, tokenizer, model.shown_name)
    check_end_token(tokenizer, model.shown_name)
    return loaded, tokenizer


def load_for_stage(settings: RunSettings, number: int) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """Load the model and the tokenizer with which stage `number` starts.

    If the stage continues the adapter of the previous stage, the model has this adapter.
    """
    earlier = [stage.folder / MODEL for stage in settings.stages[:number]]
    if earlier and not settings.uses_adapter:
        return load_base(settings, earlier[-1])
    model, tokenizer = load_base(settings)
    for stage, adapter in zip(settings.stages[1:], earlier, strict=False):
        if stage.adapter == "merge":
            model = merge_adapter(load_adapter(model, str(adapter)))
    if earlier and settings.stages[number].adapter == "continue":
        model = load_adapter(model, str(earlier[-1]), trainable=True)
    return model, tokenizer
