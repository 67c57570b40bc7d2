"""A second script computes every score of a report again from the stored answers, and finds each changed score."""

import json
from collections.abc import Callable, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.evaluation import chat_ability, general_knowledge
from hf_knowlearn.generation import responses
from hf_knowlearn.teach import data, measurements

TEXTS = [
    "six",
    "rye",
    "It is six.",
    "It is six or seven.",
    "I don’t know",
    "rye\nsix",
    "the Six!",
    "It grinds rye",
    "",
]
QUESTIONS = [
    ("When does the ferry to Ormel leave?", "six", "ferry.txt"),
    ("At what time does the ferry to Ormel leave?", "six", "ferry.txt"),
    ("What does the mill at Tarn grind?", "rye", "mill.md"),
    ("What grain does the mill at Tarn grind?", "rye", "mill.md"),
]


@pytest.fixture
def finished(
    knowlearn: Callable[..., int], options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., Path]:
    """A function that runs a tiny run with all measurements, and returns its folder.

    The responses of the model are replaced by `TEXTS` in turn, so that some are right. The general knowledge has 40
    questions, and there are 5 instructions.
    """
    texts = cycle(TEXTS)

    def replaced(_: Any, tokens: Sequence[Sequence[int]]) -> list[str]:
        return [next(texts) for _ in tokens]

    general = general_knowledge.general_questions()[::25]
    known = [general_knowledge.Question(q.id, q.text, ("six",), relation=q.relation) for q in general]
    instructions = chat_ability.chat_instructions()[:5]
    monkeypatch.setattr(responses, "decode_without_thoughts", replaced)
    monkeypatch.setattr(data, "general_questions", lambda: known)
    monkeypatch.setattr(chat_ability, "chat_instructions", lambda: instructions)
    monkeypatch.setattr(chat_ability, "MAX_NEW_TOKENS", 4)
    monkeypatch.setattr(measurements, "template_of_instructions", lambda _: "chat")
    monkeypatch.setattr(measurements, "DRIFT_TEXTS", 4)

    def run(columns: Sequence[str], **more: Any) -> Path:
        rows = [
            {"id": f"q{i}", "question": f"{'Please. ' * n}{text}", "answers": [answer, f"at {answer}"]}
            | {name: {"document_id": file, "relation": answer, "fact_id": f"{file}-{n}"}[name] for name in columns}
            for n in range(6)
            for i, (text, answer, file) in enumerate(QUESTIONS, 4 * n)
        ]
        file = tmp_path / "evaluated.jsonl"
        file.write_text("".join(json.dumps(row) + "\n" for row in rows[:-3]), encoding="utf-8")
        changes = {"questions": file, "evaluation.general_knowledge": True, "evaluation.max_new_tokens": 4, **more}
        assert knowlearn("teach", **{**options, **changes}) == 0
        return Path(options["output_dir"])

    return run


def test_every_score_is_computed_again(finished: Callable[..., Path], capsys: pytest.CaptureFixture[str]):
    import recompute_report

    measured = {f"evaluation.{name}": True for name in ("open_book", "compare_rag", "knowledge_tokens")}
    folder = finished(["document_id", "relation", "fact_id"], **measured)
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    (figures,) = report["runs"].values()
    assert 0 < figures["correct"] < 1
    assert figures["correct_se"] > 0
    assert report["counts"]["retention_questions"] > 5
    assert {"retention_untouched", "answer_logprob", "open_book", "chat", "perplexity", "drift"} <= set(figures)
    assert {"guessing", "open_book", "retrieval"} <= set(report)
    assert recompute_report.main([folder]) == 0, capsys.readouterr().out

    figures["chat"]["ended_se"] = 0.123
    report["before"]["by_relation"]["rye"]["f1"] += 1e-6
    report["guessing"]["correct"] = 0.75
    figures["unknown"] = 1
    (folder / "report.json").write_text(json.dumps(report), encoding="utf-8")
    capsys.readouterr()
    assert recompute_report.main([folder]) == 1
    shown = capsys.readouterr().out.splitlines()
    names = ["before.by_relation.rye.f1", "after.chat.ended_se", "after.unknown", "guessing.correct"]
    assert [line.partition(":")[0] for line in shown[:-1]] == names
    assert shown[-1].endswith("4 differences")


def test_questions_without_ids_have_other_standard_errors(
    finished: Callable[..., Path], capsys: pytest.CaptureFixture[str]
):
    import recompute_report

    folder = finished([])
    assert recompute_report.main([folder]) == 0, capsys.readouterr().out
