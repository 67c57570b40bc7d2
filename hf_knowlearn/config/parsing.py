"""Parses and checks the options of a run: options of TRL, of transformers and of hf_knowlearn.

The values in a recipe are parsed like words of a command line. Why: TRL's parser does not check the values of a YAML
file.
"""

import difflib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields
from functools import cache
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hf_knowlearn.config.library_options import Option, library_options, options_of, read_bool
from hf_knowlearn.config.possible_values import check_possible
from hf_knowlearn.config.precision import fp16_problems, precision_words
from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.config.teach_arguments import TRAINING_SETS, EvaluationArguments, TeachArguments
from hf_knowlearn.models.packages import missing_packages, unknown_trackers
from hf_knowlearn.training import SAMOptions

if TYPE_CHECKING:
    from transformers import HfArgumentParser
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

EVALUATION = "evaluation"
# Options that state where a run is stored or published. They do not identify a run. The token is never stored.
NOT_THE_RUN = (
    "output_dir", "overwrite", "hub_token", "push_to_hub", "hub_model_id", "hub_private_repo", "hub_license"
)  # fmt: skip
# Function that parses a word -> description of a valid word.
NOUNS = {int: "a whole number", float: "a number", read_bool: "true or false"}
# Name of an option in other programs -> its name here.
SYNONYMS = {
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "rank": "lora_r",
    "model_name": "model_name_or_path",
    "family": "views",
    "out": "output_dir",
}
# Number option -> its smallest value.
LEAST = {
    "learning_rate": 0, "weight_decay": 0, "max_grad_norm": 0, "warmup_steps": 0, "max_length": 1, "lora_r": 1,
    "lora_alpha": 1, "per_device_eval_batch_size": 1,
}  # fmt: skip
# Required options, as the command line spells them.
REQUIRED = {
    "model_name_or_path": "--model PATH_OR_NAME (a folder, a name on the Hub, or tiny_base, which this package"
    " contains)",
    "documents": "--documents PATH (a file: .txt, .md, .jsonl, .csv, .parquet, ...; a folder of them; a Hub name)",
    "output_dir": "--output_dir DIR",
}


@dataclass(frozen=True)
class Recipe:
    """The parsed options of a run or of one stage. `config.settings.resolve` converts a recipe to settings.

    Args:
        options: the options as plain values, as the report records them. The key `stages` has the options of each
            stage.
        evaluation: the options of the group `evaluation`.
        output_dir: the run folder, or the folder of the stage inside the run folder.
        name: name of the stage. Empty for the recipe of the whole run.
        stages: the recipe of each stage. The options of a stage override the options of the run.
        pushes: whether the finished run is published (`push_to_hub`).
    """

    options: Mapping[str, Any]
    teach: TeachArguments
    evaluation: EvaluationArguments
    training: "SAMConfig"
    model: "ModelConfig"
    output_dir: Path
    name: str = ""
    stages: "tuple[Recipe, ...]" = ()
    pushes: bool = False


def check_options(options: Mapping[str, Any], has_stages: bool = False) -> dict[str, Any]:
    """Parse and check the options of a run or a stage without loading torch. Return the parsed options.

    Args:
        has_stages: whether the run has stages. The run may then name no training data, because each stage can name
            training data.

    Raises:
        ValueError: options are unknown, invalid or missing. The message suggests a known name for each unknown name.
    """
    values = parsed_values(options)
    _check_required(values, has_stages)
    problems = [*_problems_of(TeachArguments, values), *_problems_of(EvaluationArguments, values.get(EVALUATION, {}))]
    problems += [*_problems_of(SAMOptions, values), *_number_problems(values)]
    problems += [*_adapter_problems(values), *fp16_problems(values)]
    problems += [*missing_packages(values), *unknown_trackers(values)]
    raise_problems(problems)
    return values


