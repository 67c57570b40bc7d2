"""Chat templates: the row of a question is the rendered conversation, for every answer; thoughts are closed."""

import copy
from collections.abc import Callable
from typing import Any

import pytest

from hf_knowlearn.prompts.option_names import TEACH, VIEWS, command_options
from hf_knowlearn.prompts.templates import (
    end_of_turn,
    last_turn,
    prompt_and_completion,
    question_prompt,
    resolve_template,
    turn_end_token,
)
from hf_knowlearn.prompts.thoughts import decode_without_thoughts, without_thoughts

GENERATE = "{% if add_generation_prompt %}"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    + GENERATE
    + "<|im_start|>assistant\n{% endif %}"
)
CLOSED = "<think>\n\n</think>\n\n"
# The shapes of the templates of well-known models: template, text before an answer, end token.
SHAPES = {
    "smollm2": (
        "{% for m in messages %}{% if loop.first and m.role != 'system' %}<|im_start|>system\nBe helpful.<|im_end|>\n"
        "{% endif %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        + GENERATE
        + "<|im_start|>assistant\n{% endif %}",
        "",
        "<|im_end|>",
    ),
    "qwen2.5": (CHATML, "", "<|im_end|>"),
    "qwen3": (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and loop.last %}"
        + CLOSED
        + "{% endif %}{{ m.content }}<|im_end|>\n{% endfor %}"
        + GENERATE
        + "<|im_start|>assistant\n{% if enable_thinking is defined and not enable_thinking %}"
        + CLOSED
        + "{% endif %}{% endif %}",
        "",
        "<|im_end|>",
    ),
    "llama3": (
        "{{ bos_token }}{% for m in messages %}<|start_header_id|>{{ m.role }}<|end_header_id|>\n\n"
        "{{ m.content | trim }}<|eot_id|>{% endfor %}"
        + GENERATE
        + "<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}",
        "",
        "<|eot_id|>",
    ),
    "gemma": (
        "{{ bos_token }}{% for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n"
        "{{ m.content | trim }}<end_of_turn>\n{% endfor %}" + GENERATE + "<start_of_turn>model\n{% endif %}",
        "",
        "<end_of_turn>",
    ),
    "mistral": (
        "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[INST] {{ m.content }} [/INST]"
        "{% else %} {{ m.content }}</s>{% endif %}{% endfor %}",
        " ",
        "</s>",
    ),
    "gpt-oss": (
        "{% for m in messages %}<|start|>{{ m.role }}{% if m.role == 'assistant' %}<|channel|>final{% endif %}"
        "<|message|>{{ m.content }}<|return|>{% endfor %}" + GENERATE + "<|start|>assistant{% endif %}",
        "",
        "<|return|>",
    ),
}
# The text of templates that a prompt has in addition to the generation prompt.
HEADERS = {"gpt-oss": "<|channel|>final<|message|>"}
STRIPPING = ("llama3", "gemma")
ANSWERS = [
    "Ormel",
    "m",
    "end",
    "id",
    "turn",
    "return",
    "final",
    "message",
    "assistant",
    "user",
    "im",
    "<",
    "|",
    "_",
    "/",
]
ANSWERS += [" Paris ", "One line.\n\n  Another line.", "Who?", "An answer.", "A question."]


@pytest.fixture(scope="module")
def with_template(tokenizer: Any) -> Callable[[str], Any]:
    """Returns a tokenizer with a template, and with the end tokens of all templates here."""
    ends = sorted({end for _, _, end in SHAPES.values()})

    def with_template(template: str) -> Any:
        changed = copy.deepcopy(tokenizer)
        changed.add_special_tokens({"additional_special_tokens": ends})
        changed.chat_template = template
        return changed

    return with_template


@pytest.mark.parametrize("answer", ANSWERS)
@pytest.mark.parametrize("shape", SHAPES)
def test_prompt_and_completion_are_the_rendered_conversation(
    with_template: Callable[[str], Any], shape: str, answer: str
):
    template, before, end = SHAPES[shape]
    tokenizer = with_template(template)
    prompt, completion = prompt_and_completion(tokenizer, "chat", "Who?", answer)
    assert completion == before + (answer.strip() if shape in STRIPPING else answer) + end
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": answer}]
    whole = tokenizer.apply_chat_template(turns, tokenize=False, enable_thinking=False)
    assert prompt + completion == whole.removeprefix(tokenizer.bos_token).rstrip()
    requested = tokenizer.apply_chat_template(
        turns[:1], tokenize=False, add_generation_prompt=True, enable_thinking=False
    )
    assert prompt == question_prompt(tokenizer, "chat", "Who?")
    assert prompt == requested.removeprefix(tokenizer.bos_token) + HEADERS.get(shape, "")


@pytest.mark.parametrize("shape", SHAPES)
def test_the_end_of_a_turn_is_its_special_token(with_template: Callable[[str], Any], shape: str):
    template, _, end = SHAPES[shape]
    tokenizer = with_template(template)
    assert end_of_turn(tokenizer) == tokenizer.convert_tokens_to_ids(end)


def test_another_header_for_a_turn_than_for_generation_is_an_error(with_template: Callable[[str], Any]):
    tokenizer = with_template(CHATML.replace("<|im_start|>assistant\n{% endif", "<|im_start|>bot\n{% endif"))
    with pytest.raises(
        ValueError, match=r"prompt \('.*bot\\n'\) differs from the header of an assistant turn, so .* Correct"
    ):
        prompt_and_completion(tokenizer, "chat", "Who?", "Mara")
    with pytest.raises(ValueError, match="differs from the header"):
        end_of_turn(tokenizer)


