"""Recipes: where an option comes from, how its value is read, and which errors a wrong one raises."""

import re
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from peft import get_peft_model
from transformers import AutoModelForCausalLM, HfArgumentParser
from transformers.hf_argparser import string_to_bool
from trl import ModelConfig, SFTConfig

from hf_knowlearn.config.library_options import library_options, read_bool
from hf_knowlearn.config.parsing import (
    check_options,
    did_you_mean,
    evaluation_options,
    parsed_values,
    run_options,
)
from hf_knowlearn.config.possible_values import INSTEAD, POSSIBLE
from hf_knowlearn.config.precision import describe_precision, precision_words
from hf_knowlearn.config.recipes import parse_recipe, read_options, read_recipe
from hf_knowlearn.config.settings import DEFAULT_NAME, resolve
from hf_knowlearn.config.teach_arguments import EvaluationArguments, TeachArguments
from hf_knowlearn.paths import RECIPES, TINY_BASE
from hf_knowlearn.training import SAMOptions

# Not recipes: world.yaml (data), accelerate/ (launch files), curricula/ (stages). models/ has its own tests.
OTHERS = {"accelerate", "curricula", "models", "lab"}
SHIPPED = sorted(p for p in RECIPES.rglob("*.yaml") if p.name != "world.yaml" and p.parent.name not in OTHERS)
NEEDED = ["--model", "somewhere", "--documents", "docs", "--output_dir", "out", "--use_cpu", "true"]


@pytest.fixture
def recipe(tmp_path: Path) -> Callable[..., Path]:
    """Writes a recipe and returns its path."""

    def recipe(text: str, name: str = "recipe.yaml") -> Path:
        (tmp_path / name).write_text(text, encoding="utf-8")
        return tmp_path / name

    return recipe


def test_there_are_recipes_to_test():
    assert {"teach.yaml", "tiny_base.yaml", "formats_sam.yaml"} <= {path.name for path in SHIPPED}


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: str(path.relative_to(RECIPES)))
def test_a_shipped_recipe_sets_its_options(path: Path):
    is_complete = path.name not in ("teach.yaml", "keep.yaml")
    needed = ["--use_cpu", "true"] if is_complete else NEEDED
    run = parse_recipe(["--config", str(path), *needed])
    assert run.training.max_length in (512, 1024)
    assert run.training.learning_rate == run.options["learning_rate"]
    assert resolve(run).name == (DEFAULT_NAME if path.stem == "teach" else path.stem)
    assert run.training.output_dir == str(run.output_dir / "checkpoints")


def test_the_runs_of_the_quickstart_differ_only_in_what_they_compare():
    raw, formats, sam, order = (
        read_recipe(RECIPES / "quickstart" / f"{run}.yaml") for run in ("raw", "formats", "formats_sam", "order_self")
    )

    def differing(one: dict[str, Any], other: dict[str, Any]) -> set[str]:
        return {name for name in {*one, *other} if one.get(name) != other.get(name)} - {"run_name", "output_dir"}

    assert differing(raw, formats) == {"views", "num_views"}
    assert differing(formats, sam) == {"sam_rho"}
    replay = {"replay_documents", "replay_questions", "replay_self", "replay_self_prompts", "replay_share"}
    assert differing(formats, order) == {"views", "per_device_train_batch_size", *replay}


# Where an option comes from


def test_the_command_line_overrides_the_recipe_and_the_caller_overrides_both(recipe: Callable[..., Path]):
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


def test_an_argument_file_beside_the_program_is_ignored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    # HfArgumentParser would read one, and its options would be in no recipe.
    (tmp_path / "knowlearn.args").write_text("--seed 5")
    monkeypatch.setattr("sys.argv", [str(tmp_path / "knowlearn")])
    assert parse_recipe(NEEDED).training.seed == 42


def test_extends_adds_the_options_that_a_recipe_does_not_set(recipe: Callable[..., Path]):
    recipe("seed: 1\nnum_views: 2\nrun_name: old\n", "grandparent.yaml")
    recipe("extends: grandparent.yaml\nnum_views: 3\n", "parent.yaml")
    assert read_recipe(recipe("extends: parent.yaml\nrun_name: new\n")) == {
        "seed": 1,
        "num_views": 3,
        "run_name": "new",
    }


