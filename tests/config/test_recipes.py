"""Recipes: where an option comes from, how its value is read, and what is refused."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

from hf_knowlearn.config.parsing import _precision, describe_precision
from hf_knowlearn.config.recipes import parse_recipe, read_recipe
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.training import SAMOptions

# world.yaml is what recipes name, accelerate/ how they are launched, curricula/ what is laid over them: no recipes.
# models/ has tests of its own.
OTHERS = {"accelerate", "curricula", "models", "lab"}
SHIPPED = sorted(p for p in RECIPES.rglob("*.yaml") if p.name != "world.yaml" and p.parent.name not in OTHERS)
NEEDED = ["--model", "somewhere", "--documents", "docs", "--output_dir", "out", "--use_cpu", "true"]


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe and gives its path."""

    def recipe(text: str, name: str = "recipe.yaml") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return recipe


def test_there_are_recipes_to_test():
    assert {"teach.yaml", "tiny_base.yaml", "formats_sam.yaml"} <= {path.name for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(RECIPES)))
def test_a_shipped_recipe_is_read_and_its_options_arrive(path: Path):
    says_what_it_is_about = path.name not in ("teach.yaml", "keep.yaml")
    needed = ["--use_cpu", "true"] if says_what_it_is_about else NEEDED
    run = parse_recipe(["--config", str(path), *needed])
    assert run.training.max_length in (512, 1024)
    assert run.training.learning_rate == run.options["learning_rate"]
    assert run.teach.arm == path.stem.replace("teach", "taught")
    assert run.training.output_dir == str(run.output_dir / "checkpoints")


def test_the_arms_of_the_quickstart_differ_in_what_they_are_about_and_in_nothing_else():
    plain, formats, sam, own = (
        read_recipe(RECIPES / "quickstart" / f"{arm}.yaml") for arm in ("raw", "formats", "formats_sam", "order_self")
    )

    def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
        return {name for name in {*one, *other} if one.get(name) != other.get(name)} - {"arm", "output_dir"}

    assert differing(plain, formats) == {"views", "num_views"}
    assert differing(formats, sam) == {"sam_rho"}
    replay = {"replay_documents", "replay_questions", "replay_self", "replay_self_prompts", "replay_share"}
    assert differing(formats, own) == {"views", "per_device_train_batch_size", *replay}


# Where an option comes from


def test_the_command_line_wins_over_the_recipe_and_the_caller_over_both(recipe: Callable[..., Path]):
    path = recipe("model_name_or_path: a\ndocuments: b\noutput_dir: c\nnum_views: 3\nmax_steps: 7\nseed: 1\n")
    run = parse_recipe(["--config", str(path), "--num_views", "4", "--max-steps=8", "--use_cpu"], {"max_steps": 9})
    assert (run.teach.num_views, run.training.max_steps, run.training.seed) == (4, 9, 1)
    assert run.options["num_views"] == 4
    assert run.options["max_steps"] == 9


def test_without_a_recipe_the_defaults_are_those_of_teach_yaml():
    run = parse_recipe(NEEDED)
    defaults = read_recipe(RECIPES / "teach.yaml")
    assert {name: run.options[name] for name in defaults} == defaults
    assert run.model.use_peft
    assert run.model.model_name_or_path == "somewhere"


def test_an_argument_file_beside_the_program_is_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # HfArgumentParser looks for one, and what it holds would be in no recipe.
    (tmp_path / "knowlearn.args").write_text("--seed 5")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "knowlearn")])
    assert parse_recipe(NEEDED).training.seed == 42


def test_extends_lends_the_options_that_a_recipe_does_not_name(recipe: Callable[..., Path]):
    recipe("seed: 1\nnum_views: 2\narm: old\n", "grandparent.yaml")
    recipe("extends: grandparent.yaml\nnum_views: 3\n", "parent.yaml")
    assert read_recipe(recipe("extends: parent.yaml\narm: new\n")) == {"seed": 1, "num_views": 3, "run": "new"}


