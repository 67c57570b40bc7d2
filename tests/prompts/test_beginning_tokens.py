"""The tokens of a prompt are those before the completion of its training row, for every kind of tokenizer."""

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import processors

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_logprobs import answer_logprobs
from hf_knowlearn.format_aug.rows import question_rows
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.models.added_end_token import remove_added_end_token
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer

FERRY = Question("ferry", "Where does the ferry go?", ("Ormel",))
TURNS = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)
TEMPLATES = {"a template with a beginning token": "{{ bos_token }}" + TURNS, "a template without one": TURNS}
# What the tokenizer adds to a text: a post-processor by the (token, id) of the beginning and the end token.
ADDED: dict[str, Callable[[Any, Any], Any]] = {
    "nothing": lambda bos, eos: processors.TemplateProcessing(single="$A", special_tokens=[]),
    "a beginning": lambda bos, eos: processors.TemplateProcessing(single=f"{bos[0]} $A", special_tokens=[bos]),
    "an end": lambda bos, eos: processors.TemplateProcessing(single=f"$A {eos[0]}", special_tokens=[eos]),
    "both": lambda bos, eos: processors.TemplateProcessing(single=f"{bos[0]} $A {eos[0]}", special_tokens=[bos, eos]),
    "both, as BERT": lambda bos, eos: processors.BertProcessing(eos, bos),
    "both, as RoBERTa": lambda bos, eos: processors.RobertaProcessing(eos, bos),
    "both, in a sequence": lambda bos, eos: processors.Sequence(
        [processors.ByteLevel(), processors.RobertaProcessing(eos, bos)]
    ),
}


@pytest.fixture(params=ADDED)
def adding(request: pytest.FixtureRequest, tokenizer: Any) -> Any:
    """A tokenizer with one of the post-processors, after the change that `load_tokenizer` makes."""
    adding = copy.deepcopy(tokenizer)
    ends = ((token, adding.convert_tokens_to_ids(token)) for token in (adding.bos_token, adding.eos_token))
    adding.backend_tokenizer.post_processor = ADDED[request.param](*ends)
    remove_added_end_token(adding)
    return adding


def training_row(model: Any, tokenizer: Any, template: str, folder: Path) -> tuple[list[int], int]:
    """The tokens of the question's row as TRL prepares it, and the place of the first token with loss."""
    rows = Dataset.from_list(question_rows([FERRY], tokenizer, template))
    args = SAMConfig(output_dir=str(folder), use_cpu=True, bf16=False, report_to="none")
    (row,) = SAMSFTTrainer(model, args, train_dataset=rows, processing_class=tokenizer).train_dataset
    return row["input_ids"], next(place for place, label in enumerate(row["labels"]) if label != -100)


@pytest.mark.parametrize("chat_template", TEMPLATES.values(), ids=TEMPLATES)
@pytest.mark.parametrize("template", ["chat", "plain"])
def test_a_prompt_has_the_tokens_before_the_completion_of_its_training_row(
    build: Callable[[str], Any], adding: Any, chat_template: str, template: str, tmp_path: Path
):
    adding.chat_template = chat_template
    ids, start = training_row(build("llama"), adding, template, tmp_path)
    (prompt,) = question_prompts(adding, [FERRY], template)
    assert list(prompt.ids) == ids[:start]
    has_beginning = adding("a")["input_ids"][0] == adding.bos_token_id
    expected = has_beginning or (template == "chat" and "bos_token" in chat_template)
    assert ids.count(adding.bos_token_id) == expected
    assert ids.count(adding.eos_token_id) == 1


@pytest.mark.parametrize("chat_template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_log_probability_of_an_answer_in_a_chat_is_that_of_its_training_row(
    build: Callable[[str], Any], adding: Any, chat_template: str, tmp_path: Path
):
    adding.chat_template, model = chat_template, build("llama")
    ids, start = training_row(model, adding, "chat", tmp_path)
    answer = ids[start : ids.index(adding.eos_token_id)]
    assert adding.decode(answer).strip() == "Ormel"
    with torch.no_grad():
        logprobs = model.eval()(torch.tensor([ids])).logits[0].log_softmax(-1)
    each = [float(logprobs[place, ids[place + 1]]) for place in range(start - 1, start - 1 + len(answer))]
    (found,) = answer_logprobs(model, adding, [FERRY], GenerationSettings(template="chat"))
    assert (found.total, found.first, found.tokens) == (
        pytest.approx(sum(each), abs=1e-3), pytest.approx(each[0], abs=1e-3), len(answer)
    )  # fmt: skip


@pytest.mark.parametrize("chat_template", TEMPLATES.values(), ids=TEMPLATES)
def test_the_tokens_of_apply_chat_template_lack_a_beginning_token_that_only_the_tokenizer_adds(
    adding: Any, chat_template: str
):
    adding.chat_template = chat_template
    (prompt,) = question_prompts(adding, [FERRY], "chat", instruction="")
    turns = [{"role": "user", "content": FERRY.text}]
    rendered = adding.apply_chat_template(turns, add_generation_prompt=True, return_dict=False)
    adds_beginning = adding("a")["input_ids"][0] == adding.bos_token_id
    lacking = [adding.bos_token_id] if adds_beginning and "bos_token" not in chat_template else []
    assert list(prompt.ids) == [*lacking, *rendered]
