"""Prompts: their examples, documents and chat templates, and their errors."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from transformers import AutoTokenizer

from hf_knowlearn.documents import Document, Question, split_document
from hf_knowlearn.generation.responses import generate_responses
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import plain_prompt, resolve_template

CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


@pytest.fixture
def chatty(tokenizer: Any) -> Any:
    import copy

    chatty = copy.deepcopy(tokenizer)
    chatty.chat_template = CHAT
    return chatty


def shown(prompt: Any) -> list[str]:
    """The texts of a plain prompt's examples."""
    *examples, last = prompt.text.split("\n\n")
    assert last == plain_prompt(prompt.question.text)
    return [example.removeprefix("Question: ").partition("\nAnswer: ")[0] for example in examples]


def test_a_zero_shot_prompt_is_the_plain_template_and_has_the_tokenizers_ids(
    tokenizer: Any, world_questions: list[Question]
):
    prompts = question_prompts(tokenizer, world_questions)
    assert [prompt.text for prompt in prompts] == [plain_prompt(question.text) for question in world_questions]
    assert [list(prompt.ids) for prompt in prompts] == tokenizer([prompt.text for prompt in prompts])["input_ids"]


def test_examples_have_the_relation_of_the_question_and_never_its_fact_or_document(
    tokenizer: Any, world_questions: list[Question]
):
    by_text = {question.text: question for question in world_questions}
    prompts = question_prompts(tokenizer, world_questions, shots=4, prompts=5)
    assert len(prompts) == 5 * len(world_questions)
    for prompt in prompts:
        examples = [by_text[text] for text in shown(prompt)]
        assert len({example.id for example in examples}) == 4
        for example in examples:
            assert example.relation == prompt.question.relation
            assert example.document_id != prompt.question.document_id
            assert f"\nAnswer: {example.answers[0]}\n\n" in prompt.text


def test_no_two_examples_are_about_one_fact_and_none_gives_the_answer_away(tokenizer: Any):
    pool = [
        Question(f"{fact}/{n}", f"{fact}, {n}?", (fact,), relation="r", fact_id=fact) for fact in "pqrs" for n in "12"
    ]
    for prompt in question_prompts(tokenizer, pool, shots=3, prompts=8):
        facts = [text[0] for text in shown(prompt)]
        assert len({*facts, prompt.question.text[0]}) == 4


def test_questions_of_a_relation_share_all_examples_that_give_no_answer_away(
    tokenizer: Any, world_questions: list[Question]
):
    of_school = [q for q in world_questions if q.relation == "school"]
    prompts = question_prompts(tokenizer, of_school, shots=3, prompts=4)
    for number in range(4):
        sets = [tuple(shown(prompt)) for prompt in prompts if prompt.number == number]
        common = max(set(sets), key=sets.count)
        assert sets.count(common) == len(of_school) - 3
        for own, prompt in zip(sets, prompts[number::4], strict=True):
            assert (own != common) == (prompt.question.text in common)
    assert len({prompt.prefix_key for prompt in prompts if prompt.question.id == of_school[0].id}) == 4


def test_examples_depend_on_seed_relation_and_prompt_number_and_not_on_the_order_of_the_pool(
    tokenizer: Any, world_questions: list[Question]
):
    one = question_prompts(tokenizer, world_questions, shots=3, prompts=3, pool=world_questions)
    assert question_prompts(tokenizer, world_questions, shots=3, prompts=3, pool=world_questions[::-1]) == one
    assert question_prompts(tokenizer, world_questions, shots=3, prompts=3, pool=world_questions, seed=1) != one
    assert [p for p in one if p.number < 2] == question_prompts(tokenizer, world_questions, shots=3, prompts=2)


def test_too_few_examples_are_an_error_with_the_ids_of_the_questions(tokenizer: Any, world_questions: list[Question]):
    with pytest.raises(ValueError, match=r"shots=12: 24 questions have fewer .* 'person-000000/employer/0', .*, …"):
        question_prompts(tokenizer, world_questions, shots=12)
    bare = [*world_questions, Question("bare", "What?", ("that",))]
    with pytest.raises(
        ValueError,
        match=r"needs the relation of every question, and 1 question has none: 'bare'. Give each question a relation",
    ):
        question_prompts(tokenizer, bare, shots=2)
    assert len(question_prompts(tokenizer, bare)) == 25


def test_an_open_book_prompt_begins_with_the_whole_document_and_shares_its_prefix_key(tokenizer: Any):
    book = Document("b", "The mill grinds rye. " * 9, title="The mill")
    parts = split_document(book, lambda text: len(text.split()), 8)
    assert len(parts) > 2
    world_questions = [Question(f"q{n}", f"What is it, {n}?", ("rye",), document_id="b") for n in range(3)]
    prompts = question_prompts(tokenizer, world_questions, documents=parts[::-1])
    assert prompts[1].text == f"The mill\n\n{book.text}\n\n{plain_prompt('What is it, 1?')}"
    assert len({prompt.prefix_key for prompt in prompts}) == 1


