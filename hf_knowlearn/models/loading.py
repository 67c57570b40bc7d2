"""Loads models, tokenizers and adapters.

An error of transformers, PEFT or the Hub becomes a `ValueError` with the model name that the user gave. The vLLM
engine (`generation/vllm_engine.py`) loads its models itself.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.models import smollm2
from hf_knowlearn.models.added_end_token import remove_added_end_token
from hf_knowlearn.models.base_model import check_base
from hf_knowlearn.models.fingerprints import commit_of
from hf_knowlearn.models.packages import check_packages, install_hint
from hf_knowlearn.paths import TINY_BASE

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, PreTrainedModel, PreTrainedTokenizerBase

# The fields of `ModelSettings` that TRL's `get_quantization_config` reads.
QUANTIZATION = (
    "dtype", "load_in_4bit", "load_in_8bit", "bnb_4bit_quant_type", "use_bnb_nested_quant", "bnb_4bit_quant_storage"
)  # fmt: skip


@dataclass(frozen=True)
class ModelSettings:
    """Selects a model and how it is loaded.

    Fields that also occur in `trl.ModelConfig` mean the same as in `trl.ModelConfig`.

    Args:
        name_or_path: A folder, a name on the Hub, `tiny_base`, the model that this package contains, or `smollm2-135m`
            (see `models.smollm2`).
        revision: A branch, tag or commit of a model on the Hub.
        dtype: Dtype of the weights: "float32", "bfloat16", "float16", or "auto" for the stored dtype. For quantised
            weights, it is the dtype of the computation.
        attn_implementation: The attention kernel; None lets transformers choose.
        load_in_4bit, load_in_8bit: Quantise the weights to 4 or 8 bits with bitsandbytes.
        bnb_4bit_quant_type, use_bnb_nested_quant, bnb_4bit_quant_storage: How 4-bit weights are quantised.
        trust_remote_code: Run the Python code of the model's repository.
        device: Where to put the weights; None means the device of this process, as accelerate assigns it.
        label: The model's name in error messages, such as "--model qwen"; by default `name_or_path`.

    Example:
        >>> settings = ModelSettings("tiny_base", dtype="float32")
        >>> model, tokenizer = load_model(settings), load_tokenizer(settings)
    """

    name_or_path: str
    revision: str | None = None
    dtype: str = "auto"
    attn_implementation: str | None = None
    load_in_4bit: bool = False
    load_in_8bit: bool = False
    bnb_4bit_quant_type: str = "nf4"
    use_bnb_nested_quant: bool = False
    bnb_4bit_quant_storage: str | None = None
    trust_remote_code: bool = False
    device: Any = None
    label: str = ""

    @property
    def shown_name(self) -> str:
        """The model's name in error messages."""
        return self.label or self.name_or_path

    @property
    def quantization(self) -> "BitsAndBytesConfig | None":
        """The configuration with which transformers quantises the weights. None if they are not quantised."""
        from trl import ModelConfig, get_quantization_config

        return get_quantization_config(ModelConfig(**{name: getattr(self, name) for name in QUANTIZATION}))


def load_model(settings: ModelSettings) -> "PreTrainedModel":
    """Load a causal language model onto its device.

    For the folder of an adapter, transformers loads the base model and attaches the adapter.

    Raises:
        ValueError: The model cannot be loaded, a required package is missing, or bitsandbytes cannot compute with the
            model's 4-bit weights on this CPU.
    """
    from accelerate import PartialState
    from transformers import AutoModelForCausalLM

    check_packages({name: getattr(settings, name) for name in ("attn_implementation", "load_in_4bit", "load_in_8bit")})
    name, quantization = model_path(settings.name_or_path, settings.shown_name), settings.quantization
    with load_errors(name, settings.shown_name):
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            name,
            revision=settings.revision,
            dtype=settings.dtype,
            attn_implementation=settings.attn_implementation,
            quantization_config=quantization,
            trust_remote_code=settings.trust_remote_code,
        )
    if not getattr(model, "is_quantized", False):  # bitsandbytes places quantised weights; they cannot be moved
        model.to(PartialState().device if settings.device is None else settings.device)
    check_4bit_widths(model, settings.shown_name)
    is_whole = model.config.name_or_path == name
    # Why: transformers does not store the commit here. The attribute is not saved with the configuration.
    model.config._commit_hash = commit_of(model.config.name_or_path, settings.revision if is_whole else None)
    if not is_whole:  # an adapter's folder or name
        check_base(name, model, revision=settings.revision, label=settings.shown_name)
    return model


