"""The launch configs: accelerate reads them, and each starts what its name says."""

from pathlib import Path

import pytest
from accelerate.commands.config.config_args import load_config_from_file
from accelerate.utils import DistributedType

FOLDER = Path(__file__).parents[2] / "recipes" / "accelerate"
FILES = sorted(FOLDER.glob("*.yaml"))


def test_there_is_one_for_each_launch():
    assert [file.stem for file in FILES] == ["ddp", "fsdp2", "one_gpu", "two_nodes"]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_accelerate_reads_it(file):
    config = load_config_from_file(str(file))  # an unknown key is refused
    kind = {"ddp": "MULTI_GPU", "two_nodes": "MULTI_GPU", "fsdp2": "FSDP", "one_gpu": "NO"}[file.stem]
    assert config.distributed_type == DistributedType(kind)
    assert config.num_machines == (2 if file.stem == "two_nodes" else 1)
    assert (config.num_processes == 1) == (file.stem == "one_gpu")
    assert config.mixed_precision == "no"  # or the recipe's would be another one on each launch
    assert config.use_cpu is False
    assert f"recipes/accelerate/{file.name}" in file.read_text(encoding="utf-8")


def test_fsdp_is_version_2():
    assert load_config_from_file(str(FOLDER / "fsdp2.yaml")).fsdp_config["fsdp_version"] == 2
