"""Prompts: which examples stand in them, what is refused, and how a document and a chat template come in."""

from dataclasses import replace
from typing import Any

import pytest

from hf_knowlearn.documents import Document, Question, split_document
from hf_knowlearn.generation.ask import GenerationSettings, generate_responses
from hf_knowlearn.prompts.questions import question_prompts
from hf_knowlearn.prompts.templates import plain_prompt

CHAT = (
    "{% for m in messages %}<{{ m['role'] }}>{{ m['content'] }}\n{% endfor %}"
    "{% if add_generation_prompt %}<bot>{% endif %}"
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


def test_zero_shot_is_the_plain_form_and_its_ids_are_the_tokenizers(tokenizer: Any, asked: list[Question]):
    prompts = question_prompts(tokenizer, asked)
    assert [prompt.text for prompt in prompts] == [plain_prompt(question.text) for question in asked]
    assert [list(prompt.ids) for prompt in prompts] == tokenizer([prompt.text for prompt in prompts])["input_ids"]


def test_examples_are_of_the_same_relation_and_never_of_the_questions_fact_or_document(
    tokenizer: Any, asked: list[Question]
):
    by_text = {question.text: question for question in asked}
    prompts = question_prompts(tokenizer, asked, shots=4, prompts=5)
    assert len(prompts) == 5 * len(asked)
    for prompt in prompts:
        examples = [by_text[text] for text in shown(prompt)]
        assert len({example.id for example in examples}) == 4
        for example in examples:
            assert example.relation == prompt.question.relation
            assert example.document_id != prompt.question.document_id
            assert f"\nAnswer: {example.answers[0]}\n\n" in prompt.text


def test_wordings_of_one_fact_are_no_two_examples_and_none_tells_the_answer(tokenizer: Any):
    pool = [
        Question(f"{fact}/{n}", f"{fact}, {n}?", (fact,), relation="r", fact_id=fact) for fact in "pqrs" for n in "12"
    ]
    for prompt in question_prompts(tokenizer, pool, shots=3, prompts=8):
        facts = [text[0] for text in shown(prompt)]
        assert len({*facts, prompt.question.text[0]}) == 4


def test_questions_of_a_relation_share_their_examples_but_for_those_that_would_tell(
    tokenizer: Any, asked: list[Question]
):
    of_school = [q for q in asked if q.relation == "school"]
    prompts = question_prompts(tokenizer, of_school, shots=3, prompts=4)
    for number in range(4):
        sets = [tuple(shown(prompt)) for prompt in prompts if prompt.number == number]
        common = max(set(sets), key=sets.count)
        assert sets.count(common) == len(of_school) - 3
        for own, prompt in zip(sets, prompts[number::4], strict=True):
            assert (own != common) == (prompt.question.text in common)
    assert len({prompt.family for prompt in prompts if prompt.question.id == of_school[0].id}) == 4


def test_examples_depend_on_seed_relation_and_prompt_number_not_on_the_pools_order(
    tokenizer: Any, asked: list[Question]
):
    one = question_prompts(tokenizer, asked, shots=3, prompts=3, pool=asked)
    assert question_prompts(tokenizer, asked, shots=3, prompts=3, pool=asked[::-1]) == one
    assert question_prompts(tokenizer, asked, shots=3, prompts=3, pool=asked, seed=1) != one
    assert [p for p in one if p.number < 2] == question_prompts(tokenizer, asked, shots=3, prompts=2)


def test_too_few_examples_are_refused_by_the_ids_of_the_questions(tokenizer: Any, asked: list[Question]):
    with pytest.raises(
        ValueError, match=r"shots=12, and 24 questions find fewer .* 'person-000000/employer/0', .*, …"
    ):
        question_prompts(tokenizer, asked, shots=12)
    bare = [*asked, Question("bare", "What?", ("that",))]
    with pytest.raises(ValueError, match=r"same relation, and 1 questions name none: 'bare'. Give them a relation"):
        question_prompts(tokenizer, bare, shots=2)
    assert len(question_prompts(tokenizer, bare)) == 25


def test_an_open_book_lies_before_the_question_whole_and_begins_the_family(tokenizer: Any):
    book = Document("b", "The mill grinds rye. " * 9, title="The mill")
    parts = split_document(book, lambda text: len(text.split()), 8)
    assert len(parts) > 2
    asked = [Question(f"q{n}", f"What is it, {n}?", ("rye",), document_id="b") for n in range(3)]
    prompts = question_prompts(tokenizer, asked, documents=parts[::-1])
    assert prompts[1].text == f"The mill\n\n{book.text}\n\n{plain_prompt('What is it, 1?')}"
    assert len({prompt.family for prompt in prompts}) == 1


def test_an_open_book_that_is_not_there_is_refused_by_the_questions_ids(
    model: Any, tokenizer: Any, asked: list[Question], biographies: list[Document]
):
    lost = [*asked, Question("lost", "What?", ("that",)), Question("other", "What?", ("that",), document_id="z")]
    with pytest.raises(ValueError, match=r"documents of 2 questions are not among those given: 'lost', 'other'"):
        question_prompts(tokenizer, lost, documents=biographies)
    with pytest.raises(ValueError, match="open_book=True, and no documents are given"):
        generate_responses(model, tokenizer, asked, GenerationSettings(open_book=True))


def test_documents_play_no_part_closed_book(
    model: Any, tokenizer: Any, asked: list[Question], biographies: list[Document]
):
    asking = GenerationSettings(max_new_tokens=5)
    closed = generate_responses(model, tokenizer, asked, asking)
    assert generate_responses(model, tokenizer, asked, asking, documents=biographies) == closed
    assert (
        generate_responses(model, tokenizer, asked, replace(asking, open_book=True), documents=biographies) != closed
    )


def test_a_chat_goes_through_the_template_turn_by_turn_without_a_second_beginning(
    chatty: Any, asked: list[Question], biographies: list[Document]
):
    (prompt,) = question_prompts(
        chatty, asked[:1], template="chat", shots=1, pool=asked, documents=biographies, instruction="Be brief."
    )
    (plain,) = question_prompts(chatty, asked[:1], shots=1, pool=asked)
    (example,) = [q for q in asked if q.text == shown(plain)[0]]
    book = biographies[0]
    assert prompt.text == (
        f"<user>Be brief.\n\n{book.title}\n\n{book.text}\n\n{example.text}\n<assistant>{example.answers[0]}\n"
        f"<user>{asked[0].text}\n<bot>"
    )
    assert list(prompt.ids) == chatty(prompt.text, add_special_tokens=False)["input_ids"]
    assert chatty.bos_token_id not in prompt.ids


def test_a_template_that_tells_the_day_tells_the_same_every_day(chatty: Any, asked: list[Question]):
    chatty.chat_template = "Today is {{ strftime_now('%d %b %Y') }}. " + CHAT
    (prompt,) = question_prompts(chatty, asked[:1], template="chat")
    assert prompt.text.startswith("Today is 26 Jul 2024. ")


def test_auto_is_chat_where_there_is_a_template_and_chat_is_refused_where_there_is_none(
    tokenizer: Any, chatty: Any, asked: list[Question]
):
    assert question_prompts(chatty, asked, template="auto") == question_prompts(chatty, asked, template="chat")
    chatty.chat_template = None
    assert question_prompts(chatty, asked, template="auto") == question_prompts(chatty, asked)
    with pytest.raises(ValueError, match="template='chat', and this tokenizer has no chat template: ask with"):
        question_prompts(chatty, asked, template="chat")


def test_an_instruction_stands_before_everything(tokenizer: Any, asked: list[Question]):
    for prompt in question_prompts(tokenizer, asked[:3], instruction="Answer in a word."):
        assert prompt.text == f"Answer in a word.\n\n{plain_prompt(prompt.question.text)}"