def load_tokenizer(settings: ModelSettings) -> "PreTrainedTokenizerBase":
    """Load the tokenizer of a model.

    Raises:
        ValueError: The tokenizer cannot be loaded.
    """
    from transformers import AutoTokenizer

    name = model_path(settings.name_or_path, settings.shown_name)
    with load_errors(name, settings.shown_name):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(
            name, revision=settings.revision, trust_remote_code=settings.trust_remote_code
        )
    remove_added_end_token(tokenizer)
    return tokenizer


def load_adapter(
    model: "PreTrainedModel", name: str, *, revision: str | None = None, trainable: bool = False, label: str = ""
) -> Any:
    """Attach a saved PEFT adapter to its base model.

    Args:
        name: The adapter's folder or its name on the Hub.
        revision: A branch, tag or commit of an adapter on the Hub.
        trainable: Whether the adapter's weights require gradients.
        label: The adapter's name in error messages; by default `name`.

    Raises:
        ValueError: The adapter cannot be loaded, its weights do not fit the model, or it was trained on another base
            model (see `check_base`).
    """
    from peft import PeftModel

    label = label or name
    check_base(name, model, revision=revision, label=label)
    try:
        with load_errors(name, label):
            return PeftModel.from_pretrained(model, name, is_trainable=trainable, revision=revision)
    except RuntimeError as error:  # torch raises this error for weights of another shape
        raise ValueError(
            f"{label}: the adapter does not fit the base model {model.config.name_or_path!r}. Use the base model that"
            f" the adapter was trained on. {error}"
        ) from error


def model_path(name: str, label: str = "") -> str:
    """Return the folder or the Hub name to load.

    For `tiny_base`, this is a folder of this package. For `smollm2-135m`, it is the folder that `knowlearn
    prepare_model` writes.

    Args:
        label: The model's name in the error message; by default `name`.

    Raises:
        ValueError: `name` is a path, and there is no such folder. Or `name` is `smollm2-135m`, and this model is not
            prepared.
    """
    if name == "tiny_base":
        return str(TINY_BASE)
    if name == smollm2.NAME:
        folder = smollm2.prepared_folder()
        if not folder.is_dir():
            raise ValueError(f"{label or name}: this model is not prepared on this machine. Run: {smollm2.COMMAND}")
        return str(folder)
    if not Path(name).exists() and (name.startswith((".", "/", "~")) or name.count("/") > 1):
        raise ValueError(f"{label or name}: there is no such folder. Check the path.")
    return name


@contextmanager
def load_errors(name: str, label: str) -> Iterator[None]:
    """Within the block, turn errors of the libraries into a `ValueError` whose message starts with `label`."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, ImportError, ValueError, SafetensorError) as error:
        start = "loading" if Path(name).exists() else "there is no such folder here, and loading from the Hub"
        raise ValueError(f"{label}: {start} failed: {error}{install_hint(error)}") from error


def check_4bit_widths(model: "PreTrainedModel", label: str) -> None:
    """Raise a `ValueError` if bitsandbytes cannot compute with the model's 4-bit weights on this CPU.

    Why: on a CPU with AVX-512, bitsandbytes 0.50 computes a layer only if its input width is a multiple of the block
    size. A model with another width loads without an error, and then fails in the first forward pass.
    """
    if model.device.type != "cpu" or not getattr(model, "is_loaded_in_4bit", False):
        return
    packed = [layer for layer in model.modules() if getattr(layer, "support_avx512bf16_for_cpu", False)]
    bad = {int(layer.in_features) for layer in packed if layer.in_features % layer.weight.quant_state.blocksize}
    if bad:
        raise ValueError(
            f"{label}: this model has layers with an input width of {', '.join(map(str, sorted(bad)))}. On this CPU,"
            " bitsandbytes computes 4-bit layers only if this width is a multiple of 64. Remove load_in_4bit, or use a"
            " GPU."
        )
