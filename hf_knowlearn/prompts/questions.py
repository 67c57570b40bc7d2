"""Builds the prompts of questions, in the plain or the chat template, with few-shot examples and documents."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.prompts.control_tokens import check_control_tokens, check_questions
from hf_knowlearn.prompts.examples import FewShotExamples, list_ids
from hf_knowlearn.prompts.option_names import option
from hf_knowlearn.prompts.templates import (
    AUTO,
    PLAIN,
    chat_prompt,
    default_instruction,
    first_answer,
    plain_prompt,
    question_with_answer,
    resolve_template,
)
from hf_knowlearn.prompts.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Prompt:
    """A prompt of a question.

    Args:
        number: The index of the prompt among the prompts of its question, from 0.
        ids: The tokens of `text`. The beginning token precedes them if the tokenizer adds one.
        prefix_key: Prompts with the same key begin with the same document and the same examples.
    """

    question: Question
    number: int
    text: str
    ids: tuple[int, ...]
    prefix_key: tuple[str, ...]


def question_prompts(
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    template: str = AUTO,
    shots: int = 0,
    prompts: int = 1,
    seed: int = 0,
    instruction: str | None = None,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | Mapping[str, str] | None = None,
) -> list[Prompt]:
    """Return the prompts of all questions, in the order of the questions.

    Args:
        template: "plain", "chat" or "auto" (see `GenerationSettings`).
        shots: The number of few-shot examples. An example is another question of the same relation, with its answer.
        prompts: The number of prompts of each question. Prompts of one question have different examples.
        instruction: Text at the start of every prompt. None means "Answer with a few words only." in the chat
            template, and no text in the plain template.
        pool: The questions from which examples are chosen. None means `questions`.
        documents: The documents that the questions are about, for open-book prompts. An open-book prompt contains the
            document of its question, after the instruction. A mapping has the text to insert for each question, by the
            id of the question. None means closed-book prompts.

    Raises:
        ValueError: A question lacks its relation, examples or document, or a text contains control tokens. The message
            lists the ids.

    Example:
        >>> [prompt] = question_prompts(tokenizer, [Question("q1", "Where does the ferry go?", ("Ormel",))])
        >>> prompt.text
        'Question: Where does the ferry go?\\nAnswer:'
    """
    template = resolve_template(tokenizer, template)
    instruction = default_instruction(template) if instruction is None else instruction
    examples = FewShotExamples(questions if pool is None else pool, shots, seed)
    books = None if documents is None else _texts_by_question(questions, documents)
    _check(questions, shots, books)
    chosen = [
        (question, number, examples.choose(question, number)) for question in questions for number in range(prompts)
    ]
    examples.check()
    check_questions(tokenizer, [*questions, *(example for _, _, shown in chosen for example in shown)])
    # Why by document: messages name the documents, but a text of a mapping belongs to a question.
    by_question = isinstance(documents, Mapping)
    used = {str(q.id if by_question else q.document_id): books[q.id] for q in questions} if books else {}
    check_control_tokens(tokenizer, [("instruction", instruction), *used.items()], "documents or instructions")
    texts = []
    for question, _, shown in chosen:
        book = books[question.id] if books else ""
        texts.append(_text(tokenizer, template, question, shown, [text for text in (instruction, book) if text]))
    # Why special tokens are added: a prompt has the tokens of its training row, and TRL adds special tokens to a row.
    # `apply_chat_template(tokenize=True)` adds none, so it gives other tokens if the template renders no beginning
    # token.
    rows = encode(tokenizer, texts)
    return [
        Prompt(q, number, text, tuple(ids), (books[q.id] if books else "", *(example.id for example in shown)))
        for (q, number, shown), text, ids in zip(chosen, texts, rows, strict=True)
    ]


def _text(
    tokenizer: "PreTrainedTokenizerBase", template: str, question: Question, shown: list[Question], first: list[str]
) -> str:
    if template == PLAIN:
        return "\n\n".join([*first, *map(question_with_answer, shown), plain_prompt(question.text)])
    turns = [turn for q in shown for turn in (("user", q.text), ("assistant", first_answer(q)))]
    turns.append(("user", question.text))
    # Why: the instruction is in the first user turn, because some templates reject a system turn.
    turns[0] = ("user", "\n\n".join([*first, turns[0][1]]))
    return chat_prompt(tokenizer, turns)


def _texts_by_question(
    questions: Sequence[Question], documents: Iterable[Document] | Mapping[str, str]
) -> Mapping[str, str]:
    """Return the text to insert into the prompt of each question, by the id of the question."""
    if isinstance(documents, Mapping):
        return documents
    texts = _full_texts(documents)
    return {q.id: texts[q.document_id] for q in questions if q.document_id in texts}


def _full_texts(documents: Iterable[Document]) -> dict[str, str]:
    """Return the text of each document by the document's id, after the title. The parts of a document are joined."""
    parts: dict[str, list[Document]] = defaultdict(list)
    for document in sorted(documents, key=lambda part: part.start):
        parts[document.id].append(document)
    texts = {}
    for id, own in parts.items():
        text = "".join(part.text for part in own)
        texts[id] = f"{own[0].title}\n\n{text}" if own[0].title else text
    return texts


def _check(questions: Sequence[Question], shots: int, books: Mapping[str, str] | None) -> None:
    problems = []
    if shots and (bare := [q.id for q in questions if q.relation is None]):
        problems.append(
            f"{option('shots', shots)} needs the relation of every question, and"
            f" {number_of(len(bare), 'question has', 'questions have')} none: {list_ids(bare)}. Give each question a"
            f" relation, or use {option('shots', 0)}."
        )
    if books is not None and (lost := [q.id for q in questions if q.id not in books]):
        problems.append(
            "Open-book prompts need the document of every question, but"
            f" {number_of(len(lost), 'question lacks', 'questions lack')} it:"
            f" {list_ids(lost)}. Give each question the document_id of one of the documents, or use"
            f" {option('open_book', False)}."
        )
    if problems:
        raise ValueError("\n".join(problems))
