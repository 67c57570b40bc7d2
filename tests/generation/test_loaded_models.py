"""Responses of models that transformers loads from a path: an adapter, and a model in 4-bit."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, BitsAndBytesConfig

from hf_knowlearn.documents import Question
from hf_knowlearn.generation.responses import generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.templates import plain_prompt

SETTINGS = GenerationSettings(max_new_tokens=6, batch_size=7)


def test_the_folder_of_an_adapter_gives_the_responses_of_the_adapter(
    build: Callable[..., Any], tokenizer: Any, world_questions: list[Question], tmp_path: Path
):
    build("llama").save_pretrained(tmp_path / "base")
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "base")
    before = generate_responses(base, tokenizer, world_questions, SETTINGS)
    torch.manual_seed(0)
    adapted = get_peft_model(base, LoraConfig(target_modules="all-linear", init_lora_weights=False))
    adapted.save_pretrained(tmp_path / "adapter")
    expected = generate_responses(adapted, tokenizer, world_questions, SETTINGS)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "adapter")
    assert generate_responses(loaded, tokenizer, world_questions, SETTINGS) == expected != before


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # bitsandbytes warns that its CPU kernels are missing
def test_a_model_in_4_bit_gives_the_responses_of_generate(
    build: Callable[..., Any], tokenizer: Any, world_questions: list[Question], tmp_path: Path
):
    pytest.importorskip("bitsandbytes")
    widths = {"hidden_size": 64, "intermediate_size": 128, "head_dim": 16}  # bitsandbytes needs multiples of 64
    build("llama", **widths, num_key_value_heads=4).save_pretrained(tmp_path / "base")
    four = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.float32)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path / "base", quantization_config=four, device_map="cpu")
    responses = generate_responses(loaded, tokenizer, world_questions[:6], replace(SETTINGS, batch_size=1))
    for question, answers in zip(world_questions[:6], responses, strict=True):
        ids = tokenizer(plain_prompt(question.text), return_tensors="pt")
        written = loaded.generate(
            input_ids=ids["input_ids"], attention_mask=ids["attention_mask"], max_new_tokens=6, do_sample=False
        )
        text = tokenizer.decode(written[0, ids["input_ids"].shape[1] :], skip_special_tokens=True)
        assert text.startswith(answers.greedy[0])
    assert any(answers.greedy[0] for answers in responses)
