"""KnowledgeRecall compared with the public `squad` metric: time of `compute()`, and memory for up to 1 M rows.

`--squad` names the folder of that metric's script (`metrics/squad` of huggingface/evaluate). Both run through
`evaluate`, each with inputs in its own format. Memory is the anonymous memory of the process (RssAnon), sampled while
it runs, because resident memory includes pages of files that the system can free.
"""

import json
import subprocess
import sys
import tempfile
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import material
import measuring
from measuring import MB, Repeat, log, rounds, spread, timed

PACKAGES = ("evaluate", "datasets", "pyarrow")
SYSTEMS = ("match_lstm", "logistic_regression")
BATCH = 1000

Rows = dict[str, list[Any]]


def questions(data: Path, system: str) -> tuple[list[str], Rows]:
    """Ids, and predictions with accepted answers, of the SQuAD questions that `system` has a prediction for."""
    folder = data / "squad"
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist. Name the folder that contains squad/ with --data.")
    articles = json.loads((folder / "dev_24_titles.json").read_text(encoding="utf-8"))["data"]
    predicted = json.loads((folder / f"predictions_{system}.json").read_text(encoding="utf-8"))
    found = [q for article in articles for paragraph in article["paragraphs"] for q in paragraph["qas"]]
    found = [q for q in found if q["id"] in predicted]
    return [q["id"] for q in found], {
        "predictions": [predicted[q["id"]] for q in found],
        "references": [[answer["text"] for answer in q["answers"]] for q in found],
    }


def in_squads_shape(ids: Sequence[str], rows: Rows) -> Rows:
    """The same rows in the format of the `squad` metric."""
    predicted = zip(ids, rows["predictions"], strict=True)
    accepted = zip(ids, rows["references"], strict=True)
    return {
        "predictions": [{"id": name, "prediction_text": text} for name, text in predicted],
        "references": [
            {"id": name, "answers": {"text": texts, "answer_start": [0] * len(texts)}} for name, texts in accepted
        ],
    }


def load_squad(options: Namespace, cache: str) -> Any:
    """The public metric, from the folder of its script or from the Hub."""
    import evaluate

    try:
        return evaluate.load(str(options.squad or "squad"), cache_dir=cache)
    except (FileNotFoundError, ConnectionError) as error:
        raise ValueError(f"No squad metric: name the folder of its script with --squad ({error}).") from error


# Speed


def speed(options: Namespace) -> list[dict[str, Any]]:
    """Seconds of `compute()` by arm, and the speedup over `squad`, on the predictions of each system."""
    from hf_knowlearn.knowledge_recall import KnowledgeRecall

    found = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as cache:
        ours, squad = KnowledgeRecall(cache_dir=cache), load_squad(options, cache)
        for system in SYSTEMS:
            ids, rows = questions(options.data, system)
            theirs = in_squads_shape(ids, rows)

            def added(rows: Rows = rows) -> dict[str, Any]:
                ours.add_batch(**rows)
                return ours.compute(whole=True)

            works: dict[str, Callable[[], dict[str, Any]]] = {
                "squad": lambda theirs=theirs: squad.compute(**theirs),
                "KnowledgeRecall": lambda rows=rows: ours.compute(**rows, whole=True),
                "KnowledgeRecall, first lines": lambda rows=rows: ours.compute(**rows),
                "KnowledgeRecall, add_batch before": added,
            }
            check_same(works)  # also a warm-up
            arms = {name: lambda work=work: timed(work) for name, work in works.items()}
            repeats = rounds(arms, options.repeats)
            found += [row(system, len(ids), name, taken, repeats["squad"]) for name, taken in repeats.items()]
            shown = [f"{r['arm']} {r['times_as_fast']['median']:.1f} x" for r in found[-len(works) :]]
            log(f"{system}: {', '.join(shown)}")
    return found


def check_same(works: dict[str, Callable[[], dict[str, Any]]]) -> None:
    """Raise ValueError if the arms have different scores."""
    theirs, ours = works["squad"](), works["KnowledgeRecall"]()
    works["KnowledgeRecall, first lines"]()
    if works["KnowledgeRecall, add_batch before"]() != ours:
        raise ValueError("KnowledgeRecall has different scores after add_batch.")
    for name in ("exact_match", "f1"):
        if abs(theirs[name] - 100 * ours[name]) > 1e-6:
            raise ValueError(f"{name} is {theirs[name]} by squad and {100 * ours[name]} by KnowledgeRecall.")


