"""Prompts: a question as a model is asked it: bare, after examples, in the words of its chat template, open book.

The surprising decision: examples are drawn for a relation and a prompt number, not for a question (after SliCK,
arXiv 2405.05904, which asks with ten random four-shot prompts), so that all questions of a relation begin alike and
what they share is computed once. Only a question that an example would give away gets a spare one in its place.
"""

import hashlib
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Document, Question

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PLAIN, CHAT, AUTO = "plain", "chat", "auto"
TEMPLATES = (PLAIN, CHAT, AUTO)
# Some templates, as Llama 3.2's, tell the day. A prompt must be tomorrow what it is today, so it is always this one.
SAME_DAY = "{%- macro strftime_now(format) -%}26 Jul 2024{%- endmacro -%}"


@dataclass(frozen=True)
class Prompt:
    """One way to ask one question. Prompts of the same `family` begin alike: the same examples, the same document."""

    question: Question
    number: int
    text: str
    ids: tuple[int, ...]
    family: tuple[str, ...]


def prompt_for(question: str) -> str:
    """The plain form of a question: the model goes on after it."""
    return f"Question: {question}\nAnswer:"


def answered(question: Question) -> str:
    """The plain form of a question and its first answer, as an example."""
    return f"{prompt_for(question.text)} {first_answer(question)}"


def first_answer(question: Question) -> str:
    return next(answer for answer in question.answers if answer.strip())


def template_of(tokenizer: "PreTrainedTokenizerBase", template: str) -> str:
    """`template`, where "auto" has become "chat" if the tokenizer has a chat template, else "plain".

    Raises:
        ValueError: "chat" is wanted, and the tokenizer has no chat template.
    """
    has_one = bool(tokenizer.chat_template)
    if template == CHAT and not has_one:
        raise ValueError(
            "template='chat', and this tokenizer has no chat template: ask with template='plain', or set"
            " tokenizer.chat_template to the one the model was trained with."
        )
    return (CHAT if has_one else PLAIN) if template == AUTO else template


def end_of_turn(tokenizer: "PreTrainedTokenizerBase") -> int | None:
    """The special token that the chat template puts behind what the assistant says; None where it puts none there."""
    said = "An answer."
    text = _chat(tokenizer, [("user", "A question."), ("assistant", said)], speaks=False)
    behind = tokenizer(text.rpartition(said)[2].lstrip(), add_special_tokens=False)["input_ids"]
    return behind[0] if behind and behind[0] in tokenizer.added_tokens_decoder else None


def trained_as(tokenizer: "PreTrainedTokenizerBase", template: str, asked: str, said: str) -> tuple[str, str]:
    """A question and its answer as `prompt` and `completion` of a training row: in the tokens in which it is asked.

    In the chat template the answer ends as a turn does, and the beginning token is left out where the tokenizer writes
    it by itself.
    """
    if template_of(tokenizer, template) == PLAIN:
        return prompt_for(asked), f" {said}"
    prompt, end = _chat(tokenizer, [("user", asked)]), end_of_turn(tokenizer)
    words = said.strip()  # some templates strip what is said
    whole = _chat(tokenizer, [("user", asked), ("assistant", words)], speaks=False)
    # What the template puts between the two, such as a space.
    between = whole[len(prompt) : whole.rindex(words)] if whole.startswith(prompt) else ""
    return without_beginning(tokenizer, prompt), between + said + (
        "" if end is None else tokenizer.convert_ids_to_tokens(end)
    )


def without_beginning(tokenizer: "PreTrainedTokenizerBase", text: str) -> str:
    """A text of the chat template without the beginning token, where the tokenizer writes that by itself."""
    if tokenizer.bos_token is None or tokenizer("")["input_ids"][:1] != [tokenizer.bos_token_id]:
        return text
    return text.removeprefix(tokenizer.bos_token)


def prompts_for(
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
    template = template_of(tokenizer, template)
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
        return "\n\n".join([*before, *map(answered, shown), prompt_for(question.text)])
    turns = [turn for q in shown for turn in (("user", q.text), ("assistant", first_answer(q)))]
    turns.append(("user", question.text))
    # In the first turn, not in one of the system's, which some templates refuse.
    turns[0] = ("user", "\n\n".join([*before, turns[0][1]]))
    return _chat(tokenizer, turns)


def _chat(tokenizer: "PreTrainedTokenizerBase", turns: Sequence[tuple[str, str]], speaks: bool = True) -> str:
    return render(tokenizer, [{"role": role, "content": content} for role, content in turns], speaks=speaks)


def render(
    tokenizer: "PreTrainedTokenizerBase",
    messages: Sequence[Mapping[str, Any]],
    tools: Sequence[Mapping[str, Any]] = (),
    speaks: bool = True,
) -> str:
    """The turns in the words of the chat template; if the assistant `speaks`, up to where it is to begin."""
    told = [dict(tool) for tool in tools] or None
    # Templates of models that think aloud read `enable_thinking`; a thought is no answer. Others ignore it.
    text: str = tokenizer.apply_chat_template(
        [dict(message) for message in messages],
        tools=told,
        chat_template=SAME_DAY + tokenizer.get_chat_template(tools=told),
        tokenize=False,
        add_generation_prompt=speaks,
        enable_thinking=False,
    )
    return text


class _Examples:
    """Examples for the questions of a relation: the pool in an order that the seed and the prompt number fix."""

    def __init__(self, pool: Iterable[Question], shots: int, seed: int) -> None:
        self.shots, self.seed = shots, seed
        self.pool: dict[str | None, list[Question]] = defaultdict(list)
        self.orders: dict[tuple[str | None, int], list[Question]] = {}
        self.short: dict[str, str | None] = {}  # question id -> relation
        if shots:
            for question in pool:
                self.pool[question.relation].append(question)

    def of(self, question: Question, number: int) -> list[Question]:
        """The first of the order that neither tell what `question` asks for nor one another's fact."""
        shown: list[Question] = []
        for other in self._order(question.relation, number) if self.shots else ():
            if _gives_away(other, question) or any(_same_fact(other, one) for one in shown):
                continue
            shown.append(other)
            if len(shown) == self.shots:
                return shown
        if len(shown) < self.shots:
            self.short[question.id] = question.relation
        return shown

    def _order(self, relation: str | None, number: int) -> list[Question]:
        key = (relation, number)
        if key not in self.orders:
            self.orders[key] = sorted(self.pool[relation], key=lambda q: _draw(self.seed, relation, number, q.id))
        return self.orders[key]

    def refuse_shortage(self) -> None:
        if self.short:
            relations = (f"{relation!r} ({count})" for relation, count in Counter(self.short.values()).items())
            raise ValueError(
                f"shots={self.shots}, and {len(self.short)} questions find fewer examples of their relation that are"
                f" of other documents and facts than their own: {_listed(self.short)}. So many by relation:"
                f" {', '.join(relations)}. Ask with fewer shots, or give a larger pool."
            )


def _draw(*key: object) -> bytes:
    return hashlib.blake2b(repr(key).encode(), digest_size=8).digest()


def _gives_away(example: Question, question: Question) -> bool:
    same_document = question.document_id is not None and example.document_id == question.document_id
    return same_document or example.text == question.text or _same_fact(example, question)


def _same_fact(one: Question, other: Question) -> bool:
    return one.id == other.id or (one.fact_id is not None and one.fact_id == other.fact_id)


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


def _listed(ids: Collection[str]) -> str:
    shown = ", ".join(repr(id) for id in list(ids)[:5])
    return f"{shown}, …" if len(ids) > 5 else shown