def test_a_circle_of_extends_is_an_error_however_the_files_are_named(recipe: Callable[..., Path], tmp_path: Path):
    recipe(f"extends: ../{tmp_path.name}/b.yaml\n", "a.yaml")
    with pytest.raises(ValueError, match=r"extends itself: \S+/b.yaml -> \S+/a.yaml -> \S+/b.yaml\."):
        read_recipe(recipe("extends: a.yaml\n", "b.yaml"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "is not valid YAML: while parsing"),
        ("just words", "instead of options"),
        ("", "instead of options"),
        ("- a\n- b", "instead of options"),
        ("extends: nobody.yaml", "There is no recipe .*nobody.yaml', which .*recipe.yaml' extends"),
        ("extends:", "There is no recipe .*None', which"),
    ],
)
def test_a_file_that_is_no_recipe_is_an_error(recipe: Callable[..., Path], text: str, message: str):
    with pytest.raises(ValueError, match=message):
        read_recipe(recipe(text))


def test_a_recipe_that_is_missing_or_not_text_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match=rf"There is no recipe '{tmp_path}/no.yaml'. The recipes of the package"):
        read_recipe(tmp_path / "no.yaml")
    (tmp_path / "latin.yaml").write_bytes(b"run_name: caf\xe9")
    with pytest.raises(ValueError, match="is not valid YAML: 'utf-8' codec"):
        read_recipe(tmp_path / "latin.yaml")
    for words, given in ((["--config"], "nothing"), (["--config", "a", "b"], "a b")):
        with pytest.raises(
            ValueError, match=f"--config needs one file, but the command line gives {given}. Write --config RECIPE"
        ):
            parse_recipe(words)


def test_only_the_command_line_may_trust_remote_code(recipe: Callable[..., Path]):
    recipe("trust_remote_code: false\n", "other.yaml")
    for path in (recipe("trust_remote_code: true\n"), recipe("extends: other.yaml\n")):
        with pytest.raises(ValueError, match=r"sets trust_remote_code\. Only the command line may set it"):
            read_recipe(path)
    assert parse_recipe([*NEEDED, "--trust_remote_code", "true"]).training.trust_remote_code
    assert not parse_recipe(NEEDED).training.trust_remote_code


# Errors


def test_all_unknown_options_are_listed_each_with_the_nearest_known_one(recipe: Callable[..., Path]):
    path = recipe("learningrate: 1\n7: seven\nmodel: a\nlr: 1\n")
    with pytest.raises(ValueError, match="Unknown options") as error:
        parse_recipe(["--config", str(path), "--max_stepz", "3"])
    assert str(error.value).splitlines()[1:] == [
        "  7",
        "  learningrate (did you mean learning_rate?)",
        "  lr (did you mean learning_rate?)",
        "  max_stepz (did you mean max_steps?)",
    ]


@pytest.mark.parametrize(
    ("views", "family", "weights"),
    [
        ('{"formats": 1, "order": 0.5}', "mixed", {"formats": 1, "order": 0.5}),
        ("mixed", "mixed", None),
        ("raw", "raw", None),
    ],
)
def test_views_are_a_family_or_the_weights_of_a_mixture(views: str, family: str, weights: dict[str, float] | None):
    settings = resolve(parse_recipe([*NEEDED, "--views", views])).views
    assert (settings.family, settings.weights) == (family, weights)


def test_a_recipe_gives_weights_as_a_mapping(recipe: Callable[..., Path]):
    path = recipe("views:\n  formats: 2\n  masked: 1\n")
    assert parse_recipe(["--config", str(path), *NEEDED]).teach.weights == {"formats": 2, "masked": 1}


