"""The options: what is accepted, what is refused and in which words, and that they load when used."""

import subprocess
import sys
from dataclasses import MISSING, dataclass, fields
from itertools import combinations

import pytest
from trl import RewardConfig, SFTConfig, TrlParser

import hf_knowlearn.training
from hf_knowlearn.training import SAMConfig, SAMOptions

HERE = {"use_cpu": True, "bf16": False, "activation_checkpointing": False}


def new_config(folder, **options):
    return SAMConfig(str(folder), **HERE | options)


def test_sam_is_off_and_nothing_else_differs_from_sftconfig():
    ours, theirs = ({f.name: f for f in fields(config)} for config in (SAMConfig, SFTConfig))
    assert ours.keys() - theirs.keys() == {option.name for option in fields(SAMOptions)}
    assert ours["sam_rho"].default == 0.0
    for name, field in theirs.items():
        assert ours[name].default == field.default
        assert (ours[name].default_factory is MISSING) == (field.default_factory is MISSING)


def test_each_option_says_what_it_is():
    for field in fields(SAMOptions):
        assert len(field.metadata["help"]) > 40
        assert "%" not in field.metadata["help"]  # argparse would take it for a placeholder


@pytest.mark.parametrize("written", [0.05, "0.05", "5e-2"])
def test_a_number_may_come_as_a_string(written, tmp_path):
    config = new_config(tmp_path, sam_rho=written, sam_eta=written)
    assert (config.sam_rho, config.sam_eta) == (0.05, 0.05)
    assert type(config.sam_rho) is type(config.sam_eta) is float


@pytest.mark.parametrize("written", [-0.1, "-0.1", float("inf"), float("nan"), "nan", "abc", "", None, True, [0.1]])
@pytest.mark.parametrize("option", ["sam_rho", "sam_eta", "msam_rho", "nbar_alpha"])
def test_what_is_no_length_is_refused(option, written, tmp_path):
    with pytest.raises(ValueError, match=f"{option}: .* is not a finite number of 0 or more") as refusal:
        new_config(tmp_path, **{option: written})
    assert f"{option}: {written!r} is not" in str(refusal.value)


@pytest.mark.parametrize("written", ["false", "yes", 1, None])
def test_what_is_not_true_or_false_is_refused(written, tmp_path):
    with pytest.raises(ValueError, match=f"sam_adaptive: {written!r} is not true or false. Write one of them"):
        new_config(tmp_path, sam_adaptive=written)


@pytest.mark.parametrize("written", [-1, 0.5, 2.0, "2", None, True])
@pytest.mark.parametrize(("option", "least"), [("sam_ascent_batches", 0), ("sam_interval", 1)])
def test_what_is_no_count_is_refused(option, least, written, tmp_path):
    with pytest.raises(ValueError, match=f"{option}: {written!r} is not a whole number of {least} or more. Write"):
        new_config(tmp_path, **{option: written})


def test_an_interval_of_0_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"sam_interval: 0 is not a whole number of 1 or more. Write 1 to climb at"):
        new_config(tmp_path, sam_interval=0)


@pytest.mark.parametrize("written", [1, 1.0, 70, -0.1, "late", None])
def test_what_is_no_fraction_is_refused(written, tmp_path):
    with pytest.raises(ValueError, match=f"sam_start: {written!r} is not a fraction from 0 up to, not including, 1"):
        new_config(tmp_path, sam_start=written)


@pytest.mark.parametrize(
    ("option", "choices"), [("sam_scope", "global, local"), ("sam_direction", "gradient, random")]
)
def test_what_is_no_choice_is_refused(option, choices, tmp_path):
    with pytest.raises(ValueError, match=f"{option}: 'up' is not one of {choices}"):
        new_config(tmp_path, **{option: "up"})


def test_more_ascent_batches_than_a_window_has_are_refused(tmp_path):
    new_config(tmp_path, sam_ascent_batches=4, gradient_accumulation_steps=4)
    with pytest.raises(ValueError, match="sam_ascent_batches: 5 is more than the 4 micro-batches of a step"):
        new_config(tmp_path, sam_ascent_batches=5, gradient_accumulation_steps=4)


@pytest.mark.parametrize(("batches", "rows"), [(1, 1), (9, 8)])
def test_more_rows_than_a_single_micro_batch_can_be_cut_into_are_refused(batches, rows, tmp_path):
    new_config(tmp_path, sam_ascent_batches=8, gradient_accumulation_steps=1, per_device_train_batch_size=8)
    with pytest.raises(
        ValueError, match=f"{batches} with gradient_accumulation_steps: 1 takes rows .* it has {rows} "
    ):
        new_config(tmp_path, sam_ascent_batches=batches, per_device_train_batch_size=rows)


def test_ascent_batches_with_random_directions_are_refused(tmp_path):
    with pytest.raises(ValueError, match="sam_ascent_batches: 2 with sam_direction: random: no gradient is taken"):
        new_config(tmp_path, sam_ascent_batches=2, gradient_accumulation_steps=4, sam_direction="random")


@pytest.mark.parametrize("kinds", [*combinations(("sam_rho", "msam_rho", "nbar_alpha"), 2)])
def test_two_kinds_at_once_are_refused(kinds, tmp_path):
    with pytest.raises(ValueError, match=rf"{kinds[0]}: 0.1 with {kinds[1]}: 0.1: each takes the place"):
        new_config(tmp_path, **dict.fromkeys(kinds, 0.1))


@dataclass
class SAMRewardConfig(SAMOptions, RewardConfig):
    pass


def test_the_options_stand_before_any_other_config(tmp_path):
    here = {"use_cpu": True, "bf16": False}
    config = SAMRewardConfig(str(tmp_path), sam_rho="0.1", center_rewards_coefficient=0.5, **here)
    assert (config.sam_rho, config.center_rewards_coefficient, config.remove_unused_columns) == (0.1, 0.5, True)
    with pytest.raises(ValueError, match="sam_interval"):
        SAMRewardConfig(str(tmp_path), sam_interval=0, **here)


def test_all_that_is_wrong_is_said_at_once(tmp_path):
    with pytest.raises(ValueError, match=r"sam_rho: -1 .*\nsam_adaptive: 'no' .*\nsam_eta: 'small' "):
        new_config(tmp_path, sam_rho=-1, sam_adaptive="no", sam_eta="small")


def test_a_recipe_and_a_command_line_set_them(tmp_path):
    recipe = tmp_path / "recipe.yaml"
    recipe.write_text(
        "use_cpu: true\nbf16: false\nactivation_checkpointing: false\nsam_rho: 5e-2\nsam_adaptive: true\n"
    )
    parser = TrlParser((SAMConfig,))
    arguments = ["--config", str(recipe), "--output_dir", str(tmp_path), "--sam_eta", "0.5"]
    (config,) = parser.parse_args_and_config(arguments)
    assert (config.sam_rho, config.sam_adaptive, config.sam_eta) == (0.05, True, 0.5)


def test_importing_the_room_does_not_load_torch():
    code = "import sys, hf_knowlearn.training as t; dir(t); sys.exit('torch' in sys.modules or 'trl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_room_has_the_names_it_lists_and_no_others():
    room = hf_knowlearn.training
    assert {name: getattr(room, name).__name__ for name in room.__all__} == {name: name for name in room.__all__}
    assert set(room.__all__) <= set(dir(room))
    with pytest.raises(AttributeError, match="has no attribute 'Optimizer'"):
        _ = room.Optimizer