def test_a_circle_of_extends_is_refused_however_the_files_are_named(recipe: Callable[..., Path], tmp_path: Path):
    recipe(f"extends: ../{tmp_path.name}/b.yaml\n", "a.yaml")
    with pytest.raises(ValueError, match=r"extends itself: \S+/b.yaml -> \S+/a.yaml -> \S+/b.yaml\."):
        read_recipe(recipe("extends: a.yaml\n", "b.yaml"))


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("a: [1", "is not YAML: while parsing"),
        ("just words", "holds no options"),
        ("", "holds no options"),
        ("- a\n- b", "holds no options"),
        ("extends: nobody.yaml", "There is no recipe .*nobody.yaml', which .*recipe.yaml' extends"),
        ("extends:", "There is no recipe .*None', which"),
    ],
)
def test_what_is_no_recipe_is_refused(recipe: Callable[..., Path], text: str, says: str):
    with pytest.raises(ValueError, match=says):
        read_recipe(recipe(text))


def test_a_recipe_that_is_not_there_or_not_text_is_refused(tmp_path: Path):
    with pytest.raises(ValueError, match=rf"There is no recipe '{tmp_path}/no.yaml'. The ones that come with"):
        read_recipe(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"arm: caf\xe9")
    with pytest.raises(ValueError, match="is not YAML: 'utf-8' codec"):
        read_recipe(tmp_path / "latin.yaml")
    for words, given in ((["--config"], "nothing"), (["--config", "a", "b"], "a b")):
        with pytest.raises(ValueError, match=f"--config: {given} is given; it takes one recipe: --config RECIPE"):
            parse_recipe(words)


def test_only_the_command_line_may_trust_remote_code(recipe: Callable[..., Path]):
    recipe("trust_remote_code: false\n", "stranger.yaml")
    for path in (recipe("trust_remote_code: true\n"), recipe("extends: stranger.yaml\n")):
        with pytest.raises(ValueError, match=r"sets trust_remote_code\. A recipe can't"):
            read_recipe(path)
    assert parse_recipe([*NEEDED, "--trust_remote_code", "true"]).training.trust_remote_code
    assert not parse_recipe(NEEDED).training.trust_remote_code


# What is refused


def test_unknown_options_are_told_all_at_once_each_with_the_nearest(recipe: Callable[..., Path]):
    path = recipe("learningrate: 1\n7: seven\nmodel: a\n")
    with pytest.raises(ValueError, match="Unknown options") as refusal:
        parse_recipe(["--config", str(path), "--max_stepz", "3"])
    assert str(refusal.value).splitlines()[1:] == [
        "  7",
        "  learningrate (did you mean learning_rate?)",
        "  max_stepz (did you mean max_steps?)",
    ]


@pytest.mark.parametrize(
    ("words", "weights"),
    [
        (["--view_weights", '{"formats": 1, "order": 0.5}'], {"formats": 1, "order": 0.5}),
        ([], None),
    ],
)
def test_a_mixture_has_weights(words: list[str], weights: dict[str, float] | None):
    assert parse_recipe([*NEEDED, "--views", "mixed", *words]).teach.view_weights == weights


def test_a_recipe_gives_weights_as_a_mapping(recipe: Callable[..., Path]):
    path = recipe("views: mixed\nview_weights:\n  formats: 2\n  masked: 1\n")
    assert parse_recipe(["--config", str(path), *NEEDED]).teach.view_weights == {"formats": 2, "masked": 1}


@pytest.mark.parametrize(
    ("views", "weights", "says"),
    [
        ("formats", '{"formats": 1}', "weights need views: mixed"),
        ("mixed", "formats=1", "is not JSON"),
        ("mixed", '{"formats": "all"}', "give a number for each family"),
        ("mixed", '{"outline": 1}', r"Unknown families \['outline'\]"),
        ("mixed", '{"order": -1, "formats": 1}', "0 or more"),
        ("mixed", '{"order": 0}', "one of them more than 0"),
    ],
)
def test_weights_that_are_none_are_refused(views: str, weights: str, says: str):
    with pytest.raises(ValueError, match=says):
        parse_recipe([*NEEDED, "--views", views, "--view_weights", weights])


