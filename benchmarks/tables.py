"""Tables: the results files as Markdown, each number beside what was wanted of it.

A median stands with least and most in brackets. The surprising decision: the README's tables are made here and nowhere
else, and a test compares, so that what is quoted is what was measured.
"""

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from measuring import MB, RESULTS, spread

README = Path(__file__).with_name("README.md")
Row = Mapping[str, Any]


def views(parts: Mapping[str, Any]) -> str:
    """Every part of a results file of `views.py`."""
    return _parts(
        parts,
        {"speed": _speed, "tokenizer": _tokenizer, "builder": _builder, "stream": _stream, "processes": _processes},
    )


def _parts(parts: Mapping[str, Any], tell: Mapping[str, Callable[[Any], str]]) -> str:
    """The parts there are, each told in its own way, with the run it comes from below."""
    return "\n\n".join(
        f"{tell[part](parts[part]['results'])}\n\n{_run(parts[part]['run'])}" for part in tell if part in parts
    )


def _speed(rows: list[Row]) -> str:
    found = []
    for row in rows:
        if row["arm"] == "sentences":
            continue
        wanted = 30 if row["arm"] == "family formats" else 10
        each = f"{row['views'] / (row['documents'] - row['left_out']):.2f}" if row["views"] else "-"
        cells = [row["corpus"], row["arm"], _of(row["mb_per_s"]), _of(row["mb_per_cpu_s"])]
        found.append([*cells, _wanted(row["mb_per_cpu_s"]["median"] >= wanted, f"≥ {wanted}"), each, row["left_out"]])
    head = "corpus|what is told|MB/s|MB per CPU second|wanted|views a document|documents left out"
    return f"**Views alone.**\n\n{table(head, found)}\n\n{_sentences(rows)}"


def _sentences(rows: list[Row]) -> str:
    """Which share of the default formats' time is the cutting into sentences."""
    shares = []
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        arms = {row["arm"]: row for row in rows if row["corpus"] == corpus}
        each = [
            100 * cut["cpu_s"] / whole["cpu_s"]
            for cut, whole in zip(arms["sentences"]["repeats"], arms["family formats"]["repeats"], strict=True)
        ]
        shares.append(f"{corpus} {_of(spread(each), '.0f')} %")
    return f"Cutting into sentences takes, of the time of `family formats`: {', '.join(shares)}."


def _tokenizer(rows: list[Row]) -> str:
    found = []
    for row in rows:
        share = {name: 100 * value for name, value in row["share_of_its_time"].items()}
        cells = [row["corpus"], f"`{row['tokenizer']}`", row["vocab_size"], _of(row["mb_per_cpu_s"])]
        found.append([*cells, f"{_of(share)} %", _wanted(share["median"] <= 20, "≤ 20 %")])
    head = "corpus|tokenizer's call|its vocabulary|its MB per CPU second|the views take, of its time|wanted"
    return f"**Beside a byte-level BPE on the same text.**\n\n{table(head, found)}"


def _builder(rows: list[Row]) -> str:
    found = []
    for row in rows:
        opening = _of(spread([100 * repeat["open_s"] / repeat["wall_s"] for repeat in row["repeats"]]), ".0f")
        sizes = [f"{row['source_bytes'] / MB:.1f}", f"{row['view_bytes'] / MB:.1f}"]
        rate = row["mb_per_s"]
        cells = [_of(rate), _of(row["mb_per_cpu_s"]), _wanted(rate["median"] >= 15, "≥ 15"), f"{opening} %"]
        found.append([row["source"], *sizes, *cells])
    head = "documents|MB in|MB of views|MB/s|MB per CPU second|wanted|of it, reading and copying the documents"
    return f"**Builder to Arrow.**\n\n{table(head, found)}"


def _stream(rows: list[Row]) -> str:
    found = []
    for row in rows:
        peak = row["resident_peak_mb"]
        sizes = [f"{row['number']:,}", f"{row['source_bytes'] / MB:.0f}", f"{row['view_bytes'] / MB:.0f}"]
        rate = f"{row['view_bytes'] / MB / row['cpu_s']:.1f}"
        cells = [f"{row['open_s']:.0f}", f"{row['stream_s']:.0f}", rate, f"{row['resident_before_mb']:.0f}"]
        found.append([row["documents"], *sizes, *cells, f"{peak:.0f}", _wanted(peak < 500, "< 500")])
    head = (
        "documents|how many|MB in|MB of views|seconds to the first row|seconds from there|MB per CPU second in all"
        "|MB resident before|MB resident at most|wanted"
    )
    return f"**A stream.**\n\n{table(head, found)}"


