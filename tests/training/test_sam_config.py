"""The options of SAM: accepted values, error messages, and lazy imports."""

import subprocess
import sys
from dataclasses import MISSING, dataclass, fields

import pytest
from trl import RewardConfig, SFTConfig, TrlParser

import hf_knowlearn.training
from hf_knowlearn.training import SAMConfig, SAMOptions

HERE = {"use_cpu": True, "bf16": False, "activation_checkpointing": False}


def new_config(folder, **options):
    return SAMConfig(str(folder), **HERE | options)


def test_samconfig_has_sam_off_and_the_defaults_of_sftconfig():
    ours, theirs = ({f.name: f for f in fields(config)} for config in (SAMConfig, SFTConfig))
    assert ours.keys() - theirs.keys() == {option.name for option in fields(SAMOptions)}
    assert ours["sam_rho"].default == 0.0
    for name, field in theirs.items():
        assert ours[name].default == field.default
        assert (ours[name].default_factory is MISSING) == (field.default_factory is MISSING)


def test_each_option_has_a_help_text():
    for field in fields(SAMOptions):
        assert len(field.metadata["help"]) > 40
        assert "%" not in field.metadata["help"]  # argparse interprets it as a placeholder


@pytest.mark.parametrize("value", [0.05, "0.05", "5e-2"])
def test_a_number_may_be_a_string(value, tmp_path):
    config = new_config(tmp_path, sam_rho=value, sam_start=value)
    assert (config.sam_rho, config.sam_start) == (0.05, 0.05)
    assert type(config.sam_rho) is type(config.sam_start) is float


@pytest.mark.parametrize("value", [-0.1, "-0.1", float("inf"), float("nan"), "nan", "abc", "", None, True, [0.1]])
def test_an_invalid_sam_rho_is_an_error(value, tmp_path):
    with pytest.raises(ValueError, match=r"sam_rho: .* is not a finite number of 0 or more. Set 0.05, or 0") as error:
        new_config(tmp_path, sam_rho=value)
    assert f"sam_rho: {value!r} is not" in str(error.value)


@pytest.mark.parametrize("value", ["false", "yes", 1, None])
def test_an_invalid_sam_adaptive_is_an_error(value, tmp_path):
    with pytest.raises(ValueError, match=f"sam_adaptive: {value!r} is not true or false. Set true or false"):
        new_config(tmp_path, sam_adaptive=value)


@pytest.mark.parametrize("value", [-1, 0.5, 2.0, "2", None, True])
def test_an_invalid_sam_ascent_batches_is_an_error(value, tmp_path):
    with pytest.raises(ValueError, match=f"sam_ascent_batches: {value!r} is not a whole number of 0 or more. Set 0"):
        new_config(tmp_path, sam_ascent_batches=value)


@pytest.mark.parametrize("value", [1, 1.0, 70, -0.1, "late", None])
def test_an_invalid_sam_start_is_an_error(value, tmp_path):
    with pytest.raises(ValueError, match=f"sam_start: {value!r} is not a number of at least 0 and less than 1"):
        new_config(tmp_path, sam_start=value)


def test_an_invalid_sam_direction_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="sam_direction: 'up' is not one of gradient, random"):
        new_config(tmp_path, sam_direction="up")


def test_more_ascent_batches_than_the_window_has_are_an_error(tmp_path):
    new_config(tmp_path, sam_ascent_batches=4, gradient_accumulation_steps=4)
    with pytest.raises(ValueError, match="sam_ascent_batches: 5 is more than the 4 micro-batches of a step"):
        new_config(tmp_path, sam_ascent_batches=5, gradient_accumulation_steps=4)


@pytest.mark.parametrize(("batches", "rows"), [(1, 1), (9, 8)])
def test_more_rows_than_the_micro_batch_has_are_an_error(batches, rows, tmp_path):
    new_config(tmp_path, sam_ascent_batches=8, gradient_accumulation_steps=1, per_device_train_batch_size=8)
    with pytest.raises(ValueError, match=f"{batches} is a number of rows .* A micro-batch has {rows} "):
        new_config(tmp_path, sam_ascent_batches=batches, per_device_train_batch_size=rows)


def test_ascent_batches_with_a_random_direction_are_an_error(tmp_path):
    with pytest.raises(ValueError, match="sam_ascent_batches: 2 has no effect with sam_direction: random"):
        new_config(tmp_path, sam_ascent_batches=2, gradient_accumulation_steps=4, sam_direction="random")


@dataclass
class SAMRewardConfig(SAMOptions, RewardConfig):
    pass


def test_the_options_go_before_any_other_config(tmp_path):
    here = {"use_cpu": True, "bf16": False}
    config = SAMRewardConfig(str(tmp_path), sam_rho="0.1", center_rewards_coefficient=0.5, **here)
    assert (config.sam_rho, config.center_rewards_coefficient, config.remove_unused_columns) == (0.1, 0.5, True)
    with pytest.raises(ValueError, match="sam_start"):
        SAMRewardConfig(str(tmp_path), sam_start=1, **here)


def test_the_error_lists_all_invalid_options(tmp_path):
    with pytest.raises(ValueError, match=r"sam_rho: -1 .*\nsam_adaptive: 'no' .*\nsam_start: 'late' "):
        new_config(tmp_path, sam_rho=-1, sam_adaptive="no", sam_start="late")


def test_a_recipe_and_the_command_line_set_the_options(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "use_cpu: true\nbf16: false\nactivation_checkpointing: false\nsam_rho: 5e-2\nsam_adaptive: true\n"
    )
    parser = TrlParser((SAMConfig,))
    arguments = ["--config", str(recipe), "--output_dir", str(tmp_path), "--sam_start", "0.5"]
    (config,) = parser.parse_args_and_config(arguments)
    assert (config.sam_rho, config.sam_adaptive, config.sam_start) == (0.05, True, 0.5)


def test_importing_the_package_does_not_load_torch():
    code = "import sys, hf_knowlearn.training as t; dir(t); sys.exit('torch' in sys.modules or 'trl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_package_has_exactly_the_names_of_its_all():
    package = hf_knowlearn.training
    assert {name: getattr(package, name).__name__ for name in package.__all__} == {n: n for n in package.__all__}
    assert set(package.__all__) <= set(dir(package))
    with pytest.raises(AttributeError, match="has no attribute 'Optimizer'"):
        _ = package.Optimizer
