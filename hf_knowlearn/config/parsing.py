"""From plain values to a checked run: all options of TRL, transformers and hf_knowlearn, under their own names.

Why: values are parsed as if they were typed on a command line, wherever they come from, so that argparse checks their
types and choices too. TRL's parser takes the values of a YAML file unchecked.
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, get_args, get_type_hints

from hf_knowlearn.config.precision import precision_words
from hf_knowlearn.config.teach_arguments import TRAINING_SETS, EvaluationArguments, TeachArguments

if TYPE_CHECKING:
    from transformers import HfArgumentParser
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

EVALUATION = "evaluation"
# Options that say where a run is stored or published. A run with other values is the same run. The token is never
# stored.
NOT_THE_RUN = (
    "output_dir", "overwrite", "hub_token", "push_to_hub", "hub_model_id", "hub_private_repo", "hub_license"
)  # fmt: skip
# Options of TRL and transformers with only one possible value: the schedule orders the rows, the run folder the rest.
FIXED: dict[str, Any] = {
    "auto_find_batch_size": False,
    "ignore_data_skip": False,
    "model_init_kwargs": None,
    "packing": False,
    "resume_from_checkpoint": None,
    "shuffle_dataset": False,
    "train_sampling_strategy": "sequential",
}
# Names that other programs use for an option.
SYNONYMS = {
    "lr": "learning_rate",
    "epochs": "num_train_epochs",
    "steps": "max_steps",
    "batch_size": "per_device_train_batch_size",
    "rank": "lora_r",
    "model_name": "model_name_or_path",
    "out": "output_dir",
}
# Required options, as the command line spells them.
REQUIRED = {
    "model_name_or_path": "--model PATH_OR_NAME (a folder, a name on the Hub, or tiny_base, which this package"
    " contains)",
    "documents": "--documents PATH (a file: .txt, .md, .jsonl, .csv, .parquet, ...; a folder of them; a Hub name)",
    "output_dir": "--output_dir DIR",
}


@dataclass(frozen=True)
class Recipe:
    """The parsed options of a run, or of one of its stages. `config.settings.resolve` turns it into settings.

    Args:
        options: the options as plain values; `stages` holds those of each stage.
        evaluation: the options under `evaluation`.
        output_dir: the run folder, or the folder of the stage below it.
        name: name of the stage; empty for the run itself.
        stages: the recipe of each stage, made of the run's options and its own; empty without stages.
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


def build_recipe(options: Mapping[str, Any], name: str = "", has_stages: bool = False) -> Recipe:
    """The run, or the stage `name`, with these options.

    Args:
        has_stages: the options are defaults of stages, which may name sets that these do not.

    Raises:
        ValueError: lists unknown options with the nearest known ones, values of the wrong type or out of range, and
            missing options.
    """
    parser = _parser()
    options = parsed_values(options, parser)
    _check_required(options, has_stages)
    nested = options.get(EVALUATION) or {}
    flat = {option: value for option, value in options.items() if option != EVALUATION}
    parser.set_defaults(**{option: None for option, value in flat.items() if value is None})
    words = [word for option, value in flat.items() if value is not None for word in _words(option, value)]
    output_dir = Path(options["output_dir"])
    words += [f"--output_dir={output_dir / 'checkpoints'}", *precision_words(options)]
    problems = []
    try:
        teach, training, model = parser.parse_args_into_dataclasses(args=words, look_for_args_file=False)
    except ImportError as error:  # of a package that an option needs, such as deepspeed
        raise ValueError(f"A package that these options need is missing: {error}") from None
    except ValueError as error:
        problems.append(str(error))
    try:
        evaluation = EvaluationArguments(**nested)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    _check_numbers(training)
    _check_trackers(training.report_to)
    # Why: Trainer's own would push every checkpoint to a public repository, with a card without scores.
    pushes, training.push_to_hub = training.push_to_hub, False
    recorded = {option: value for option, value in options.items() if option not in NOT_THE_RUN}
    return Recipe(recorded, teach, evaluation, training, model, output_dir, name, pushes=pushes)