@pytest.mark.parametrize(
    ("views", "message"),
    [
        ("outline", "is unknown. Choose from raw, formats, order, masked, mixed, or give weights such as"),
        ("formats=1", "Choose from raw"),
        ('{"formats": 1', "is not valid JSON"),
        ('{"formats": "all"}', "give a number for each family"),
        ('{"outline": 1}', "outline"),
        ('{"order": -1, "formats": 1}', "-1"),
        ('{"order": 0}', "0"),
    ],
)
def test_impossible_views_are_an_error(views: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_recipe([*NEEDED, "--views", views])


# Options of the evaluation


def test_evaluation_options_nest_in_a_recipe_and_have_dotted_names_on_the_command_line(recipe: Callable[..., Path]):
    recipe("evaluation: {shots: 2, template: chat}\n", "parent.yaml")
    path = recipe("extends: parent.yaml\nevaluation: {shots: 3}\n")
    run = parse_recipe(["--config", str(path), *NEEDED, "--evaluation.max_new_tokens", "8"])
    assert run.options["evaluation"] == {"shots": 3, "template": "chat", "max_new_tokens": 8}
    generation = resolve(run).evaluation.generation
    assert (generation.shots, generation.template, generation.max_new_tokens) == (3, "chat", 8)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--evaluation.shotz", "1"], "  evaluation.shotz (did you mean evaluation.shots?)"),
        (["--evaluation.shots", "many"], "  evaluation.shots: 'many' is not a whole number."),
        (["--evaluation.shots", "-1", "--evaluation.every", "0"], "evaluation.shots=-1: give a number of at least 0."),
        (["--evaluation", "4"], "evaluation='4' is not possible, because `evaluation` is a group of options."),
        (["--shots", "4"], "  shots (did you mean evaluation.shots?)"),
    ],
)
def test_a_wrong_evaluation_option_is_an_error(words: list[str], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_recipe([*NEEDED, *words])


def test_a_similar_name_suggests_the_full_name_of_an_evaluation_option():
    with pytest.raises(ValueError, match=r"ask_shots \(did you mean evaluation\.shots\?\)"):
        parse_recipe([*NEEDED, "--ask_shots", "4"])


def test_unknown_options_and_invalid_values_are_reported_together():
    words = ["--num_viewz", "1", "--evaluation.shotz", "1", "--max_steps", "many", "--evaluation.shots", "some"]
    with pytest.raises(ValueError, match="Unknown") as raised:
        parse_recipe([*NEEDED, *words])
    assert str(raised.value).splitlines() == [
        "Unknown options:",
        "  num_viewz (did you mean num_views?)",
        "  evaluation.shotz (did you mean evaluation.shots?)",
        "These options have invalid values:",
        "  max_steps: 'many' is not a whole number.",
        "  evaluation.shots: 'some' is not a whole number.",
    ]


def test_values_out_of_range_are_reported_together():
    with pytest.raises(ValueError, match=r"num_views=0: .*\nevaluation\.shots=-1: "):
        parse_recipe([*NEEDED, "--num_views", "0", "--evaluation.shots", "-1"])


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("max_steps", "0", "--max_steps 0: give a number of at least 1, or remove --max_steps."),
        ("max_steps", "-2", "--max_steps -2: give a number of at least 1, or remove --max_steps."),
        ("learning_rate", "-1", "--learning_rate -1.0: give a number of at least 0, or remove --learning_rate."),
        ("learning_rate", "nan", "--learning_rate nan: give a number of at least 0, or remove --learning_rate."),
        ("lora_r", "0", "--lora_r 0: give a number of at least 1, or remove --lora_r."),
        ("lora_dropout", "2", "--lora_dropout 2.0: give a share of at least 0 and below 1."),
    ],
)
def test_a_training_number_out_of_range_is_an_error_with_the_rule(option: str, value: str, message: str):
    with pytest.raises(ValueError, match=r".") as raised:
        read_options([*NEEDED, "--use_peft", "true", f"--{option}", value])
    assert str(raised.value) == message


def test_the_value_of_max_steps_that_turns_it_off_is_valid():
    assert read_options([*NEEDED, "--max_steps", "-1"])["max_steps"] == -1


def test_the_table_of_options_agrees_with_the_parser_of_the_installed_libraries():
    parser = HfArgumentParser((SFTConfig, ModelConfig), add_help=False)
    actions = {action.dest: action for action in parser._actions if f"--{action.dest}" in action.option_strings}
    table = library_options("SFTConfig", "ModelConfig")
    assert table.keys() == actions.keys()
    types = {int: int, float: float, string_to_bool: read_bool}
    for name, action in actions.items():
        option = table[name]
        assert (name, option.nargs, option.choices) == (name, action.nargs, tuple(action.choices or ()) or None)
        assert option.type is types.get(action.type, str), name
    assert table["learning_rate"].default == SFTConfig("x", use_cpu=True, bf16=False).learning_rate
    assert table["lora_r"].default == ModelConfig().lora_r


