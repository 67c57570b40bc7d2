"""`knowlearn lab`: a study from its file to its tables, which are written anew after every run.

The surprising decision: a run that fails doesn't end the study. Others may be what the question needs, and that a way
of teaching can't be run is a result.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing
from datetime import date
from pathlib import Path
from typing import Any

from hf_knowlearn import atomic_files
from hf_knowlearn.lab import processes, records
from hf_knowlearn.lab.study import PHASES, Planned, Study, read_study
from hf_knowlearn.reports.formatting import known
from hf_knowlearn.reports.tables import columns


def run(
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
    """Run what the study lacks, and yield what there is to say of it.

    Raises:
        ValueError: whatever is wrong with the study, its arms or its folders, before anything is run; or, at the end,
            the runs that failed.
    """
    read = read_study(study)
    folder = output_dir or Path("outputs/lab") / read.name
    given = {} if steps is None else {"max_steps": steps}
    planned = read.runs(folder, (phase,) if phase else PHASES, arms, seeds, given)
    left = _left(planned)
    yield f"Study {read.name}: {len(planned)} runs, {len(planned) - len(left)} of them done, in {folder}."
    if only_list:
        for one in planned:
            yield f"{'to do' if one in left else 'done':6}{one.phase:10} {one.key}"
        return
    jobs = jobs or processes.cores()
    failed: dict[str, str] = {}
    shown = planned
    if phase or arms or seeds:  # the others that are done stand in the tables, too
        chosen = {one.key for one in planned}
        every, wrong = read.planned(folder, read.every(), given)
        shown = [one for one in every if one.key in chosen or _is_done(one)]
        yield from (f"Not in the tables: {problem}" for problem in wrong)  # nobody asked for it: it ends nothing
    found = _write(read, shown, failed, folder)
    with closing(processes.run_all(left, jobs)) as runs:
        for number, (one, why) in enumerate(runs, 1):
            failed |= {one.key: why} if why else {}
            found = _write(read, shown, failed, folder)
            yield f"{number} of {len(left)}: {one.key}: {why or _said(one)}"
    if record:
        name = f"lab-{read.name}-{date.today().isoformat()}.json"
        atomic_files.write_text(record / name, records.as_json(found))
    yield from _tables(found)
    yield f"Written to {', '.join(str(folder / name) for name in ('study.md', 'study.png', 'study.json'))}"
    if failed:
        lines = [f"{one.key}: {failed[one.key]} (see {processes.log_of(one)})" for one in left if one.key in failed]
        raise ValueError("These runs failed; the same command tries them again:\n" + "\n".join(lines))


def _left(planned: Sequence[Planned]) -> list[Planned]:
    """The runs that are not done; all folders that hold something else are refused at once."""
    left, problems = [], []
    for one in planned:
        try:
            if not processes.finished(one):
                left.append(one)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return left


def _is_done(one: Planned) -> bool:
    """Whether a run that wasn't asked for can stand in the tables; what else its folder may hold is not asked."""
    try:
        return processes.finished(one)
    except ValueError:
        return False


def _write(study: Study, planned: Sequence[Planned], failed: dict[str, str], folder: Path) -> dict[str, Any]:
    found = records.record(study, planned, failed)
    records.write(folder, found)
    return found


def _said(one: Planned) -> str:
    shares = {title: of(records.read_run(one).figures) for title, of in records.SHARES.items()}
    return ", ".join(f"{title} {records.number(value)}" for title, value in shares.items() if known(value))


def _tables(found: dict[str, Any]) -> Iterator[str]:
    for name, of_phase in found["phases"].items():
        for rows in (of_phase["table"], of_phase["mastery"], of_phase["comparisons"]):
            if rows:
                yield f"\n{name}\n{columns(rows)}\n"
