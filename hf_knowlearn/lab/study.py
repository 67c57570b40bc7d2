"""A study: a question, the arms that are to answer it, and their seeds, in one YAML that is written before looking.

Two phases: many arms once each on a seed for screening, then a few of them on seeds that were not looked at. The
surprising decision: what would make a study unfair (over 40 screening runs, a seed in both phases) is refused like any
other bad option.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from hf_knowlearn.config.parsing import Recipe, did_you_mean
from hf_knowlearn.config.recipes import NAME, parse_recipe
from hf_knowlearn.lab.comparisons import T_95

MOST_SCREENED = 40
PHASES = ("screening", "final")
KEYS = ("question", "config", "options", "arms", "against", "screening", "final")
OF_A_PHASE = ("arms", "seeds")
OF_THE_LAB = ("arm", "seed", "output_dir", "overwrite", "disable_tqdm")  # options that a study can't set


class Planned(NamedTuple):
    """A run to come: its phase, arm and seed, and the recipe, whose output folder is `STUDY/ARM/seed_N`."""

    phase: str
    arm: str
    seed: int
    recipe: Recipe

    @property
    def key(self) -> str:
        """What it is called. No seed is in both phases, so this is one run's."""
        return f"{self.arm}, seed {self.seed}"


@dataclass(frozen=True)
class Study:
    """A study as its file says it.

    Args:
        arms: by name, the words (`--config`, `--curriculum`) and the options that make its recipe.
        against: by name, the arm that each is compared with.
        screening: the arms that are screened and the one seed for it.
        final: the arms that are run on several seeds, and these; empty until screening was looked at.
    """

    name: str
    question: str
    arms: Mapping[str, tuple[Sequence[str], Mapping[str, Any]]]
    against: Mapping[str, str]
    screening: tuple[Sequence[str], Sequence[int]]
    final: tuple[Sequence[str], Sequence[int]]

    def runs(
        self,
        folder: Path,
        phases: Sequence[str] = PHASES,
        arms: Sequence[str] | None = None,
        seeds: Sequence[int] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> list[Planned]:
        """The runs of these phases, arms and seeds (None: of all), with the options `given` on top.

        Raises:
            ValueError: an arm or seed that the study doesn't have, or options that can't be; all of them at once.
        """
        unknown = [name for name in arms or () if name not in self.arms]
        problems = [f"--arms {name}: {self.name} has no such arm{did_you_mean(name, self.arms)}." for name in unknown]
        there = "; ".join(f"{phase}: seeds {list(self._phase(phase)[1])}" for phase in PHASES)
        known = {seed for _, _, seed in self.every()}
        absent = [seed for seed in seeds or () if seed not in known]
        problems += [f"--seeds {seed}: {self.name} has no such seed ({there})." for seed in absent]
        chosen = [
            (phase, name, seed)
            for phase, name, seed in self.every()
            if phase in phases and (arms is None or name in arms) and (seeds is None or seed in seeds)
        ]
        planned, wrong = self.planned(folder, chosen, given)
        problems += wrong
        if not planned and not problems:
            problems.append(
                f"Study {self.name!r} has no run of phase {', '.join(phases)} with these arms and seeds ({there})."
            )
        if problems:
            raise ValueError("\n".join(problems))
        return planned

    def every(self) -> Iterator[tuple[str, str, int]]:
        """Phase, arm and seed of all its runs, in their order."""
        for phase in PHASES:
            names, seeds = self._phase(phase)
            yield from ((phase, name, seed) for seed in seeds for name in names)

    def planned(
        self, folder: Path, chosen: Iterable[tuple[str, str, int]], given: Mapping[str, Any] | None = None
    ) -> tuple[list[Planned], list[str]]:
        """Those of the chosen runs whose options can be, and what is wrong with the others."""
        planned: list[Planned] = []
        problems: list[str] = []
        for phase, name, seed in chosen:
            try:
                planned.append(Planned(phase, name, seed, self._recipe(name, seed, folder, given or {})))
            except ValueError as error:
                problems.append(f"arm {name!r}: {error}")
        return planned, list(dict.fromkeys(problems))

    def _phase(self, phase: str) -> tuple[Sequence[str], Sequence[int]]:
        return self.final if phase == "final" else self.screening

    def _recipe(self, name: str, seed: int, folder: Path, given: Mapping[str, Any]) -> Recipe:
        words, options = self.arms[name]
        place = folder / name / f"seed_{seed}"
        options = {option: _of_seed(value, seed) for option, value in options.items()}
        of_the_lab = {"arm": name, "seed": seed, "output_dir": str(place), "disable_tqdm": True}
        return parse_recipe(words, {**options, **given, **of_the_lab})


def read_study(path: Path) -> Study:
    """The study that a YAML describes.

    Raises:
        ValueError: no such file, no YAML, or whatever else is wrong with it, all at once. Options of the arms are
            checked when its runs are made.
    """
    if not path.is_file():
        raise ValueError(f"There is no study {str(path)!r}.")
    try:
        written = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ValueError(f"Study {str(path)!r} is not YAML: {error}") from None
    if not isinstance(written, dict) or not isinstance(written.get("arms"), dict) or not written["arms"]:
        raise ValueError(f"Study {str(path)!r} has no `arms:` (a name and its options for each).")
    if problems := list(_problems_of_shape(written)):
        raise _refusal(path, problems)
    arms = {str(name): dict(options or {}) for name, options in written["arms"].items()}
    problems = [*_problems_of_keys(written), *_problems_of_arms(arms)]
    twin = str(written.get("against", next(iter(arms))))
    first, second = written.get("screening") or {}, written.get("final") or {}
    unplanned = [] if second and not first else [0]  # what is only final was not screened for
    screening = (
        [str(name) for name in first.get("arms", arms if unplanned or first else ())],
        first.get("seeds", unplanned),
    )
    final = [str(name) for name in second.get("arms", [])], second.get("seeds", [])
    problems += _problems_of_phases(arms, twin, screening, final)
    if problems:
        raise _refusal(path, problems)
    made = {name: _arm(name, arms, path.parent, written) for name in arms}
    against = {name: str(_merged(name, arms).get("against", twin)) for name in arms}
    return Study(path.stem, str(written.get("question", "")).strip(), made, against, screening, final)


def _refusal(path: Path, problems: Iterable[str]) -> ValueError:
    return ValueError(f"Study {str(path)!r}:\n" + "\n".join(f"  {problem}" for problem in problems))


def _problems_of_shape(written: Mapping[str, Any]) -> Iterator[str]:
    """Values of another kind than a study has there."""
    mappings = [(key, written.get(key)) for key in ("options", *PHASES)]
    mappings += [(f"arm {str(name)!r}", options) for name, options in written["arms"].items()]
    for where, value in mappings:
        if not isinstance(value, dict | None):
            yield f"{where}: {value!r}: give `name: value` for each of what it holds."
    for name, options in written["arms"].items():
        for key in ("like", "against"):
            if isinstance(options, dict) and not isinstance(options.get(key, ""), str | int):
                yield f"arm {str(name)!r}: {key}: {options[key]!r}: name one arm."
    for phase in PHASES:
        said = written.get(phase)
        if isinstance(said, dict) and not isinstance(arms := said.get("arms", []), list):
            yield f"{phase}: arms: {arms!r}: give a list of names."


def _problems_of_keys(written: Mapping[str, Any]) -> Iterator[str]:
    yield from (f"{key}: not known{did_you_mean(str(key), KEYS)}." for key in written if key not in KEYS)
    if own := [key for key in OF_THE_LAB if key in (written.get("options") or {})]:
        yield f"options: {', '.join(own)} can't be set here; the laboratory does."
    for phase in PHASES:
        unknown = [str(key) for key in written.get(phase) or {} if key not in OF_A_PHASE]
        yield from (f"{phase}: {key}: not known{did_you_mean(key, OF_A_PHASE)}." for key in unknown)


def _problems_of_arms(arms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    for name, options in arms.items():
        if not NAME.fullmatch(name):
            yield f"arm {name!r}: name it with letters, digits, '-', '_' and '.', a letter or digit first."
        if own := [option for option in OF_THE_LAB if option in options]:
            yield f"arm {name!r}: {', '.join(own)} can't be set here; the laboratory does."
        try:
            list(_lineage(name, arms))
        except ValueError as error:
            yield str(error)
        if (twin := str(options.get("against", name))) not in arms:
            yield f"arm {name!r}: against: there is no arm {twin!r}{did_you_mean(twin, arms)}."
    folded = [name.casefold() for name in arms]
    for twice in sorted({name for name in folded if folded.count(name) > 1}):
        yield f"arm {twice!r} is there in capital and small letters: on some disks both would be one folder."


def _problems_of_phases(
    arms: Mapping[str, Any],
    against: str,
    screening: tuple[Sequence[str], Any],
    final: tuple[Sequence[str], Any],
) -> Iterator[str]:
    for where, names in (("against", [against]), ("screening", screening[0]), ("final", final[0])):
        yield from (
            f"{where}: there is no arm {name!r}{did_you_mean(name, arms)}." for name in names if name not in arms
        )
    for where, (names, seeds) in (("screening", screening), ("final", final)):
        if len({*names}) < len(names):
            yield f"{where}: arms: {', '.join(names)}: name each once."
        if not isinstance(seeds, list) or not all(type(seed) is int for seed in seeds) or len({*seeds}) < len(seeds):
            yield f"{where}: seeds: {seeds!r}: give a list of different numbers."
            return
        if len(seeds) > len(T_95) + 1:
            yield f"{where}: {len(seeds)} seeds: give at most {len(T_95) + 1}."
        if bool(names) != bool(seeds):
            yield f"{where}: give both arms and seeds, or neither."
    if len(screening[0]) * len(screening[1]) > MOST_SCREENED:
        yield (
            f"screening: {len(screening[0])} arms on {len(screening[1])} seeds: at most {MOST_SCREENED} runs, or the"
            f" best is best by luck."
        )
    if both := sorted({*screening[1]} & {*final[1]}):
        yield f"final: seeds {both} were used for screening: take others."


def _lineage(name: str, arms: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """The arm, and those that it is like."""
    seen: list[str] = []
    current: str | None = name
    while current is not None:
        if current in seen:
            raise ValueError(f"arm {name!r}: like: {' -> '.join([*seen, current])} goes in a circle.")
        if current not in arms:
            raise ValueError(f"arm {seen[-1]!r}: like: there is no arm {current!r}{did_you_mean(current, arms)}.")
        seen.append(current)
        yield current
        parent = arms[current].get("like")
        current = None if parent is None else str(parent)


def _arm(
    name: str, arms: Mapping[str, Mapping[str, Any]], folder: Path, study: Mapping[str, Any]
) -> tuple[list[str], dict[str, Any]]:
    """The arm's words and options: its own win over those of the arm it is `like`, these over the study's."""
    options: dict[str, Any] = {"config": study.get("config"), **(study.get("options") or {}), **_merged(name, arms)}
    options = {option: value for option, value in options.items() if option not in ("like", "against")}
    words = []
    if config := options.pop("config", None):
        words += ["--config", str((folder / str(config)).resolve())]
    if curriculum := options.pop("curriculum", None):
        words += ["--curriculum", str(curriculum)]
    return words, options


def _merged(name: str, arms: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the arm says, and what those say that it is like."""
    merged: dict[str, Any] = {}
    for each in reversed([*_lineage(name, arms)]):
        merged |= arms[each]
    return merged


def _of_seed(value: Any, seed: int) -> Any:
    """An option in which `{seed}` stands for the run's seed, such as the path of a model that another study made."""
    return value.replace("{seed}", str(seed)) if isinstance(value, str) else value