def build_recipe(options: Mapping[str, Any], name: str = "") -> Recipe:
    """Build the recipe of a run, or of the stage `name`, from options that `check_options` returned.

    Raises:
        ValueError: TRL or transformers rejects the options, for example on a machine without a GPU.
    """
    parser = _library_parser()
    flat = {option: value for option, value in options.items() if option != EVALUATION}
    parser.set_defaults(**{option: None for option, value in flat.items() if value is None})
    words = [word for option, value in flat.items() if value is not None for word in _words(option, value)]
    output_dir = Path(options["output_dir"])
    words += [f"--output_dir={output_dir / 'checkpoints'}", *precision_words(options)]
    try:
        teach, training, model = parser.parse_args_into_dataclasses(args=words, look_for_args_file=False)
    except ImportError as error:  # of a package that an option needs, such as deepspeed
        raise ValueError(f"These options need a package that is not installed: {error}") from None
    evaluation = EvaluationArguments(**options.get(EVALUATION, {}))
    # Why: Trainer's own push_to_hub would push every checkpoint to a public repository, with a card without scores.
    pushes, training.push_to_hub = training.push_to_hub, False
    return Recipe(recorded_options(options), teach, evaluation, training, model, output_dir, name, pushes=pushes)


def recorded_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options that the run folder and the report record, because they determine the result of a run."""
    return {option: value for option, value in options.items() if option not in NOT_THE_RUN}


def needs_adapter(option: str) -> bool:
    """Return whether an option has no effect without an adapter."""
    return option.startswith("lora_") or option in ("use_rslora", "use_dora")


def parsed_values(options: Mapping[str, Any]) -> dict[str, Any]:
    """Parse the values of options.

    Raises:
        ValueError: options are unknown or have invalid values. The message lists all of these options.
    """
    nested = _evaluation_options(options.get(EVALUATION))
    flat = {option: value for option, value in options.items() if option != EVALUATION}
    unknown = _unknown(flat, nested)
    values, wrong = _read(flat, run_options())
    inner, inner_wrong = _read(nested, evaluation_options(), f"{EVALUATION}.")
    messages = ["Unknown options:", *unknown] if unknown else []
    messages += ["These options have invalid values:", *wrong, *inner_wrong] if wrong or inner_wrong else []
    raise_problems(messages)
    return {**values, EVALUATION: inner} if inner else values


@cache
def run_options() -> Mapping[str, Option]:
    """Return the options of a run by name, without the options of the evaluation."""
    return {**library_options("SFTConfig", "ModelConfig"), **options_of(TeachArguments, SAMOptions)}


@cache
def evaluation_options() -> Mapping[str, Option]:
    """Return the options of the evaluation by name, without the prefix `evaluation.`."""
    return options_of(EvaluationArguments)


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return a hint with the known name that is most similar to `name`, or "" if no known name is similar.

    Args:
        known: the known names, or a mapping from each known name to the text that the hint shows.
    """
    shown = known if isinstance(known, Mapping) else {each: each for each in known}
    likely = [SYNONYMS.get(name, ""), *difflib.get_close_matches(name, shown, n=1, cutoff=0.6)]
    near = [shown[candidate] for candidate in likely if candidate in shown]
    return f" (did you mean {near[0]}?)" if near else ""


def _evaluation_options(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{EVALUATION}={given!r} is not possible, because `{EVALUATION}` is a group of options. For example, write"
            f" `{EVALUATION}: {{shots: 4}}` in a recipe, or --{EVALUATION}.shots 4 on the command line."
        )
    return {str(name): value for name, value in given.items()}


def _library_parser() -> "HfArgumentParser":
    from transformers import HfArgumentParser
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

    parser = HfArgumentParser((TeachArguments, SAMConfig, ModelConfig), prog="knowlearn teach", allow_abbrev=False)
    parser.error = _raise  # Why: argparse's own method prints the usage of about 300 options first
    return parser


def _raise(message: str) -> NoReturn:
    raise ValueError(message)


def _unknown(flat: Mapping[str, Any], nested: Mapping[str, Any]) -> list[str]:
    """Return a line of an error message for each unknown option. The line suggests a known option of similar name."""
    known, nested_known = run_options().keys(), evaluation_options().keys()
    shown = {name: f"{EVALUATION}.{name}" for name in nested_known} | {name: name for name in known}
    lines = [f"  {name}{did_you_mean(name, shown)}" for name in sorted(map(str, set(flat) - known))]
    return lines + [f"  {EVALUATION}.{name}{did_you_mean(name, shown)}" for name in sorted(set(nested) - nested_known)]


