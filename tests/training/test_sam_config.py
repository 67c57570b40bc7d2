"""The options: what is accepted, what is refused and in which words, and that they load when used."""

import subprocess
import sys
from dataclasses import MISSING, fields

import pytest
from trl import SFTConfig, TrlParser

import hf_knowlearn.training
from hf_knowlearn.training import SAMConfig

HERE = {"use_cpu": True, "bf16": False, "activation_checkpointing": False}


def new_config(folder, **options):
    return SAMConfig(str(folder), **HERE | options)


def test_sam_is_off_and_nothing_else_differs_from_sftconfig():
    ours, theirs = ({f.name: f for f in fields(config)} for config in (SAMConfig, SFTConfig))
    assert ours.keys() - theirs.keys() == {"sam_rho", "sam_adaptive", "sam_eta"}
    assert ours["sam_rho"].default == 0.0
    for name, field in theirs.items():
        assert ours[name].default == field.default
        assert (ours[name].default_factory is MISSING) == (field.default_factory is MISSING)


def test_each_option_says_what_it_is():
    for field in fields(SAMConfig):
        if field.name.startswith("sam_"):
            assert len(field.metadata["help"]) > 40
            assert "%" not in field.metadata["help"]  # argparse would take it for a placeholder


@pytest.mark.parametrize("written", [0.05, "0.05", "5e-2"])
def test_a_number_may_come_as_a_string(written, tmp_path):
    config = new_config(tmp_path, sam_rho=written, sam_eta=written)
    assert (config.sam_rho, config.sam_eta) == (0.05, 0.05)
    assert type(config.sam_rho) is type(config.sam_eta) is float


@pytest.mark.parametrize("written", [-0.1, "-0.1", float("inf"), float("nan"), "nan", "abc", "", None, True, [0.1]])
@pytest.mark.parametrize("option", ["sam_rho", "sam_eta"])
def test_what_is_no_length_is_refused(option, written, tmp_path):
    with pytest.raises(ValueError, match=f"{option}: .* is not a finite number of 0 or more") as refusal:
        new_config(tmp_path, **{option: written})
    assert f"{option}: {written!r} is not" in str(refusal.value)


@pytest.mark.parametrize("written", ["false", "yes", 1, None])
def test_what_is_not_true_or_false_is_refused(written, tmp_path):
    with pytest.raises(ValueError, match=f"sam_adaptive: {written!r} is not true or false. Write one of them"):
        new_config(tmp_path, sam_adaptive=written)


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
