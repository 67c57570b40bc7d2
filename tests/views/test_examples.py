"""The examples in the docstrings of views are correct."""

import doctest
import importlib
import pkgutil

import pytest

import hf_knowlearn.views

MODULES = {module.name for module in pkgutil.iter_modules(hf_knowlearn.views.__path__)}
WITH_EXAMPLES = {"view", "formats", "order", "masked", "mixed", "layout", "proof", "coverage", "similarity"}


@pytest.mark.parametrize("name", sorted(MODULES))
def test_examples_are_correct(name: str):
    results = doctest.testmod(importlib.import_module(f"hf_knowlearn.views.{name}"))
    assert results.failed == 0
    assert (results.attempted > 0) == (name in WITH_EXAMPLES)
