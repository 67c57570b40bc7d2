"""Loading: the model and the tokenizer that a run, or a stage of it, begins with.

Of a run with adapters every stage loads the model that the run began with, and lays over it what the stages before
left: an adapter to be merged is merged again, which takes no disk and gives the same weights each time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.material import Material
from hf_knowlearn.options import Recipe
from hf_knowlearn.paths import TINY_BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def load(
    recipe: Recipe, material: Material, folder: Path | None = None
) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """The model and the tokenizer that the recipe names; or those in `folder`, which a stage of it left there."""
    from transformers import AutoModelForCausalLM, AutoTokenizer, set_seed
    from trl import get_quantization_config

    set_seed(recipe.training.seed)
    if recipe.teach.from_scratch and not folder:
        return _new_tiny(recipe, material)
    arguments = recipe.model
    name = str(folder) if folder else model_name(arguments.model_name_or_path, "--model ")
    what = str(folder or f"--model {arguments.model_name_or_path}")
    shared = {"revision": arguments.model_revision, "trust_remote_code": recipe.training.trust_remote_code}
    quantization = get_quantization_config(arguments)
    tokenizer = pretrained(AutoTokenizer.from_pretrained, name, what, **shared)
    model = pretrained(
        AutoModelForCausalLM.from_pretrained,
        name,
        what,
        dtype=_dtype(recipe),
        attn_implementation=arguments.attn_implementation,
        quantization_config=quantization,
        **shared,
    )
    if quantization is None:  # bitsandbytes has put a quantised model where it belongs, and it can't be moved
        model.to(recipe.training.device)
    refuse_odd_widths(model, what)
    return model, tokenizer


def refuse_odd_widths(model: "PreTrainedModel", what: str) -> None:
    """Refuse a model in 4 bits on a CPU with AVX-512 whose widths are no multiples of the 64 weights of a scale.

    bitsandbytes (0.50) loads it, and fails when it first answers there, with a shape for an explanation.
    """
    if model.device.type != "cpu" or not getattr(model, "is_loaded_in_4bit", False):
        return
    packed = [layer for layer in model.modules() if getattr(layer, "support_avx512bf16_for_cpu", False)]
    odd = {int(layer.in_features) for layer in packed if layer.in_features % layer.weight.quant_state.blocksize}
    if odd:
        raise ValueError(
            f"{what}: in 4 bits on this CPU, bitsandbytes answers with widths that are multiples of 64 alone, and this"
            f" model has one of {', '.join(map(str, sorted(odd)))}: leave load_in_4bit out, or use a GPU."
        )


def pretrained(load_from: Callable[..., Any], name: str, what: str, **options: Any) -> Any:
    """`load_from(name, **options)`, where what can't be loaded is told of as what the user can mend.

    Args:
        what: is to be loaded, as the user has named it.
    """
    from safetensors import SafetensorError

    try:
        return load_from(name, **options)
    except (OSError, ImportError, ValueError, SafetensorError) as error:
        where = "" if Path(name).exists() else "there is no such folder here, and from the Hub "
        raise ValueError(f"{what}: {where}it can't be loaded: {error}") from error


def model_name(name: str | None, option: str = "") -> str:
    """A folder, or the name of a repository on the Hub. `tiny_base` is the model that comes with this package.

    Args:
        option: stands before the name where it is refused.
    """
    assert name is not None, "a recipe that names no model is not parsed"
    if name == "tiny_base":
        return str(TINY_BASE)
    if Path(name).exists():
        return name
    if name.startswith((".", "/", "~")) or name.count("/") > 1:
        raise ValueError(f"{option}{name}: there is no such folder.")
    return name


def _dtype(recipe: Recipe) -> str:
    """The dtype a model is loaded in: under an adapter, that of the computation; else as asked, fp32 by default."""
    if not recipe.model.use_peft or "dtype" in recipe.options:
        return recipe.model.dtype
    return "bfloat16" if recipe.training.bf16 else "float16" if recipe.training.fp16 else "float32"


def _new_tiny(recipe: Recipe, material: Material) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    from hf_knowlearn.plan import tell
    from hf_knowlearn.recall import prompt_for
    from hf_knowlearn.worlds.tiny import new_model, new_tokenizer

    # The documents as they will be told: a tokenizer that has met a layout's marks spends few tokens on them.
    documents = [*material.documents, *material.train_documents]
    told = tell(documents, recipe.teach, lambda texts: [0] * len(texts), None, recipe.training.seed)
    # Questions that are only asked are read here too: else the names in them would come in smaller pieces than others.
    sets = (material.replay_questions, material.train_questions, *material.asked.values())
    questions = [question for of_set in sets for question in of_set]
    texts = [view.text for views in told for view in views] + [prompt_for(q.text) for q in questions]
    tokenizer = new_tokenizer(texts)
    return new_model(tokenizer, recipe.training.seed).to(recipe.training.device), tokenizer


def load_stage(recipe: Recipe, material: Material, number: int) -> tuple["PreTrainedModel", "PreTrainedTokenizerBase"]:
    """What stage `number` (from 0) begins with: the run's model, trained by the stages before.

    The model has its adapter already where the stage trains on that of the one before.
    """
    from peft import PeftModel

    left = [stage.output_dir / "model" for stage in recipe.steps[:number]]
    if left and not recipe.model.use_peft:
        return load(recipe, material, left[-1])
    model, tokenizer = load(recipe, material)
    for stage, adapter in zip(recipe.steps[1:], left, strict=False):
        if stage.teach.adapter == "merge":
            model = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    if left and recipe.steps[number].teach.adapter == "continue":
        model = PeftModel.from_pretrained(model, str(left[-1]), is_trainable=True)
    return model, tokenizer