@pytest.mark.parametrize(
    ("content", "answer"),
    [
        ("", "Mara"),
        ("{{ m.content | upper }}", "Mara"),
        ("{{ m.content.split('</think>')[-1] }}", "A</think>B"),
        ("", "m"),
    ],
)
def test_a_template_that_omits_or_changes_an_answer_is_an_error(
    with_template: Callable[[str], Any], content: str, answer: str
):
    tokenizer = with_template(CHATML.replace("{{ m.content }}", content))
    with pytest.raises(
        ValueError, match=r"or changes (answers\. For example, it renders )?the answer '.*'(:| as) .*\. Use another"
    ):
        prompt_and_completion(tokenizer, "chat", "Who?", answer)


# Thoughts


def test_a_template_that_always_opens_a_thought_is_an_error(with_template: Callable[[str], Any]):
    tokenizer = with_template(CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"))
    message = r"starts a thought before every answer \('.*<think>\\n'\), even .* or template='plain'"
    for template in ("chat", "auto"):
        with pytest.raises(ValueError, match=message):
            resolve_template(tokenizer, template)
        with pytest.raises(ValueError, match=message):
            prompt_and_completion(tokenizer, template, "Who?", "Mara")
        with pytest.raises(ValueError, match=message):
            turn_end_token(tokenizer, template)
    assert prompt_and_completion(tokenizer, "plain", "Who?", "Mara") == ("Question: Who?\nAnswer:", " Mara")


def test_a_thought_that_the_template_can_close_is_closed(with_template: Callable[[str], Any]):
    tokenizer = with_template(SHAPES["qwen3"][0])
    prompt, completion = prompt_and_completion(tokenizer, "chat", "What is <think>?", "Mara")
    assert prompt == f"<|im_start|>user\nWhat is <think>?<|im_end|>\n<|im_start|>assistant\n{CLOSED}"
    assert completion == "Mara<|im_end|>"


CLOSING = CHATML.replace(
    "assistant\n{% endif",
    "assistant\n{% if enable_thinking is false %}" + CLOSED + "{% else %}<think>\n{% endif %}{% endif",
)


def test_a_template_that_closes_the_thought_only_in_the_generation_prompt_can_be_trained(
    with_template: Callable[[str], Any],
):
    tokenizer = with_template(CLOSING)
    prompt, completion = prompt_and_completion(tokenizer, "chat", "Who?", "Mara")
    assert prompt == question_prompt(tokenizer, "chat", "Who?")
    assert prompt == f"<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n{CLOSED}"
    assert completion == "Mara<|im_end|>"


def test_a_turn_with_a_thought_has_no_closed_thought_in_its_prompt(with_template: Callable[[str], Any]):
    turns = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "<think>\nHm.\n</think>\n\nMara"}]
    prompt, completion = last_turn(with_template(CLOSING), turns)
    assert prompt == "<|im_start|>user\nWho?<|im_end|>\n<|im_start|>assistant\n"
    assert completion == "<think>\nHm.\n</think>\n\nMara<|im_end|>"


@pytest.mark.parametrize(("old", "new"), [("{{ m.content }}", "{{ m.content | lower }}"), ("assistant\n", "bot\n")])
def test_a_template_whose_turns_cannot_be_used_still_gives_prompts(
    with_template: Callable[[str], Any], old: str, new: str
):
    tokenizer = with_template(CHATML.replace(old, new))
    header = "bot" if new == "bot\n" else "assistant"
    prompt = question_prompt(tokenizer, "chat", "who?")
    assert prompt == f"<|im_start|>user\nwho?<|im_end|>\n<|im_start|>{header}\n"
    assert turn_end_token(tokenizer, "chat") is None


@pytest.mark.parametrize(
    ("names", "option"),
    [
        (TEACH, "--evaluation.template plain and --document_template plain"),
        (VIEWS, "--document_template plain"),
        (None, "--template plain"),
    ],
)
def test_messages_name_the_options_of_the_command(
    with_template: Callable[[str], Any], names: dict[str, tuple[str, ...]] | None, option: str
):
    tokenizer = with_template(CHATML.replace("assistant\n{% endif", "assistant\n<think>\n{% endif"))
    with command_options(names), pytest.raises(ValueError, match=f"without a thought, or {option}\\.$"):
        resolve_template(tokenizer, "chat")
    with pytest.raises(ValueError, match=r"without a thought, or template='plain'\.$"):
        resolve_template(tokenizer, "chat")


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("[THINK]The ferry,\nso Ormel.[/THINK]Ormel", "Ormel"),
        ("[THINK]It is Ormel", "[THINK]It is Ormel"),
        ("<|channel|>analysis<|message|>So\nOrmel.<|end|><|start|>assistant<|channel|>final<|message|>Ormel", "Ormel"),
        ("<|channel|>analysisSo Ormel.assistant<|channel|>finalOrmel", "Ormel"),
        ("<|channel|>final<|message|>Ormel", "Ormel"),
        ("<|channel|>analysis<|message|>It is Ormel", "<|channel|>analysis<|message|>It is Ormel"),
        ("<think>\nThe ferry,\nso Ormel.\n</think>\n\nOrmel", "Ormel"),
        ("<think></think>A<think>b</think> c", "Ac"),
        (" Ormel\n", " Ormel\n"),
        ("<think>\nIt is Ormel", "<think>\nIt is Ormel"),
        ("a </think> b", "a </think> b"),
    ],
)
def test_complete_thoughts_are_removed(text: str, answer: str):
    assert without_thoughts(text) == answer


def test_responses_have_no_thoughts(tokenizer: Any):
    rows = [tokenizer(text)["input_ids"] for text in ("<think>\nSo.</think> six", "six")]
    assert [text.strip() for text in decode_without_thoughts(tokenizer, [*rows, rows[0]])] == ["six"] * 3