def _processes(rows: list[Row]) -> str:
    found = []
    for row in rows:
        factor = row["times_as_fast"]
        one, two = (_of(spread([repeat["wall_s"] for repeat in row["repeats"][n]])) for n in "12")
        telling = _of(row["times_as_fast_telling"], ".2f")
        sizes = f"{row['view_bytes'] / MB:.1f}"
        found.append([sizes, one, two, _of(factor, ".2f"), _wanted(factor["median"] >= 1.8, "≥ 1.8"), telling])
    head = "MB of views|seconds, one process|seconds, two|times as fast|wanted|times as fast, telling alone"
    return f"**Two processes.**\n\n{table(head, found)}"


def augmenters(parts: Mapping[str, Any]) -> str:
    """The comparison of a results file of `augmenters.py`."""
    part = parts["augmenters"]
    rows = part["results"]
    ours = {row["corpus"]: row for row in rows if row["tool"] == "hf_knowlearn" and row["arm"] == "formats"}
    found = []
    for row in rows:
        times = [
            (our["bytes"] / our["cpu_s"]) / (their["bytes"] / their["cpu_s"])
            for our, their in zip(ours[row["corpus"]]["repeats"], row["repeats"], strict=True)
        ]
        is_ours = row["tool"] == "hf_knowlearn"
        factor = "" if is_ours else _of(spread(times), ",.0f")
        verdict = "" if is_ours else _wanted(spread(times)["median"] >= 100, "≥ 100")
        name = f"{row['tool']} {row['arm']}"
        found.append(
            [row["corpus"], name, row["documents"], _of(row["mb_per_cpu_s"], ".3g"), factor, verdict, *_gold(row)]
        )
    head = (
        "corpus|8 outputs a document by|documents timed|MB per CPU second|`formats` is times as fast|wanted"
        "|documents with answers|answers × outputs|destroyed|destroyed, words alone|by `View.find`"
    )
    return f"{table(head, found)}\n\n{_run(part['run'])}"


def _gold(row: Row) -> list[str]:
    gold = row["gold"]
    if not gold:
        return ["", "", "", "", ""]
    shares = [f"{100 * gold[key] / gold['asked']:.1f} %" for key in ("destroyed", "destroyed_words")]
    found = _wanted(gold["not_found"] == 0, f"{gold['not_found']}, wanted 0") if "not_found" in gold else ""
    return [f"{gold['documents']:,}", f"{gold['asked']:,}", *shares, found]


def metric(parts: Mapping[str, Any]) -> str:
    """Both parts of a results file of `metric.py`."""
    return _parts(parts, {"speed": _scoring, "memory": _memory})


def _scoring(rows: list[Row]) -> str:
    found = []
    for row in rows:
        milliseconds = {name: 1000 * value for name, value in row["cpu_s"].items()}
        factor = "" if row["arm"] == "squad" else _of(row["times_as_fast"])
        found.append([row["system"], f"{row['questions']:,}", row["arm"], _of(milliseconds), factor])
    head = "predictions of|questions|arm|ms of CPU time|times as fast as `squad`"
    return f"**Scoring.**\n\n{table(head, found)}"


def _memory(rows: list[Row]) -> str:
    found = [[f"{row['rows']:,}", row["arm"], f"{row['growth_mb']:.1f}", f"{row['cpu_s']:.1f}"] for row in rows]
    return f"**Memory.**\n\n{table('rows|arm|MB over what was held before|CPU seconds', found)}"


def asking(parts: Mapping[str, Any]) -> str:
    """Everybody asked about in a results file of `asking.py`."""
    return _parts(parts, {whom: partial(_asking, whom) for whom in parts})


