"""Tests of the table of correlations over the results of several studies."""

import json
from pathlib import Path

import pytest


def write_results(folder: Path, score: str) -> list[str]:
    names = []
    for study, recalls in (("one", (0.1, 0.2, 0.4)), ("two", (0.6, 0.8))):
        runs = [
            {
                "arm": f"{study}{recall}",
                "seed": 0,
                score: recall,
                "train_loss": 1 - recall**2,
                "knowledge_tokens": {"probability": recall / 2 + 0.5},
            }
            for recall in recalls
        ]
        names.append(folder / f"lab-{study}-2026-01-01.json")
        names[-1].write_text(json.dumps({"phases": {"screening": {"runs": runs}}}), encoding="utf-8")
    return [str(name) for name in names]


@pytest.mark.parametrize("score", ["correct", "exact_match"])
def test_runs_of_several_studies_become_one_table(score: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    from correlations import main

    main([*write_results(tmp_path, score), "--score", score, "--chart", str(tmp_path / "chart.png")])
    header, _, tokens, loss, *_ = capsys.readouterr().out.splitlines()
    assert header.startswith(f"| predictor of {score.replace('_', ' ')} | runs |")
    assert tokens.startswith("| knowledge tokens | 5 | +1.000 [")
    assert loss.startswith("| training loss | 5 | -0.9")
    assert loss.endswith("| -1.000 |")
    assert (tmp_path / "chart.png").read_bytes()[:4] == b"\x89PNG"


def test_results_without_the_main_score_are_an_error_that_names_the_option(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    from correlations import main

    with pytest.raises(SystemExit):
        main(write_results(tmp_path, "exact_match"))
    assert "no run of these results has it. Use --score exact_match" in capsys.readouterr().err
