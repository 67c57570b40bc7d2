"""The result files as tables in Markdown, with the target of each number.

A cell is a median, with minimum and maximum in brackets. This script writes the tables of README.md, and a test
compares them with the newest results.
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
    """All parts of a result file of `views.py`."""
    return _parts(
        parts,
        {"speed": _speed, "tokenizer": _tokenizer, "builder": _builder, "stream": _stream, "processes": _processes},
    )


def _parts(parts: Mapping[str, Any], tables: Mapping[str, Callable[[Any], str]]) -> str:
    """The table of each part, with its run below."""
    return "\n\n".join(
        f"{tables[part](parts[part]['results'])}\n\n{_run(parts[part]['run'])}" for part in tables if part in parts
    )


def _speed(rows: list[Row]) -> str:
    found = []
    for row in rows:
        if row["arm"] == "sentences":
            continue
        target = 30 if row["arm"] == "family formats" else 10
        each = f"{row['views'] / (row['documents'] - row['left_out']):.2f}" if row["views"] else "-"
        cells = [row["corpus"], row["arm"], _of(row["mb_per_s"]), _of(row["mb_per_cpu_s"])]
        found.append([*cells, _target(row["mb_per_cpu_s"]["median"] >= target, f"≥ {target}"), each, row["left_out"]])
    head = "corpus|views|MB/s|MB per CPU second|target|views per document|documents without views"
    return f"**Views alone.**\n\n{table(head, found)}\n\n{_sentences(rows)}"


def _sentences(rows: list[Row]) -> str:
    """The share of the segmentation into sentences in the time of the default formats."""
    shares = []
    for corpus in dict.fromkeys(row["corpus"] for row in rows):
        arms = {row["arm"]: row for row in rows if row["corpus"] == corpus}
        each = [
            100 * cut["cpu_s"] / whole["cpu_s"]
            for cut, whole in zip(arms["sentences"]["repeats"], arms["family formats"]["repeats"], strict=True)
        ]
        shares.append(f"{corpus} {_of(spread(each), '.0f')} %")
    return f"Share of the segmentation into sentences in the time of `family formats`: {', '.join(shares)}."


def _tokenizer(rows: list[Row]) -> str:
    found = []
    for row in rows:
        share = {name: 100 * value for name, value in row["share_of_its_time"].items()}
        cells = [row["corpus"], f"`{row['tokenizer']}`", row["vocab_size"], _of(row["mb_per_cpu_s"])]
        found.append([*cells, f"{_of(share)} %", _target(share["median"] <= 20, "≤ 20 %")])
    head = "corpus|call of the tokenizer|vocabulary|MB per CPU second|time of the views relative to it|target"
    return f"**Relative to a byte-level BPE on the same text.**\n\n{table(head, found)}"


def _builder(rows: list[Row]) -> str:
    found = []
    for row in rows:
        opening = _of(spread([100 * repeat["open_s"] / repeat["wall_s"] for repeat in row["repeats"]]), ".0f")
        sizes = [f"{row['source_bytes'] / MB:.1f}", f"{row['view_bytes'] / MB:.1f}"]
        rate = row["mb_per_s"]
        cells = [_of(rate), _of(row["mb_per_cpu_s"]), _target(rate["median"] >= 15, "≥ 15"), f"{opening} %"]
        found.append([row["source"], *sizes, *cells])
    head = "documents|MB of documents|MB of views|MB/s|MB per CPU second|target|share of reading and copying"
    return f"**Builder to Arrow.**\n\n{table(head, found)}"


def _stream(rows: list[Row]) -> str:
    found = []
    for row in rows:
        peak = row["resident_peak_mb"]
        sizes = [f"{row['number']:,}", f"{row['source_bytes'] / MB:.0f}", f"{row['view_bytes'] / MB:.0f}"]
        rate = f"{row['view_bytes'] / MB / row['cpu_s']:.1f}"
        cells = [f"{row['open_s']:.0f}", f"{row['stream_s']:.0f}", rate, f"{row['resident_before_mb']:.0f}"]
        found.append([row["documents"], *sizes, *cells, f"{peak:.0f}", _target(peak < 500, "< 500")])
    head = (
        "documents|number|MB of documents|MB of views|seconds to the first row|seconds after it|MB per CPU second"
        "|MB resident before|peak MB resident|target"
    )
    return f"**A stream.**\n\n{table(head, found)}"


def _processes(rows: list[Row]) -> str:
    found = []
    for row in rows:
        factor = row["times_as_fast"]
        one, two = (_of(spread([repeat["wall_s"] for repeat in row["repeats"][n]])) for n in "12")
        writing = _of(row["speedup_of_writing"], ".2f")
        sizes = f"{row['view_bytes'] / MB:.1f}"
        found.append([sizes, one, two, _of(factor, ".2f"), _target(factor["median"] >= 1.8, "≥ 1.8"), writing])
    head = "MB of views|seconds, one process|seconds, two|speedup|target|speedup of writing the views"
    return f"**Two processes.**\n\n{table(head, found)}"


def augmenters(parts: Mapping[str, Any]) -> str:
    """The comparison of a result file of `augmenters.py`."""
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
        verdict = "" if is_ours else _target(spread(times)["median"] >= 100, "≥ 100")
        name = f"{row['tool']} {row['arm']}"
        found.append(
            [row["corpus"], name, row["documents"], _of(row["mb_per_cpu_s"], ".3g"), factor, verdict, *_gold(row)]
        )
    head = (
        "corpus|8 outputs per document by|documents timed|MB per CPU second|speedup of `formats`|target"
        "|documents with answers|answers × outputs|missing|missing, words only|not found by `View.find`"
    )
    return f"{table(head, found)}\n\n{_run(part['run'])}"


def _gold(row: Row) -> list[str]:
    gold = row["gold"]
    if not gold:
        return ["", "", "", "", ""]
    shares = [f"{100 * gold[key] / gold['checked']:.1f} %" for key in ("destroyed", "destroyed_words")]
    found = _target(gold["not_found"] == 0, f"{gold['not_found']}, target 0") if "not_found" in gold else ""
    return [f"{gold['documents']:,}", f"{gold['checked']:,}", *shares, found]


def metric(parts: Mapping[str, Any]) -> str:
    """Both parts of a result file of `metric.py`."""
    return _parts(parts, {"speed": _scoring, "memory": _memory})


def _scoring(rows: list[Row]) -> str:
    found = []
    for row in rows:
        milliseconds = {name: 1000 * value for name, value in row["cpu_s"].items()}
        factor = "" if row["arm"] == "squad" else _of(row["times_as_fast"])
        found.append([row["system"], f"{row['questions']:,}", row["arm"], _of(milliseconds), factor])
    head = "predictions of|questions|arm|ms of CPU time|speedup over `squad`"
    return f"**Scoring.**\n\n{table(head, found)}"


def _memory(rows: list[Row]) -> str:
    found = [[f"{row['rows']:,}", row["arm"], f"{row['growth_mb']:.1f}", f"{row['cpu_s']:.1f}"] for row in rows]
    return f"**Memory.**\n\n{table('rows|arm|additional MB|CPU seconds', found)}"


def generation(parts: Mapping[str, Any]) -> str:
    """All groups of people in a result file of `generation.py`."""
    return _parts(parts, {whom: partial(_generation, whom) for whom in parts})


def _generation(whom: str, counts: Row) -> str:
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
                _target(times["median"] >= 3, "≥ 3") if by_generate else "",
                "" if row["equal_to_ours"] is None else f"{100 * row['equal_to_ours']:.2f} %",
            ]
        )
    setup = (
        f"{counts['questions']} questions, {counts['prompts']} prompts of {_of(counts['prompt_tokens'], '.0f')} tokens"
        f", {counts['samples']} samples; our batches have {counts['batch_size']} rows; the model has"
        f" {counts['steps_on_such_prompts']} training steps on such prompts and gives"
        f" {counts['different_answers_a_prompt']:.2f} different answers per prompt"
    )
    head = "arm|answers/s|answers per CPU second|speedup of ours|by CPU time|target|equal to ours"
    return f"**Answers, {whom}.** {setup}.\n\n{table(head, found)}"


def mastery(parts: Mapping[str, Any]) -> str:
    """All seeds in a result file of `mastery.py`."""
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
        for when in ("before", "after")
    ]
    setup = (
        f"{world['questions']} questions about {world['people']} new people and {world['known']} known ones,"
        f" after {world['steps']} steps. Classes from HighlyKnown to Unknown: {_classes(world['classes'])}. Greedy"
        f" exact match {'; '.join(rights)}"
    )
    head = (
        "setting|answers per question|same class, another seed|kappa|same class, same seed|kappa|classes, another seed"
        "|seconds|CPU seconds"
    )
    return f"**Mastery, {part}.** {setup}.\n\n{table(head, found)}"


def _classes(counts: Mapping[str, int]) -> str:
    return " / ".join(str(counts.get(name, 0)) for name in ("HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"))


def order_rules(parts: Mapping[str, Any]) -> str:
    """The result file of `order_rules.py`."""
    return _parts(parts, {"kinds": _kinds, "shares": _shares})


def _kinds(rows: list[Row]) -> str:
    """The wrong decisions about the order, and the confusion matrix of each file."""
    counts = [
        [
            row["file"],
            row["order_sensitive"],
            len(row["broken"]),
            row["permutable"],
            len(row["not_permuted"]),
            len(row["moved_too_far"]),
        ]
        for row in rows
    ]
    head = "file|order-sensitive|broken|with sentences that can move|of these not permuted|moved too far"
    matrices = []
    for row in rows:
        found = sorted({kind for each in row["confusion"].values() for kind in each})
        cells = [[label, *(each.get(kind, "") for kind in found)] for label, each in row["confusion"].items()]
        matrices.append(f"Labels in `{row['file']}` (rows) and kinds found:\n\n{table('|'.join(['', *found]), cells)}")
    return "\n\n".join([f"**Order of labelled documents.**\n\n{table(head, counts)}", *matrices])


def _shares(rows: list[Row]) -> str:
    found = []
    for row in rows:
        of_kinds = ", ".join(f"{kind} {count}" for kind, count in row["kinds"].items())
        share = f"{100 * row['permuted'] / row['documents']:.1f} %"
        found.append([row["collection"], row["documents"], row["permuted"], share, of_kinds])
    head = "collection|documents|permuted|share|kinds"
    return f"**Documents whose sentences can be permuted.**\n\n{table(head, found)}"


def html_readers(parts: Mapping[str, Any]) -> str:
    """The result file of `html_readers.py`."""
    return _parts(parts, {"pages": _html_pages, "sites": _html_sites})


def _html_pages(rows: list[Row]) -> str:
    kinds = ("content", "structure", "navigation")
    found = [
        [row["reader"], *(f"{right} of {total}" for right, total in map(row.get, kinds)), _of(row["mb_per_cpu_s"])]
        for row in rows
    ]
    head = "reader|content|structure|navigation removed|MB per CPU second"
    return f"**HTML readers.** Strings of ten pages that are right.\n\n{table(head, found)}"


def _html_sites(rows: list[Row]) -> str:
    found = [
        [
            row["reader"],
            *(f"{100 * row[name]:.1f} %" for name in ("recall", "precision", "median_precision")),
            row["pages_below_90_percent"],
            f"{row['mb_per_cpu_s']['median']:.1f}",
        ]
        for row in rows
    ]
    head = "reader|recall|precision|median precision|pages with a recall below 90 %|MB per CPU second"
    return f"**Words of {rows[0]['pages']} pages of mozilla/readability.**\n\n{table(head, found)}"


def table(head: str, rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table of a header, with bars between its cells, and rows."""
    lines = [head.split("|"), ["---"] * len(head.split("|")), *rows]
    return "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines)


