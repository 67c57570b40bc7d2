"""Views compared with nlpaug and textattack: the speed of eight copies of a document, and which answers survive.

The other tools run in their own environment (README.md), and all arms alternate. Each arm runs for the same number of
seconds, not on the same number of documents: one tool takes as long for one document as ours for thousands. The table
has the number of documents. Answers are counted separately, in more documents.
"""

import argparse
import json
import os
import platform
import random
import re
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import measuring
from measuring import MB, log, spread

NUM_VIEWS = 8
SEED = 0
# The corpora of each tool. textattack needs many minutes for one long document of `books`.
CORPORA = {"hf_knowlearn": ("film", "books"), "nlpaug": ("film", "books"), "textattack": ("film",)}

Row = dict[str, Any]
Augment = Callable[[Mapping[str, Any]], list[str]]


# Gold answers


def plain(text: str) -> str:
    """`text` with single spaces as white space."""
    return " ".join(text.split())


def words(text: str) -> str:
    """The words of `text` between spaces, without case and punctuation."""
    found = re.findall(r"[^\W_]+", text.casefold())
    return f" {' '.join(found)} "


def gold_answers(text: str, answers: Sequence[str]) -> list[str]:
    """The distinct answers that occur in `text` as whole words with the same spelling."""
    return [a for a in dict.fromkeys(answers) if a.split() and plain(a) in plain(text) and words(a) in words(text)]


def destroyed(answers: Sequence[str], outputs: Sequence[str]) -> Counter[str]:
    """How often an answer is missing from an output: by its spelling, and by its words only.

    The second count ignores changes of punctuation and case.
    """
    found = Counter(checked=len(answers) * len(outputs), destroyed=0, destroyed_words=0)
    for output in outputs:
        found["destroyed"] += sum(plain(answer) not in plain(output) for answer in answers)
        found["destroyed_words"] += sum(words(answer) not in words(output) for answer in answers)
    return found


def write_documents(file: Path, data: Path, most: int | None) -> None:
    """Write the documents of both corpora with their answers, shuffled with `SEED`."""
    import material

    from hf_knowlearn.documents import read_questions

    answers: dict[str | None, list[str]] = {}
    for question in read_questions(data / "film" / "questions.jsonl", on_bad="drop"):
        answers.setdefault(question.document_id, []).extend(question.answers)
    found = {"film": material.film(data), "books": material.books(data)}
    rows = {
        corpus: [
            {
                "id": d.id,
                "part": d.part,
                "title": d.title,
                "text": d.text,
                "answers": gold_answers(d.text, answers.get(d.id, [])),
            }
            for d in random.Random(SEED).sample(documents, len(documents))[:most]
        ]
        for corpus, documents in found.items()
    }
    file.write_text(json.dumps(rows), encoding="utf-8")


# The tools, each as functions from a document to eight texts


def hf_knowlearn(scratch: Path) -> dict[str, Any]:
    """Every family of views. They return `View` objects, which also find answers."""
    from views import most

    from hf_knowlearn.documents import Document
    from hf_knowlearn.views import FAMILIES

    def make(views: Callable[..., list[Any]], row: Mapping[str, Any]) -> list[Any]:
        document = Document(row["id"], row["text"], row["title"], part=row["part"])
        return most(lambda document, number: views(document, number, SEED), document)

    return {family: partial(make, views) for family, views in FAMILIES.items()}


def nlpaug(scratch: Path) -> dict[str, Augment]:
    """Its word augmenters that need no other data, with their defaults (three words in ten, at most ten)."""
    import nlpaug.augmenter.word as naw

    tools = {
        "swap": naw.RandomWordAug(action="swap"),
        "delete": naw.RandomWordAug(action="delete"),
        "split": naw.SplitAug(),
    }
    return {
        arm: partial(lambda tool, row: tool.augment(row["text"], n=NUM_VIEWS), tool) for arm, tool in tools.items()
    }