def test_what_is_missing_is_told_all_at_once():
    with pytest.raises(ValueError, match=r"missing:\n  --model .*\n  --documents .*\n  --output_dir DIR$"):
        parse_recipe([])
    with pytest.raises(ValueError, match=r"missing:\n  --documents [^\n]*$"):
        parse_recipe(["--output_dir", "out", "--from_scratch", "--documents", ""])


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("max_steps: many", "max_steps: invalid int value: 'many'"),
        ("views: outline", "views: invalid choice: 'outline' (choose from 'raw', 'formats', 'order',"),
        ("overwrite: perhaps", "overwrite: Truthy value expected: got perhaps"),
        ("documents: [a, b]", "documents: give one value; these are 2: a b."),
        ("save_strategy: no", "save_strategy: a value is missing. (In a recipe, yes, no, on and off need quotes"),
        ("num_views: null", "num_views: null is no value for it; leave it out"),
        ("packing: true", "packing: True would undo the plan of the run, which has it at False; leave it out."),
        ("train_sampling_strategy: random", "train_sampling_strategy: 'random' would undo the plan"),
        ("resume_from_checkpoint: x", "resume_from_checkpoint: 'x' would undo the plan"),
    ],
)
def test_a_value_that_cannot_be_is_refused_by_its_option(recipe: Callable[..., Path], line: str, says: str):
    path = recipe(f"learning_rate: fast\n{line}\n")
    with pytest.raises(ValueError, match="Options with values") as refusal:
        parse_recipe(["--config", str(path), *NEEDED[:2], "--output_dir", "out"])
    told = str(refusal.value).splitlines()
    assert told[1] == "  learning_rate: invalid float value: 'fast'"
    assert told[2].startswith(f"  {says}")
    assert len(told) == 3


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--seed=1", "stray"], "'stray' stands where an option was expected"),
        (["--num_views", "0", "--ask_batch_size", "-1"], "num_views=0: give 1 or more.\nask_batch_size=-1: give"),
        (["--part_tokens", "7"], "part_tokens=7: give 8 or more"),
        (["--sharpness", "0"], "sharpness=0.0: give a length above 0, or leave it out"),
        (["--replay_share", "1"], "replay_share=1.0: give a share from 0 up to, not including, 1"),
        (["--sam_rho", "-1"], "sam_rho: -1.0 is not a finite number of 0 or more"),
        (["--documents"], "documents: a value is missing"),
        (["--report_to", "null"], "report_to: null is no value for it"),
        (
            ["--per_device_train_batch_size", "0", "--num_train_epochs", "nan"],
            "per_device_train_batch_size=0: give a number above 0.\nnum_train_epochs=nan: give a number above 0.",
        ),
        (["--num_train_epochs", "-3"], "num_train_epochs=-3.0: give a number above 0"),
        (["--train_improved", "true", "--classify", "true"], "train_improved: no stage comes before it"),
    ],
)
def test_a_command_line_that_cannot_be_is_refused(words: list[str], says: str):
    with pytest.raises(ValueError, match=re.escape(says)):
        parse_recipe([*NEEDED, *words])


def test_every_option_of_sam_is_an_option_of_a_recipe(recipe: Callable[..., Path]):
    text = (
        "sam_rho: 5e-2\nsam_adaptive: true\nsam_eta: 0\nsam_ascent_batches: 1\nsam_interval: 2\nsam_start: 0.7\n"
        "sam_scope: local\nsam_direction: gradient\nsam_bf16_weights: true\nmsam_rho: 0\nnbar_alpha: 0\n"
    )
    run = parse_recipe(["--config", str(recipe(text)), *NEEDED, "--gradient_accumulation_steps", "2"])
    written = {line.partition(":")[0] for line in text.splitlines()}
    assert written == {option.name for option in fields(SAMOptions)}
    assert {name: value for name, value in vars(run.training).items() if name in written} == yaml.safe_load(text) | {
        "sam_rho": 0.05
    }
    one_pass = parse_recipe([*NEEDED, "--msam_rho", "0.1"]).training
    assert (one_pass.sam_rho, one_pass.msam_rho) == (0, 0.1)
    with pytest.raises(ValueError, match=r"sam_scope: invalid choice: 'both' \(choose from 'global', 'local'\)"):
        parse_recipe([*NEEDED, "--sam_scope", "both"])


# How a value is read


def test_a_value_is_the_same_however_it_is_written(recipe: Callable[..., Path]):
    # YAML 1.1 reads 5e-5 as a string and 0.00005 as a number; a shell knows strings only.
    written = [parse_recipe(["--config", str(recipe(f"learning_rate: {v}\n")), *NEEDED]) for v in ("5e-5", "0.00005")]
    written.append(parse_recipe(["--config", str(recipe("seed: 42")), *NEEDED, "--learning_rate", "5.0e-5"]))
    assert [run.options["learning_rate"] for run in written] == [5e-5] * 3


