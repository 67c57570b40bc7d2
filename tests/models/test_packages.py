"""Optional packages: an option that needs a missing one is an error with the pip command, before a file is written."""

import importlib.metadata
import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers.integrations.integration_utils import INTEGRATION_TO_CALLBACK
from transformers.training_args import OptimizerNames

from hf_knowlearn.models.loading import ModelSettings, load_errors, load_model
from hf_knowlearn.models.packages import (
    NEEDED,
    PACKAGES,
    TRACKERS,
    install_hint,
    is_installed,
    missing_packages,
    unknown_trackers,
)

COMMANDS = [
    ("use_liger_kernel", "true", 'pip install "liger-kernel>=0.3.0"'),
    ("optim", "galore_adamw", "pip install galore-torch"),
    ("optim", "galore_adafactor_layerwise", "pip install galore-torch"),
    ("optim", "galore_adamw_8bit", 'pip install galore-torch "bitsandbytes>=0.46.1"'),
    ("optim", "apollo_adamw", "pip install apollo-torch"),
    ("optim", "lomo", "pip install lomo-optim"),
    ("optim", "adalomo", "pip install lomo-optim"),
    ("optim", "grokadamw", "pip install grokadamw"),
    ("optim", "schedule_free_radam", 'pip install "schedulefree>=1.2.6"'),
    ("optim", "stable_adamw", "pip install torch-optimi"),
    ("optim", "adamw_torch_4bit", 'pip install "torchao>=0.15.0"'),
    ("optim", "adamw_anyprecision", "pip install git+https://github.com/pytorch/torchdistx"),
    *(
        ("optim", name, 'pip install "bitsandbytes>=0.46.1"')
        for name in ("adamw_8bit", "adamw_bnb_8bit", "ademamix", "lion_32bit", "paged_adamw_32bit", "rmsprop_bnb_8bit")
    ),
    ("load_in_4bit", "true", 'pip install "bitsandbytes>=0.46.1"'),
    ("load_in_8bit", "true", 'pip install "bitsandbytes>=0.46.1"'),
    ("attn_implementation", "flash_attention_2", "pip install flash-attn --no-build-isolation"),
    ("attn_implementation", "flash_attention_3", "pip install kernels"),
    ("attn_implementation", "kernels-community/flash-attn", "pip install kernels"),
    ("deepspeed", "ds.json", "pip install deepspeed"),
    ("report_to", "wandb", "pip install wandb"),
    ("report_to", "comet_ml", "pip install comet-ml"),
    ("report_to", "azure_ml", "pip install azureml-core mlflow"),
    ("report_to", "tensorboard", "pip install tensorboard"),
]