@pytest.mark.parametrize("name", sorted(INSTEAD))
def test_an_option_that_a_run_cannot_honour_is_an_error_that_names_the_alternative(name: str):
    option = run_options()[name]
    possible = POSSIBLE.get(name, option.default)
    others = [choice for choice in option.choices or () if choice != possible]
    value = others[0] if others else {read_bool: not option.default, int: 7, float: 0.5, str: "some"}[option.type]
    with pytest.raises(ValueError, match=rf"  {name}: .* is not possible here: .*\.") as error:
        check_options({name: [value] if option.nargs == "+" else value})
    assert parsed_values({name: possible} if possible is not None else {}) is not None
    # The message names existing options only.
    named = re.findall(r"[a-z]+(?:[._][a-z0-9]+)+", str(error.value))
    assert set(named) - {value} <= {*run_options(), *(f"evaluation.{each}" for each in evaluation_options())}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("save_strategy: best", "save_strategy: 'best' is not possible here: a run has no eval set"),
        ("lr_scheduler_type: reduce_lr_on_plateau", "Set another schedule, such as cosine."),
        ("eval_strategy: steps", "and with evaluation.every also during training."),
    ],
)
def test_a_value_that_needs_an_eval_set_is_an_error(line: str, message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        check_options(yaml.safe_load(line))


def test_there_are_at_most_49_options_of_our_own():
    # 40, the language, the four that name how tables are read, and four of the evaluation: retrieval, general
    # knowledge, previews and early stopping.
    assert sum(len(fields(options)) for options in (TeachArguments, EvaluationArguments, SAMOptions)) <= 49


def test_all_missing_options_are_listed():
    with pytest.raises(ValueError, match=r"missing:\n  --model .*\n  --documents .*\n  --output_dir DIR$"):
        parse_recipe([])
    with pytest.raises(ValueError, match=r"missing:\n  --documents [^\n]*$"):
        parse_recipe(["--output_dir", "out", "--model", "m", "--documents", ""])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("max_steps: many", "max_steps: 'many' is not a whole number."),
        ("question_order: first", "question_order: 'first' is not one of shuffled, before."),
        ("overwrite: perhaps", "overwrite: 'perhaps' is not true or false."),
        ("documents: [a, b]", "documents: a b are 2 values. Give one value."),
        ("save_strategy: no", "save_strategy: a value is missing. Add a value. If it is the word yes, no, on or off"),
        ("num_views: null", "num_views: null is not a valid value. Remove the option"),
        ("packing: true", "packing: True is not possible here: each row of a step is one view,"),
        ("train_sampling_strategy: random", "train_sampling_strategy: 'random' is not possible here: the schedule"),
        ("resume_from_checkpoint: x", "resume_from_checkpoint: 'x' is not possible here"),
    ],
)
def test_an_invalid_value_is_an_error_that_names_its_option(recipe: Callable[..., Path], line: str, message: str):
    path = recipe(f"learning_rate: fast\n{line}\n")
    with pytest.raises(ValueError, match="These options have invalid values") as error:
        parse_recipe(["--config", str(path), *NEEDED[:2], "--output_dir", "out"])
    lines = str(error.value).splitlines()
    assert lines[1] == "  learning_rate: 'fast' is not a number."
    assert lines[2].startswith(f"  {message}")
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--seed=1", "stray"], "'stray' is not an option. Write options as --name value."),
        (
            ["--num_views", "0", "--replay_self", "-1"],
            "num_views=0: give a number of at least 1.\nreplay_self=-1: give",
        ),
        (["--language", "English"], 'language=\'English\': give a code of ISO 639 such as "en", "de" or "pt-BR", or'),
        (["--replay_share", "1"], "replay_share=1.0: give a share of at least 0 and below 1"),
        (["--documents"], "documents: a value is missing"),
        (["--report_to", "null"], "report_to: null is not a valid value"),
        (
            ["--per_device_train_batch_size", "0", "--num_train_epochs", "nan"],
            "per_device_train_batch_size=0: give a number above 0.\nnum_train_epochs=nan: give a number above 0.",
        ),
        (["--num_train_epochs", "-3"], "num_train_epochs=-3.0: give a number above 0"),
        (["--train_improved", "true", "--classify", "full"], "train_improved=true: no question can improve before"),
        (["--train_categories", "Known"], "train_categories=['Known']: give one or more of HighlyKnown"),
    ],
)
def test_an_impossible_command_line_is_an_error(words: list[str], message: str):
    with pytest.raises(ValueError, match=re.escape(message)):
        parse_recipe([*NEEDED, *words])


