"""Measuring: held to named cores and one thread, arms in turn, medians with least and most, results kept as JSON.

It imports the standard library only, because it also runs where this package is not installed. The surprising
decision: every part of a results file carries its own environment, so that one part can be run again by itself.
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
from datetime import datetime, timezone
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
    """Hold this process and its children to the last `cores` cores it may use, libraries to one thread each.

    Libraries read these variables when they are imported, so this comes first.
    """
    os.environ.update(dict.fromkeys(ONE_THREAD, "1"), TOKENIZERS_PARALLELISM="false")
    if not hasattr(os, "sched_setaffinity"):
        raise ValueError("A process can't be held to a core here (no os.sched_setaffinity): run this on Linux.")
    allowed = sorted(_ALLOWED)
    if len(allowed) < cores:
        raise ValueError(f"{cores} cores are needed, and this process may use {len(allowed)}: run it where it may.")
    os.sched_setaffinity(0, allowed[-cores:])
    return allowed[-cores:]


_ALLOWED = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()


def timed(work: Callable[[], Any]) -> Repeat:
    """Seconds that `work` takes by the clock, and of this process's own computing.

    On an idle machine the two agree; where others compute too, the second says what an idle one would take, nearly.
    """
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return {"wall_s": time.perf_counter() - wall, "cpu_s": time.process_time() - cpu}


def rounds(arms: Mapping[str, Callable[[], Repeat]], repeats: int) -> dict[str, list[Repeat]]:
    """`repeats` measurements of each arm, taken in turn, so that a slow minute of the machine meets all of them.

    Every other round goes backwards, lest one arm always follows the same other.
    """
    found: dict[str, list[Repeat]] = {name: [] for name in arms}
    for number in range(repeats):
        for name in list(arms)[:: -1 if number % 2 else 1]:
            found[name].append(arms[name]())
    return found


def spread(values: Sequence[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values)}


def rates(size: int, repeats: Sequence[Repeat]) -> dict[str, dict[str, float]]:
    """MB a second of `size` bytes made in each repeat: by the clock, and by this process's own computing."""
    return {
        "mb_per_s": spread([size / MB / repeat["wall_s"] for repeat in repeats]),
        "mb_per_cpu_s": spread([size / MB / repeat["cpu_s"] for repeat in repeats]),
    }


def environment(
    script: str, options: argparse.Namespace, packages: Sequence[str], cores: Sequence[int]
) -> dict[str, Any]:
    """When, where, with what and of which commit something was measured. Options that are paths are left out."""
    words = [
        f"--{name.replace('_', '-')} {' '.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in vars(options).items()
        if value not in (None, False) and not isinstance(value, Path)
    ]
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
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
    """The installed version, None if it isn't."""
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


def keep(file: Path, part: str, run: Mapping[str, Any], results: Any) -> None:
    """Write a part's results to `file`, beside the other parts there; whole or not at all."""
    parts = json.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
    parts[part] = {"run": {**run, "load_after": os.getloadavg()[0]}, "results": results}
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.incomplete")
    draft.write_text(json.dumps(_short(parts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(draft, file)


def _short(value: Any) -> Any:
    """Numbers to six digits: no clock here is better."""
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if isinstance(value, dict):
        return {name: _short(inner) for name, inner in value.items()}
    return [_short(inner) for inner in value] if isinstance(value, list) else value


def say(text: str) -> None:
    """A line on how far the run is, beside what it prints."""
    print(text, file=sys.stderr, flush=True)


# A script


def parser(description: str | None, stem: str, repeats: int) -> argparse.ArgumentParser:
    """What every script here can be told."""
    found = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    today = RESULTS / f"{stem}-{datetime.now(timezone.utc):%Y-%m-%d}.json"
    found.add_argument("--output", type=Path, default=today, help="results; a part found in it is replaced")
    found.add_argument("--scratch", type=Path, help="where temporary files go")
    found.add_argument("--repeats", type=int, default=repeats, help="measurements of each arm")
    return found


def measure(
    script: str,
    options: argparse.Namespace,
    packages: Sequence[str],
    parts: Mapping[str, Callable[[argparse.Namespace], Any]],
    cores: Mapping[str, int] = MappingProxyType({}),
) -> int:
    """Measure and keep each of `parts`, on one core where `cores` says nothing else; 1 if one had to be refused."""
    refused = []
    for part, work in parts.items():
        try:
            held = hold(cores.get(part, 1))
            run = environment(script, options, packages, held)
            start = time.monotonic()
            keep(options.output, part, run, work(options))
            say(f"{part}: {time.monotonic() - start:.0f} s")
        except (ImportError, ValueError) as error:
            refused.append(part)
            say(f"{part}: refused, {error}")
    if refused:
        say(f"Refused: {', '.join(refused)}. What else was asked for is done.")
    return bool(refused)
