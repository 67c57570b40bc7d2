"""Options become a run: all of TRL's, transformers' and ours, under their own names.

They are read as if they had been typed on a command line, wherever they come from, so that argparse checks their types
and choices too (TRL's parser takes the values of a YAML as they come).
"""

import difflib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args, get_type_hints

from hf_knowlearn.config.teach_arguments import READ, TeachArguments

if TYPE_CHECKING:
    from transformers import HfArgumentParser, PreTrainedModel
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

# Options that say where and how a run is kept: they do not make it another run. The token must not be kept at all.
NOT_THE_RUN = (
    "output_dir", "overwrite", "hub_token", "push_to_hub", "hub_model_id", "hub_private_repo", "hub_license"
)  # fmt: skip
# Options of TRL's and transformers' that only one value suits: the plan lays out the rows, the folder knows the rest.
DECIDED: dict[str, Any] = {
    "auto_find_batch_size": False,
    "ignore_data_skip": False,
    "model_init_kwargs": None,
    "packing": False,
    "resume_from_checkpoint": None,
    "shuffle_dataset": False,
    "train_sampling_strategy": "sequential",
}
# What a run can't do without, as the command line spells it.
NEEDED = {
    "model_name_or_path": "--model PATH_OR_NAME (a folder, a name on the Hub, or tiny_base, which is in this package)",
    "documents": "--documents PATH (a file: .txt, .md, .jsonl, .csv, .parquet, ...; a folder of them; a Hub name)",
    "output_dir": "--output_dir DIR",
}


@dataclass(frozen=True)
class Recipe:
    """A run, ready to start: what was asked for (`options`, as plain values) and what the parsers made of it.

    Args:
        name: of a stage.
        stages: recipes of the stages, each in a folder of its own below; none where the run is all one.
        pushes: whether the finished run is published (`push_to_hub`); the trainer is never told of it.
    """

    options: Mapping[str, Any]
    teach: TeachArguments
    training: "SAMConfig"
    model: "ModelConfig"
    output_dir: Path
    name: str = ""
    stages: "tuple[Recipe, ...]" = ()
    pushes: bool = False

    @property
    def steps(self) -> "tuple[Recipe, ...]":
        """The stages, or the run itself as the only one."""
        return self.stages or (self,)

    @property
    def whose(self) -> str:
        """What a message about a stage begins with; nothing, where the run is all one."""
        return f"stage {self.name!r}: " if self.name else ""

    @property
    def rows_of_a_step(self) -> int:
        """Rows of an optimizer step, of all processes."""
        training = self.training
        rows: int = training.per_device_train_batch_size * training.gradient_accumulation_steps * training.world_size
        return rows

    @property
    def selects(self) -> bool:
        """Whether what is read depends on how well the model knows it when the stage begins."""
        return bool(self.teach.train_categories or self.teach.train_improved or self.teach.replay_categories)

    @property
    def is_laid_out_anew(self) -> bool:
        """Whether what is read is known only when the stage begins: chosen by class, or written by the model."""
        return self.selects or bool(self.teach.replay_self)


def build_recipe(options: Mapping[str, Any], name: str = "", has_stages: bool = False) -> Recipe:
    """The run, or the stage of this name, that the options ask for.

    Args:
        has_stages: the options are the defaults of stages, which may read what these don't name.
    """
    parser = _parser()
    options = values_of(options, parser)
    _refuse_missing(options, has_stages)
    parser.set_defaults(**{name: None for name, value in options.items() if value is None})
    words = [word for name, value in options.items() if value is not None for word in _words(name, value)]
    output_dir = Path(options["output_dir"])
    words += [f"--output_dir={output_dir / 'checkpoints'}", *_precision(options)]
    try:
        teach, training, model = parser.parse_args_into_dataclasses(args=words, look_for_args_file=False)
    except ImportError as error:  # of what an option asks for, such as deepspeed
        raise ValueError(f"A package that these options need is missing: {error}") from None
    _refuse_numbers(training)
    _refuse_trackers(training.report_to)
    run_options = {name: value for name, value in options.items() if name not in NOT_THE_RUN}
    # Trainer's own would push every checkpoint, to a repository that all can read, with a card that has no figure.
    pushes, training.push_to_hub = training.push_to_hub, False
    return Recipe(run_options, teach, training, model, output_dir, name, pushes=pushes)


def _refuse_numbers(training: "SAMConfig") -> None:
    problems = [
        f"{name}={value}: give a number above 0."
        for name in ("per_device_train_batch_size", "gradient_accumulation_steps", "num_train_epochs")
        if not 0 < (value := getattr(training, name)) < inf
    ]
    if problems:
        raise ValueError("\n".join(problems))


def _refuse_trackers(names: Sequence[str]) -> None:
    from transformers.integrations import get_available_reporting_integrations

    there = get_available_reporting_integrations()
    if missing := [name for name in names if name not in there]:
        raise ValueError(
            f"report_to: {', '.join(missing)}: no such tracker is installed here. Installed are"
            f" {', '.join(there) or 'none'}; install its package, such as tensorboard, wandb, mlflow or trackio, or"
            " leave report_to out."
        )


def values_of(options: Mapping[str, Any], parser: "HfArgumentParser | None" = None) -> dict[str, Any]:
    """The options with values as the parsers read them; unknown ones, and values that can't be, are refused."""
    parser = parser or _parser()
    _refuse_unknown(options, {action.dest for action in parser._actions if action.dest != "help"})
    return _read_by(parser, options)