def test_every_option_of_sam_is_an_option_of_a_recipe(recipe: Callable[..., Path]):
    text = "sam_rho: 5e-2\nsam_adaptive: true\nsam_ascent_batches: 1\nsam_start: 0.7\nsam_direction: gradient\n"
    run = parse_recipe(["--config", str(recipe(text)), *NEEDED, "--gradient_accumulation_steps", "2"])
    written = {line.partition(":")[0] for line in text.splitlines()}
    assert written == {option.name for option in fields(SAMOptions)}
    assert {name: value for name, value in vars(run.training).items() if name in written} == yaml.safe_load(text) | {
        "sam_rho": 0.05
    }
    with pytest.raises(ValueError, match=r"sam_direction: 'both' is not one of gradient, random\."):
        parse_recipe([*NEEDED, "--sam_direction", "both"])


# How a value is read


def test_a_value_is_the_same_however_it_is_written(recipe: Callable[..., Path]):
    # YAML 1.1 reads 5e-5 as a string and 0.00005 as a number; a shell has strings only.
    written = [parse_recipe(["--config", str(recipe(f"learning_rate: {v}\n")), *NEEDED]) for v in ("5e-5", "0.00005")]
    written.append(parse_recipe(["--config", str(recipe("seed: 42")), *NEEDED, "--learning_rate", "5.0e-5"]))
    assert [run.options["learning_rate"] for run in written] == [5e-5] * 3


@pytest.mark.parametrize("name", ["2024", "007", "yes", "a: b", "[x", "@x", "1e3", "-x", "null.txt", "None"])
def test_a_word_of_the_command_line_is_not_interpreted(name: str):
    assert parse_recipe([*NEEDED, f"--documents={name}"]).teach.documents == name


def test_null_turns_an_option_off(recipe: Callable[..., Path]):
    path = recipe("max_length: null\nlora_target_modules: null\n")
    run = parse_recipe(["--config", str(path), *NEEDED])
    assert run.training.max_length is None
    assert run.options["max_length"] is None
    assert run.model.lora_target_modules is None
    assert parse_recipe([*NEEDED, "--max_length", "null"]).training.max_length is None


def test_lists_and_mappings_have_the_form_that_the_libraries_expect(recipe: Callable[..., Path]):
    path = recipe("use_peft: true\nlora_target_modules: [all-linear]\nlr_scheduler_kwargs: {num_cycles: 2}\n")
    run = parse_recipe(["--config", str(path), *NEEDED])
    assert run.model.lora_target_modules == "all-linear"  # PEFT accepts the word only outside a list
    assert run.training.lr_scheduler_kwargs == {"num_cycles": 2}
    two = parse_recipe([*NEEDED, "--lora_target_modules", "q_proj", "v_proj"])
    assert two.model.lora_target_modules == ["q_proj", "v_proj"]


def test_the_recorded_options_contain_no_folder_and_no_secret():
    run = parse_recipe([*NEEDED, "--overwrite", "--hub_token", "hf_secret"])
    assert run.training.hub_token == "hf_secret"
    assert run.teach.overwrite
    assert not {"output_dir", "overwrite", "hub_token", "config"} & set(run.options)
    assert str(run.output_dir) == "out"


# Precision


@pytest.mark.parametrize(
    ("gpu", "native", "options", "words"),
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
def test_the_precision_follows_the_machine_and_the_user(
    monkeypatch: pytest.MonkeyPatch, gpu: bool, native: bool, options: dict[str, Any], words: list[str]
):
    monkeypatch.setattr("torch.cuda.is_available", lambda: gpu)
    monkeypatch.setattr("torch.accelerator.is_available", lambda: gpu)
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation=True: native or including_emulation)
    assert precision_words(options) == words


@pytest.mark.parametrize("precision", ["fp16", "bf16"])
def test_a_precision_that_the_machine_lacks_is_an_error(monkeypatch: pytest.MonkeyPatch, precision: str):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    with pytest.raises(ValueError, match=r"fp16=True needs a GPU|Your setup doesn't support bf16/gpu"):
        parse_recipe([*NEEDED[:-2], f"--{precision}", "true"])


@pytest.mark.parametrize(("words", "has_gpu"), [(["--use_cpu", "true"], True), ([], False)])
def test_fp16_without_a_gpu_is_an_error_before_torch_is_used(
    monkeypatch: pytest.MonkeyPatch, words: list[str], has_gpu: bool
):
    monkeypatch.setattr("hf_knowlearn.config.precision.DEVICES", ("null",) if has_gpu else ("no_such_device*",))
    monkeypatch.setattr("sys.platform", "linux")
    with pytest.raises(ValueError, match=r"fp16=True needs a GPU, and this run has none\. Remove fp16"):
        read_options([*NEEDED[:-2], *words, "--fp16", "true"])
    monkeypatch.setattr("hf_knowlearn.config.precision.DEVICES", ("null",))
    assert read_options([*NEEDED[:-2], "--fp16", "true"])["fp16"]


