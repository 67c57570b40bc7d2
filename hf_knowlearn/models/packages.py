"""Lists the optional packages that options need, and the pip commands that install them."""

import importlib.metadata
import importlib.util
import re
from collections.abc import Iterator, Mapping
from typing import Any

from packaging.version import Version

# What pip installs, by the name of the module that is imported.
PACKAGES = {
    "apollo_torch": "apollo-torch",
    "azureml": "azureml-core",
    "bitsandbytes": "bitsandbytes>=0.46.1",
    "clearml": "clearml",
    "codecarbon": "codecarbon",
    "comet_ml": "comet-ml",
    "dagshub": "dagshub",
    "deepspeed": "deepspeed",
    "dvclive": "dvclive",
    "flash_attn": "flash-attn --no-build-isolation",
    "flytekit": "flytekit",
    "galore_torch": "galore-torch",
    "google.protobuf": "protobuf",
    "grokadamw": "grokadamw",
    "kernels": "kernels",
    "kubeflow": "kubeflow",
    "liger_kernel": "liger-kernel>=0.3.0",
    "lomo_optim": "lomo-optim",
    "mlflow": "mlflow",
    "neptune": "neptune",
    "optimi": "torch-optimi",
    "schedulefree": "schedulefree>=1.2.6",
    "sentencepiece": "sentencepiece",
    "swanlab": "swanlab",
    "tensorboard": "tensorboard",
    "tiktoken": "tiktoken",
    "torch_npu": "torch_npu",
    "torch_xla": "torch_xla",
    "torchao": "torchao>=0.15.0",
    "torchdistx": "git+https://github.com/pytorch/torchdistx",
    "trackio": "trackio",
    "wandb": "wandb",
}
# Interchangeable modules. One of each group is enough.
ALTERNATIVES = {
    "flash_attn": ("kernels", "torch_npu"),
    "tensorboard": ("tensorboardX",),
}
TRACKERS = {
    "azure_ml": ("azureml", "mlflow"),
    "clearml": ("clearml",),
    "codecarbon": ("codecarbon",),
    "comet_ml": ("comet_ml",),
    "dagshub": ("dagshub", "mlflow"),
    "dvclive": ("dvclive",),
    "flyte": ("flytekit",),
    "kubeflow": ("kubeflow",),
    "mlflow": ("mlflow",),
    "neptune": ("neptune",),
    "swanlab": ("swanlab",),
    "tensorboard": ("tensorboard",),
    "trackio": ("trackio",),
    "wandb": ("wandb",),
}
# Option -> pattern of the whole value -> the modules that such a value needs.
NEEDED: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("attn_implementation", r"flash_attention_2", ("flash_attn",)),
    ("attn_implementation", r"flash_attention_[34]|.+/.+", ("kernels",)),
    ("deepspeed", r".+", ("deepspeed",)),
    ("load_in_4bit", r"True", ("bitsandbytes",)),
    ("load_in_8bit", r"True", ("bitsandbytes",)),
    ("optim", r"adamw_anyprecision", ("torchdistx",)),
    ("optim", r"adamw_torch_[48]bit", ("torchao",)),
    ("optim", r"adamw_torch_npu_fused", ("torch_npu",)),
    ("optim", r"adamw_torch_xla", ("torch_xla",)),
    ("optim", r"(adamw|adamw_bnb)_8bit|(ademamix|lion|paged|rmsprop_bnb).*", ("bitsandbytes",)),
    ("optim", r"apollo_.*", ("apollo_torch",)),
    ("optim", r"galore_.*8bit.*", ("galore_torch", "bitsandbytes")),
    ("optim", r"galore_((?!8bit).)*", ("galore_torch",)),
    ("optim", r"grokadamw", ("grokadamw",)),
    ("optim", r"(ada)?lomo", ("lomo_optim",)),
    ("optim", r"schedule_free_.*", ("schedulefree",)),
    ("optim", r"stable_adamw", ("optimi",)),
    ("use_liger_kernel", r"True", ("liger_kernel",)),
    *(("report_to", re.escape(tracker), modules) for tracker, modules in TRACKERS.items()),
)
# The modules that tokenizers need. The errors of transformers name these modules without the pip command.
OF_TOKENIZERS = ("sentencepiece", "tiktoken", "google.protobuf")


def missing_packages(options: Mapping[str, Any]) -> list[str]:
    """Return a message for each option whose value needs a package that is not installed.

    Example:
        >>> missing_packages({"optim": "galore_adamw"})
        ['--optim galore_adamw needs a package that is not installed. Run: pip install galore-torch']
    """
    return [
        f"--{option} {value} needs {_noun(missing)} not installed. Run: {pip_command(*missing)}"
        for option, value, modules in _needed(options)
        if (missing := [module for module in modules if not is_installed(module)])
    ]


def unknown_trackers(options: Mapping[str, Any]) -> list[str]:
    """Return a message for each value of the option `report_to` that is not a tracker of transformers."""
    given = options.get("report_to") or []
    return [
        f"--report_to {name}: this is not a tracker. Give one of {', '.join(TRACKERS)}, or all or none."
        for name in (given if isinstance(given, list) else [given])
        if name not in {*TRACKERS, "all", "none"}
    ]


def check_packages(options: Mapping[str, Any]) -> None:
    """Raise a `ValueError` if a package that these options need is not installed."""
    if problems := missing_packages(options):
        raise ValueError("\n".join(problems))


def is_installed(module: str) -> bool:
    """Return whether a module, or a module that can replace it (`ALTERNATIVES`), is installed and recent enough."""
    return _is_found(module) or any(map(_is_found, ALTERNATIVES.get(module, ())))


def pip_command(*modules: str) -> str:
    """Return the command that installs the packages of these modules, such as `pip install galore-torch`."""
    packages = [PACKAGES.get(module, module) for module in modules]
    return " ".join(["pip install", *(f'"{package}"' if ">" in package else package for package in packages)])


def install_hint(error: BaseException) -> str:
    """Return a sentence with the pip command for the packages that an error of a library reports as missing.

    Return an empty string if the error reports no missing package, or already contains a pip command.
    """
    message = str(error)
    if "pip install" in message:
        return ""
    named = [module for module in OF_TOKENIZERS if module.rpartition(".")[2] in message.lower()]
    if isinstance(error, ModuleNotFoundError) and error.name:
        named = [error.name.partition(".")[0]]
    missing = [module for module in named if not is_installed(module)]
    return f" Run: {pip_command(*missing)}" if missing else ""


def _needed(options: Mapping[str, Any]) -> Iterator[tuple[str, Any, tuple[str, ...]]]:
    """Yield the option, the value and the needed modules, for each option whose value needs modules."""
    for option, pattern, modules in NEEDED:
        given = options.get(option)
        for value in given if isinstance(given, list) else [given]:
            if value is not None and re.fullmatch(pattern, str(value)):
                yield option, value, modules


def _noun(missing: list[str]) -> str:
    return "a package that is" if len(missing) == 1 else "packages that are"


def _is_found(module: str) -> bool:
    try:
        if importlib.util.find_spec(module) is None:
            return False
    except (ModuleNotFoundError, ValueError):  # errors for a missing parent package, and for a module without a spec
        return False
    package, _, minimum = PACKAGES.get(module, "").partition(">=")
    try:
        return not minimum or Version(importlib.metadata.version(package)) >= Version(minimum)
    except importlib.metadata.PackageNotFoundError:  # not installed by pip
        return True
