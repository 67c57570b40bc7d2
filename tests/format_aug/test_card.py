"""The published folder: it loads without the package, and its card is correct."""

import json
import os
import re
import runpy
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import datasets
import pytest
import yaml

from hf_knowlearn.format_aug import FormatAugmentedDataset
from hf_knowlearn.format_aug.config import OPTIONS, FormatAugConfig
from hf_knowlearn.format_aug.dataset_rows import columns
from hf_knowlearn.paths import FORMAT_AUG

REPO = Path(__file__).parents[2]
CARD = (FORMAT_AUG / "README.md").read_text(encoding="utf-8")
FAMILIES = [config.name for config in FormatAugmentedDataset.BUILDER_CONFIGS]

LOAD = """
import json, os, sys
sys.modules["hf_knowlearn"] = None  # Why: importing the package fails, as for a user who has not installed it
from datasets import load_dataset
folder, families = json.loads(sys.argv[1])
def load(name): return {family: load_dataset(name, family, split="train").to_list() for family in families}
by_name = load("hf_knowlearn/format_aug")
default = {split: rows.to_list() for split, rows in load_dataset("hf_knowlearn/format_aug").items()}
default_stream = list(load_dataset("hf_knowlearn/format_aug", split="train", streaming=True))
os.chdir(os.environ["HF_HOME"])
by_path = load(folder)
print(json.dumps([by_name, by_path, default, default_stream]))
"""

EXAMPLES = """
import doctest, sys
runner = doctest.DocTestRunner()
runner.run(doctest.DocTestParser().get_doctest(sys.argv[1], {}, "README.md", None, 0))
print(runner.tries, runner.failures)
"""


def run(code, argument, folder, home):
    """Runs `code` in a new process without network; returns the last line that it prints, and all other lines."""
    env = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_DATASETS_DISABLE_PROGRESS_BARS": "1"}
    command = [sys.executable, "-c", code, argument]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    *before, last = done.stdout.strip().split("\n")
    return last, "\n".join(before)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory):
    """Rows that `load_dataset` loads: by name from the project's root, by path from elsewhere, and by default."""
    argument = json.dumps([str(FORMAT_AUG), FAMILIES])
    rows = json.loads(run(LOAD, argument, REPO, tmp_path_factory.mktemp("home"))[0])
    return dict(zip(["by name", "by path", "default", "default stream"], rows, strict=True))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The sample as the current code makes it, by family."""
    sample = runpy.run_path(str(Path(__file__).parent / "sample.py"))
    files = sample["write"](tmp_path_factory.mktemp("sample"))
    return {file.parent.name: datasets.Dataset.from_parquet(str(file)).to_list() for file in files}


@pytest.mark.parametrize("way", ["by name", "by path"])
@pytest.mark.parametrize("family", FAMILIES)
def test_the_folder_loads_the_sample_that_the_code_makes(way, family, loaded, made):
    assert loaded[way][family] == made[family]
    assert len(made[family]) == 200


def test_without_a_configuration_the_default_of_the_class_is_loaded(loaded):
    expected = loaded["by name"][FormatAugmentedDataset.DEFAULT_CONFIG_NAME]
    assert loaded["default"] == {"train": expected}
    assert loaded["default stream"] == expected


def front_matter():
    return yaml.safe_load(CARD.split("---\n", 2)[1])


def test_the_card_lists_the_configurations_of_the_class_and_their_files():
    configs = front_matter()["configs"]
    assert [config["config_name"] for config in configs] == FAMILIES
    assert [c["config_name"] for c in configs if c.get("default")] == [FormatAugmentedDataset.DEFAULT_CONFIG_NAME]
    patterns = {file["path"] for config in configs for file in config["data_files"]}
    matched = {file for pattern in patterns for file in FORMAT_AUG.glob(pattern)}
    assert len(matched) == len(FAMILIES)
    assert matched == set((FORMAT_AUG / "data").rglob("*.*"))


def test_the_folder_is_small_and_has_no_loading_script():
    assert sum(file.stat().st_size for file in (FORMAT_AUG / "data").rglob("*.parquet")) < 300_000
    assert not (FORMAT_AUG / f"{FORMAT_AUG.name}.py").exists()


def test_the_card_describes_every_option_and_every_column():
    for option in OPTIONS:
        assert re.search(rf"^\| [^|]*`{option}`[^|]* \|", CARD, re.MULTILINE), option
    for name in FAMILIES:
        for column in columns(FormatAugConfig(name=name, epochs=1)):
            assert re.search(rf"^\| [^|]*`{column}`[^|]* \|", CARD, re.MULTILINE), column


def test_the_docstring_describes_every_option():
    described = set(re.findall(r"^ {8}([a-z_, ]+):", FormatAugConfig.__doc__, re.MULTILINE))
    assert {name for names in described for name in names.split(", ")} == set(OPTIONS)
    assert {field.name for field in fields(FormatAugConfig)} > set(OPTIONS)


def test_the_examples_on_the_card_print_the_results_on_the_card(tmp_path):
    (tmp_path / "hf_knowlearn").symlink_to(FORMAT_AUG.parent)  # like the project's root folder
    (tmp_path / "documents").mkdir()
    for name in ("ferry", "mill"):
        text = f"The {name} is at Ormel. Work begins at six. Bread is sold."
        (tmp_path / "documents" / f"{name}.txt").write_text(text, encoding="utf-8")
    blocks = "\n".join(re.findall(r"```python\n(.*?)```", CARD, re.DOTALL))
    counts, report = run(EXAMPLES, blocks, tmp_path, tmp_path / "home")
    assert counts.split() == ["14", "0"], report
    assert list((tmp_path / "published").glob("*.parquet"))