@pytest.fixture
def nothing_optional(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide every optional package."""
    find = importlib.util.find_spec
    hidden = {name.partition(".")[0] for name in [*PACKAGES, "tensorboardX"]}

    def find_visible(name: str, package: str | None = None) -> Any:
        return None if name.partition(".")[0] in hidden else find(name, package)

    monkeypatch.setattr(importlib.util, "find_spec", find_visible)


@pytest.mark.usefixtures("nothing_optional")
@pytest.mark.parametrize(("option", "value", "pip"), COMMANDS)
def test_an_option_whose_package_is_missing_is_an_error_with_the_command_and_writes_nothing(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    option: str,
    value: str,
    pip: str,
):
    assert knowlearn("teach", **options, **{option: value}) == 2
    error = capsys.readouterr().err
    assert f"--{option} {value.replace('true', 'True')} needs" in error
    assert f"not installed. Run: {pip}\n" in error
    assert "Traceback" not in error
    assert not Path(options["output_dir"]).exists()


@pytest.mark.usefixtures("nothing_optional")
def test_all_missing_packages_are_named_at_once():
    problems = missing_packages({"optim": "lomo", "report_to": ["wandb", "mlflow"], "use_liger_kernel": False})
    assert problems == [
        "--optim lomo needs a package that is not installed. Run: pip install lomo-optim",
        "--report_to mlflow needs a package that is not installed. Run: pip install mlflow",
        "--report_to wandb needs a package that is not installed. Run: pip install wandb",
    ]


@pytest.mark.usefixtures("nothing_optional")
def test_the_default_options_need_no_optional_package(options: dict[str, Any]):
    assert missing_packages({**options, "optim": "adamw_torch_fused", "report_to": ["none"]}) == []
    assert missing_packages({"attn_implementation": "sdpa", "optim": "rmsprop", "deepspeed": None}) == []


def test_the_table_covers_the_optimizers_and_trackers_of_transformers(nothing_optional: None):
    without = {"adamw_torch", "adamw_torch_fused", "adafactor", "sgd", "adagrad", "rmsprop"}
    assert {name.value for name in OptimizerNames if not missing_packages({"optim": name.value})} == without
    assert set(TRACKERS) == set(INTEGRATION_TO_CALLBACK)
    assert {module for _, _, modules in NEEDED for module in modules} <= set(PACKAGES)


@pytest.mark.parametrize(
    ("version", "is_enough"),
    [
        ("0.45.3", False), ("0.46", False), ("0.46.1rc1", False), ("0.46.1", True), ("0.46.1.post1", True),
        ("0.46.1+cu126", True), ("0.100", True), ("1.0", True), ("1!0.1", True),
    ],
)  # fmt: skip
def test_a_package_that_is_too_old_counts_as_missing(monkeypatch: pytest.MonkeyPatch, version: str, is_enough: bool):
    monkeypatch.setattr(importlib.metadata, "version", lambda _: version)
    assert is_installed("bitsandbytes") is is_enough


def test_one_of_two_packages_that_do_the_same_is_enough(monkeypatch: pytest.MonkeyPatch, nothing_optional: None):
    assert missing_packages({"attn_implementation": "flash_attention_2"})
    find = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name if name == "kernels" else find(name))
    assert missing_packages({"attn_implementation": "flash_attention_2"}) == []


@pytest.mark.usefixtures("nothing_optional")
@pytest.mark.parametrize("option", [{"load_in_4bit": True}, {"attn_implementation": "flash_attention_2"}])
def test_loading_a_model_with_a_missing_package_is_an_error_with_the_command(option: dict[str, Any]):
    with pytest.raises(ValueError, match="Run: pip install"):
        load_model(ModelSettings("tiny_base", **option))


@pytest.mark.usefixtures("nothing_optional")
@pytest.mark.parametrize(
    ("error", "pip"),
    [
        (ModuleNotFoundError("No module named 'einops'", name="einops"), "pip install einops"),
        (ImportError("requires the SentencePiece library but it was not found"), "pip install sentencepiece"),
        (ValueError("You need to have sentencepiece or tiktoken"), "pip install sentencepiece tiktoken"),
        (ImportError("requires the protobuf library"), "pip install protobuf"),
    ],
)
def test_an_error_of_a_library_about_a_package_gets_the_command(error: Exception, pip: str):
    with pytest.raises(ValueError, match=f"^qwen: .*failed: .* Run: {pip}$"), load_errors("qwen", "qwen"):
        raise error


def test_an_error_that_names_a_command_or_no_package_gets_none():
    assert install_hint(ImportError("needs sentencepiece: `pip install sentencepiece`")) == ""
    assert install_hint(ValueError("Unrecognized model.")) == ""


def test_an_unknown_tracker_is_an_error_that_lists_the_trackers(
    knowlearn: Callable[..., int], options: dict[str, Any], capsys: pytest.CaptureFixture[str]
):
    assert knowlearn("teach", **options, report_to="wandbb") == 2
    assert "--report_to wandbb: this is not a tracker. Give one of azure_ml," in capsys.readouterr().err
    assert unknown_trackers({"report_to": ["all"]}) == unknown_trackers({"report_to": "none"}) == []


@pytest.mark.parametrize(
    ("suffix", "package"),
    [
        (".pdf", "pdfplumber"), (".docx", "markitdown"), (".pptx", "pptx"), (".epub", "markdownify"),
        (".html", "lxml"),
    ],
)  # fmt: skip
def test_a_document_whose_reader_is_missing_is_an_error_with_the_command_and_writes_nothing(
    knowlearn: Callable[..., int],
    options: dict[str, Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    suffix: str,
    package: str,
):
    monkeypatch.setitem(sys.modules, package, None)
    (tmp_path / f"manual{suffix}").write_bytes(b"content")
    assert knowlearn("teach", **{**options, "documents": tmp_path / f"manual{suffix}"}) == 2
    error = capsys.readouterr().err
    assert 'pip install ".[documents]"' in error
    assert f"manual{suffix}" in error
    assert "Traceback" not in error
    assert not Path(options["output_dir"]).exists()