def row(system: str, size: int, arm: str, taken: Sequence[Repeat], squad: Sequence[Repeat]) -> dict[str, Any]:
    """The row of one arm. Each repeat is compared with that of `squad` in the same round, by CPU time."""
    factors = [theirs["cpu_s"] / mine["cpu_s"] for theirs, mine in zip(squad, taken, strict=True)]
    return {
        "system": system,
        "questions": size,
        "arm": arm,
        "wall_s": spread([repeat["wall_s"] for repeat in taken]),
        "cpu_s": spread([repeat["cpu_s"] for repeat in taken]),
        "times_as_fast": spread(factors),
    }


# Memory


def memory(options: Namespace) -> list[dict[str, Any]]:
    """The peak memory that `compute()` adds, in its own process, by arm and number of rows."""
    found = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        for size in options.rows:
            folder = Path(scratch) / f"rows{size}"
            write_rows(options, folder, size)
            for arm in ("columns of a dataset", "add_batch of 1000 rows"):
                words = [sys.executable, __file__, "--memory-child", str(folder), arm, scratch]
                done = subprocess.run(words, capture_output=True, text=True, check=False)
                if done.returncode:
                    raise ValueError(f"{arm}, {size} rows: {done.stderr}")
                found.append({"arm": arm, **json.loads(done.stdout)})
                log(str(found[-1]))
    return found


def write_rows(options: Namespace, folder: Path, size: int) -> None:
    """A dataset of `size` rows, no two predictions the same, in `folder`."""
    import datasets

    _, rows = questions(options.data, SYSTEMS[0])
    pairs = list(zip(rows["predictions"], rows["references"], strict=True))

    def examples() -> Iterator[dict[str, Any]]:
        for number in range(size):
            answer, accepted = pairs[number % len(pairs)]
            # A tenth of the answers is unchanged. The others all differ, so caching helps no arm.
            text = answer if number % 10 == 0 else f"{answer}\nand that is number {number}"
            yield {"predictions": text, "references": [*accepted, f"{accepted[0]} {number}"]}

    text = datasets.Value("string")
    features = datasets.Features({"predictions": text, "references": datasets.List(text)})
    datasets.disable_progress_bars()
    made = datasets.Dataset.from_generator(examples, features=features, cache_dir=str(folder / "cache"))
    made.save_to_disk(str(folder / "rows"))


def memory_child(folder: str, arm: str, cache: str) -> None:
    """Print the time and memory of scoring the rows in `folder`."""
    measuring.hold(1)
    import datasets

    from hf_knowlearn.knowledge_recall import KnowledgeRecall

    rows = datasets.load_from_disk(f"{folder}/rows")
    metric = KnowledgeRecall(cache_dir=cache)

    def work(rows: Any) -> dict[str, Any]:
        if arm.startswith("columns"):
            return metric.compute(predictions=rows["predictions"], references=rows["references"])
        for start in range(0, len(rows), BATCH):
            metric.add_batch(**rows[start : start + BATCH])
        return metric.compute()

    work(rows.select(range(min(len(rows), 2 * BATCH))))  # a warm-up
    with Sampled() as sampled:
        taken = timed(lambda: work(rows))
    growth = {"before_mb": sampled.before, "peak_mb": sampled.peak, "growth_mb": sampled.peak - sampled.before}
    print(json.dumps({"rows": len(rows), **growth, **taken}))


class Sampled:
    """The peak anonymous memory within the block, in MB of 1,000,000 bytes."""

    def __enter__(self) -> "Sampled":
        self.before = self.peak = anonymous_mb()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self) -> None:
        while not self._done.wait(0.02):
            self.peak = max(self.peak, anonymous_mb())

    def __exit__(self, *error: object) -> None:
        self._done.set()
        self._thread.join()
        self.peak = max(self.peak, anonymous_mb())


def anonymous_mb() -> float:
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError("/proc/self/status has no RssAnon. Run this on Linux.")


# The script


PARTS = {"speed": speed, "memory": memory}


def main(words: Sequence[str] | None = None) -> int:
    """Measure the chosen parts. Returns 1 if one failed."""
    options = _parser().parse_args(words)
    parts = PARTS if options.part == "all" else {options.part: PARTS[options.part]}
    return measuring.measure("metric.py", options, PACKAGES, parts)


def _parser() -> ArgumentParser:
    parser = measuring.parser(__doc__, "metric", repeats=7)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all", help="what to measure")
    parser.add_argument("--data", type=Path, default=material.DATA, help="folder that contains squad/")
    parser.add_argument("--squad", type=Path, help="the folder of the squad metric's script; without it, from the Hub")
    parser.add_argument(
        "--rows", type=int, nargs="+", default=[100_000, 1_000_000], help="numbers of rows for the memory"
    )
    return parser


if __name__ == "__main__":
    if sys.argv[1:2] == ["--memory-child"]:
        memory_child(*sys.argv[2:])
    else:
        sys.exit(main())