# Adapters


@pytest.mark.parametrize(
    "option", ["lora_r: 4", "lora_target_modules: [q_proj]", "lora_modules_to_save: [lm_head]", "use_dora: true"]
)
def test_an_option_of_the_adapter_without_an_adapter_is_an_error_that_names_the_fix(
    recipe: Callable[..., Path], option: str
):
    message = rf"^{option.partition(':')[0]}=.* needs an adapter, but use_peft is false. Set use_peft to true"
    with pytest.raises(ValueError, match=message):
        read_options(["--config", str(recipe(option)), *NEEDED])
    with pytest.raises(ValueError, match=message):
        read_options(
            [*NEEDED, "--use_peft", "false", *f"--{option}".replace(":", "").replace("[", "").strip("]").split()]
        )
    assert read_options(["--config", str(recipe(f"use_peft: true\n{option}")), *NEEDED])


@pytest.mark.parametrize("bits", ["load_in_4bit", "load_in_8bit"])
def test_training_quantised_weights_without_an_adapter_is_an_error(bits: str):
    with pytest.raises(ValueError, match=f"{bits}=True needs an adapter, but use_peft is false"):
        read_options([*NEEDED, "--use_peft", "false", f"--{bits}"])


def test_a_run_without_an_adapter_drops_the_adapter_options_of_the_recipe_that_it_extends(
    recipe: Callable[..., Path],
):
    recipe("use_peft: true\nlora_r: 4\nuse_dora: true\nlearning_rate: 0.5", "parent.yaml")
    for words in (["--use_peft", "false"], ["--use_peft=0"]):
        options = read_options(["--config", str(recipe("extends: parent.yaml")), *NEEDED, *words])
        assert not {"lora_r", "use_dora"} & options.keys()
        assert options["learning_rate"] == 0.5
    path = recipe("extends: parent.yaml\nuse_peft: false\nlora_r: 8")
    with pytest.raises(ValueError, match=r"^lora_r=8 needs an adapter"):
        read_options(["--config", str(path), *NEEDED])


@pytest.mark.parametrize(
    ("value", "adapted"),
    [
        ("q_proj", {"q_proj"}),
        ("self_attn.q_proj", {"q_proj"}),
        (r".*\.(q|k)_proj", {"q_proj", "k_proj"}),
        ("all-linear", {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}),
    ],
)
def test_a_single_target_module_is_a_name_and_a_pattern_remains_a_pattern(value: str, adapted: set[str]):
    run = parse_recipe([*NEEDED, "--use_peft", "true", "--lora_target_modules", value])
    model = AutoModelForCausalLM.from_pretrained(TINY_BASE)
    names = get_peft_model(model, resolve(run).stages[0].peft_config).targeted_module_names
    assert {name.rpartition(".")[2] for name in names} == adapted


def test_without_a_gpu_a_run_uses_fp32_on_the_cpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("torch.accelerator.is_available", lambda: False)
    monkeypatch.setattr("torch.cuda.is_available", lambda: False)
    run = parse_recipe(NEEDED[:-2])
    assert (run.training.bf16, run.training.fp16, run.training.device.type) == (False, False, "cpu")


@pytest.mark.parametrize(
    ("precision", "model", "message"),
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
def test_the_precision_is_described(precision: str, model: dict[str, Any], message: str):
    training: Any = SimpleNamespace(mixed_precision=precision, device=SimpleNamespace(type="cpu"))
    loaded: Any = SimpleNamespace(**model)
    assert describe_precision(training, loaded) == message


def test_a_key_that_occurs_twice_is_an_error_with_both_lines(recipe: Callable[..., Path]):
    path = recipe("model: base\nnum_views: 2\nevaluation:\n  shots: 1\nnum_views: 3\n")
    with pytest.raises(ValueError, match=r"the key 'num_views' occurs in line 2 and in line 5\. Remove one\."):
        read_recipe(path)


@pytest.mark.parametrize(
    ("name", "hint"), [("family", " (did you mean views?)"), ("use_vllm", ""), ("group_by_length", "")]
)
def test_a_suggestion_is_a_synonym_or_a_similar_name(name: str, hint: str):
    assert did_you_mean(name, list(run_options())) == hint