def _parser() -> "HfArgumentParser":
    from transformers import HfArgumentParser
    from trl import ModelConfig

    from hf_knowlearn.training import SAMConfig

    parser = HfArgumentParser((TeachArguments, SAMConfig, ModelConfig), prog="knowlearn teach", allow_abbrev=False)
    parser.error = _refuse  # its own would print the usage first: 300 options
    return parser


def _refuse(message: str) -> None:
    raise ValueError(message)


def _refuse_unknown(options: Mapping[str, Any], known: set[str]) -> None:
    if unknown := sorted(map(str, set(options) - known)):
        raise ValueError("Unknown options:\n" + "\n".join(f"  {name}{did_you_mean(name, known)}" for name in unknown))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The hint behind a name that is not known: the known one nearest to it, if any is near."""
    near = difflib.get_close_matches(name, [*known], n=1, cutoff=0.5)
    return f" (did you mean {near[0]}?)" if near else ""


def _refuse_missing(options: Mapping[str, Any], has_stages: bool = False) -> None:
    there = {name for name, value in options.items() if value}
    there |= {"model_name_or_path"} if options.get("from_scratch") else set()
    enough = {"documents"} if has_stages or there & set(READ) else set()
    if missing := [f"  {how}" for name, how in NEEDED.items() if name not in there | enough]:
        raise ValueError("Something is missing:\n" + "\n".join(missing))
    absent = [name for name in options.get("reads") or () if name in READ and name not in there]
    if absent and not has_stages:
        raise ValueError(
            f"reads={options['reads']!r}, but the run is given no {' and no '.join(absent)}:"
            f" pass {', '.join(f'--{name} PATH' for name in absent)}."
        )


def _read_by(parser: "HfArgumentParser", options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with their values as `parser` reads them: 2e-4 is then one number, wherever it was written."""
    may_be_null = {
        name
        for arguments in parser.dataclass_types
        for name, type_ in get_type_hints(arguments).items()
        if type(None) in get_args(type_)
    } - {"report_to"}  # whose null transformers itself can't read: it is `none` that says so
    values: dict[str, Any] = {}
    problems = []
    for name, value in options.items():
        try:
            values[name] = None if value is None and name in may_be_null else _value(parser, name, value)
        except ValueError as error:
            problems.append(f"  {name}: {error}")
    if problems:
        raise ValueError("Options with values that they can't have:\n" + "\n".join(problems))
    return values


def _value(parser: "HfArgumentParser", name: str, value: Any) -> Any:
    from transformers.hf_argparser import string_to_bool

    action = parser._option_string_actions[f"--{name}"]
    if value is None:
        raise ValueError("null is no value for it; leave it out to have the default.")
    if isinstance(value, bool) and action.type is not string_to_bool:
        raise ValueError("a value is missing. (In a recipe, yes, no, on and off need quotes to be words.)")
    if isinstance(value, list) and action.nargs != "+":
        raise ValueError(f"give one value; these are {len(value)}: {' '.join(map(str, value))}.")
    try:
        read = vars(parser.parse_args(_words(name, value)))[name]
    except ValueError as error:  # it begins with "argument --name/--na-me: "
        raise ValueError(str(error).partition(": ")[2]) from None
    if name in DECIDED and read != DECIDED[name]:
        raise ValueError(f"{read!r} would undo the plan of the run, which has it at {DECIDED[name]!r}; leave it out.")
    return read


def _words(name: str, value: Any) -> list[str]:
    """An option as words of a command line."""
    if isinstance(value, list):
        return [f"--{name}", *map(str, value)]
    return [f"--{name}={json.dumps(value) if isinstance(value, dict) else value}"]


def _precision(options: Mapping[str, Any]) -> list[str]:
    """The precision of the run where none is asked for: bf16 where the GPU has it, else fp16 autocast, else fp32.

    TRL asks for bf16 wherever nothing is said, which stops on a machine that has no GPU.
    """
    import torch

    cuda = torch.cuda.is_available() and not options.get("use_cpu")
    accelerator = torch.accelerator.is_available() and not options.get("use_cpu")
    if options.get("fp16") and not accelerator:
        raise ValueError("fp16=True needs a GPU, and this run has none: leave fp16 and bf16 out to have one chosen.")
    if options.get("bf16") or options.get("fp16"):
        return []
    native = cuda and torch.cuda.is_bf16_supported(including_emulation=False)
    bf16 = native and options.get("bf16") is not False
    fp16 = cuda and not native and options.get("fp16") is not False
    words = [f"--bf16={bf16}", f"--fp16={fp16}"]
    return words if accelerator else [*words, "--use_cpu=True"]


def describe_precision(training: "SAMConfig", model: "PreTrainedModel") -> str:
    """The precision of a run in words, for its first line of output."""
    compute = {"no": "fp32"}.get(training.mixed_precision, f"{training.mixed_precision} autocast")
    bits = [f"{bits} bits" for bits in (4, 8) if getattr(model, f"is_loaded_in_{bits}bit", False)]
    weights = bits[0] if bits else str(model.dtype).removeprefix("torch.")
    return f"{compute} on {training.device.type}, weights loaded in {weights}"
