"""The labels of a row: the text or the answer with its end token, and no padding.

If a tokenizer has no padding token, TRL pads with the end token. These tests check that the labels of a batch contain
the end token of a row and not the padding, and that only the assistant's turns of a conversation have labels.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_knowlearn import Document, Question
from hf_knowlearn.format_aug.rows import question_row, view_row
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import prompt_and_completion
from hf_knowlearn.teach.schedule import make_schedule
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer
from hf_knowlearn.views import raw_view

from .conftest import SENTENCES

# begin and end token, and whether the tokenizer adds the begin token
FAMILIES = {
    "llama": ("<|begin_of_text|>", "<|eot_id|>", True),
    "qwen": (None, "<|im_end|>", False),
    "gpt2": ("<|endoftext|>", "<|endoftext|>", False),
}
TURNS = ["<|im_start|>", "<|im_end|>"]
SHORT, LONG = SENTENCES[0], " ".join(SENTENCES)
QUESTION = Question("q", "Who keeps bees?", ("Mara Venn",))


@pytest.fixture(scope="session")
def tokenizer_of() -> Callable[[str], PreTrainedTokenizerFast]:
    def tokenizer_of(family: str) -> PreTrainedTokenizerFast:
        begin, end, adds_begin = FAMILIES[family]
        tokenizer = Tokenizer(models.BPE())
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
        tokenizer.decoder = decoders.ByteLevel()
        special = list(dict.fromkeys([token for token in (begin, end, *TURNS) if token]))
        trainer = trainers.BpeTrainer(
            vocab_size=320,
            special_tokens=special,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        tokenizer.train_from_iterator(SENTENCES, trainer)
        if adds_begin:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
            )
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end)

    return tokenizer_of


@pytest.fixture
def batches(tokenizer_of: Callable[[str], PreTrainedTokenizerFast], tmp_path: Path) -> Callable[..., Any]:
    """Returns the tokenizer, and the batches that a trainer makes of rows."""

    def batches(family: str, rows: list[dict[str, Any]], template: str | None = None, **options: Any) -> Any:
        tokenizer = tokenizer_of(family)
        assert tokenizer.pad_token is None
        tokenizer.chat_template = template
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=1,
            num_attention_heads=2,
            max_position_embeddings=1024,
        )
        args = SAMConfig(
            output_dir=str(tmp_path),
            use_cpu=True,
            bf16=False,
            disable_tqdm=True,
            dataloader_pin_memory=False,
            per_device_train_batch_size=8,
            train_sampling_strategy="sequential",
            **options,
        )
        rows_of_it = Dataset.from_list(rows)
        trainer = SAMSFTTrainer(LlamaForCausalLM(config), args, train_dataset=rows_of_it, processing_class=tokenizer)
        return tokenizer, list(trainer.get_train_dataloader())

    return batches


def scheduled_rows(tokenizer: PreTrainedTokenizerFast) -> list[dict[str, Any]]:
    """A step of two documents and a replayed question, as `teach` schedules it."""
    documents = [Document("long", LONG), Document("short", SHORT)]
    units = [[[view_row(raw_view(document))]] for document in documents]
    question = question_row(QUESTION, tokenizer, "plain")
    return make_schedule(units, [[question]], steps=1, batch=3, replayed=1, seed=0)


def trained(tokenizer: Any, batch: dict[str, Any], row: int) -> str:
    """The text of the labels of a row."""
    labels = batch["labels"][row]
    assert (batch["input_ids"][row][labels != -100] == labels[labels != -100]).all()
    return str(tokenizer.decode(labels[labels != -100]))


@pytest.mark.parametrize("family", FAMILIES)
def test_labels_contain_the_end_token_of_each_row_and_no_padding(family: str, batches: Any, tokenizer_of: Any):
    rows = scheduled_rows(tokenizer_of(family))
    tokenizer, (batch,) = batches(family, rows, max_length=None)
    begin, end, adds_begin = FAMILIES[family]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert [row["completion"] for row in rows] == [LONG, SHORT, " Mara Venn"]
    for row, text in enumerate((LONG, SHORT, " Mara Venn")):
        length = int(batch["attention_mask"][row].sum())
        ids, labels = batch["input_ids"][row], batch["labels"][row]
        assert trained(tokenizer, batch, row) == text + end
        assert labels[length - 1] == tokenizer.eos_token_id  # the only end token of the row
        assert (ids[:length] == tokenizer.eos_token_id).sum() == 1
        assert (ids[length:] == tokenizer.eos_token_id).all()
        assert (labels[length:] == -100).all()
        whole = rows[row]["prompt"] + text + end  # no template; a begin token if the tokenizer adds one
        assert tokenizer.decode(ids[:length]) == (begin if adds_begin else "") + whole
        assert ids[:length].tolist() == tokenizer(whole)["input_ids"]
    assert int(batch["attention_mask"].sum(1).min()) < batch["input_ids"].shape[1]  # at least one row is padded


@pytest.mark.parametrize("template", ["plain", "chat"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_has_the_same_tokens_in_training_and_evaluation(
    family: str, template: str, batches: Any, tokenizer_of: Callable[[str], PreTrainedTokenizerFast]
):
    begin, end, _ = FAMILIES[family]
    chat = (begin or "") + MARKED  # the template adds the begin token, as Llama's does
    tokenizer = tokenizer_of(family)
    tokenizer.chat_template = chat
    prompt, completion = prompt_and_completion(tokenizer, template, QUESTION.text, "Mara Venn")
    rows = [{"prompt": prompt, "completion": completion}, {"prompt": "", "completion": LONG}]
    _, (batch,) = batches(family, rows, chat, max_length=None)
    (evaluated,) = question_prompts(tokenizer, [QUESTION], template, instruction="")
    length = int((batch["labels"][0] == -100).cumprod(0).sum())
    assert batch["input_ids"][0][:length].tolist() == list(evaluated.ids)
    ends = end if template == "plain" or end == "<|im_end|>" else f"<|im_end|>{end}"
    assert trained(tokenizer, batch, 0).strip() == f"Mara Venn{ends}"


def test_text_that_a_template_adds_before_an_answer_has_labels(
    tokenizer_of: Callable[[str], PreTrainedTokenizerFast],
):
    tokenizer = tokenizer_of("qwen")
    tokenizer.chat_template = MARKED.replace("{% generation %}", "{% generation %} ").replace("{{ '\n' }}", "")
    prompt = "<|im_start|>user\nWho?<|im_end|><|im_start|>assistant\n"
    assert prompt_and_completion(tokenizer, "chat", "Who?", "Mara") == (prompt, " Mara<|im_end|>")


@pytest.mark.parametrize("family", FAMILIES)
def test_each_text_of_a_packed_row_has_its_end_token(family: str, batches: Any):
    rows = [{"text": text} for text in (LONG, SHORT, SENTENCES[2])]
    tokenizer, found = batches(family, rows, packing=True, max_length=256)
    (batch,) = found
    # The first token of a text is never predicted.
    expected = [tokenizer(row["text"] + tokenizer.eos_token)["input_ids"][1:] for row in rows]
    labels = batch["labels"][batch["labels"] != -100].tolist()
    assert labels.count(tokenizer.eos_token_id) == 3
    assert sorted(labels) == sorted(token for ids in expected for token in ids)


# Conversations

MARKED = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% if m['role'] == 'assistant' %}{% generation %}{{ m['content'] }}<|im_end|>{% endgeneration %}"
    "{% else %}{{ m['content'] }}<|im_end|>{% endif %}{{ '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
UNMARKED = MARKED.replace("{% generation %}", "").replace("{% endgeneration %}", "")
TALK = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "Who keeps bees?"},
    {"role": "assistant", "content": "I will look it up."},
    {"role": "tool", "content": "Mara Venn keeps bees."},
    {"role": "assistant", "content": "Mara Venn."},
    {"role": "user", "content": "And who sells lamps?"},
    {"role": "assistant", "content": "She does."},
]
BRIEF = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Joren Tal."}]
ANSWERS = ["I will look it up.", "Mara Venn.", "She does."]


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_turns_of_the_assistant_and_their_ends_have_labels(family: str, batches: Any):
    rows = [{"messages": TALK}, {"messages": BRIEF}]
    tokenizer, (batch,) = batches(family, rows, MARKED, assistant_only_loss=True)
    assert trained(tokenizer, batch, 0) == "".join(f"{text}<|im_end|>" for text in ANSWERS)
    assert trained(tokenizer, batch, 1) == "Joren Tal.<|im_end|>"
    length = int(batch["attention_mask"][0].sum())
    for turn in TALK:  # the input contains all turns
        assert f"<|im_start|>{turn['role']}\n{turn['content']}" in tokenizer.decode(batch["input_ids"][0][:length])


def test_a_completion_of_one_turn_has_labels_and_its_prompt_has_none(batches: Any):
    rows = [{"prompt": TALK[:-1], "completion": TALK[-1:]}, {"prompt": BRIEF[:1], "completion": BRIEF[1:]}]
    tokenizer, (batch,) = batches("qwen", rows, UNMARKED)
    assert trained(tokenizer, batch, 0) == "She does.<|im_end|>\n"
    assert trained(tokenizer, batch, 1) == "Joren Tal.<|im_end|>\n"


def test_a_template_without_generation_marks_is_an_error(batches: Any):
    with pytest.raises(ValueError, match="generation"):
        batches("qwen", [{"messages": TALK}], UNMARKED, assistant_only_loss=True)


@pytest.mark.parametrize(
    ("model", "end"),
    [("qwen3", "<|im_end|>"), ("qwen2_5", "<|im_end|>"), ("llama3", "<|eot_id|>"), ("gemma3", "<end_of_turn>")],
)
def test_templates_known_to_trl_have_labels_for_the_turns_of_the_assistant(model: str, end: str, batches: Any):
    """TRL replaces the templates of Qwen, Llama and Gemma, which have no generation marks, by templates with marks."""
    from trl import chat_template_utils

    template = getattr(chat_template_utils, f"{model}_chat_template")
    assert "generation %}" not in template
    rows = [{"messages": [turn for turn in TALK[1:] if turn["role"] != "tool"]}]
    rows[0]["messages"].pop(1)  # Gemma needs alternating turns
    tokenizer, (batch,) = batches("qwen", rows, template, assistant_only_loss=True)
    text = trained(tokenizer, batch, 0)
    for answer in ANSWERS[1:]:
        assert answer + end in text
    assert "Who keeps bees?" not in text
    assert "And who sells lamps?" not in text
