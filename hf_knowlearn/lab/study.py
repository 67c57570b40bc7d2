"""A study: a question, the arms that answer it, and their seeds, in one YAML file that is written before the results.

A study has two phases: many arms on one seed for screening, then a few of them on other seeds. A study with more than
40 screening runs, or with a seed in both phases, would be unfair and is an error.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hf_knowlearn.config.parsing import Recipe, did_you_mean
from hf_knowlearn.config.recipes import STAGE_NAME, merged_options, parse_recipe

MOST_SCREENED = 40
PHASES = ("screening", "final")
STUDY_KEYS = ("question", "config", "options", "arms", "against", "screening", "final")
PHASE_KEYS = ("arms", "seeds")
LAB_OPTIONS = ("run_name", "seed", "output_dir", "overwrite", "disable_tqdm")  # set by the laboratory

Arms = Mapping[str, Mapping[str, Any]]


class Phase(NamedTuple):
    """The arms and the seeds of a phase. Every arm runs on every seed."""

    arms: Sequence[str] = ()
    seeds: Sequence[int] = ()


class PlannedRun(NamedTuple):
    """A run to do: its phase, arm and seed, and its recipe. Its output folder is `STUDY/ARM/seed_N`."""

    phase: str
    arm: str
    seed: int
    recipe: Recipe

    @property
    def key(self) -> str:
        """The run's name. It is unique, since no seed is in both phases."""
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """A study as its file describes it.

    Args:
        name: The file's name without its suffix.
        question: What the study asks.
        arms: For each arm, the words (`--config`, `--curriculum`) and the options of its recipe.
        against: The baseline arm of each arm.
        phases: The arms and seeds of `screening` and `final`.

    Example:
        >>> study = read_study(Path("recipes/lab/ten_minutes.yaml"))
        >>> [run.key for run in study.runs(Path("outputs"), phases=["screening"])]
        ['raw, seed 10', 'formats, seed 10']
    """

    name: str
    question: str
    arms: Mapping[str, tuple[Sequence[str], Mapping[str, Any]]]
    against: Mapping[str, str]
    phases: Mapping[str, Phase]

    def runs(
        self,
        folder: Path,
        phases: Sequence[str] = PHASES,
        arms: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> list[PlannedRun]:
        """The runs of these phases, arms and seeds; None means all.

        Args:
            folder: The folder of all runs.
            given: Options that override those of every arm.

        Raises:
            ValueError: An arm or a seed is unknown, no run is left, or an arm's options are invalid.
        """
        problems = [
            f"--arms {arm}: {self.name} has no such arm{did_you_mean(arm, self.arms)}."
            for arm in arms or ()
            if arm not in self.arms
        ]
        all_seeds = "; ".join(f"{name}: seeds {list(phase.seeds)}" for name, phase in self.phases.items())
        known = {seed for _, _, seed in self.all_runs()}
        absent = [seed for seed in seeds or () if seed not in known]
        problems += [f"--seeds {seed}: {self.name} has no such seed ({all_seeds})." for seed in absent]
        chosen = [
            (phase, arm, seed)
            for phase, arm, seed in self.all_runs()
            if phase in phases and (arms is None or arm in arms) and (seeds is None or seed in seeds)
        ]
        planned, wrong = self.planned(folder, chosen, given)
        problems += wrong
        if not planned and not problems:
            problems.append(
                f"Study {self.name!r} has no run of phase {', '.join(phases)} with these arms and seeds ({all_seeds})."
            )
        if problems:
            raise ValueError("\n".join(problems))
        return planned

    def all_runs(self) -> Iterator[tuple[str, str, int]]:
        """The phase, arm and seed of all runs, in order."""
        for name, phase in self.phases.items():
            yield from ((name, arm, seed) for seed in phase.seeds for arm in phase.arms)

    def planned(
        self, folder: Path, chosen: Iterable[tuple[str, str, int]], given: Mapping[str, Any] | None = None
    ) -> tuple[list[PlannedRun], list[str]]:
        """The chosen runs with valid options, and the problems of the others."""
        planned: list[PlannedRun] = []
        problems: list[str] = []
        for phase, arm, seed in chosen:
            try:
                planned.append(PlannedRun(phase, arm, seed, self._recipe(arm, seed, folder, given or {})))
            except ValueError as error:
                problems.append(f"arm {arm!r}: {error}")
        return planned, list(dict.fromkeys(problems))

    def _recipe(self, arm: str, seed: int, folder: Path, given: Mapping[str, Any]) -> Recipe:
        words, options = self.arms[arm]
        output_dir = str(folder / arm / f"seed_{seed}")
        of_lab = {"run_name": arm, "seed": seed, "output_dir": output_dir, "disable_tqdm": True}
        return parse_recipe(words, {**_with_seed(options, seed), **given, **of_lab})


def read_study(path: Path) -> Study:
    """Read a study from its YAML file. The options of the arms are checked later, by `Study.runs`.

    Raises:
        ValueError: The file is missing or not YAML, or with all other problems of the study.
    """
    if not path.is_file():
        raise ValueError(f"There is no study {str(path)!r}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"Study {str(path)!r} is not YAML: {error}") from None
    if not isinstance(content, dict) or not isinstance(content.get("arms"), dict) or not content["arms"]:
        raise ValueError(f"Study {str(path)!r} has no `arms:` (a name and its options for each).")
    _raise_problems(path, _type_problems(content))
    arms = {str(name): dict(options or {}) for name, options in content["arms"].items()}
    baseline = str(content.get("against", next(iter(arms))))
    phases = _phases(content, arms)
    _raise_problems(path, [*_key_problems(content), *_arm_problems(arms), *_phase_problems(arms, baseline, phases)])
    recipes = {name: _recipe_of_arm(name, arms, path.parent, content) for name in arms}
    against = {name: str(_inherited(name, arms).get("against", baseline)) for name in arms}
    return Study(path.stem, str(content.get("question", "")).strip(), recipes, against, phases)


def _phases(content: Mapping[str, Any], arms: Arms) -> dict[str, Phase]:
    """The phases. Without any, every arm is screened on seed 0; without `arms:`, a screening has all arms."""
    screening, final = content.get("screening") or {}, content.get("final") or {}
    if not screening and not final:
        screening = {"seeds": [0]}
    screened = screening.get("arms", arms if screening else ())
    return {
        "screening": Phase([str(arm) for arm in screened], screening.get("seeds", [] if final else [0])),
        "final": Phase([str(arm) for arm in final.get("arms", ())], final.get("seeds", [])),
    }


def _raise_problems(path: Path, problems: Iterable[str]) -> None:
    if lines := [f"  {problem}" for problem in problems]:
        raise ValueError("\n".join([f"Study {str(path)!r}:", *lines]))


def _type_problems(content: Mapping[str, Any]) -> Iterator[str]:
    """Values of the wrong type."""
    mappings = [(key, content.get(key)) for key in ("options", *PHASES)]
    mappings += [(f"arm {str(name)!r}", options) for name, options in content["arms"].items()]
    for where, value in mappings:
        if not isinstance(value, dict | None):
            yield f"{where}: {value!r}: give `name: value` lines."
    for name, options in content["arms"].items():
        for key in ("like", "against"):
            if isinstance(options, dict) and not isinstance(options.get(key, ""), str | int):
                yield f"arm {str(name)!r}: {key}: {options[key]!r}: name one arm."
    for name in PHASES:
        phase = content.get(name)
        if isinstance(phase, dict) and not isinstance(arms := phase.get("arms", []), list):
            yield f"{name}: arms: {arms!r}: give a list of names."


def _key_problems(content: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key}: unknown{did_you_mean(str(key), STUDY_KEYS)}." for key in content if key not in STUDY_KEYS)
    yield from _lab_option_problems("options", content.get("options") or {})
    for name in PHASES:
        unknown = [str(key) for key in content.get(name) or {} if key not in PHASE_KEYS]
        yield from (f"{name}: {key}: unknown{did_you_mean(key, PHASE_KEYS)}." for key in unknown)


def _lab_option_problems(where: str, options: Mapping[str, Any]) -> Iterator[str]:
    if own := [option for option in LAB_OPTIONS if option in options]:
        yield f"{where}: {', '.join(own)}: the laboratory sets this. Leave it out."


def _arm_problems(arms: Arms) -> Iterator[str]:
    for name, options in arms.items():
        if not STAGE_NAME.fullmatch(name):
            yield f"arm {name!r}: use letters, digits, '-', '_' and '.' in its name, a letter or digit first."
        yield from _lab_option_problems(f"arm {name!r}", options)
        try:
            _ancestors(name, arms)
        except ValueError as error:
            yield str(error)
        if (baseline := str(options.get("against", name))) not in arms:
            yield f"arm {name!r}: against: there is no arm {baseline!r}{did_you_mean(baseline, arms)}."
    folded = [name.casefold() for name in arms]
    for name in sorted({name for name in folded if folded.count(name) > 1}):
        yield f"arm {name!r}: another name differs only in case, so some disks would give both one folder. Rename one."


def _phase_problems(arms: Arms, baseline: str, phases: Mapping[str, Phase]) -> Iterator[str]:
    for where, names in (("against", [baseline]), *((name, phase.arms) for name, phase in phases.items())):
        unknown = [name for name in names if name not in arms]
        yield from (f"{where}: there is no arm {name!r}{did_you_mean(name, arms)}." for name in unknown)
    for where, (names, seeds) in phases.items():
        if len({*names}) < len(names):
            yield f"{where}: arms: {', '.join(names)}: name each arm once."
        if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds) or len({*seeds}) < len(seeds):
            yield f"{where}: seeds: {seeds!r}: give a list of different whole numbers."
            return
        if bool(names) != bool(seeds):
            yield f"{where}: give both arms and seeds, or neither."
    screening, final = phases["screening"], phases["final"]
    if len(screening.arms) * len(screening.seeds) > MOST_SCREENED:
        yield (
            f"screening: {len(screening.arms)} arms on {len(screening.seeds)} seeds: give at most {MOST_SCREENED}"
            " runs. The best of more runs is the best by chance."
        )
    if both := sorted({*screening.seeds} & {*final.seeds}):
        yield f"final: seeds {both} are seeds of the screening. Choose others."


def _ancestors(name: str, arms: Arms) -> list[str]:
    """The arm, the arm that it is `like`, the arm that this one is `like`, and so on."""
    found: list[str] = []
    current: str | None = name
    while current is not None:
        if current in found:
            raise ValueError(f"arm {name!r}: like: {' -> '.join([*found, current])} is a circle. Remove one `like`.")
        if current not in arms:
            raise ValueError(f"arm {found[-1]!r}: like: there is no arm {current!r}{did_you_mean(current, arms)}.")
        found.append(current)
        parent = arms[current].get("like")
        current = None if parent is None else str(parent)
    return found


def _inherited(name: str, arms: Arms) -> dict[str, Any]:
    """The arm's options and those that it inherits; its own win."""
    return merged_options(*(arms[ancestor] for ancestor in reversed(_ancestors(name, arms))))


def _recipe_of_arm(
    name: str, arms: Arms, folder: Path, content: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The words and the options of the arm's recipe. The arm's options win over the study's."""
    study = {"config": content.get("config"), **(content.get("options") or {})}
    options = merged_options(study, _inherited(name, arms))
    options = {option: value for option, value in options.items() if option not in ("like", "against")}
    words = []
    if config := options.pop("config", None):
        words += ["--config", str((folder / str(config)).resolve())]
    if curriculum := options.pop("curriculum", None):
        words += ["--curriculum", str(curriculum)]
    return words, options


def _with_seed(options: Mapping[str, Any], seed: int) -> dict[str, Any]:
    """The options with the run's seed in place of `{seed}`, such as in the path of another study's model."""
    return {
        option: value.replace("{seed}", str(seed)) if isinstance(value, str) else value
        for option, value in options.items()
    }
