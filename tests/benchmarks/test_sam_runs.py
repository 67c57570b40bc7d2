"""The benchmark of SAM runs on a small model and writes its results."""

import json

import pytest


@pytest.mark.slow
def test_each_variant_is_compared_with_the_plain_trainer(run, tmp_path):
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
    variants = part["results"]["variants"]
    assert {name: figures["passes_a_step"] for name, figures in variants.items()} == {
        "plain": 1,
        "exact": 2,
        "by-hand": 1,
        "by-hand-pytorch_optimizer": 2,
        "by-hand-sam_ascent": 2,
        "a=1": 1.5,
        "late": pytest.approx(1 + 0.5 * 3 / 11, rel=1e-4),  # three of the ten timed steps use SAM
    }
    assert variants["plain"]["ratio"] == {"median": 1, "min": 1, "max": 1}
    assert all(figures["step_ms"]["median"] > 0 for figures in variants.values())
    weights = 4 * part["results"]["trained_parameters"]
    for name in ("exact", "a=1"):
        more = variants[name]["peak_bytes"] - variants["plain"]["peak_bytes"]
        assert 0.9 * weights <= more <= variants[name]["peak_bar_bytes"] - variants["plain"]["peak_bytes"], name
    lines = run("sam.py", "--table").stdout.splitlines()
    assert len(lines) == 2 + len(variants)
    assert "| tiny | lora | 2 | exact |" in lines[3]


def test_the_chart_shows_each_variant_with_a_limit(tmp_path):
    import sam

    figures = {"of": "plain", "ratio": {"median": 1.1, "min": 1.0, "max": 1.2}, "bar": 2.05}
    variants = {
        "plain": {**figures, "bar": None},
        "exact": figures,
        "by-hand-sam_ascent": {**figures, "of": "by-hand"},
    }
    results = {"results": {"variants": variants}}
    parts = {f"tiny, {trained}, {window}": results for trained in sam.STYLES for window in (1, 8)}
    axes = sam.chart(parts, tmp_path / "chart.png")
    assert [label.get_text() for label in axes.get_yticklabels()] == [
        "exact SAM, window of 1",
        "exact SAM, window of 8",
    ]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["full", "limit", "lora"]
    assert (tmp_path / "chart.png").read_bytes().startswith(b"\x89PNG")
