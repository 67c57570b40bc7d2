"""Reads a study from its YAML file: a question, and the arms and seeds that are run to answer it.

A study has two phases. The screening runs many arms on one seed. The final phase runs a few of these arms on other
seeds. With more than 40 screening runs, or with a seed in both phases, the results would be biased, so these studies
raise an error.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hf_knowlearn.config.parsing import Recipe, did_you_mean
from hf_knowlearn.config.recipes import STAGE_NAME, merged_options, parse_recipe

MOST_SCREENED = 40
PHASES = ("screening", "final")
STUDY_KEYS = ("question", "config", "options", "arms", "against", *PHASES)
PHASE_KEYS = ("arms", "seeds")
LAB_OPTIONS = ("run_name", "seed", "output_dir", "overwrite", "disable_tqdm")  # options that `knowlearn lab` sets


class Phase(NamedTuple):
    """The arms and the seeds of a phase. Every arm is run with every seed."""

    arms: Sequence[str]
    seeds: Sequence[int]


class PlannedRun(NamedTuple):
    """A run of a study: its phase, arm, seed and recipe. Its output folder is `STUDY/ARM/seed_N`."""

    phase: str
    arm: str
    seed: int
    recipe: Recipe

    @property
    def key(self) -> str:
        """The name of the run. Names are unique, because no seed is in both phases."""
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """The content of a study file.

    Args:
        name: the name of the file without its suffix.
        question: the question that the study answers.
        arms: the options of each arm, merged with the options of the study. The options `config` and `curriculum` name
            the recipe of the arm.
        against: the name of the baseline arm of each arm.
        phases: the arms and seeds of the phases `screening` and `final`.

    Example:
        >>> study = read_study(Path("recipes/lab/ten_minutes.yaml"))
        >>> [run.key for run in study.runs(Path("outputs"))][:3]
        ['raw, seed 0', 'formats, seed 0', 'order, seed 0']
    """

    name: str
    question: str
    arms: Mapping[str, Mapping[str, Any]]
    against: Mapping[str, str]
    phases: Mapping[str, Phase]

    def runs(self, folder: Path, given: Mapping[str, Any] | None = None) -> list[PlannedRun]:
        """Return all runs of the study, phase by phase.

        Args:
            folder: the folder of the study, which contains the folders of all runs.
            given: options that override the options of every arm.

        Raises:
            ValueError: the options of some arms are invalid. The message lists these arms.
        """
        planned, problems = [], []
        for phase, (arms, seeds) in self.phases.items():
            for seed, arm in product(seeds, arms):
                try:
                    planned.append(PlannedRun(phase, arm, seed, self._recipe(arm, seed, folder, given or {})))
                except ValueError as error:
                    problems.append(f"arm {arm!r}: {error}")
        if problems:
            raise ValueError("\n".join(dict.fromkeys(problems)))
        return planned

    def _recipe(self, arm: str, seed: int, folder: Path, given: Mapping[str, Any]) -> Recipe:
        options = {
            # Why: an arm can start from a model of another study, and the path of this model contains the seed.
            name: value.replace("{seed}", str(seed)) if isinstance(value, str) else value
            for name, value in self.arms[arm].items()
        }
        sources = {name: options.pop(name, None) for name in ("config", "curriculum")}
        words = [f"--{name}={value}" for name, value in sources.items() if value]
        output_dir = str(folder / arm / f"seed_{seed}")
        of_lab = {"run_name": arm, "seed": seed, "output_dir": output_dir, "disable_tqdm": True}
        return parse_recipe(words, {**options, **given, **of_lab})


def choose(
    runs: Sequence[PlannedRun],
    phase: str | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
) -> list[PlannedRun]:
    """Return the runs that have this phase, one of these arms and one of these seeds. None means all.

    Raises:
        ValueError: the phase, an arm or a seed has no run. The message lists all of them.
    """
    wanted = {"phase": [phase] if phase else [], "arm": arms or [], "seed": seeds or []}
    chosen = [
        run for run in runs if all(not values or getattr(run, name) in values for name, values in wanted.items())
    ]
    absent = [
        f"{name} {value}"
        for name, values in wanted.items()
        for value in values
        if all(getattr(run, name) != value for run in chosen)
    ]
    if absent:
        raise ValueError(f"The study has no run with {', '.join(absent)}. Add --list to the command to see all runs.")
    return chosen


def read_study(path: Path) -> Study:
    """Read a study from its YAML file. The options of the arms are checked by `Study.runs`.

    Raises:
        ValueError: the file does not exist, is not YAML, or has no arms. Or the study is invalid: the message then
            lists all problems.
    """
    content = _content(path)
    _raise_problems(path, _type_problems(content))
    arms = {str(name): dict(options or {}) for name, options in content["arms"].items()}
    baseline = str(content.get("against", next(iter(arms))))
    against = {name: str(options.pop("against", baseline)) for name, options in arms.items()}
    phases = _phases(content, arms)
    _raise_problems(path, [*_option_problems(content, arms), *_phase_problems(phases, arms, against)])
    options = {name: _merged(content, of_arm, path.parent) for name, of_arm in arms.items()}
    return Study(path.stem, str(content.get("question", "")).strip(), options, against, phases)


def _content(path: Path) -> dict[str, Any]:
    """Return the content of a study file. Raise a `ValueError` unless it is a mapping with a mapping `arms`."""
    if not path.is_file():
        raise ValueError(f"The study {str(path)!r} does not exist. Give the path of a YAML file.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"The study {str(path)!r} is not valid YAML: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("arms"), dict) or not content["arms"]:
        raise ValueError(
            f"The study {str(path)!r} has no `arms:`. Add this key, with the name and the options of each arm."
        )
    return content


def _raise_problems(path: Path, problems: Iterable[str]) -> None:
    if lines := [f"  {problem}" for problem in dict.fromkeys(problems)]:
        raise ValueError("\n".join([f"Study {str(path)!r}:", *lines]))


def _type_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """Yield messages about values of the wrong type."""
    mappings = {key: content.get(key) for key in ("options", *PHASES)}
    mappings |= {f"arm {str(name)!r}": options for name, options in content["arms"].items()}
    for where, value in mappings.items():
        if not isinstance(value, dict | None):
            yield f"{where}: {value!r}: give `name: value` lines."
    for name in PHASES:
        phase = content.get(name)
        if isinstance(phase, dict):
            wrong = [key for key in PHASE_KEYS if not isinstance(phase.get(key, []), list)]
            yield from (f"{name}: {key}: {phase[key]!r}: give a list." for key in wrong)


def _phases(content: Mapping[str, Any], arms: Iterable[str]) -> dict[str, Phase]:
    """Return the phases. A phase without `arms` has all arms. A study without phases screens all arms with seed 0."""
    given = {name: content.get(name) or {} for name in PHASES}
    if not any(given.values()):
        given["screening"] = {"seeds": [0]}
    return {
        name: Phase([str(arm) for arm in phase.get("arms", arms if phase else ())], phase.get("seeds", []))
        for name, phase in given.items()
    }


def _option_problems(content: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield messages about unknown keys, options that a study cannot set, and invalid names of arms."""
    known = {"": (content, STUDY_KEYS), **{f"{name}: ": (content.get(name) or {}, PHASE_KEYS) for name in PHASES}}
    for where, (given, keys) in known.items():
        unknown = [str(key) for key in given if key not in keys]
        yield from (f"{where}{key}: unknown{did_you_mean(key, keys)}." for key in unknown)
    of = {"options": content.get("options") or {}, **{f"arm {name!r}": options for name, options in arms.items()}}
    for where, options in of.items():
        if own := [option for option in LAB_OPTIONS if option in options]:
            yield f"{where}: {', '.join(own)}: knowlearn lab sets these options itself. Remove them."
    for name in arms:
        if not STAGE_NAME.fullmatch(name):
            yield (
                f"arm {name!r}: give a name of letters, digits, '-', '_' and '.' that begins with a letter or digit."
            )