def _check_required(options: Mapping[str, Any], has_stages: bool) -> None:
    given = {name for name, value in options.items() if value}
    enough = {"documents"} if has_stages or given & set(TRAINING_SETS) else set()
    if missing := [f"  {how}" for name, how in REQUIRED.items() if name not in given | enough]:
        raise ValueError("These options are missing:\n" + "\n".join(missing))
    absent = [name for name in options.get("train_on") or () if name in TRAINING_SETS and name not in given]
    if absent and not has_stages:
        raise ValueError(
            f"train_on={options['train_on']!r}, but the run has no {' and no '.join(absent)}. Add"
            f" {', '.join(f'--{name} PATH' for name in absent)}, or change train_on."
        )


def _problems_of(arguments: type, values: Mapping[str, Any]) -> list[str]:
    """Return the lines of the error that the class `arguments` raises for these values. Return [] without an error."""
    try:
        arguments(**{field.name: values[field.name] for field in fields(arguments) if field.name in values})
    except ValueError as error:
        return str(error).splitlines()
    return []


def _number_problems(values: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{name}={values[name]}: give a number above 0."
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs")
        if name in values and not 0 < values[name] < inf
    ]
    problems += [
        f"--{name} {value}: give a number of at least {least}, or remove --{name}."
        for name, least in LEAST.items()
        if (value := values.get(name)) is not None and not least <= value < inf
    ]
    if not 0 <= (values.get("lora_dropout") or 0) < 1:
        problems.append(f"--lora_dropout {values['lora_dropout']}: give a share of at least 0 and below 1.")
    # Why -1: transformers then takes the number of steps from num_train_epochs.
    if (steps := values.get("max_steps", -1)) != -1 and steps < 1:
        problems.append(f"--max_steps {steps}: give a number of at least 1, or remove --max_steps.")
    return problems


def _adapter_problems(values: Mapping[str, Any]) -> Iterator[str]:
    for name, value in values.items():
        is_set = value is not None and value is not False
        if is_set and not values.get("use_peft") and (needs_adapter(name) or name in ("load_in_4bit", "load_in_8bit")):
            yield (
                f"{name}={value!r} needs an adapter, but use_peft is false. Set use_peft to true to train an adapter,"
                f" or remove {name}."
            )


def _read(given: Mapping[str, Any], known: Mapping[str, Option], prefix: str = "") -> tuple[dict[str, Any], list[str]]:
    """Parse the values of the known options. Return the values, and a message for each invalid value."""
    values: dict[str, Any] = {}
    problems = []
    for name, value in given.items():
        if name not in known:
            continue
        try:
            values[name] = _value(known[name], value)
            check_possible(known[name], values[name])
        except ValueError as error:
            problems.append(f"  {prefix}{name}: {error}")
    return values, problems


def _value(option: Option, value: Any) -> Any:
    if value is None:
        # Why: transformers cannot parse null for this option; the word `none` disables it.
        if option.nullable and option.name != "report_to":
            return None
        raise ValueError("null is not a valid value. Remove the option to use its default.")
    if isinstance(value, bool) and option.type is not read_bool:
        raise ValueError(
            "a value is missing. Add a value. If it is the word yes, no, on or off in YAML, write it in quotes."
        )
    if isinstance(value, list) and option.nargs != "+":
        raise ValueError(f"{' '.join(map(str, value))} are {len(value)} values. Give one value.")
    read = [_read_word(option, word) for word in (value if isinstance(value, list) else [_word(value)])]
    return read if option.nargs == "+" else read[0]


def _read_word(option: Option, word: Any) -> Any:
    try:
        read = option.type(str(word))
    except ValueError:
        raise ValueError(f"{str(word)!r} is not {NOUNS[option.type]}.") from None
    if option.choices and read not in option.choices:
        raise ValueError(f"{read!r} is not one of {', '.join(map(str, option.choices))}.")
    return read


def _words(name: str, value: Any) -> list[str]:
    """Return an option and its value as words of a command line."""
    return [f"--{name}", *map(str, value)] if isinstance(value, list) else [f"--{name}={value}"]


def _word(value: Any) -> str:
    return json.dumps(value) if isinstance(value, dict) else str(value)
