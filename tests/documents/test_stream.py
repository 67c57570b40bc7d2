"""`iter_documents`: same documents as `read_documents`, constant memory, and no document after a problem."""

import subprocess
import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from hf_knowlearn.documents import Document, iter_documents, read_documents
from hf_knowlearn.documents.language import with_languages

Write = Callable[[Path, str | bytes], Path]
WriteRows = Callable[..., Path]


def test_no_document_follows_the_first_problem_and_the_error_has_all_problems(
    tmp_path: Path, write: Write, write_rows: WriteRows
):
    path = write_rows(tmp_path / "a.jsonl", {"text": "One."}, {"text": 2}, {"text": "Three."})
    write(tmp_path / "b.txt", b"\xff")
    documents = iter_documents(tmp_path)
    assert next(documents).text == "One."
    with pytest.raises(ValueError, match="2 problems") as caught:
        next(documents)
    assert f"{path}:2: text must be" in str(caught.value)
    assert f"{tmp_path / 'b.txt'}: not UTF-8" in str(caught.value)
    assert next(documents, None) is None


def test_problems_of_paths_and_options_are_raised_immediately(tmp_path: Path, write: Write):
    write(tmp_path / "a.txt", "")
    with pytest.raises(ValueError, match="no such file or folder") as caught:
        iter_documents([tmp_path / "a.txt", tmp_path / "none.txt"])
    assert "a.txt: text is empty" in str(caught.value)
    with pytest.raises(ValueError, match=r"^empty must be 'raise' or 'drop', got ''; duplicates must be 'keep' or"):
        iter_documents(tmp_path, empty="", duplicates="")


def test_an_empty_list_of_paths_is_an_error():
    with pytest.raises(ValueError, match="the list of paths is empty; give at least one path"):
        iter_documents([])


def test_ids_in_a_list_are_paths_below_the_common_folder(
    tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
):
    names = ["a.txt", "b/a.txt", "b/c.jsonl", "b/d/a.txt"]
    for name in names:
        write(tmp_path / name, '{"text": "Row."}' if name.endswith("jsonl") else name)
    folder = read_documents(tmp_path)
    assert [d.id for d in folder] == ["a.txt", "b/a.txt", "b/c.jsonl:1", "b/d/a.txt"]
    monkeypatch.chdir(tmp_path / "b")
    assert list(iter_documents([tmp_path / "a.txt", "a.txt", Path("c.jsonl"), "../b/d"])) == folder
    assert [d.id for d in iter_documents(["d", "a.txt"])] == ["d/a.txt", "a.txt"]


def test_a_repeated_file_is_an_error(tmp_path: Path, write: Write):
    path = write(tmp_path / "a.txt", "Text.")
    with pytest.raises(ValueError, match=r"the id 'a\.txt' is already used at "):
        list(iter_documents([path, path]))


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".parquet", ".txt"])
def test_memory_does_not_grow_with_the_documents(tmp_path: Path, suffix: str, write: Write, write_rows: WriteRows):
    texts = [f"{number} {'x' * 50_000}" for number in range(400)]  # 20 MB
    if suffix == ".txt":
        for number, text in enumerate(texts):
            write(tmp_path / f"{number}.txt", text)
    elif suffix == ".parquet":
        table = pyarrow.table({"text": texts})
        options = {"compression": "none", "use_dictionary": False, "write_batch_size": 16}  # else it is all one page
        pyarrow.parquet.write_table(table, tmp_path / "a.parquet", **options)
        del table
    elif suffix == ".csv":
        write(tmp_path / "a.csv", "text\n" + "\n".join(texts))
    else:
        write_rows(tmp_path / "a.jsonl", *[{"text": text} for text in texts])
    del texts
    list(with_languages([Document("d", "word " * 20, language="und")]))  # loads the detector
    tracemalloc.start()
    before = pyarrow.total_allocated_bytes()
    try:
        count, arrow = 0, 0
        for _ in iter_documents(tmp_path):
            count += 1
            arrow = max(arrow, pyarrow.total_allocated_bytes() - before)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert count == 400
    assert peak + arrow < 10_000_000


def test_reading_documents_loads_no_heavy_library(tmp_path: Path, write: Write):
    write(tmp_path / "a.txt", "Text.")
    write(tmp_path / "b.csv", "text\nRow.\n")
    code = "import sys; from hf_knowlearn import read_documents; read_documents(sys.argv[1]); print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code, str(tmp_path)], text=True).split()
    assert "hf_knowlearn.documents.reading" in loaded
    assert not {"numpy", "pyarrow", "datasets", "markitdown", "torch", "transformers"} & set(loaded)
