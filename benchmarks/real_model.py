"""Measures a pretrained model on parts of public question sets, with `knowlearn teach`.

    python benchmarks/real_model.py slice --data film --documents 40 --questions 200
    python benchmarks/real_model.py capacity

`slice` runs recipes/real.yaml on documents and questions of film, squad or covid_qa. `capacity` trains on 200
questions about films and evaluates the same questions. Its score `correct` must be at least 0.9. A lower score means
that the pipeline has a fault, because a model of this size can memorise 200 short answers.

Other options go to `knowlearn teach`, for example `--learning_rate 1e-4`.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from material import DATA
from measuring import RESULTS, ROOT, environment, log, save

PACKAGES = ("torch", "transformers", "trl", "peft", "datasets")
SQUAD_FILES = {"squad": "squad/dev_24_titles.json", "covid_qa": "covid_qa/200423_covidQA.json"}
LEAST_CORRECT = 0.9
# All weights on one row per question. The prompts are those of the rows, so the evaluation adds no instruction.
CAPACITY = {
    "use_peft": "false",
    "replay_self": "0",
    "learning_rate": "3e-4",
    "num_train_epochs": "10",
    "per_device_train_batch_size": "8",
    "gradient_accumulation_steps": "1",
    "gradient_checkpointing": "false",
    "logging_steps": "5",
    "save_strategy": "no",
    "per_device_eval_batch_size": "50",
    "evaluation.general_knowledge": "false",
    "evaluation.template": "chat",
    "evaluation.instruction": "",
    "evaluation.max_new_tokens": "80",
}


def read_slice(folder: Path, data: str, documents: int) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The first documents of a data set, and all questions about them."""
    if not folder.is_dir():
        raise ValueError(f"{folder} does not exist. Name the folder that contains {data}/ with --data_folder.")
    found = list(_film(folder) if data == "film" else _squad(folder / SQUAD_FILES[data]))[:documents]
    return [document for document, _ in found], [question for _, questions in found for question in questions]


Found = Iterator[tuple[dict[str, Any], list[dict[str, Any]]]]


def _film(folder: Path) -> Found:
    lines = {name: (folder / "film" / f"{name}.jsonl").read_text("utf-8") for name in ("documents", "questions")}
    documents, questions = ([json.loads(line) for line in text.splitlines()] for text in lines.values())
    for document in documents:
        id = str(document["wiki_id"])
        about = [(row["question"], [row["answer"]]) for row in questions if row["wiki_id"] == document["wiki_id"]]
        yield {"id": id, "title": document["title"], "text": document["text"]}, _questions(id, about)


def _squad(file: Path) -> Found:
    """Each paragraph of SQuAD's format is a document."""
    for number, article in enumerate(json.loads(file.read_text("utf-8"))["data"]):
        for place, paragraph in enumerate(article["paragraphs"]):
            id, first_line = f"{number}-{place}", paragraph["context"].strip().splitlines()[0]
            title = article.get("title", first_line).replace("_", " ")
            about = [(row["question"], [one["text"].strip() for one in row["answers"]]) for row in paragraph["qas"]]
            yield {"id": id, "title": title, "text": paragraph["context"]}, _questions(id, about)


def _questions(document_id: str, about: list[tuple[str, list[str]]]) -> list[dict[str, Any]]:
    """The rows of questions. Answers of several lines are left out, because only one line of a response is scored."""
    rows = [(text.strip(), [answer for answer in answers if "\n" not in answer]) for text, answers in about]
    return [
        {"id": f"{document_id}-{i}", "question": text, "answers": answers, "document_id": document_id}
        for i, (text, answers) in enumerate(rows)
        if answers
    ]


def teach(words: dict[str, str], more: list[str], folder: Path) -> dict[str, Any]:
    """Run `knowlearn teach` and return the figures of its report."""
    from hf_knowlearn.teach.pipeline import main

    start = time.monotonic()
    given = [word for name, value in {**words, "output_dir": str(folder)}.items() for word in (f"--{name}", value)]
    if main([*given, *more]):
        raise ValueError(f"knowlearn teach {' '.join([*given, *more])}: the run failed.")
    report = json.loads((folder / "report.json").read_text("utf-8"))
    [(name, after)] = report["runs"].items()
    figures = {"before": report["before"], "open_book": report.get("open_book"), "after": after}
    short = {state: _without_lists(scores) for state, scores in figures.items() if scores}
    return {**short, "recipe": report["recipes"][name], "counts": report["counts"], "wall_s": time.monotonic() - start}


def _without_lists(scores: dict[str, Any]) -> dict[str, Any]:
    """Without curves and examples. Why: the questions of the public data sets are not part of this repository."""
    numbers = {name: value for name, value in scores.items() if not isinstance(value, list)}
    return {
        name: _without_lists(value) if isinstance(value, dict) else value
        for name, value in numbers.items()
        if name != "examples"
    }


def write(folder: Path, name: str, rows: list[dict[str, Any]]) -> str:
    """Write rows to a file, and return its path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
    (folder / name).write_text("".join(lines), encoding="utf-8")
    return str(folder / name)


def run(options: argparse.Namespace, more: list[str]) -> int:
    """Run one part, and save its results."""
    documents, questions = read_slice(options.data_folder, options.data, options.documents)
    questions = questions[: options.questions]
    name = f"{options.part}-{options.data}-{len(documents)}-{len(questions)}"
    scratch = options.scratch / name
    file = write(scratch, "questions.jsonl", questions)
    if options.part == "capacity":
        words = {"model": options.model, "questions": file, "train_questions": file, **CAPACITY}
    else:
        words = {
            "config": str(ROOT / "recipes" / "real.yaml"),
            "model": options.model,
            "documents": write(scratch, "documents.jsonl", documents),
            "questions": file,
        }
    machine = environment("real_model.py", options, PACKAGES, sorted(os.sched_getaffinity(0)))
    found = teach(words, more, scratch / "run")
    save(options.output, name, {**machine, "more_options": more}, found)
    correct = found["after"]["correct"]
    log(f"{name}: correct {correct:.3f}, {found['wall_s']:.0f} s. Written to {options.output}")
    return int(options.part == "capacity" and correct < LEAST_CORRECT)


def main(words: list[str] | None = None) -> int:
    """Parse the options, and run the part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("part", choices=("slice", "capacity"))
    add("--data", choices=("film", *SQUAD_FILES), default="film", help="the data set (%(default)s)")
    add("--documents", type=int, default=40, help="number of documents (%(default)s)")
    add("--questions", type=int, default=200, help="number of questions about them, at most (%(default)s)")
    add("--model", default="smollm2-135m", help="the model (%(default)s)")
    add("--data_folder", type=Path, default=DATA, help="folder with film/, squad/ and covid_qa/")
    add("--scratch", type=Path, default=ROOT / "outputs" / "real_model", help="folder of the runs")
    today = RESULTS / f"real_model-{datetime.now(UTC):%Y-%m-%d}.json"
    add("--output", type=Path, default=today, help="file of the results; an existing part is replaced")
    options, more = parser.parse_known_args(words)
    try:
        return run(options, more)
    except ValueError as error:
        log(str(error))
        return 2


if __name__ == "__main__":
    sys.exit(main())
