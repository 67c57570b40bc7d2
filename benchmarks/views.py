"""The speed of views: alone, relative to a tokenizer, written to Arrow, as a stream, and with two processes.

The unit is MB of view text per second (UTF-8 bytes; for `masked` also the prompt), with text and spans. A document
with fewer than 8 views gets all that it has, and the table counts these, so every arm has the same documents.

The part `speed` measures documents that the process has not seen before: each measurement runs in a forked process, in
which no document, structure or format is cached. Its first documents therefore also build the formats.
"""

import argparse
import json
import multiprocessing
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import material
import measuring
from measuring import MB, log, rates, rounds, spread, timed

NUM_VIEWS = 8
SEED = 0
PACKAGES = ("hf_knowlearn", "sentencex", "tokenizers", "datasets", "pyarrow")

MakeViews = Callable[[Any, int], list]  # (document, number of views) -> views


# Views alone


def speed(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Every family, every group of formats, and the segmentation into sentences, on each corpus."""
    from hf_knowlearn.documents.sentences import sentences
    from hf_knowlearn.views import FAMILIES, GROUPS

    makers: dict[str, MakeViews] = {f"family {name}": partial(_views_of, views) for name, views in FAMILIES.items()}
    makers |= {f"group {name}": partial(_views_of, FAMILIES["formats"], groups=[name]) for name in GROUPS}
    found = []
    for make in makers.values():
        most(make, _first_document())
    for corpus, documents in _corpora(options).items():
        todo = {name: _most_views_in_child(make, documents) for name, make in makers.items()}
        sizes = {name: _in_child(partial(_size, makers[name], todo[name])) for name in makers}
        works = {name: partial(_make_all, makers[name], todo[name]) for name in makers}
        works["sentences"] = lambda documents=documents: [sentences(d.text, d.language) for d in documents]
        arms = {name: partial(_in_child, partial(timed, work)) for name, work in works.items()}
        log(f"speed: {corpus}, {len(documents)} documents")
        for name, repeats in rounds(arms, options.repeats).items():
            row = {"corpus": corpus, "arm": name, "documents": len(documents), "document_bytes": _bytes(documents)}
            if name in sizes:
                row |= {
                    "left_out": len(documents) - len(todo[name]),
                    "views": sum(views for _, views in todo[name]),
                    "view_bytes": sizes[name],
                    **rates(sizes[name], repeats),
                }
            found.append({**row, "repeats": repeats})
    return found


def _first_document() -> Any:
    """A document that is in no corpus, so that libraries and tables are loaded before the measurements."""
    from hf_knowlearn.documents import Document

    return Document("first", "Tarn has a mill. Ormel has a harbour.\n\n- one\n- two\n\nAnna sings here. Bo bakes.")


def _in_child(work: Callable[[], Any]) -> Any:
    """The result of `work` in a forked process, whose caches are those of this process."""
    context = multiprocessing.get_context("fork")
    receiver, sender = context.Pipe(duplex=False)
    child = context.Process(target=lambda: sender.send(work()))
    child.start()
    sender.close()
    try:
        return receiver.recv()
    except EOFError:
        raise RuntimeError("A forked process ended without a result. Its error is above.") from None
    finally:
        child.join()


def _most_views_in_child(make: MakeViews, documents: Sequence[Any]) -> list[tuple[Any, int]]:
    """As `_most_views`, without caching anything in this process."""
    numbers = _in_child(lambda: [len(most(make, document)) for document in documents])
    return [(document, number) for document, number in zip(documents, numbers, strict=True) if number]


def _views_of(views: Callable[..., list], document: Any, number: int, **options: Any) -> list:
    return views(document, number, SEED, **options)


def _make_all(make: MakeViews, todo: Sequence[tuple[Any, int]]) -> None:
    for document, number in todo:
        make(document, number)


def _most_views(make: MakeViews, documents: Sequence[Any]) -> list[tuple[Any, int]]:
    """Each document with its number of views, at most `NUM_VIEWS`. Documents without views are left out."""
    return [(d, number) for d in documents if (number := len(most(make, d)))]


def most(make: MakeViews, document: Any) -> list:
    """`NUM_VIEWS` views of `document`, or as many as it has."""
    from hf_knowlearn.views import TooFewViewsError

    try:
        return make(document, NUM_VIEWS)
    except TooFewViewsError as error:
        return make(document, error.available) if error.available else []


def _size(make: MakeViews, todo: Sequence[tuple[Any, int]]) -> int:
    return sum(len(v.text.encode()) + len(v.prompt.encode()) for d, number in todo for v in make(d, number))


def _bytes(documents: Sequence[Any]) -> int:
    return sum(len(document.text.encode()) for document in documents)


def _corpora(options: argparse.Namespace) -> dict[str, list]:
    return {
        "film": material.film(options.data, options.documents),
        "books": material.books(options.data, options.documents),
    }


# Beside a tokenizer


def tokenizer(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The time of the default formats relative to that of a byte-level BPE on the views."""
    from hf_knowlearn.views import format_views

    bpe = _byte_level_bpe(options.data, options.vocab_size)
    found = []
    for corpus, documents in _corpora(options).items():
        log(f"tokenizer: {corpus}")
        make = partial(_views_of, format_views)
        todo = _most_views(make, documents)
        texts = [view.text for d, number in todo for view in make(d, number)]
        size = sum(len(text.encode()) for text in texts)
        ways = {"encode_batch": bpe.encode_batch, "encode_batch_fast": bpe.encode_batch_fast}
        arms = {"views": partial(timed, partial(_make_all, make, todo))}
        arms |= {name: partial(timed, partial(_encode, encode, texts)) for name, encode in ways.items()}
        repeats = rounds(arms, options.repeats)
        for name in ways:
            shares = [
                one["cpu_s"] / other["cpu_s"] for one, other in zip(repeats["views"], repeats[name], strict=True)
            ]
            row = {"corpus": corpus, "tokenizer": name, "vocab_size": bpe.get_vocab_size(), "view_bytes": size}
            row |= {"share_of_its_time": spread(shares), **rates(size, repeats[name])}
            found.append({**row, "repeats": repeats[name], "repeats_of_views": repeats["views"]})
    return found


def _byte_level_bpe(data: Path, vocab_size: int) -> Any:
    """A byte-level BPE like that of GPT-2, trained on the books."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    bpe.train_from_iterator((text for _, text in material.book_texts(data)), trainer)
    return bpe


def _encode(encode: Callable[[list[str]], Any], texts: list[str], batch: int = 1000) -> None:
    for start in range(0, len(texts), batch):
        encode(texts[start : start + batch])


# To Arrow


def builder(options: argparse.Namespace) -> list[dict[str, Any]]:
    """From a file of documents to an Arrow dataset: read, check, make the views, write."""
    found = []
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        files = {"film": _film_file(Path(scratch), options), "pairs": _pairs_file(Path(scratch), options)}
        log(f"builder: {', '.join(files)}")
        sizes = {name: _built_bytes(file, Path(scratch)) for name, file in files.items()}
        arms = {name: partial(_build, file, Path(scratch)) for name, file in files.items()}
        for name, repeats in rounds(arms, options.repeats).items():
            row = {"source": name, "source_bytes": files[name].stat().st_size, "view_bytes": sizes[name]}
            found.append({**row, **rates(sizes[name], repeats), "repeats": repeats})
    return found


def _film_file(folder: Path, options: argparse.Namespace) -> Path:
    """The documents about films, unchanged."""
    lines = (options.data / "film" / "documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    file = folder / "film.jsonl"
    file.write_text("".join(lines[: options.documents]), encoding="utf-8")
    return file


def _pairs_file(folder: Path, options: argparse.Namespace) -> Path:
    """Pairs of a part of a book and a film."""
    corpora = _corpora(options)
    file = folder / "pairs.jsonl"
    material.write(file, material.pairs(corpora["books"], corpora["film"]), options.builder_mb)
    return file


def _build(file: Path, scratch: Path, num_proc: int | None = None) -> measuring.Repeat:
    """One build in an empty cache: seconds to open the documents (read, check, copy), to write the views, in total."""
    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        builders: list[Any] = []
        opened = timed(lambda: builders.append(_builder(file, cache)))
        written = timed(lambda: builders[0].download_and_prepare(num_proc=num_proc))
    return {
        **{key: opened[key] + written[key] for key in written},
        "open_s": opened["wall_s"],
        "write_s": written["wall_s"],
    }


def _builder(file: Path, cache: str) -> Any:
    import datasets

    from hf_knowlearn.format_aug import FormatAugmentedDataset

    datasets.disable_progress_bars()
    return FormatAugmentedDataset(cache, source=str(file), num_views=NUM_VIEWS, seed=SEED)


def _built_bytes(file: Path, scratch: Path) -> int:
    """Bytes of view text in the dataset. This build also absorbs the cost of the first use of each library."""
    import pyarrow.compute as compute

    with tempfile.TemporaryDirectory(dir=scratch) as cache:
        built = _builder(file, cache)
        built.download_and_prepare()
        column = built.as_dataset("train").data["text"]
        return sum(compute.sum(compute.binary_length(chunk)).as_py() for chunk in column.chunks)


# Two processes


def processes(options: argparse.Namespace) -> list[dict[str, Any]]:
    """The same build with one process and with two: the speedup in total, and of writing the views."""
    with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
        file = _pairs_file(Path(scratch), options)
        log("processes")
        row = {"source_bytes": file.stat().st_size, "view_bytes": _built_bytes(file, Path(scratch))}
        repeats = rounds({str(n): partial(_build, file, Path(scratch), n) for n in (1, 2)}, options.repeats)
        turns = list(zip(repeats["1"], repeats["2"], strict=True))
        factors = {
            "times_as_fast": spread([one["wall_s"] / two["wall_s"] for one, two in turns]),
            "speedup_of_writing": spread([one["write_s"] / two["write_s"] for one, two in turns]),
        }
        return [{**row, **factors, "repeats": repeats}]


# A stream


def stream(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Documents that are much larger than the allowed memory, streamed in a process whose memory is measured."""
    found = []
    corpora = _corpora(options)
    sources = {
        "pairs": lambda: material.pairs(corpora["books"], corpora["film"]),
        "film, numbered": lambda: material.numbered(corpora["film"]),  # more documents, since they are short
    }
    for name, texts in sources.items():
        with tempfile.TemporaryDirectory(dir=options.scratch) as scratch:
            file = Path(scratch) / "documents.jsonl"
            number = material.write(file, texts(), options.stream_mb)
            log(f"stream: {number} documents, {file.stat().st_size / MB:.0f} MB")
            child = [sys.executable, __file__, "--stream-child", file, f"{scratch}/cache", options.stream_views]
            done = subprocess.run(list(map(str, child)), capture_output=True, text=True, check=False)
            if done.returncode:
                raise RuntimeError(f"The stream ended with {done.returncode}:\n{done.stderr[-2000:]}")
            row = {"documents": name, "number": number, "source_bytes": file.stat().st_size}
            found.append({**row, **json.loads(done.stdout)})
    return found


def stream_child(file: str, cache: str, num_views: str) -> None:
    """Print the seconds and the peak resident memory of streaming `file`."""
    measuring.hold(1)
    from hf_knowlearn.format_aug import load_format_aug

    load_format_aug  # noqa: B018  loads datasets
    before = _resident_mb()
    start, cpu = time.perf_counter(), time.process_time()
    rows = load_format_aug(file, split="train", streaming=True, num_views=int(num_views), seed=SEED, cache_dir=cache)
    opened = time.perf_counter()
    number = size = 0
    for row in rows:
        number += 1
        size += len(row["text"].encode())
    end = time.perf_counter()
    seconds = {"open_s": opened - start, "stream_s": end - opened, "cpu_s": time.process_time() - cpu}
    memory = {"resident_before_mb": before, "resident_peak_mb": _resident_mb(), "getrusage_peak_mb": _getrusage_mb()}
    print(json.dumps({"rows": number, "view_bytes": size, **seconds, **memory}))


def _resident_mb() -> float:
    """The peak resident memory so far (VmHWM), in MB of 1,000,000 bytes.

    Why not getrusage: its value for a child starts with the memory of its parent.
    """
    for line in Path("/proc/self/status").read_text(encoding="ascii").splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / MB
    raise RuntimeError("/proc/self/status has no VmHWM. Run this on Linux.")


def _getrusage_mb() -> float:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / MB


# The script

PARTS = {"speed": speed, "tokenizer": tokenizer, "builder": builder, "stream": stream, "processes": processes}
CORES = {"processes": 2}


def main(words: Sequence[str] | None = None) -> int:
    """Measure the chosen parts. Returns 1 if one failed."""
    options = _parser().parse_args(words)
    parts = PARTS if options.part == "all" else {options.part: PARTS[options.part]}
    return measuring.measure("views.py", options, PACKAGES, parts, CORES)


def _parser() -> argparse.ArgumentParser:
    parser = measuring.parser(__doc__, "views", repeats=7)
    parser.add_argument("--part", choices=[*PARTS, "all"], default="all", help="what to measure")
    parser.add_argument("--data", type=Path, default=material.DATA, help="folder that contains film/ and books/")
    parser.add_argument("--documents", type=int, help="maximum number of documents of each corpus")
    parser.add_argument("--vocab-size", type=int, default=32_000, help="size of the tokenizer's vocabulary")
    parser.add_argument("--builder-mb", type=float, default=20, help="MB of documents to build from")
    parser.add_argument("--stream-mb", type=float, default=1000, help="MB of documents to stream")
    parser.add_argument("--stream-views", type=int, default=1, help="views of each document streamed")
    return parser


if __name__ == "__main__":
    if sys.argv[1:2] == ["--stream-child"]:
        stream_child(*sys.argv[2:])
    else:
        sys.exit(main())
