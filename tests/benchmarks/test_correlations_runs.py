"""The table of correlations covers the runs of all given results."""

import json
from pathlib import Path

import pytest


def test_runs_of_several_studies_become_one_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from correlations import main

    names = []
    for study, recalls in (("one", (0.1, 0.2, 0.4)), ("two", (0.6, 0.8))):
        runs = [
            {
                "arm": f"{study}{recall}",
                "seed": 0,
                "exact_match": recall,
                "train_loss": 1 - recall**2,
                "knowledge_tokens": {"probability": recall / 2 + 0.5},
            }
            for recall in recalls
        ]
        names.append(tmp_path / f"lab-{study}-2026-01-01.json")
        names[-1].write_text(json.dumps({"phases": {"screening": {"runs": runs}}}), encoding="utf-8")
    main([*map(str, names), "--chart", str(tmp_path / "chart.png")])
    header, _, tokens, loss, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith("| predictor of exact match | runs |")
    assert tokens.startswith("| knowledge tokens | 5 | +1.000 [")
    assert loss.startswith("| training loss | 5 | -0.9")
    assert loss.endswith("| -1.000 |")
    assert (tmp_path / "chart.png").read_bytes()[:4] == b"\x89PNG"