def _phase_problems(phases: Mapping[str, Phase], arms: Mapping[str, Any], against: Mapping[str, str]) -> Iterator[str]:
    """Yield messages about unknown arms, invalid seeds, and phases that would bias the results."""
    named = {"against": against.values(), **{name: phase.arms for name, phase in phases.items()}}
    for where, names in named.items():
        unknown = [name for name in names if name not in arms]
        yield from (f"{where}: there is no arm {name!r}{did_you_mean(name, arms)}." for name in unknown)
    for where, (names, seeds) in phases.items():
        if bool(names) != bool(seeds):
            yield f"{where}: give both arms and seeds, or neither."
        if any(type(seed) is not int for seed in seeds):
            yield f"{where}: seeds: {seeds}: give whole numbers."
        for key, values in (("arms", names), ("seeds", seeds)):
            if any(values.count(value) > 1 for value in values):
                yield f"{where}: {key}: {', '.join(map(str, values))}: give each value only once."
    screening, final = phases["screening"], phases["final"]
    if (runs := len(screening.arms) * len(screening.seeds)) > MOST_SCREENED:
        yield (
            f"screening: {runs} runs: give at most {MOST_SCREENED} (arms times seeds). The best of more runs is often"
            " the best by chance."
        )
    if both := [seed for seed in final.seeds if seed in screening.seeds]:
        yield f"final: seeds: {both}: these are also seeds of the screening. Choose other seeds."


def _merged(content: Mapping[str, Any], of_arm: Mapping[str, Any], folder: Path) -> dict[str, Any]:
    """Return the options of the study, overridden by the options of the arm. The path of the recipe becomes absolute.

    Args:
        folder: the folder of the study's file, to which the path is relative.
    """
    options = merged_options({"config": content.get("config"), **(content.get("options") or {})}, of_arm)
    if config := options["config"]:
        options["config"] = str((folder / str(config)).resolve())
    return options
