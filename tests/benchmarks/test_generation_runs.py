"""The benchmark of answers runs at a tiny size, and all answers are equal."""

import json

import pytest

from hf_knowlearn.paths import TINY_BASE


@pytest.mark.slow
@pytest.mark.skipif(not TINY_BASE.is_dir(), reason="the tiny base is not there")
def test_all_answers_are_equal(run, tmp_path):
    size = "--questions 2 --prompts 2 --samples 3 --repeats 1 --steps 2 --one-by-one 4".split()
    done = run("generation.py", "--whom", "known", *size)
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    results = parts["known"]["results"]
    equal = {row["arm"]: row["equal_to_ours"] for row in results["arms"]}
    assert equal == {
        "ours": None,
        "ours, batch 32": 1,
        "generate, batch 32, our random numbers": 1,
        "generate, batch 32, its own sampling": None,
        "generate, batch 1, our random numbers": 1,
    }
    assert [row["answers"] for row in results["arms"]][:3] == [2 * 2 * 4] * 3
    import tables

    assert tables.generation(parts).count("100.00 %") == 3
