"""The launch configs: accelerate loads them, and each has the launch type of its name."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

FOLDER = Path(__file__).parents[2] / "recipes" / "accelerate"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_is_one_config_for_each_launch():
    assert [file.stem for file in FILES] == ["ddp", "fsdp2", "one_gpu", "two_nodes"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_accelerate_loads_the_config(file):
    config = load_config_from_file(str(file))  # raises an error for an unknown key
    kind = {"ddp": "MULTI_GPU", "two_nodes": "MULTI_GPU", "fsdp2": "FSDP", "one_gpu": "NO"}[file.stem]
    assert config.distributed_type == DistributedType(kind)
    assert config.num_machines == (2 if file.stem == "two_nodes" else 1)
    assert (config.num_processes == 1) == (file.stem == "one_gpu")
    assert config.mixed_precision == "no"  # the recipe sets the precision
    assert config.use_cpu is False
    assert f"recipes/accelerate/{file.name}" in file.read_text(encoding="utf-8")


def test_fsdp_is_version_2():
    assert load_config_from_file(str(FOLDER / "fsdp2.yaml")).fsdp_config["fsdp_version"] == 2
