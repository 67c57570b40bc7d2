"""The benchmark of mastery: Cohen's kappa, and a run at a tiny size."""

import json

import pytest

from hf_knowlearn.paths import TINY_BASE


def test_kappa_is_cohens():
    from mastery import agreeing, kappa

    # Cohen 1960: the agreement is 0.7; by chance it is 0.5 * 0.6 + 0.5 * 0.4 = 0.5.
    one, other = "aaaaabbbbb", "aaaabbbbaa"
    assert agreeing(one, other) == pytest.approx(0.7)
    assert kappa(one, other) == pytest.approx((0.7 - 0.5) / (1 - 0.5))
    assert kappa("aab", "aab") == kappa("aaa", "aaa") == 1
    assert kappa("ab", "ba") == -1


def test_its_settings_are_the_presets():
    from mastery import FULL, QUICK

    from hf_knowlearn.evaluation.mastery import PRESETS

    assert {name: (counts["prompts"], counts["samples"]) for name, counts in PRESETS.items()} == {
        "quick": QUICK,
        "full": FULL,
    }


@pytest.mark.slow
@pytest.mark.skipif(not TINY_BASE.is_dir(), reason="the tiny base is not there")
def test_it_measures_every_setting(run, tmp_path):
    done = run("mastery.py", *"--seeds 0 --people 5 --known 5 --steps 2".split())
    assert done.returncode == 0, done.stderr
    parts = json.loads((tmp_path / "results.json").read_text(encoding="utf-8"))
    world = parts["seed 0"]["results"]
    assert world["questions"] == sum(world["classes"].values()) == 50
    assert [row["answers_a_question"] for row in world["settings"]][-1] == 170
    assert [row["setting"] for row in world["settings"] if "cpu_s" in row] == [
        "5 prompts, 4 samples",
        "10 prompts, 16 samples",
    ]
    import tables

    assert tables.mastery(parts).count(" prompts, ") == len(world["settings"])
