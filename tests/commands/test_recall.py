"""`knowlearn recall --questions`: a row for each variant of each model, with its difference to the first."""

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


def question_options(run: Path) -> list[Any]:
    return ["--questions", run.parent / "questions.jsonl", "--retention_questions", run.parent / "retention.jsonl"]


def test_a_merged_adapter_has_the_same_figures_and_the_base_model_has_others(
    run: Path, command: Command, tmp_path: Path
):
    code, shown, _ = command("recall", run, "tiny_base", *question_options(run), "--merged", "--output_dir", tmp_path)
    assert code == 0
    found = json.loads((tmp_path / "recall.json").read_text())
    report = json.loads((run / "report.json").read_text())
    adapter, merged, base = found["rows"]
    forms = ["adapter on base, float32", "merged, float32", "whole, float32"]
    assert [row["form"] for row in found["rows"]] == forms
    assert all(form in shown for form in forms)
    figures = ("exact_match", "exact_match_se", "f1", "f1_se", "retention", "retention_se")
    for row, then in ((adapter, report["runs"]["trained"]), (merged, adapter), (base, report["before"])):
        assert [row[name] for name in figures] == pytest.approx([then[name] for name in figures])
    assert {*merged["difference"].values()} == {0}
    for name in ("exact_match", "f1", "retention"):
        assert base["difference"][name] == pytest.approx(base[name] - adapter[name])
    assert found["data"]["questions"]["sha256"] == report["data"]["questions"]["sha256"]
    assert base["difference"]["retention"] > 0


def test_the_error_of_a_difference_to_a_perfect_model_is_the_error_of_the_figure(
    run: Path, command: Command, tmp_path: Path
):
    # The base model answers all retention questions, so the difference counts the errors of the adapter.
    command("recall", "tiny_base", run, *question_options(run), "--output_dir", tmp_path)
    base, adapter = json.loads((tmp_path / "recall.json").read_text())["rows"]
    assert base["retention"] == 1
    assert adapter["difference"]["retention_se"] == pytest.approx(adapter["retention_se"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--shots", 2, "--merged"], "--shots, --merged: a card is checked with the settings in its report"),
        (["--retention_questions", "world:new"], "--retention_questions needs --questions"),
        (["--questions", "world:new", "--answer_language", "xx"], "--answer_language xx: choose from en, ar"),
        (["--questions", "nowhere.jsonl"], "nowhere.jsonl: no such file or folder"),
    ],
)
def test_invalid_options_are_an_error(command: Command, words: list[object], message: str):
    code, shown, error = command("recall", "tiny_base", *words)
    assert (code, shown) == (2, "")
    assert message in error


@pytest.mark.filterwarnings("ignore")  # bitsandbytes warns that its CPU kernels are missing
def test_load_in_4bit_adds_a_row(run: Path, command: Command, tmp_path: Path):
    pytest.importorskip("bitsandbytes")
    tokenizer = AutoTokenizer.from_pretrained(TINY_BASE)
    widths = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **widths)).save_pretrained(tmp_path / "small")
    tokenizer.save_pretrained(tmp_path / "small")
    words = [*question_options(run), "--load_in_4bit", "--output_dir", tmp_path]
    code, *_ = command("recall", tmp_path / "small", *words)
    rows = json.loads((tmp_path / "recall.json").read_text())["rows"]
    assert (code, [row["form"] for row in rows]) == (0, ["whole, float32", "whole, 4 bits"])


@pytest.mark.filterwarnings("ignore")
def test_widths_that_bitsandbytes_cannot_compute_with_are_an_error(
    run: Path, command: Command, monkeypatch: pytest.MonkeyPatch
):
    bitsandbytes = pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(bitsandbytes.nn.modules, "has_avx512bf16", lambda: True)  # as on such a CPU
    code, _, error = command("recall", "tiny_base", *question_options(run), "--load_in_4bit")
    assert code == 2
    assert "this model has layers with an input width of 352" in error


def test_a_difference_is_clustered_by_document():
    from hf_knowlearn.evaluation.standard_errors import paired_difference

    questions = load_questions("world:new")[:25]
    right = [float(i % 3 == 0) for i in range(25)]
    mean, error = paired_difference(questions, [0.0] * 25, right)
    answers = [q.answers[0] if yes else "no" for q, yes in zip(questions, right, strict=True)]
    documents = [q.document_id for q in questions]
    oracle = score(answers, [list(q.answers) for q in questions], documents=documents)
    assert (mean, error) == pytest.approx((oracle["exact_match"], oracle["exact_match_se"]))
    assert paired_difference(questions, right, right) == (0, 0)


def test_an_answer_longer_than_a_response_is_an_error(command: Command, tmp_path: Path):
    path = tmp_path / "long.jsonl"
    path.write_text('{"question": "When?", "answer": "at six, when the bells of the church have rung"}\n')
    code, _, error = command("recall", "tiny_base", "--questions", path, "--max_new_tokens", "4")
    assert code == 2
    assert "longer than --max_new_tokens 4, so no response is correct: 'long.jsonl:1'" in error
