"""Loading: the model and the tokenizer that a run, or a stage of it, begins with.

Of a run with adapters every stage loads the model that the run began with, and lays over it what the stages before
left: an adapter to be merged is merged again, which takes no disk and gives the same weights each time.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.paths import TINY_BASE

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