def _of(values: Mapping[str, float], form: str = ".1f") -> str:
    return f"{values['median']:{form}} ({values['min']:{form}} to {values['max']:{form}})"


def _target(reached: bool, target: str) -> str:
    return f"{target}: {'yes' if reached else '**no**'}"


def _run(run: Row) -> str:
    """The date, the machine, its load, the versions and the command of a run."""
    commit = (run["commit"] or "no commit")[:10] + (" and changes since" if run["changed_since_commit"] else "")
    packages = ", ".join(f"{name} {version}" for name, version in run["packages"].items() if version)
    machine = f"{run['cpu']}, {len(run['held_to_cores'])} of {run['cores']} cores, {run['memory_gb']:g} GB"
    load = f"load {run['load_before']:.1f} before and {run['load_after']:.1f} after"
    return f"*{run['date'][:10]}, {machine}, {load}; Python {run['python']}, {packages}; {commit}. `{run['command']}`*"


TABLES = {
    "views": views,
    "augmenters": augmenters,
    "metric": metric,
    "generation": generation,
    "mastery": mastery,
    "html_readers": html_readers,
    "order_rules": order_rules,
}


def into_readme(text: str) -> str:
    """`text` with the tables of the newest results, by the dates in the file names, between their comments."""
    for stem, tables_of in TABLES.items():
        if files := sorted(RESULTS.glob(f"{stem}-*.json")):
            before, comment, rest = text.partition(f"<!-- {stem} -->")
            tables = tables_of(json.loads(files[-1].read_text(encoding="utf-8")))
            text = f"{before}{comment}\n{tables}\n<!-- /{stem} -->{rest.partition(f'<!-- /{stem} -->')[2]}"
    return text


if __name__ == "__main__":
    README.write_text(into_readme(README.read_text(encoding="utf-8")), encoding="utf-8")
