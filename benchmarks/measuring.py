"""Measurements on fixed cores with one thread: alternating arms, medians with minimum and maximum, results as JSON.

This module imports only the standard library, because it also runs without this package. Every part of a results file
has its own environment, so one part can be measured again alone.
"""

import argparse
import importlib.metadata
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any

HERE = Path(__file__).parent
ROOT = HERE.parent
RESULTS = HERE / "results"
ONE_THREAD = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "RAYON_NUM_THREADS", "ARROW_IO_THREADS")
MB = 1_000_000

Repeat = dict[str, float]


def hold(cores: int) -> list[int]:
    """Restrict this process and its children to its last `cores` cores, and each library to one thread.

    Call it before the libraries are imported: they read these environment variables on import.
    """
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), TOKENIZERS_PARALLELISM="false")
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError(
            "os.sched_setaffinity is missing, so a process can't be restricted to a core. Run this on Linux."
        )
    allowed = sorted(_ALLOWED)
    if len(allowed) < cores:
        raise ValueError(
            f"This part needs {cores} cores, and this process may use {len(allowed)}. Run it on another machine."
        )
    os.sched_setaffinity(0, allowed[-cores:])
    return allowed[-cores:]


_ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def timed(work: Callable[[], Any]) -> Repeat:
    """The wall-clock time and the CPU time of `work`, in seconds.

    On an idle machine the two agree. On a busy one, the CPU time approximates the time on an idle one.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def rounds(arms: Mapping[str, Callable[[], Repeat]], repeats: int) -> dict[str, list[Repeat]]:
    """`repeats` measurements of each arm. The arms alternate, so a slow minute of the machine affects all of them.

    Every second round has the reverse order, so no arm always follows the same other one.
    """
    found: dict[str, list[Repeat]] = {name: [] for name in arms}
    for number in range(repeats):
        for name in list(arms)[:: -1 if number % 2 else 1]:
            found[name].append(arms[name]())
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, minimum and maximum."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rates(size: int, repeats: Sequence[Repeat]) -> dict[str, dict[str, float]]:
    """MB per second for `size` bytes per repeat, by wall-clock time and by CPU time."""
    return {
        "mb_per_s": spread([size / MB / repeat["wall_s"] for repeat in repeats]),
        "mb_per_cpu_s": spread([size / MB / repeat["cpu_s"] for repeat in repeats]),
    }


def environment(
    script: str, options: argparse.Namespace, packages: Sequence[str], cores: Sequence[int]
) -> dict[str, Any]:
    """The date, machine, package versions, commit and command of a measurement. Options that are paths are omitted."""
    words = [
        f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in vars(options).items()
        if value not in (None, False) and not isinstance(value, Path)
    ]
    return {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": " ".join(["python", f"benchmarks/{script}", *words]),
        "commit": _git("rev-parse", "HEAD"),
        "changed_since_commit": bool(_git("status", "--porcelain", "--", "hf_knowlearn", "benchmarks/*.py")),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "held_to_cores": list(cores),
        "load_before": os.getloadavg()[0],
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": f"{platform.system()} {platform.machine()}",
        "python": platform.python_version(),
        "packages": {name: version(name) for name in packages},
    }


def version(package: str) -> str | None:
    """The installed version; None if the package is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _git(*words: str) -> str | None:
    done = subprocess.run(["git", "-C", str(ROOT), *words], capture_output=True, text=True, check=False)
    return done.stdout.strip() if done.returncode == 0 else None


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()


def save(file: Path, part: str, run: Mapping[str, Any], results: Any) -> None:
    """Write a part's results to `file` with an atomic rename. The other parts of the file stay."""
    parts = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    parts[part] = {"run": {**run, "load_after": os.getloadavg()[0]}, "results": results}
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.incomplete")
    draft.write_text(json.dumps(_short(parts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, file)


def _short(value: Any) -> Any:
    """The numbers with six digits, more than the precision of the clocks."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list) else value


def log(text: str) -> None:
    """Print progress to standard error."""
    print(text, file=sys.stderr, flush=True)


# A script


def parser(description: str | None, stem: str, repeats: int) -> argparse.ArgumentParser:
    """The options that all scripts have."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    today = RESULTS / f"{stem}-{datetime.now(UTC):%Y-%m-%d}.json"
    found.add_argument("--output", type=Path, default=today, help="file of the results; an existing part is replaced")
    found.add_argument("--scratch", type=Path, help="folder of temporary files")
    found.add_argument("--repeats", type=int, default=repeats, help="measurements of each arm")
    return found


def measure(
    script: str,
    options: argparse.Namespace,
    packages: Sequence[str],
    parts: Mapping[str, Callable[[argparse.Namespace], Any]],
    cores: Mapping[str, int] = MappingProxyType({}),
) -> int:
    """Measure and save each of `parts`, on one core unless `cores` has another number. Returns 1 if one failed."""
    failed = []
    for part, work in parts.items():
        try:
            held = hold(cores.get(part, 1))
            run = environment(script, options, packages, held)
            start = time.monotonic()
            save(options.output, part, run, work(options))
            log(f"{part}: {time.monotonic() - start:.0f} s")
        except (ImportError, ValueError) as error:
            failed.append(part)
            log(f"{part}: failed, {error}")
    if failed:
        log(f"Failed: {', '.join(failed)}. The other parts are done.")
    return bool(failed)
