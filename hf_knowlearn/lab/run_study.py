"""Runs a study that a file describes, and writes the tables of the study again after every run."""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from hf_knowlearn import atomic_files
from hf_knowlearn.counts import number_of
from hf_knowlearn.lab import processes, records
from hf_knowlearn.lab.study import PlannedRun, choose, read_study
from hf_knowlearn.reports.tables import columns


def run_study(
    study: Path,
    output_dir: Path | None = None,
    phase: str | None = None,
    arms: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    steps: int | None = None,
    jobs: int | None = None,
    record: Path | None = None,
    only_list: bool = False,
) -> Iterator[str]:
    """Execute the unfinished runs of a study. Yields progress messages and, at the end, the tables as text.

    If a run fails, the other runs continue.

    Args:
        study: the YAML file of the study.
        output_dir: the folder of the runs. None: `outputs/lab/NAME`.
        phase, arms, seeds: run only this phase, these arms and these seeds. None: run all. The tables always show all
            finished runs of the study.
        steps: the number of optimizer steps of each run. None: the number in the study.
        jobs: the number of runs at the same time. None: one per core.
        record: the folder for a copy of the results. None: no copy.
        only_list: list the runs, but do not run them.

    Raises:
        ValueError: the study, an arm or a folder is invalid. This error is raised before the first run. Or a run
            failed. This error is raised after all other runs.
    """
    plan = read_study(study)
    folder = output_dir or Path("outputs/lab") / plan.name
    every = plan.runs(folder, {} if steps is None else {"max_steps": steps})
    chosen = choose(every, phase, arms, seeds)
    unfinished = _unfinished(every)
    missing = [run for run in chosen if run.key in unfinished]
    done = len(chosen) - len(missing)
    yield f"Study {plan.name}: {number_of(len(chosen), 'run')}, {done} of them done, in {folder}."
    if only_list:
        yield from (f"{'to do' if run in missing else 'done':6}{run.phase:10} {run.key}" for run in chosen)
        return
    failed: dict[str, str] = {}
    found = records.write(folder, plan, every, failed)
    with closing(processes.run_all(missing, jobs or processes.cores())) as runs:
        for number, (run, error) in enumerate(runs, 1):
            if error:
                failed[run.key] = error
            found = records.write(folder, plan, every, failed)
            yield f"Run {number} of {len(missing)}: {run.key}: {error or _figures(run)}"
    if record:
        name = f"lab-{plan.name}-{date.today().isoformat()}.json"
        atomic_files.write_text(record / name, records.as_json(found))
    yield from _tables(found)
    yield f"Written to {', '.join(str(folder / name) for name in ('study.md', 'study.png', 'study.json'))}"
    if failed:
        errors = [f"{run.key}: {failed[run.key]} ({processes.log_path(run)})" for run in missing if run.key in failed]
        raise ValueError(
            "These runs failed. Fix the causes, and repeat the command. It runs only these runs again:\n"
            + "\n".join(errors)
        )


def _unfinished(runs: Sequence[PlannedRun]) -> set[str]:
    """Return the keys of the unfinished runs. Raise a `ValueError` if a folder contains a different run."""
    unfinished, problems = set(), []
    for run in runs:
        try:
            if not processes.is_finished(run):
                unfinished.add(run.key)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return unfinished


def _figures(run: PlannedRun) -> str:
    """Return the main figures of a finished run, in one line."""
    header, row = records.arm_rows([records.read_run(run)])
    return ", ".join(f"{title} {value}" for title, value in zip(header[2:], row[2:], strict=True))


def _tables(found: dict[str, Any]) -> Iterator[str]:
    for name, phase in found["phases"].items():
        for rows in (phase["table"], phase["mastery"], phase["comparisons"]):
            if rows:
                yield f"\n{name}\n{columns(rows)}\n"
