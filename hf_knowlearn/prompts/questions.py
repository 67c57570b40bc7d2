"""Prompts: a question as a model is asked it: bare, after examples, in the words of its chat template, open book.

The surprising decision: examples are drawn for a relation and a prompt number, not for a question (after SliCK,
arXiv 2405.05904, which asks with ten random four-shot prompts), so that all questions of a relation begin alike and
what they share is computed once. Only a question that an example would give away gets a spare one in its place.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.prompts.examples import _Examples, _listed
from hf_knowlearn.prompts.templates import (
    PLAIN,
    _chat,
    first_answer,
    plain_prompt,
    question_with_answer,
    resolve_template,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class Prompt:
    """One way to ask one question. Prompts of the same `family` begin alike: the same examples, the same document."""

    question: Question
    number: int
    text: str
    ids: tuple[int, ...]
    family: tuple[str, ...]


def question_prompts(
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    template: str = PLAIN,
    shots: int = 0,
    prompts: int = 1,
    seed: int = 0,
    instruction: str = "",
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | None = None,
) -> list[Prompt]:
    """The prompts of every question, `prompts` of each, side by side.

    Args:
        template: "plain" ("Question: … Answer:"), "chat" (the tokenizer's template), "auto" (chat where it has one).
        shots: questions of the same relation, with their answers, that go before.
        prompts: different draws of them. Without `shots` they are one and the same.
        pool: where examples are drawn from; `questions` if None.
        documents: for open book: what stands before everything else is the question's own, of these.

    Raises:
        ValueError: a question's relation, examples or document are missing; each is named by its id.
    """
    template = resolve_template(tokenizer, template)
    examples = _Examples(questions if pool is None else pool, shots, seed)
    books = None if documents is None else _whole(documents)
    _refuse_missing(questions, shots, books)
    texts: list[str] = []
    told: list[tuple[Question, int, tuple[str, ...]]] = []
    for question in questions:
        book = None if books is None else books[str(question.document_id)]
        for number in range(prompts):
            shown = examples.of(question, number)
            texts.append(_text(tokenizer, template, question, shown, instruction, book))
            told.append((question, number, (str(question.document_id if book else ""), *(q.id for q in shown))))
    examples.refuse_shortage()
    # A chat template writes the special tokens itself.
    rows = tokenizer(texts, add_special_tokens=template == PLAIN, verbose=False)["input_ids"] if texts else []
    return [
        Prompt(question, number, text, tuple(ids), family)
        for (question, number, family), text, ids in zip(told, texts, rows, strict=True)
    ]


def _text(
    tokenizer: "PreTrainedTokenizerBase",
    template: str,
    question: Question,
    shown: Sequence[Question],
    instruction: str,
    book: str | None,
) -> str:
    before = [text for text in (instruction, book) if text]
    if template == PLAIN:
        return "\n\n".join([*before, *map(question_with_answer, shown), plain_prompt(question.text)])
    turns = [turn for q in shown for turn in (("user", q.text), ("assistant", first_answer(q)))]
    turns.append(("user", question.text))
    # In the first turn, not in one of the system's, which some templates refuse.
    turns[0] = ("user", "\n\n".join([*before, turns[0][1]]))
    return _chat(tokenizer, turns)


def _whole(documents: Iterable[Document]) -> dict[str, str]:
    """The title and text of each document by its id, its parts put together again."""
    parts: dict[str, list[Document]] = defaultdict(list)
    for document in documents:
        parts[document.id].append(document)
    whole = {}
    for id, of_one in parts.items():
        in_order = sorted(of_one, key=lambda part: part.start)
        text = "".join(part.text for part in in_order)
        whole[id] = f"{in_order[0].title}\n\n{text}" if in_order[0].title else text
    return whole


def _refuse_missing(questions: Sequence[Question], shots: int, books: Mapping[str, str] | None) -> None:
    wrong = []
    if shots and (bare := [q.id for q in questions if q.relation is None]):
        wrong.append(
            f"shots={shots} asks for examples of the same relation, and {len(bare)} questions name none:"
            f" {_listed(bare)}. Give them a relation, or ask with shots=0."
        )
    if books is not None and (lost := [q.id for q in questions if q.document_id not in books]):
        wrong.append(
            f"Open book, and the documents of {len(lost)} questions are not among those given: {_listed(lost)}. Give"
            " each question the document_id of one of them, or ask closed book."
        )
    if wrong:
        raise ValueError("\n".join(wrong))
