"""`knowlearn recall --questions`: a row for each form of each model, and what it has over the first."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

from hf_knowlearn.knowledge_recall import score
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.teach.sources import load_questions

Command = Callable[..., tuple[int, str, str]]


def asked(run: Path) -> list[Any]:
    return ["--questions", run.parent / "questions.jsonl", "--retention_questions", run.parent / "retention.jsonl"]


def test_an_adapter_merged_is_the_same_and_the_untaught_model_is_another(run: Path, command: Command, tmp_path: Path):
    code, shown, _ = command("recall", run, "tiny_base", *asked(run), "--merged", "--output_dir", tmp_path)
    assert code == 0
    found = json.loads((tmp_path / "recall.json").read_text())
    report = json.loads((run / "report.json").read_text())
    adapter, merged, untaught = found["rows"]
    forms = ["adapter over base, float32", "merged, float32", "whole, float32"]
    assert [row["form"] for row in found["rows"]] == forms
    assert all(form in shown for form in forms)
    figures = ("exact_match", "exact_match_se", "f1", "f1_se", "retention", "retention_se")
    for row, then in ((adapter, report["runs"]["taught"]), (merged, adapter), (untaught, report["before"])):
        assert [row[name] for name in figures] == pytest.approx([then[name] for name in figures])
    assert {*merged["difference"].values()} == {0}
    for name in ("exact_match", "f1", "retention"):
        assert untaught["difference"][name] == pytest.approx(untaught[name] - adapter[name])
    assert found["data"]["questions"]["sha256"] == report["data"]["questions"]["sha256"]
    assert untaught["difference"]["retention"] > 0


def test_the_error_of_a_difference_is_the_metrics_where_one_is_never_right(
    run: Path, command: Command, tmp_path: Path
):
    # Of retention the untaught model says all right, so the difference counts what the adapter has wrong.
    command("recall", "tiny_base", run, *asked(run), "--output_dir", tmp_path)
    untaught, adapter = json.loads((tmp_path / "recall.json").read_text())["rows"]
    assert untaught["retention"] == 1
    assert adapter["difference"]["retention_se"] == pytest.approx(adapter["retention_se"])


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--shots", 2, "--merged"], "--shots, --merged: a card is checked as its model was measured"),
        (["--retention_questions", "world:new"], "--retention_questions without --questions"),
        (["--questions", "world:new", "--language", "xx"], "--language xx: choose from en, ar"),
        (["--questions", "world:new", "--examples", "world:old"], "without --shots there are none"),
        (["--questions", "nowhere.jsonl"], "nowhere.jsonl: nothing is there"),
    ],
)
def test_what_can_not_be_measured_is_told(command: Command, words: list[object], says: str):
    code, shown, complained = command("recall", "tiny_base", *words)
    assert (code, shown) == (2, "")
    assert says in complained


@pytest.mark.filterwarnings("ignore")  # bitsandbytes warns that its CPU kernels are missing
def test_a_row_more_in_4_bits(run: Path, command: Command, tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    widths = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **widths)).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    words = [*asked(run), "--load_in_4bit", "--output_dir", tmp_path]
    code, *_ = command("recall", tmp_path / "small", *words)
    rows = json.loads((tmp_path / "recall.json").read_text())["rows"]
    assert (code, [row["form"] for row in rows]) == (0, ["whole, float32", "whole, 4 bits"])


@pytest.mark.filterwarnings("ignore")
def test_widths_that_bitsandbytes_can_not_answer_with_are_told(
    run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)  # on any CPU as on one of these
    code, _, complained = command("recall", "tiny_base", *asked(run), "--load_in_4bit")
    assert code == 2
    assert "multiples of 64 alone, and this model has one of 352: leave load_in_4bit out" in complained


def test_a_difference_is_clustered_by_document():
    from hf_knowlearn.evaluation.standard_errors import paired

    questions = load_questions("world:new")[:25]
    right = [float(i % 3 == 0) for i in range(25)]
    mean, error = paired(questions, [0.0] * 25, right)
    answers = [q.answers[0] if yes else "no" for q, yes in zip(questions, right, strict=True)]
    documents = [q.document_id for q in questions]
    oracle = score(answers, [list(q.answers) for q in questions], documents=documents)
    assert (mean, error) == pytest.approx((oracle["exact_match"], oracle["exact_match_se"]))
    assert paired(questions, right, right) == (0, 0)
