"""Tests of chat ability: the rules, the instructions of the package, and the generation of the responses."""

import inspect
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from transformers import GenerationConfig

from hf_knowlearn.documents.language import detected_language
from hf_knowlearn.evaluation.chat_ability import (
    MAX_NEW_TOKENS,
    ChatAbility,
    Instruction,
    chat_ability,
    chat_instructions,
)
from hf_knowlearn.evaluation.chat_rules import RULES
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.templates import question_prompt

INSTRUCTIONS = chat_instructions()
CHAT = (
    "{% for m in messages %}[{{ m.role }}]{{ m.content }}</s>{% endfor %}"
    "{% if add_generation_prompt %}[assistant]{% endif %}"
)
GERMAN = "Im Winter liegt auf den Bergen viel Schnee, und die Kinder fahren Schlitten."

# Rule -> (arguments, responses that fulfil the instruction, responses that do not).
CASES: dict[str, tuple[dict[str, Any], list[str], list[str]]] = {
    "is_one_of": (
        {"texts": ["yes", "no"]},
        ["yes", "No.", ' "Yes!"\n', "**no**"],
        ["yes, it is", "maybe", "yes no", "y e s"],
    ),
    "repeats": (
        {"sentence": "The ferry leaves at six."},
        ["The ferry leaves at six.", "\n The ferry leaves at six. \n"],
        ["The ferry leaves at six", "the ferry leaves at six.", '"The ferry leaves at six."', "It leaves at six."],
    ),
    "is_number": ({}, ["4", " 2000\n"], ["four", "4.", "4 legs", "-4"]),
    "has_words": (
        {"minimum": 2, "maximum": 3},
        ["two words", "three short words", "It's - fine"],
        ["one", "now four words here", "one -"],
    ),
    "has_characters": ({"maximum": 5}, ["five!", " four \n"], ["sixsix", "one two"]),
    "has_sentences": (
        {"number": 2},
        ["It rains. It pours!", "Dr. Smith sang. He left.", "It rains.\n\nIt pours."],
        ["It rains.", "One. Two. Three is more.", "It rains and it pours."],
    ),
    "has_paragraphs": (
        {"number": 2},
        ["One.\n\nTwo.", "One\nline.\n \n\nTwo.", "\nOne.\n\nTwo.\n\n"],
        ["One.\nTwo.", "One.\n\nTwo.\n\nThree.", "One."],
    ),
    "has_parts": (
        {"separator": ",", "number": 3},
        ["cat, dog, cow", "cat,dog,cow."],
        ["cat, dog", "cat, dog, cow, hen", "cat, dog,", "cat; dog; cow"],
    ),
    "has_bullets": (
        {"number": 2},
        ["- tea\n- milk", "Here it is:\n\n* tea\n* milk", "• tea\n• milk"],
        ["- tea", "- tea\n- milk\n- bread", "1. tea\n2. milk", "tea - milk", "-tea\n-milk", "-\n-"],
    ),
    "has_numbered_items": (
        {"number": 2},
        ["1. tea\n2. milk", "Here it is:\n1. tea\n2. milk", "1) tea\n2) milk"],
        ["1. tea", "1. tea\n2. milk\n3. bread", "1. tea\n3. milk", "2. tea\n1. milk", "1. tea 2. milk", "- tea\n- a"],
    ),
    "is_lower_case": ({}, ["it is cold.", "été 12"], ["It is cold.", "42", "iT"]),
    "is_upper_case": ({}, ["IT IS COLD.", "42 A"], ["It is cold.", "42", "it"]),
    "starts_with": (
        {"phrase": "A friend is"},
        ["A friend is kind.", "\na friend IS here"],
        ["Sure! A friend is kind.", "A fried egg", '"A friend is kind."'],
    ),
    "ends_with": (
        {"phrase": "That is all."},
        ["It rains. That is all.", "that is all. \n"],
        ["That is all", "That is all. Bye.", "It rains."],
    ),
    "contains": (
        {"phrases": ["dog", "P.S."]},
        ["My dog. P.S. Bye", "p.s. DOG"],
        ["My dog.", "P.S. Bye", "dogs P.S.", "dog PS"],
    ),
    "contains_times": (
        {"phrase": "cat", "number": 2},
        ["cat cat", "Cat, and a cat."],
        ["cat", "cat cat cat", "cats cat", "concat cat"],
    ),
    "avoids": (
        {"phrases": ["fruit", ","]},
        ["An apple is red.", "fruits", "grapefruit"],
        ["Fruit.", "a, b", "It is a fruit"],
    ),
    "is_json": (
        {"keys": ["name", "age"]},
        ['{"name": "Ana", "age": 30}', ' {"age": [], "name": {}}\n', '```json\n{"name": "Ana", "age": 30}\n```'],
        ['{"name": "Ana"}', '{"name": 1, "age": 2, "x": 3}', "{'name': 1, 'age': 2}", '["name", "age"]', "Ana",
         'Here: {"name": 1, "age": 2}'],
    ),
    "is_language": ({"code": "de"}, [GERMAN], ["There is much snow on the mountains in winter.", "ja", "42"]),
    "is_quoted": ({}, ['"It rains."', "“It rains.”", '"Two\nlines"\n'], ['"It rains".', "'It rains'", "Rain", '"']),
    "has_title": ({}, ["[[Rain]]\nIt rains.", "x [[a b]] y"], ["[Rain]", "[[]]", "[[Ra\nin]]", "Rain"]),
}  # fmt: skip


