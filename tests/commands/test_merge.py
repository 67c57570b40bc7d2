"""`knowlearn merge`: the merged model equals the adapter on its base, and a quantised base is an error."""

import json
import shlex
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_knowlearn.commands.merge import card
from hf_knowlearn.models.sources import Source, resolve_model
from hf_knowlearn.models.variants import load_variant
from hf_knowlearn.paths import TINY_BASE

Command = Callable[..., tuple[int, str, str]]


def test_the_merged_model_has_the_logits_of_the_adapter(run: Path, command: Command, tmp_path: Path):
    folder = tmp_path / "merged"
    code, shown, _ = command("merge", run, "--output_dir", folder)
    next_line = f"Next: knowlearn ask {folder} 'Who ...?'"
    assert (code, shown) == (0, f"Merged {run} into {TINY_BASE}, in float32: {folder}\n{next_line}\n")
    assert command(*shlex.split(next_line)[2:])[0] == 0
    assert {path.suffix for path in folder.iterdir()} <= {".safetensors", ".json", ".jinja", ".md"}
    assert not (folder / "adapter_config.json").exists()
    adapter, tokenizer = load_variant(resolve_model(str(run)))
    whole, base = (AutoModelForCausalLM.from_pretrained(place) for place in (folder, TINY_BASE))
    assert len(AutoTokenizer.from_pretrained(folder)) == len(tokenizer)
    ids = tokenizer("Question: Where was Mesmal Fesdrul born?\nAnswer:", return_tensors="pt").input_ids
    with torch.no_grad():
        merged, apart, unchanged = (model(ids).logits for model in (whole, adapter, base))
    torch.testing.assert_close(merged, apart, atol=1e-4, rtol=1e-4)
    assert (apart - unchanged).abs().max() > 0.1


TRAINING = (
    "--model tiny_base --max_steps 2 --replay_self 0 --per_device_train_batch_size 2 --learning_rate 0.01"
    " --gradient_accumulation_steps 1 --gradient_checkpointing false --disable_tqdm true --use_cpu true"
).split()


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
@pytest.mark.parametrize(
    ("options", "stays_tied"),
    [
        ("--lora_modules_to_save embed_tokens lm_head", False),
        ("--lora_target_modules q_proj embed_tokens", False),
        ("--lora_target_modules q_proj v_proj --use_dora true --use_rslora true", True),
    ],
)
def test_an_adapter_that_changes_tied_embeddings_is_saved_reloaded_and_merged(
    run: Path, command: Command, tmp_path: Path, options: str, stays_tied: bool
):
    folder, merged, documents = tmp_path / "run", tmp_path / "merged", run.parent / "documents.jsonl"
    words = [*TRAINING, *options.split(), "--documents", documents, "--output_dir", folder]
    assert command("teach", *words)[0] == 0
    assert command("merge", folder, "--output_dir", merged)[0] == 0
    adapter, tokenizer = load_variant(resolve_model(str(folder)))
    whole, base = (AutoModelForCausalLM.from_pretrained(place) for place in (merged, TINY_BASE))
    ids = tokenizer("Question: Where was Mesmal Fesdrul born?\nAnswer:", return_tensors="pt").input_ids
    with torch.no_grad():
        after, apart, unchanged = (model(ids).logits for model in (whole, adapter, base))
    torch.testing.assert_close(after, apart, atol=1e-4, rtol=1e-4)
    assert (apart - unchanged).abs().max() > 0.1
    assert whole.config.tie_word_embeddings is stays_tied


@pytest.mark.filterwarnings("ignore::UserWarning:peft")
def test_the_merged_model_of_a_run_with_stages_gives_the_answers_that_were_measured(
    run: Path, command: Command, tmp_path: Path
):
    recipe, folder = tmp_path / "recipe.yaml", tmp_path / "run"
    recipe.write_text("use_peft: true\nstages: [{name: first}, {name: second, adapter: merge}]\n")
    sets = ["--documents", run.parent / "documents.jsonl", "--questions", run.parent / "questions.jsonl"]
    saved = ["--lora_modules_to_save", "embed_tokens", "lm_head"]
    assert command("teach", "--config", recipe, *TRAINING, *saved, *sets, "--output_dir", folder)[0] == 0
    model = AutoModelForCausalLM.from_pretrained(folder / "model")
    assert not model.config.tie_word_embeddings
    assert not torch.equal(model.lm_head.weight, model.model.embed_tokens.weight)
    rows = list(map(json.loads, (folder / "answers.after.jsonl").read_text(encoding="utf-8").splitlines()))
    for row in rows[:3]:
        assert command("ask", folder, row["question"])[1].strip() == row["response"].strip()


def test_the_card_names_no_folder_of_this_machine(run: Path, command: Command, tmp_path: Path):
    command("merge", run, "--output_dir", tmp_path / "merged", "--dtype", "bfloat16")
    card = (tmp_path / "merged" / "README.md").read_text()
    assert "This model is the adapter `run`, merged into `tiny_base` in bfloat16 by" in card
    assert str(run.parent) not in card
    assert str(TINY_BASE.parent) not in card
    assert "base_model" not in card
    assert AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto").dtype == torch.bfloat16


def test_the_card_names_the_base_model_and_the_commits_on_the_hub():
    source = Source("mill/a*b*", "mill/a*b*", "c0ffee", Path("x"), Path("x"), "mill/base", "beef")
    text = card(source, SimpleNamespace(dtype=torch.float16))  # type: ignore[arg-type]
    assert text == (
        "---\nbase_model: mill/base\nbase_model_relation: finetune\nlibrary_name: transformers\n---\n\n"
        "# `mill/a*b*`, merged\n\nThis model is the adapter `mill/a*b*` at c0ffee, merged into `mill/base` at beef in"
        " float16 by `knowlearn merge`.\nThe figures of the adapter's card were not measured on this model."
        " `knowlearn recall` measures this model.\n"
    )


def test_a_whole_model_or_a_folder_with_files_is_an_error(run: Path, command: Command, tmp_path: Path):
    assert (
        "tiny_base: this is a model without an adapter, so there is nothing to merge."
        in command("merge", "tiny_base", "--output_dir", tmp_path / "merged")[2]
    )
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty. Choose a new or an empty folder" in command("merge", run, "--output_dir", tmp_path)[2]
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_merging_into_a_quantised_base_is_an_error(run: Path, command: Command, tmp_path: Path):
    base, copy = (shutil.copytree(place, tmp_path / place.name) for place in (TINY_BASE, run))
    path = copy / "model" / "adapter_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "base_model_name_or_path": str(base)}))
    config = json.loads((base / "config.json").read_text())
    quantised = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (base / "config.json").write_text(json.dumps({**config, "quantization_config": quantised}))
    code, _, error = command("merge", copy, "--output_dir", tmp_path / "merged")
    assert code == 2
    assert f"its base model {base} has quantised weights" in error
    assert not (tmp_path / "merged").exists()
    with pytest.raises(ValueError, match="merged=True with bits=4: rounding would remove what the adapter learned"):
        load_variant(resolve_model(str(run)), merged=True, bits=4)