@pytest.mark.parametrize("name", ["2024", "007", "yes", "a: b", "[x", "@x", "1e3", "-x", "null.txt", "None"])
def test_a_word_of_the_command_line_is_taken_as_it_is(name: str):
    assert parse_recipe([*NEEDED, f"--documents={name}"]).teach.documents == name


def test_null_takes_an_option_off(recipe: Callable[..., Path]):
    path = recipe("max_length: null\nlora_target_modules: null\n")
    run = parse_recipe(["--config", str(path), *NEEDED])
    assert run.training.max_length is None
    assert run.options["max_length"] is None
    assert run.model.lora_target_modules is None
    assert parse_recipe([*NEEDED, "--max_length", "null"]).training.max_length is None


def test_lists_and_mappings_arrive_as_the_libraries_want_them(recipe: Callable[..., Path]):
    path = recipe("lora_target_modules: [all-linear]\nlr_scheduler_kwargs: {num_cycles: 2}\n")
    run = parse_recipe(["--config", str(path), *NEEDED])
    assert run.model.lora_target_modules == "all-linear"  # PEFT knows the word only outside a list
    assert run.training.lr_scheduler_kwargs == {"num_cycles": 2}
    two = parse_recipe([*NEEDED, "--lora_target_modules", "q_proj", "v_proj"])
    assert two.model.lora_target_modules == ["q_proj", "v_proj"]


def test_the_options_of_a_run_are_without_what_only_says_where_it_is_kept_and_without_secrets():
    run = parse_recipe([*NEEDED, "--overwrite", "--hub_token", "hf_secret"])
    assert run.training.hub_token == "hf_secret"
    assert run.teach.overwrite
    assert not {"output_dir", "overwrite", "hub_token", "config"} & set(run.options)
    assert str(run.output_dir) == "out"


# Precision


@pytest.mark.parametrize(
    ("gpu", "native", "asked", "words"),
    [
        (False, False, {}, ["--bf16=False", "--fp16=False", "--use_cpu=True"]),
        (True, True, {}, ["--bf16=True", "--fp16=False"]),
        (True, False, {}, ["--bf16=False", "--fp16=True"]),  # a T4 emulates bf16, slowly
        (True, True, {"use_cpu": True}, ["--bf16=False", "--fp16=False", "--use_cpu=True"]),
        (True, True, {"bf16": True}, []),
        (True, True, {"fp16": True}, []),
        (True, True, {"bf16": False}, ["--bf16=False", "--fp16=False"]),
        (True, False, {"fp16": False}, ["--bf16=False", "--fp16=False"]),
        (True, True, {"fp16": False}, ["--bf16=True", "--fp16=False"]),
    ],
)
def test_the_precision_is_what_the_machine_has_and_the_user_wants(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, native: bool, asked: dict[str, Any], words: list[str]
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: gpu)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert _precision(asked) == words


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_precision_that_the_machine_cannot_run_is_refused(monkeypatch: pytest.MonkeyPatch, precision: str):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"fp16=True needs a GPU|Your setup doesn't support bf16/gpu"):
        parse_recipe([*NEEDED[:-2], f"--{precision}", "true"])


def test_without_a_gpu_a_run_is_in_fp32_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run = parse_recipe(NEEDED[:-2])
    assert (run.training.bf16, run.training.fp16, run.training.device.type) == (False, False, "cpu")


@pytest.mark.parametrize(
    ("precision", "model", "says"),
    [
        ("no", {"dtype": "torch.float32"}, "fp32 on cpu, weights loaded in float32"),
        ("bf16", {"dtype": "torch.bfloat16"}, "bf16 autocast on cpu, weights loaded in bfloat16"),
        (
            "fp16",
            {"dtype": "torch.float16", "is_loaded_in_4bit": True},
            "fp16 autocast on cpu, weights loaded in 4 bits",
        ),
    ],
)
def test_the_precision_is_told(precision: str, model: dict[str, Any], says: str):
    training: Any = SimpleNamespace(mixed_precision=precision, device=SimpleNamespace(type="cpu"))
    loaded: Any = SimpleNamespace(**model)
    assert describe_precision(training, loaded) == says