def parsed_values(options: Mapping[str, Any], parser: "HfArgumentParser | None" = None) -> dict[str, Any]:
    """The options with their values as the parsers read them, so that 2e-4 is one number wherever it was written.

    Raises:
        ValueError: lists unknown options, or values that an option cannot have.
    """
    parser = parser or _parser()
    nested = _evaluation_options(options.get(EVALUATION))
    flat = {option: value for option, value in options.items() if option != EVALUATION}
    unknown = _unknown(flat, nested, parser)
    values, problems = _read_by(parser, flat)
    inner, inner_problems = _read_by(_evaluation_parser(), nested)
    wrong = [f"  {name}: {problem}" for name, problem in problems.items()]
    wrong += [f"  {EVALUATION}.{name}: {problem}" for name, problem in inner_problems.items()]
    messages = ["Unknown options:", *unknown] if unknown else []
    messages += ["These options have invalid values:", *wrong] if wrong else []
    if messages:
        raise ValueError("\n".join(messages))
    return {**values, EVALUATION: inner} if inner else values


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A hint with the known name nearest to an unknown one; empty if none is near.

    Args:
        known: the known names; a mapping gives the form in which each is shown.
    """
    shown = known if isinstance(known, Mapping) else {each: each for each in known}
    likely = [SYNONYMS.get(name, ""), *difflib.get_close_matches(name, shown, n=1, cutoff=0.5)]
    near = [shown[candidate] for candidate in likely if candidate in shown]
    return f" (did you mean {near[0]}?)" if near else ""


def _evaluation_options(given: Any) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise ValueError(
            f"{EVALUATION}={given!r}: it contains options. In a recipe, write `{EVALUATION}: {{shots: 4}}`; on the"
            f" command line, --{EVALUATION}.shots 4."
        )
    return {str(name): value for name, value in given.items()}


def _parser() -> "HfArgumentParser":
    from transformers import HfArgumentParser
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

    parser = HfArgumentParser((TeachArguments, SAMConfig, ModelConfig), prog="knowlearn teach", allow_abbrev=False)
    parser.error = _raise  # Why: its own prints the usage of about 300 options first
    return parser


def _evaluation_parser() -> "HfArgumentParser":
    from transformers import HfArgumentParser

    parser = HfArgumentParser((EvaluationArguments,), allow_abbrev=False)
    parser.error = _raise
    return parser


def _raise(message: str) -> NoReturn:
    raise ValueError(message)


def _unknown(flat: Mapping[str, Any], nested: Mapping[str, Any], parser: "HfArgumentParser") -> list[str]:
    """One line for each unknown option, with the nearest known one."""
    known, nested_known = _names(parser), _names(_evaluation_parser())
    shown = {name: f"{EVALUATION}.{name}" for name in nested_known} | {name: name for name in known}
    lines = [f"  {name}{did_you_mean(name, shown)}" for name in sorted(map(str, set(flat) - known))]
    return lines + [f"  {EVALUATION}.{name}{did_you_mean(name, shown)}" for name in sorted(set(nested) - nested_known)]


def _names(parser: "HfArgumentParser") -> set[str]:
    return {action.dest for action in parser._actions if action.dest != "help"}


def _check_required(options: Mapping[str, Any], has_stages: bool) -> None:
    given = {name for name, value in options.items() if value}
    enough = {"documents"} if has_stages or given & set(TRAINING_SETS) else set()
    if missing := [f"  {how}" for name, how in REQUIRED.items() if name not in given | enough]:
        raise ValueError("These options are missing:\n" + "\n".join(missing))
    absent = [name for name in options.get("train_on") or () if name in TRAINING_SETS and name not in given]
    if absent and not has_stages:
        raise ValueError(
            f"train_on={options['train_on']!r}, but the run has no {' and no '.join(absent)}:"
            f" pass {', '.join(f'--{name} PATH' for name in absent)}."
        )


def _check_numbers(training: "SAMConfig") -> None:
    problems = [
        f"{name}={value}: give a number above 0."
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs")
        if not 0 < (value := getattr(training, name)) < inf
    ]
    if problems:
        raise ValueError("\n".join(problems))


def _check_trackers(names: Sequence[str]) -> None:
    from transformers.integrations import get_available_reporting_integrations

    installed = get_available_reporting_integrations()
    if missing := [name for name in names if name not in installed]:
        raise ValueError(
            f"report_to={' '.join(missing)}: this tracker is not installed. Installed are"
            f" {', '.join(installed) or 'none'}; install its package, such as tensorboard, wandb, mlflow or trackio,"
            " or remove report_to."
        )


def _read_by(parser: "HfArgumentParser", options: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """The values of known options as `parser` reads them, and the problems of those it cannot read, by option."""
    may_be_null = {
        name
        for arguments in parser.dataclass_types
        for name, type_ in get_type_hints(arguments).items()
        if type(None) in get_args(type_)
    } - {"report_to"}  # transformers cannot read its null; the word `none` turns it off
    values: dict[str, Any] = {}
    problems: dict[str, str] = {}
    known = _names(parser)
    for name, value in options.items():
        if name not in known:
            continue
        try:
            values[name] = None if value is None and name in may_be_null else _value(parser, name, value)
        except ValueError as error:
            problems[name] = str(error)
    return values, problems


def _value(parser: "HfArgumentParser", name: str, value: Any) -> Any:
    from transformers.hf_argparser import string_to_bool

    action = parser._option_string_actions[f"--{name}"]
    if value is None:
        raise ValueError("null is not a value of this option; remove it to use the default.")
    if isinstance(value, bool) and action.type is not string_to_bool:
        raise ValueError("a value is missing. (In a recipe, put yes, no, on and off in quotes to write words.)")
    if isinstance(value, list) and action.nargs != "+":
        raise ValueError(f"give one value instead of {len(value)}: {' '.join(map(str, value))}.")
    try:
        read = vars(parser.parse_args(_words(name, value)))[name]
    except ValueError as error:
        raise ValueError(str(error).removeprefix(f"argument {'/'.join(action.option_strings)}: ")) from None
    if name in FIXED and read != FIXED[name]:
        raise ValueError(f"{read!r} is not possible here, because a run sets it to {FIXED[name]!r}; remove it.")
    return read


def _words(name: str, value: Any) -> list[str]:
    """An option as words of a command line."""
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={json.dumps(value) if isinstance(value, dict) else value}"]