def textattack(scratch: Path) -> dict[str, Augment]:
    """Its augmenters that need no WordNet, with their defaults (one word in ten). Letters replace synonyms.

    On import it downloads data that is not used here, and reads the stop words of NLTK. The marker file prevents the
    download, and scikit-learn provides the stop words.
    """
    from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

    folder = scratch / "textattack"
    folder.mkdir()
    (folder / "post_install_check_3").touch()
    (folder / "corpora" / "stopwords").mkdir(parents=True)
    (folder / "corpora" / "stopwords" / "english").write_text("\n".join(sorted(ENGLISH_STOP_WORDS)), encoding="ascii")
    os.environ.update(TA_CACHE_DIR=str(folder), NLTK_DATA=str(folder), HF_HUB_OFFLINE="1")
    from textattack.augmentation import Augmenter
    from textattack.augmentation.recipes import DEFAULT_CONSTRAINTS, DeletionAugmenter, SwapAugmenter
    from textattack.transformations import WordSwapRandomCharacterInsertion

    insertion = WordSwapRandomCharacterInsertion()
    tools = {
        "swap": SwapAugmenter(transformations_per_example=NUM_VIEWS),
        "delete": DeletionAugmenter(transformations_per_example=NUM_VIEWS),
        "insert": Augmenter(insertion, DEFAULT_CONSTRAINTS, transformations_per_example=NUM_VIEWS),
    }
    return {arm: partial(lambda tool, row: tool.augment(row["text"]), tool) for arm, tool in tools.items()}


TOOLS = {"hf_knowlearn": hf_knowlearn, "nlpaug": nlpaug, "textattack": textattack}
PACKAGES = {
    "hf_knowlearn": ("hf_knowlearn", "sentencex"),
    "nlpaug": ("nlpaug", "numpy"),
    "textattack": ("textattack", "flair", "transformers", "torch"),
}


# One tool in its own process, which answers requests


def work(tool: str, file: str) -> None:
    """Answer the requests to `tool`, one per line. The tool's own output goes to standard error."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def send(answer: Row) -> None:
        output.write(json.dumps(answer) + "\n")
        output.flush()

    measuring.hold(1)
    documents = json.loads(Path(file).read_text(encoding="utf-8"))
    try:
        arms = TOOLS[tool](Path(file).parent)
    except ImportError as error:
        send({"error": str(error)})
        return
    packages = {name: measuring.version(name) for name in PACKAGES[tool]}
    send({"arms": list(arms), "packages": packages, "python": platform.python_version()})
    for line in sys.stdin:
        request = json.loads(line)
        _seed()
        send(ANSWERS[request.pop("ask")](arms[request.pop("arm")], documents[request.pop("corpus")], **request))


def _seed() -> None:
    random.seed(SEED)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(SEED)


def within(augment: Augment, rows: Sequence[Row], seconds: float) -> Iterator[tuple[Row, list[Any]]]:
    """Each row with its outputs, at least one row, until `seconds` of CPU time have passed."""
    start = time.process_time()
    for row in rows:
        yield row, augment(row)
        if time.process_time() - start > seconds:
            return


def count(augment: Augment, rows: Sequence[Row], seconds: float) -> Row:
    """How many documents `augment` processes in `seconds`, and the number of outputs."""
    outputs = [len(texts) for _, texts in within(augment, rows, seconds)]
    return {"documents": len(outputs), "outputs": sum(outputs)}


def ask_for_gold(augment: Augment, rows: Sequence[Row], seconds: float) -> Row:
    """The counts of surviving answers in the documents that `augment` processes in `seconds`."""
    gold: Counter[str] = Counter()
    for row, texts in within(augment, [row for row in rows if row["answers"]], seconds):
        gold += Counter(documents=1)
        gold.update(_gold(row["answers"], texts))
    return dict(gold)


def _gold(answers: Sequence[str], outputs: Sequence[Any]) -> Counter[str]:
    gold = destroyed(answers, [getattr(one, "text", one) for one in outputs])
    if views := [one for one in outputs if not isinstance(one, str)]:
        gold["not_found"] = sum(not view.find(answer) for view in views for answer in answers)
    return gold


def time_it(augment: Augment, rows: Sequence[Row], documents: int) -> Row:
    """The seconds for the first `documents`, and the bytes of the outputs, which are counted outside the timing."""
    taken: Counter[str] = Counter()
    for row in rows[:documents]:
        outputs: list[Any] = []
        taken.update(measuring.timed(lambda row=row, outputs=outputs: outputs.extend(augment(row))))
        texts = [one if isinstance(one, str) else one.text + one.prompt for one in outputs]
        taken["bytes"] += sum(len(text.encode()) for text in texts)
    return dict(taken)


ANSWERS: Mapping[str, Callable[..., Row]] = {"gold": ask_for_gold, "count": count, "time": time_it}


class Worker:
    """A tool in its own process."""

    def __init__(self, tool: str, python: str, file: Path) -> None:
        self.log = open(file.with_name(f"{tool}.log"), "w+", encoding="utf-8")  # noqa: SIM115  closed by `close`
        self.process = subprocess.Popen(
            [python, __file__, "--worker", tool, str(file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self.log,
            text=True,
        )
        self.hello = self._receive()

    def ask(self, **request: Any) -> Row:
        """The tool's answer to a request."""
        assert self.process.stdin
        self.process.stdin.write(json.dumps(request) + "\n")
        self.process.stdin.flush()
        return self._receive()

    def _receive(self) -> Row:
        assert self.process.stdout
        if line := self.process.stdout.readline():
            return json.loads(line)
        self.log.seek(0)
        raise RuntimeError(f"A tool's process ended with {self.process.wait()}:\n{self.log.read()[-2000:]}")

    def close(self) -> None:
        """End the process."""
        self.process.communicate()
        self.log.close()