def test_every_rule_has_cases_and_is_used():
    assert {*CASES} == {*RULES} == {one.rule for one in INSTRUCTIONS}


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_distinguishes_the_responses(rule: str):
    arguments, right, wrong = CASES[rule]
    instruction = Instruction("1", "Do it.", rule, arguments)
    assert [text for text in right if not instruction.is_fulfilled(text)] == []
    assert [text for text in wrong if instruction.is_fulfilled(text)] == []


def test_a_blank_response_fulfils_nothing():
    assert [one.id for one in INSTRUCTIONS if one.is_fulfilled("") or one.is_fulfilled(" \n")] == []


def test_the_language_of_a_short_text_is_undetermined():
    assert (detected_language(GERMAN), detected_language("ja")) == ("de", "und")


def test_there_are_100_different_instructions():
    assert len({one.id for one in INSTRUCTIONS}) == len({one.text for one in INSTRUCTIONS}) == 100


def test_the_arguments_of_each_instruction_are_those_of_its_rule():
    wrong = [
        one.id for one in INSTRUCTIONS if [*inspect.signature(RULES[one.rule]).parameters][1:] != [*one.arguments]
    ]
    assert wrong == []


def test_no_response_is_right_for_all_instructions_of_a_kind():
    # A model that always writes the same sentence fulfils few instructions.
    for text in ("I am a helpful assistant.", "yes", "Sure! Here is the answer.\n\nIt is this."):
        assert sum(one.is_fulfilled(text) for one in INSTRUCTIONS) <= 30


@pytest.mark.parametrize("rule", ["contains", "repeats", "starts_with", "ends_with", "contains_times"])
def test_an_instruction_names_its_phrases(rule: str):
    own = [one for one in INSTRUCTIONS if one.rule == rule]
    named = [
        (one.text, value)
        for one in own
        for values in one.arguments.values()
        for value in (values if isinstance(values, list) else [values])
        if isinstance(value, str)
    ]
    assert named
    assert [pair for pair in named if pair[1] not in pair[0]] == []


def test_figures_are_shares_with_their_standard_errors():
    instructions = [Instruction(str(i), "Write about rain.", "contains", {"phrases": ["rain"]}) for i in range(4)]
    ability = ChatAbility(instructions, ["rain", "snow", " ", "hail"], [True, True, False, True])
    error = math.sqrt(3 / 4 * 1 / 4 / 3)  # of a share of 1 in 4, and of 3 in 4
    assert ability.figures() == pytest.approx(
        {"n": 4, "fulfilled": 0.25, "fulfilled_se": error, "ended": 0.75, "ended_se": error}
    )
    assert ability.rows()[1] == {
        "id": "1", "instruction": "Write about rain.", "response": "snow", "fulfilled": False, "ended": True
    }  # fmt: skip


@pytest.fixture
def chat_tokenizer(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(tokenizer, "chat_template", CHAT)
    return tokenizer


def greedy(model: Any, tokenizer: Any, prompt: str) -> tuple[str, bool]:
    """The response that transformers generates, and whether it ended."""
    ids = torch.tensor([tokenizer(prompt)["input_ids"]])
    config = GenerationConfig(
        max_new_tokens=MAX_NEW_TOKENS, do_sample=False, eos_token_id=tokenizer.eos_token_id, pad_token_id=0
    )
    tokens = model.generate(ids, attention_mask=torch.ones_like(ids), generation_config=config)
    tokens = tokens[0, ids.shape[1] :].tolist()
    ended = tokens[-1] == tokenizer.eos_token_id
    return tokenizer.decode(tokens[:-1] if ended else tokens, skip_special_tokens=True), ended


@pytest.mark.parametrize("template", ["chat", "plain"])
def test_responses_are_those_of_transformers_and_may_have_several_lines(
    build: Callable[..., Any], tokenizer: Any, template: str, request: pytest.FixtureRequest
):
    model = build("llama", max_position_embeddings=1024)
    with torch.no_grad():  # Why: otherwise all responses end.
        model.get_output_embeddings().weight[tokenizer.eos_token_id] *= 0.6
    if template == "chat":
        request.getfixturevalue("chat_tokenizer")
    instructions = INSTRUCTIONS[::10]
    found = chat_ability(model, tokenizer, GenerationSettings(batch_size=3), instructions=instructions)
    expected = [greedy(model, tokenizer, question_prompt(tokenizer, template, one.text)) for one in instructions]
    assert [*zip(found.responses, found.ended, strict=True)] == expected
    assert any("\n" in text.strip() for text in found.responses)
    assert {*found.ended} == {True, False}


def test_settings_of_the_run_do_not_change_the_prompts(model: Any, tokenizer: Any):
    own = GenerationSettings(template="plain", instruction="Answer with one word.", max_new_tokens=2, samples=3)
    instructions = INSTRUCTIONS[:3]
    assert chat_ability(model, tokenizer, own, instructions=instructions) == chat_ability(
        model, tokenizer, replace(own, instruction="", max_new_tokens=9, samples=0), instructions=instructions
    )
    assert max(map(len, chat_ability(model, tokenizer, own, instructions=instructions).responses)) > 20


def test_a_template_that_starts_a_thought_is_replaced_by_the_plain_template(
    model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch
):
    plain = chat_ability(model, tokenizer, instructions=INSTRUCTIONS[:2])
    monkeypatch.setattr(tokenizer, "chat_template", CHAT.replace("[assistant]", "[assistant]<think>"))
    assert chat_ability(model, tokenizer, instructions=INSTRUCTIONS[:2]) == plain