def test_a_mapping_inserts_a_text_for_each_question(tokenizer: Any):
    own = [Question(f"q{n}", f"What is it, {n}?", ("rye",), document_id="b") for n in range(3)]
    prompts = question_prompts(
        tokenizer, own, "plain", documents={"q0": "Rye.", "q1": "", "q2": "Oats."}, instruction="Be brief."
    )
    assert [prompt.text for prompt in prompts] == [
        f"Be brief.\n\nRye.\n\n{plain_prompt('What is it, 0?')}",
        f"Be brief.\n\n{plain_prompt('What is it, 1?')}",
        f"Be brief.\n\nOats.\n\n{plain_prompt('What is it, 2?')}",
    ]
    with pytest.raises(ValueError, match="turns text of the documents or instructions 'q0' into"):
        question_prompts(tokenizer, own, documents={"q0": tokenizer.eos_token, "q1": "", "q2": ""})


def test_a_missing_document_is_an_error_with_the_ids_of_the_questions(
    model: Any, tokenizer: Any, world_questions: list[Question], biographies: list[Document]
):
    lost = [
        *world_questions,
        Question("lost", "What?", ("that",)),
        Question("other", "What?", ("that",), document_id="z"),
    ]
    with pytest.raises(ValueError, match=r"but 2 questions lack it: 'lost', 'other'"):
        question_prompts(tokenizer, lost, documents=biographies)
    with pytest.raises(ValueError, match="open_book=True needs documents"):
        generate_responses(model, tokenizer, world_questions, GenerationSettings(open_book=True))


def test_documents_have_no_effect_closed_book(
    model: Any, tokenizer: Any, world_questions: list[Question], biographies: list[Document]
):
    settings = GenerationSettings(max_new_tokens=5)
    closed = generate_responses(model, tokenizer, world_questions, settings)
    assert generate_responses(model, tokenizer, world_questions, settings, documents=biographies) == closed
    assert (
        generate_responses(model, tokenizer, world_questions, replace(settings, open_book=True), documents=biographies)
        != closed
    )


def test_a_chat_prompt_renders_each_turn_and_has_one_beginning_token(
    chatty: Any, world_questions: list[Question], biographies: list[Document]
):
    (prompt,) = question_prompts(
        chatty,
        world_questions[:1],
        template="chat",
        shots=1,
        pool=world_questions,
        documents=biographies,
        instruction="Be brief.",
    )
    (plain,) = question_prompts(chatty, world_questions[:1], "plain", shots=1, pool=world_questions)
    (example,) = [q for q in world_questions if q.text == shown(plain)[0]]
    book = biographies[0]
    assert prompt.text == (
        f"<user>Be brief.\n\n{book.title}\n\n{book.text}\n\n{example.text}\n<assistant>{example.answers[0]}\n"
        f"<user>{world_questions[0].text}\n<assistant>"
    )
    assert list(prompt.ids) == chatty(prompt.text)["input_ids"]
    assert prompt.ids.count(chatty.bos_token_id) == 1


def test_a_template_that_prints_the_date_prints_a_fixed_date(chatty: Any, world_questions: list[Question]):
    chatty.chat_template = "Today is {{ strftime_now('%d %b %Y') }}. " + CHAT
    (prompt,) = question_prompts(chatty, world_questions[:1], template="chat")
    assert prompt.text.startswith("Today is 26 Jul 2024. ")
    chatty.chat_template = "Today is {{ strftime_now('%A, %Y-%m-%d, %-d %B') }}. " + CHAT
    (prompt,) = question_prompts(chatty, world_questions[:1], template="chat")
    assert prompt.text.startswith("Today is Friday, 2024-07-26, 26 July. ")


def test_auto_is_chat_with_a_template_and_chat_without_a_template_is_an_error(
    tokenizer: Any, chatty: Any, world_questions: list[Question]
):
    assert question_prompts(chatty, world_questions, template="auto") == question_prompts(
        chatty, world_questions, template="chat"
    )
    chatty.chat_template = None
    assert question_prompts(chatty, world_questions, template="auto") == question_prompts(chatty, world_questions)
    with pytest.raises(ValueError, match=r"template='chat' needs a tokenizer with a chat template. Use"):
        question_prompts(chatty, world_questions, template="chat")


def test_a_prompt_begins_with_the_instruction(tokenizer: Any, world_questions: list[Question]):
    for prompt in question_prompts(tokenizer, world_questions[:3], instruction="Answer in a word."):
        assert prompt.text == f"Answer in a word.\n\n{plain_prompt(prompt.question.text)}"


def test_the_automatic_template_is_chat_if_the_chat_template_has_turns(base: Path, chatty: Any):
    without_turns = AutoTokenizer.from_pretrained(base)
    assert without_turns.chat_template
    assert resolve_template(without_turns, "auto") == "plain"
    assert resolve_template(without_turns, "chat") == "chat"
    assert resolve_template(chatty, "auto") == "chat"
    chatty.chat_template = None
    assert resolve_template(chatty, "auto") == "plain"


def test_only_chat_prompts_have_a_default_instruction(chatty: Any, world_questions: list[Question]):
    text = world_questions[0].text
    for template, instruction, expected in [
        ("plain", None, plain_prompt(text)),
        ("auto", None, f"<user>Answer with a few words only.\n\n{text}\n<assistant>"),
        ("chat", "", f"<user>{text}\n<assistant>"),
        ("chat", "Be brief.", f"<user>Be brief.\n\n{text}\n<assistant>"),
    ]:
        (prompt,) = question_prompts(chatty, world_questions[:1], template, instruction=instruction)
        assert prompt.text == expected
