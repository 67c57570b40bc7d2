"""The examples in the docstrings of documents and worlds are true."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import hf_knowlearn.documents
import hf_knowlearn.worlds

MODULES = [
    f"{package.__name__}.{module.name}"
    for package in (hf_knowlearn.documents, hf_knowlearn.worlds)
    for module in pkgutil.iter_modules(package.__path__)
]
WITH_EXAMPLES = {
    "answer_search",
    "contamination",
    "conversation",
    "document",
    "error_report",
    "facts",
    "folder_settings",
    "front_matter",
    "language",
    "markdown_tables",
    "people",
    "reading",
    "sentence_ends",
    "sentences",
    "splitting",
    "order_rules",
    "sentence_rules",
    "structure",
}


def test_the_modules_with_examples_exist():
    names = {name.rpartition(".")[2] for name in MODULES}
    assert names >= WITH_EXAMPLES


@pytest.mark.parametrize("name", MODULES)
def test_examples_are_true(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [test for test in finder.find(importlib.import_module(name)) if test.examples]
    assert bool(found) == (name.rpartition(".")[2] in WITH_EXAMPLES)
    for number, test in enumerate(found):
        folder = tmp_path / str(number)
        folder.mkdir()
        monkeypatch.chdir(folder)
        results = doctest.DocTestRunner().run(test)
        assert results.failed == 0, test.name
