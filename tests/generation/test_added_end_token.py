"""A tokenizer that adds an end token to every text: no prompt has it, and a training row has it once."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers.processors import TemplateProcessing

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
from hf_knowlearn.evaluation.drift import drift
from hf_knowlearn.generation.free_text import generate_texts
from hf_knowlearn.generation.responses import generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.models.loading import ModelSettings, load_tokenizer
from hf_knowlearn.prompts.limits import token_lengths
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.tokens import encode
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer

SETTINGS = GenerationSettings(samples=2, max_new_tokens=6)
TEMPLATES = ["{bos} $A {eos}", "$A {eos}"]


@pytest.fixture
def with_end(tokenizer: Any) -> Any:
    return adding(tokenizer, TEMPLATES[0])


def adding(tokenizer: Any, template: str) -> Any:
    new = copy.deepcopy(tokenizer)
    tokens = [(token, new.convert_tokens_to_ids(token)) for token in (new.bos_token, new.eos_token)]
    single = template.format(bos=new.bos_token, eos=new.eos_token)
    new.backend_tokenizer.post_processor = TemplateProcessing(single=single, special_tokens=tokens)
    assert new("a b")["input_ids"][-1] == new.eos_token_id
    return new


def test_prompts_and_responses_are_those_without_the_added_token(
    model: Any, tokenizer: Any, with_end: Any, world_questions: list[Question]
):
    assert question_prompts(with_end, world_questions) == question_prompts(tokenizer, world_questions)
    responses = generate_responses(model, tokenizer, world_questions, SETTINGS)
    assert generate_responses(model, with_end, world_questions, SETTINGS) == responses


def test_log_probabilities_texts_and_drift_are_those_without_the_added_token(
    build: Callable[[str], Any], tokenizer: Any, with_end: Any, world_questions: list[Question]
):
    model, other = build("llama"), build("llama")
    with torch.no_grad():
        other.get_output_embeddings().weight *= 1.1
    few = world_questions[:4]
    assert answer_logprobs(model, with_end, few) == answer_logprobs(model, tokenizer, few)
    options: Any = {"max_new_tokens": 5}
    texts = generate_texts(model, tokenizer, 3, ["The ferry"], **options)
    assert generate_texts(model, with_end, 3, ["The ferry"], **options) == texts
    texts = ["The ferry leaves.", "Mara keeps bees in Ormel."]
    assert drift(other, model, with_end, texts) == drift(other, model, tokenizer, texts)


@pytest.mark.parametrize("template", TEMPLATES)
def test_an_end_token_of_the_text_itself_remains(tokenizer: Any, template: str):
    new = adding(tokenizer, template)
    plain = tokenizer("The ferry", add_special_tokens=False)["input_ids"]
    begin = [tokenizer.bos_token_id] if "{bos}" in template else []
    ended = f"The ferry{tokenizer.eos_token}"
    assert encode(new, ["The ferry", ended]) == [[*begin, *plain], [*begin, *plain, tokenizer.eos_token_id]]
    assert token_lengths(new)(["The ferry"]) == [len(begin) + len(plain) + 1]


@pytest.mark.parametrize("template", TEMPLATES)
def test_a_training_row_has_exactly_one_end_token(
    build: Callable[[str], Any], tokenizer: Any, template: str, tmp_path: Path
):
    adding(tokenizer, template).save_pretrained(tmp_path / "saved")
    loaded = load_tokenizer(ModelSettings(str(tmp_path / "saved")))
    rows = [{"prompt": "Question: Where?\nAnswer:", "completion": " Ormel"}, {"prompt": "", "completion": "A text."}]
    args = SAMConfig(output_dir=str(tmp_path), use_cpu=True, bf16=False, report_to="none", max_length=64)
    trainer = SAMSFTTrainer(build("llama"), args, train_dataset=Dataset.from_list(rows), processing_class=loaded)
    for row, given in zip(trainer.train_dataset, rows, strict=True):
        begin = [tokenizer.bos_token_id] if "{bos}" in template else []
        prompt, whole = (
            tokenizer(text, add_special_tokens=False)["input_ids"]
            for text in (given["prompt"], given["prompt"] + given["completion"])
        )
        assert row["input_ids"] == [*begin, *whole, tokenizer.eos_token_id]
        trained = [id for id in row["labels"] if id != -100]
        assert trained[-len(whole) + len(prompt) - 1 :] == [*whole[len(prompt) :], tokenizer.eos_token_id]
