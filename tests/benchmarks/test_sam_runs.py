"""The benchmark of SAM runs, small, and says what it measured."""

import json

import pytest


@pytest.mark.slow
def test_each_arm_is_measured_beside_the_plain_trainer(run, tmp_path):
    small = [
        "--trained",
        "lora",
        "--accumulation",
        2,
        "--micro-batches",
        4,
        "--repeats",
        1,
        "--batch",
        1,
        "--length",
        8,
    ]
    done = run("sam.py", *small)
    assert done.returncode == 0, done.stderr
    (part,) = json.loads((tmp_path / "results.json").read_text()).values()
    arms = part["results"]["arms"]
    assert {name: figures["passes_a_step"] for name, figures in arms.items()} == {
        "plain": 1,
        "exact": 2,
        "msam": 1,
        "nbar": 1,
        "by-hand": 1,
        "by-hand-pytorch_optimizer": 2,
        "by-hand-uphill": 2,
        "a=1": 1.5,
        "late": pytest.approx(1 + 0.5 * 3 / 11, rel=1e-4),  # of the ten steps on the clock, three
    }
    assert arms["plain"]["ratio"] == {"median": 1, "min": 1, "max": 1}
    assert all(figures["step_ms"]["median"] > 0 for figures in arms.values())
    weights = 4 * part["results"]["trained_parameters"]
    for name, climbs in (("exact", 1), ("a=1", 1), ("msam", 1), ("nbar", 0)):
        more = arms[name]["peak_bytes"] - arms["plain"]["peak_bytes"]
        assert (0.9 * weights * climbs) <= more <= arms[name]["peak_bar_bytes"] - arms["plain"]["peak_bytes"], name
    lines = run("sam.py", "--table").stdout.splitlines()
    assert len(lines) == 2 + len(arms)
    assert "| tiny | lora | 2 | exact |" in lines[3]


def test_the_chart_shows_each_arm_that_has_a_bar(tmp_path):
    import sam

    figures = {"of": "plain", "ratio": {"median": 1.1, "min": 1.0, "max": 1.2}, "bar": 2.05}
    arms = {"plain": {**figures, "bar": None}, "exact": figures, "by-hand-uphill": {**figures, "of": "by-hand"}}
    parts = {f"tiny, {trained}, {window}": {"results": {"arms": arms}} for trained in sam.LOOKS for window in (1, 8)}
    axes = sam.chart(parts, tmp_path / "chart.png")
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "exact SAM, window of 1",
        "exact SAM, window of 8",
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["full", "at most", "lora"]
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