def _asking(whom: str, counts: Row) -> str:
    found = []
    for row in counts["arms"]:
        is_ours = row["arm"] == "ours"
        times = row["ours_is_times_as_fast_cpu"]
        by_generate = row["arm"].startswith("generate, batch 32")
        found.append(
            [
                row["arm"],
                _of(row["answers_per_s"]),
                _of(row["answers_per_cpu_s"]),
                "" if is_ours else _of(row["ours_is_times_as_fast"]),
                "" if is_ours else _of(times),
                _wanted(times["median"] >= 3, "≥ 3") if by_generate else "",
                "" if row["equal_to_ours"] is None else f"{100 * row['equal_to_ours']:.2f} %",
            ]
        )
    asked = (
        f"{counts['questions']} questions, {counts['prompts']} prompts of {_of(counts['prompt_tokens'], '.0f')} tokens"
        f", {counts['samples']} samples; ours in batches of {counts['batch_size']}; a model of"
        f" {counts['steps_on_such_prompts']} steps on such prompts, which gave"
        f" {counts['different_answers_a_prompt']:.2f} different answers to a prompt"
    )
    head = "arm|answers/s|answers per CPU second|ours is times as fast|by CPU time|wanted|equal to ours"
    return f"**Asking, {whom}.** {asked}.\n\n{table(head, found)}"


def mastery(parts: Mapping[str, Any]) -> str:
    """Every half-learned world in a results file of `mastery.py`."""
    return _parts(parts, {part: partial(_mastery, part) for part in parts})


def _mastery(part: str, world: Row) -> str:
    found = []
    for row in world["settings"]:
        times = [f"{row[clock]['median']:.1f}" if clock in row else "" for clock in ("wall_s", "cpu_s")]
        shares = [f"{100 * row['agreement']:.1f} %", f"{row['kappa']:.3f}"]
        shares += [f"{100 * row['agreement_same_seed']:.1f} %", f"{row['kappa_same_seed']:.3f}"]
        found.append([row["setting"], row["answers_a_question"], *shares, _classes(row["classes"]), *times])
    rights = [
        f"{when}: {', '.join(f'{who} {share:.3f}' for who, share in world[when].items())}"
        for when in ("untaught", "taught")
    ]
    said = (
        f"{world['questions']} questions about {world['people']} new people and {world['known']} whom the base knew,"
        f" after {world['steps']} steps. Classes, highly to unknown: {_classes(world['classes'])}. Greedy answers"
        f" right, {'; '.join(rights)}"
    )
    head = (
        "setting|answers a question|same class, another seed|kappa|same class, same seed|kappa|classes, another seed"
        "|seconds|CPU seconds"
    )
    return f"**Mastery, {part}.** {said}.\n\n{table(head, found)}"


def _classes(counts: Mapping[str, int]) -> str:
    return " / ".join(str(counts.get(name, 0)) for name in ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"))


def table(head: str, rows: Iterable[Sequence[Any]]) -> str:
    """Markdown of a head, its cells parted by bars, and rows."""
    lines = [head.split("|"), ["---"] * len(head.split("|")), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _of(values: Mapping[str, float], form: str = ".1f") -> str:
    return f"{values['median']:{form}} ({values['min']:{form}} to {values['max']:{form}})"


def _wanted(reached: bool, wanted: str) -> str:
    return f"{wanted}: {'yes' if reached else '**no**'}"


def _run(run: Row) -> str:
    """When and where, and how busy the machine was."""
    commit = (run["commit"] or "no commit")[:10] + " and changes since" * run["changed_since_commit"]
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items() if version)
    machine = f"{run['cpu']}, {len(run['held_to_cores'])} of {run['cores']} cores, {run['memory_gb']:g} GB"
    load = f"load {run['load_before']:.1f} before and {run['load_after']:.1f} after"
    return f"*{run['date'][:10]}, {machine}, {load}; Python {run['python']}, {packages}; {commit}. `{run['command']}`*"


TABLES = {"views": views, "augmenters": augmenters, "metric": metric, "asking": asking, "mastery": mastery}


def into_readme(text: str) -> str:
    """`text` with the newest results, by the dates in their files' names, between the comments that mark their places.

    What has no results yet is left as it is.
    """
    for stem, tell in TABLES.items():
        if files := sorted(RESULTS.glob(f"{stem}-*.json")):
            before, opening, rest = text.partition(f"<!-- {stem} -->")
            told = tell(json.loads(files[-1].read_text(encoding="utf-8")))
            text = f"{before}{opening}\n{told}\n<!-- /{stem} -->{rest.partition(f'<!-- /{stem} -->')[2]}"
    return text


if __name__ == "__main__":
    README.write_text(into_readme(README.read_text(encoding="utf-8")), encoding="utf-8")
