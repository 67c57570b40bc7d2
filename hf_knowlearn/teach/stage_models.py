"""The model and the tokenizer that a run, or a stage of it, starts from."""

from pathlib import Path
from typing import TYPE_CHECKING

from hf_knowlearn.config.parsing import Recipe
from hf_knowlearn.models.loading import ModelSettings, load_adapter, load_model, load_tokenizer, merge_adapter
from hf_knowlearn.teach.data import RunData

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    recipe: Recipe, material: RunData, folder: Path | None = None
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """The model and the tokenizer that the recipe names; or those in `folder`, which a stage of it left there."""
    from transformers import set_seed

    set_seed(recipe.training.seed)
    if recipe.teach.from_scratch and not folder:
        return _new_tiny(recipe, material)
    arguments = recipe.model
    name = str(folder or arguments.model_name_or_path)
    settings = ModelSettings(
        name,
        arguments.model_revision,
        dtype=_dtype(recipe),
        attn_implementation=arguments.attn_implementation,
        load_in_4bit=arguments.load_in_4bit,
        load_in_8bit=arguments.load_in_8bit,
        bnb_4bit_quant_type=arguments.bnb_4bit_quant_type,
        use_bnb_nested_quant=arguments.use_bnb_nested_quant,
        bnb_4bit_quant_storage=arguments.bnb_4bit_quant_storage,
        trust_remote_code=recipe.training.trust_remote_code,
        device=recipe.training.device,
        label=name if folder else f"--model {name}",
    )
    tokenizer = load_tokenizer(settings)
    return load_model(settings), tokenizer


def _dtype(recipe: Recipe) -> str:
    """The dtype a model is loaded in: under an adapter, that of the computation; else as asked, fp32 by default."""
    if not recipe.model.use_peft or "dtype" in recipe.options:
        return recipe.model.dtype
    return "bfloat16" if recipe.training.bf16 else "float16" if recipe.training.fp16 else "float32"


def _new_tiny(recipe: Recipe, material: RunData) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    from hf_knowlearn.prompts.templates import plain_prompt
    from hf_knowlearn.teach.schedule import tell
    from hf_knowlearn.worlds.tiny import new_model, new_tokenizer

    # The documents as they will be told: a tokenizer that has met a layout's marks spends few tokens on them.
    documents = [*material.documents, *material.train_documents]
    told = tell(documents, recipe.teach, lambda texts: [0] * len(texts), None, recipe.training.seed)
    # Questions that are only asked are read here too: else the names in them would come in smaller pieces than others.
    sets = (material.replay_questions, material.train_questions, *material.asked.values())
    questions = [question for of_set in sets for question in of_set]
    texts = [view.text for views in told for view in views] + [plain_prompt(q.text) for q in questions]
    tokenizer = new_tokenizer(texts)
    return new_model(tokenizer, recipe.training.seed).to(recipe.training.device), tokenizer


def load_stage(recipe: Recipe, material: RunData, number: int) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """What stage `number` (from 0) begins with: the run's model, trained by the stages before.

    The model has its adapter already where the stage trains on that of the one before.
    """
    left = [stage.output_dir / "model" for stage in recipe.steps[:number]]
    if left and not recipe.model.use_peft:
        return load(recipe, material, left[-1])
    model, tokenizer = load(recipe, material)
    for stage, adapter in zip(recipe.steps[1:], left, strict=False):
        if stage.teach.adapter == "merge":
            model = merge_adapter(load_adapter(model, str(adapter)))
    if left and recipe.steps[number].teach.adapter == "continue":
        model = load_adapter(model, str(left[-1]), trainable=True)
    return model, tokenizer