# The comparison


def compare(options: argparse.Namespace, run: Row) -> tuple[list[Row], list[str]]:
    """A row for each tool, arm and corpus, measured alternately; and the errors of tools that can't run."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        file = Path(scratch) / "documents.json"
        write_documents(file, options.data, options.documents)
        pythons = {"hf_knowlearn": sys.executable}
        if options.other_python:
            pythons |= dict.fromkeys(("nlpaug", "textattack"), str(options.other_python))
        workers = {tool: Worker(tool, python, file) for tool, python in pythons.items()}
        try:
            errors = [f"{tool}: {w.hello['error']}" for tool, w in workers.items() if "error" in w.hello]
            working = {tool: worker for tool, worker in workers.items() if "arms" in worker.hello}
            for tool, worker in working.items():
                run["packages"] |= worker.hello["packages"]
                run[f"python_of_{tool}"] = worker.hello["python"]
            return _measure(working, options), errors
        finally:
            for worker in workers.values():
                worker.close()


def _measure(workers: Mapping[str, Worker], options: argparse.Namespace) -> list[Row]:
    rows: dict[str, Row] = {}
    arms: dict[str, Callable[[], Row]] = {}
    for tool, worker in workers.items():
        for corpus in CORPORA[tool]:
            for arm in worker.hello["arms"]:
                log(f"{tool} {arm}, {corpus}")
                what = {"arm": arm, "corpus": corpus}
                gold = worker.ask(ask="gold", **what, seconds=options.gold_seconds)
                counted = worker.ask(ask="count", **what, seconds=options.seconds)
                name = f"{tool} {arm} {corpus}"
                rows[name] = {"corpus": corpus, "tool": tool, "arm": arm, **counted, "gold": gold}
                arms[name] = partial(worker.ask, ask="time", **what, documents=counted["documents"])
    log("timing")
    for name, repeats in measuring.rounds(arms, options.repeats).items():
        each = [repeat["bytes"] / MB / repeat["cpu_s"] for repeat in repeats]
        rows[name] |= {"mb_per_cpu_s": spread(each), "repeats": repeats}
    return sorted(rows.values(), key=lambda row: row["corpus"], reverse=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Compare the tools. Returns 1 if one can't run."""
    options = _parser().parse_args(arguments)
    run = measuring.environment("augmenters.py", options, (), measuring.hold(1))
    results, errors = compare(options, run)
    measuring.save(options.output, "augmenters", run, results)
    if not options.other_python:
        errors.append("nlpaug, textattack: name the Python of their environment with --other-python (README.md)")
    for error in errors:
        log(f"Failed: {error}")
    return bool(errors)


def _parser() -> argparse.ArgumentParser:
    import material

    parser = measuring.parser(__doc__, "augmenters", repeats=5)
    parser.add_argument("--other-python", type=Path, help="the Python of the environment with the other tools")
    parser.add_argument("--data", type=Path, default=material.DATA, help="folder that contains film/ and books/")
    parser.add_argument("--seconds", type=float, default=2, help="CPU seconds of each measurement, about")
    parser.add_argument("--gold-seconds", type=float, default=60, help="maximum CPU seconds to count answers")
    parser.add_argument("--documents", type=int, help="maximum number of documents of each corpus")
    return parser


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        work(*sys.argv[2:])
    else:
        sys.exit(main())
