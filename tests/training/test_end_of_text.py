"""What is trained of a row: a document's words and its end, an answer and its end, and never padding.

Where a tokenizer has no padding token TRL pads with the end token: the labels of whole batches, as the collator makes
them, tell a real end from padding. Of a conversation the assistant's turns alone are trained.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_knowlearn import Document, Question
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import plain_prompt, prompt_and_completion
from hf_knowlearn.teach.schedule import make_schedule
from hf_knowlearn.training import SAMConfig, SAMSFTTrainer
from hf_knowlearn.views import raw_view

from .conftest import SENTENCES

# beginning and end as those families have them, and whether the tokenizer writes the beginning by itself
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
        begin, end, writes = FAMILIES[family]
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
        if writes:
            tokenizer.post_processor = processors.TemplateProcessing(
                single=f"{begin} $A", special_tokens=[(begin, tokenizer.token_to_id(begin))]
            )
        return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token=begin, eos_token=end)

    return tokenizer_of


@pytest.fixture
def batches(tokenizer_of: Callable[[str], PreTrainedTokenizerFast], tmp_path: Path) -> Callable[..., Any]:
    """The tokenizer, and the batches that a trainer makes of rows."""

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


def plainly(asked: str, said: str) -> tuple[str, str]:
    return plain_prompt(asked), f" {said}"


def rows_of_a_run() -> list[dict[str, Any]]:
    """A step as `teach` lays it out: two documents and a question."""
    told = [[raw_view(Document("long", LONG))], [raw_view(Document("short", SHORT))]]
    how: dict[str, Any] = {"steps": 1, "batch": 3, "replayed": 1, "trained_as": plainly, "seed": 0}
    return make_schedule(told, [], [QUESTION], **how)


def trained(tokenizer: Any, batch: dict[str, Any], row: int) -> str:
    """The text of the labels of a row."""
    labels = batch["labels"][row]
    assert (batch["input_ids"][row][labels != -100] == labels[labels != -100]).all()
    return str(tokenizer.decode(labels[labels != -100]))


@pytest.mark.parametrize("family", FAMILIES)
def test_the_end_of_every_row_is_trained_and_the_padding_that_looks_like_it_is_not(family: str, batches: Any):
    rows = rows_of_a_run()
    tokenizer, (batch,) = batches(family, rows, max_length=None)
    begin, end, writes = FAMILIES[family]
    assert tokenizer.pad_token_id == tokenizer.eos_token_id
    assert [row["completion"] for row in rows] == [LONG, SHORT, " Mara Venn"]
    for row, text in enumerate((LONG, SHORT, " Mara Venn")):
        length = int(batch["attention_mask"][row].sum())
        ids, labels = batch["input_ids"][row], batch["labels"][row]
        assert trained(tokenizer, batch, row) == text + end
        assert labels[length - 1] == tokenizer.eos_token_id  # the end of the row, and its only one
        assert (ids[:length] == tokenizer.eos_token_id).sum() == 1
        assert (ids[length:] == tokenizer.eos_token_id).all()
        assert (labels[length:] == -100).all()
        whole = rows[row]["prompt"] + text + end  # no wrapper; a beginning where the tokenizer writes one
        assert tokenizer.decode(ids[:length]) == (begin if writes else "") + whole
        assert ids[:length].tolist() == tokenizer(whole)["input_ids"]
    assert int(batch["attention_mask"].sum(1).min()) < batch["input_ids"].shape[1]  # something was padded


@pytest.mark.parametrize("template", ["plain", "chat"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_question_is_trained_in_the_very_tokens_it_is_asked_in(
    family: str, template: str, batches: Any, tokenizer_of: Callable[[str], PreTrainedTokenizerFast]
):
    begin, end, _ = FAMILIES[family]
    chat = (begin or "") + MARKED  # the template writes the beginning, as Llama's does
    tokenizer = tokenizer_of(family)
    tokenizer.chat_template = chat
    prompt, completion = prompt_and_completion(tokenizer, template, QUESTION.text, "Mara Venn")
    rows = [{"prompt": prompt, "completion": completion}, {"prompt": "", "completion": LONG}]
    _, (batch,) = batches(family, rows, chat, max_length=None)
    (asked,) = question_prompts(tokenizer, [QUESTION], template)
    length = int((batch["labels"][0] == -100).cumprod(0).sum())
    assert batch["input_ids"][0][:length].tolist() == list(asked.ids)
    ends = end if template == "plain" or end == "<|im_end|>" else f"<|im_end|>{end}"
    assert trained(tokenizer, batch, 0).strip() == f"Mara Venn{ends}"


def test_what_a_template_puts_before_an_answer_is_trained_with_it(
    tokenizer_of: Callable[[str], PreTrainedTokenizerFast],
):
    tokenizer = tokenizer_of("qwen")
    tokenizer.chat_template = MARKED.replace("{% generation %}", "{% generation %} ").replace("{{ '\n' }}", "")
    asked = "<|im_start|>user\nWho?<|im_end|><|im_start|>assistant\n"
    assert prompt_and_completion(tokenizer, "chat", "Who?", "Mara") == (asked, " Mara<|im_end|>")
    # One that begins a turn otherwise than it writes a whole one, as those of models that think aloud may.
    tokenizer.chat_template = tokenizer.chat_template.replace("<|im_start|>assistant\n{% endif", "> {% endif")
    assert prompt_and_completion(tokenizer, "chat", "Who?", "Mara") == (
        "<|im_start|>user\nWho?<|im_end|>> ",
        "Mara<|im_end|>",
    )


@pytest.mark.parametrize("family", FAMILIES)
def test_in_packed_rows_every_text_keeps_its_end(family: str, batches: Any):
    rows = [{"text": text} for text in (LONG, SHORT, SENTENCES[2])]
    tokenizer, found = batches(family, rows, packing=True, max_length=256)
    (batch,) = found
    # The first token of a text is never predicted: the beginning, or else its first word's.
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
SAID = ["I will look it up.", "Mara Venn.", "She does."]


@pytest.mark.parametrize("family", FAMILIES)
def test_of_a_conversation_the_assistants_turns_and_their_ends_are_trained_and_nothing_else(family: str, batches: Any):
    rows = [{"messages": TALK}, {"messages": BRIEF}]
    tokenizer, (batch,) = batches(family, rows, MARKED, assistant_only_loss=True)
    assert trained(tokenizer, batch, 0) == "".join(f"{text}<|im_end|>" for text in SAID)
    assert trained(tokenizer, batch, 1) == "Joren Tal.<|im_end|>"
    length = int(batch["attention_mask"][0].sum())
    for turn in TALK:  # all of it was read
        assert f"<|im_start|>{turn['role']}\n{turn['content']}" in tokenizer.decode(batch["input_ids"][0][:length])


def test_a_last_turn_alone_is_trained_where_it_is_the_completion(batches: Any):
    rows = [{"prompt": TALK[:-1], "completion": TALK[-1:]}, {"prompt": BRIEF[:1], "completion": BRIEF[1:]}]
    tokenizer, (batch,) = batches("qwen", rows, UNMARKED)
    assert trained(tokenizer, batch, 0) == "She does.<|im_end|>\n"
    assert trained(tokenizer, batch, 1) == "Joren Tal.<|im_end|>\n"


def test_a_template_that_does_not_mark_what_the_assistant_says_is_refused(batches: Any):
    with pytest.raises(ValueError, match="generation"):
        batches("qwen", [{"messages": TALK}], UNMARKED, assistant_only_loss=True)


@pytest.mark.parametrize(
    ("model", "end"),
    [("qwen3", "<|im_end|>"), ("qwen2_5", "<|im_end|>"), ("llama3", "<|eot_id|>"), ("gemma3", "<end_of_turn>")],
)
def test_of_templates_that_trl_knows_the_assistants_turns_are_trained_too(model: str, end: str, batches: Any):
    """Qwen's, Llama's and Gemma's don't mark what the assistant says; TRL puts marked ones in their place."""
    from trl import chat_template_utils

    template = getattr(chat_template_utils, f"{model}_chat_template")
    assert "generation %}" not in template
    rows = [{"messages": [turn for turn in TALK[1:] if turn["role"] != "tool"]}]
    rows[0]["messages"].pop(1)  # by turns, as Gemma's wants them
    tokenizer, (batch,) = batches("qwen", rows, template, assistant_only_loss=True)
    text = trained(tokenizer, batch, 0)
    for said in SAID[1:]:
        assert said + end in text
    assert "Who keeps bees?" not in text
    assert "And who sells lamps?" not in text
