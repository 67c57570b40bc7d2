"""SAM with a 4-bit base model: the adapter is trained in fp32, saved, loaded, and merged into the full base model."""

import logging

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, PeftModel
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, LlamaConfig, LlamaForCausalLM

pytest.importorskip("bitsandbytes")
# bitsandbytes warns about missing CPU kernels and about casts
pytestmark = pytest.mark.filterwarnings("ignore")

TEXT = "Mara Venn was born in the harbour town of Ostel."


@pytest.fixture(scope="session")
def base(tokenizer, tmp_path_factory):
    folder = tmp_path_factory.mktemp("base")
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,  # bitsandbytes needs multiples of 64
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.1,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def in_four_bits(folder):
    four = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )
    return AutoModelForCausalLM.from_pretrained(folder, quantization_config=four, device_map="cpu")


@pytest.fixture
def qlora(base, new_trainer, tokenizer):
    def qlora(**options):
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear")
        rows = Dataset.from_list([{"text": TEXT}] * 8)
        settings = {"bf16": True, "learning_rate": 0.01, "max_length": 64, "optim": "adamw_torch", **options}
        return new_trainer(model=in_four_bits(base), peft_config=lora, train_dataset=rows, **settings)

    return qlora


def adapter(trainer):
    return {name: weight for name, weight in trainer.model.named_parameters() if weight.requires_grad}


def accuracy(model, tokenizer):
    """Share of the tokens of the text that the model predicts from the tokens before them."""
    ids = torch.tensor([tokenizer(TEXT)["input_ids"]])
    model.eval()
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        predicted = model(input_ids=ids, use_cache=False).logits[0, :-1].argmax(-1)
    return float((predicted == ids[0, 1:]).float().mean())


def test_the_adapter_is_trained_saved_loaded_and_merged(qlora, base, tokenizer, tmp_path, caplog):
    with caplog.at_level(logging.WARNING, logger="hf_knowlearn.training"):
        trainer = qlora(sam_rho=0.01, max_steps=25)
    (warning,) = [record.getMessage() for record in caplog.records if record.name == "hf_knowlearn.training"]
    assert "the adapter is cast to float32 (" in warning
    assert {weight.dtype for weight in adapter(trainer).values()} == {torch.float32}
    before = accuracy(trainer.model, tokenizer)
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert min(entry["sam/realised_rho"] * entry["sam/cosine"] for entry in logged) > 0.9
    assert {weight.dtype for weight in adapter(trainer).values()} == {torch.float32}
    assert {state["exp_avg"].dtype for state in trainer.optimizer.state.values()} == {torch.float32}
    after = accuracy(trainer.model, tokenizer)

    trainer.save_model(str(tmp_path / "adapter"))
    loaded = PeftModel.from_pretrained(in_four_bits(base), tmp_path / "adapter")
    saved = {name: weight for name, weight in loaded.named_parameters() if "lora_" in name}
    torch.testing.assert_close(saved, {n: w.detach() for n, w in adapter(trainer).items()}, rtol=0, atol=0)
    merged = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), tmp_path / "adapter").merge_and_unload()
    accuracies = {"before": before, "after": after, "loaded": accuracy(loaded, tokenizer)}
    accuracies["merged"] = accuracy(merged, tokenizer)
    print(accuracies)
    assert accuracies["before"] < 0.2
    assert accuracies["after"] == accuracies["loaded"] > 0.9
    assert accuracies["merged"] > 0.8


def test_with_rho_0_the_adapter_keeps_the_dtype_of_trl(qlora, caplog):
    trainer = qlora(max_steps=1)
    assert {weight.dtype for weight in adapter(trainer).values()} == {torch.bfloat16}
    assert not [record for record in caplog.records if record.name == "hf_knowlearn.training"]
    trainer.train()


def test_an_8_bit_optimizer_works_with_sam(qlora):
    trainer = qlora(sam_rho=0.01, optim="adamw_8bit", max_steps=2)
    trainer.train()
    assert trainer.gradient_evaluations == 4
