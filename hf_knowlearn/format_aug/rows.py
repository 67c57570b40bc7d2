"""Builds the training rows of documents, questions, conversations and generated texts.

A row has a `prompt`, without loss, and a `completion`, with loss. The prompt of a document is empty, except in
`masked` views and in the chat template. `dataset_rows.py` makes the rows of the published dataset from the same views.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from hf_knowlearn import views
from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Conversation, Document, Question
from hf_knowlearn.documents.order_rules import can_move, order_rules
from hf_knowlearn.documents.sentences import sentences
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.format_aug.settings import RAW, ViewSettings
from hf_knowlearn.prompts.control_tokens import check_control_tokens, check_questions
from hf_knowlearn.prompts.conversations import conversation_turns
from hf_knowlearn.prompts.templates import (
    CHAT,
    default_instruction,
    first_answer,
    prompt_and_completion,
    resolve_template,
    text_around_answer,
)
from hf_knowlearn.views import View
from hf_knowlearn.views.order import has_other_order
from hf_knowlearn.views.parts import views_of_parts
from hf_knowlearn.views.similarity import distinct_views

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

Row = dict[str, Any]
LEAST_PROSE = 0.2  # share of a text; below it, near-identical views are left out

DOCUMENT_REQUEST = "Tell me about {title}."  # the user's message before a document in the chat template
# Values of the column `family` in rows that are not views of a document.
QUESTION, CONVERSATION = "question", "conversation"
SELF_GENERATED, SELF_GENERATED_CUT = "self_generated", "self_generated_cut"
MOST_PROBLEMS = 20  # number of problems that a message lists


def make_views(part: Document, settings: ViewSettings, number: int | None = None, first: int = 0) -> list[View]:
    """Make views of a document or of a part of a document.

    Args:
        number: number of views. None: `settings.num_views`.
        first: number of views to skip at the start of the sequence.

    Raises:
        TooFewViewsError: the document has fewer views.
    """
    if settings.family == RAW:
        return [views.raw_view(part)]
    number = settings.num_views if number is None else number
    options = {name: getattr(settings, name) for name in ("groups", "hold_out", "weights", "ratio")}
    given = {name: value for name, value in options.items() if value is not None}
    return views.FAMILIES[settings.family](part, number, settings.seed, first=first, **given)


def training_views(part: Document, settings: ViewSettings) -> list[View]:
    """Make the views of a document, or of a part of one, on which a run trains.

    A document with fewer views than `settings.num_views` gets all of its views. If little of a document's layout can
    change, as in a table, near-identical views are left out. Where no sentence can move, views of `formats` replace
    views of `order`.

    Raises:
        TooFewViewsError: the document has no view at all.
    """
    if settings.family == "order" and not has_other_order(part):
        settings = replace(settings, family="formats")
    try:
        made = make_views(part, settings)
    except views.TooFewViewsError as error:
        if not error.available:
            raise
        made = make_views(part, settings, error.available)
    return distinct_views(made) if _has_little_layout(part) else made


def _has_little_layout(part: Document) -> bool:
    """Return whether less than a fifth of the text is prose. Views change only the layout of prose."""
    pieces = sentences(part.text, part.language)
    prose = sum(length for length, verbatim in zip(pieces.lengths, pieces.verbatim, strict=True) if not verbatim)
    return prose < LEAST_PROSE * len(part.text)


def settings_for(part: Document, document: Document, settings: ViewSettings) -> ViewSettings:
    """Return the settings for a part of a document, or for a whole document. The family is the one that
    `hf_knowlearn.yaml` sets for the document, if any. If the sentences of the part keep their order, the settings have
    no views of `order`."""
    own = document.metadata.get("views")
    if isinstance(own, str) and own in views.FAMILIES and settings.family != RAW:
        settings = replace(settings, family=own, weights=None)
    if settings.family not in ("order", "mixed") or can_move(part, document):
        return settings
    return without_order(settings)


def without_order(settings: ViewSettings) -> ViewSettings:
    """Return the settings with views of `formats` instead of `order`."""
    if settings.family == "order":
        return replace(settings, family="formats")
    weights = {**(settings.weights or views.WEIGHTS)}
    weights["formats"] = weights.get("formats", 0) + weights.pop("order", 0)
    return replace(settings, weights=weights)


def document_rows(
    documents: Iterable[Document],
    settings: ViewSettings,
    lengths: TokenLengths,
    max_length: int | None,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
    log: bool = True,
) -> list[list[Row]]:
    """Build the rows of all documents. The result is a list for each document, or for each part of a long document,
    with one row per view.

    Args:
        lengths: a function that returns the number of tokens of each text in a list.
        max_length: maximum number of tokens of a row. Parts become shorter until all their rows fit. None: no limit.
        tokenizer: required by `settings.template="chat"`. With a tokenizer, documents are checked for control tokens.
        log: whether to log the number of documents whose sentences keep their order.

    Raises:
        ValueError: some documents contain control tokens, have too few views, have rows longer than `max_length`, or
            have no title although the chat template needs one. The message lists these documents.

    Example:
        >>> mill = Document("mill", "Tarn has a mill. It is old.")
        >>> count_words = lambda texts: [len(text.split()) for text in texts]
        >>> rows = document_rows([mill], ViewSettings("raw"), count_words, max_length=None)
        >>> rows[0][0]["completion"]
        'Tarn has a mill. It is old.'
    """
    documents = list(documents)
    check_documents(documents, tokenizer)
    rows: list[list[Row]] = []
    problems = []
    unchanged: Counter[str] = Counter()  # documents that keep their order, by kind
    for document in documents:
        if settings.family in ("order", "mixed") and (rules := order_rules(document)).keeps_order:
            unchanged[rules.kind] += 1
        try:
            for _, part_views in document_views(document, settings, lengths, max_length, tokenizer):
                rows.append([view_row(view) for view in part_views])
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError(listing(problems))
    if unchanged and log:
        kinds = ", ".join(f"{kind} {count}" for kind, count in unchanged.most_common())
        total = number_of(len(documents), "document")
        verb = "keeps its order" if len(documents) == 1 else "keep their order"
        logger.info("%d of %s %s: %s.", unchanged.total(), total, verb, kinds)
    return rows


def check_documents(documents: Iterable[Document], tokenizer: "PreTrainedTokenizerBase | None") -> None:
    """Raise a `ValueError` that lists the documents that contain control tokens. Without a tokenizer, do nothing."""
    if tokenizer is not None:
        texts = ((document.id, f"{document.title}\n{document.text}") for document in documents)
        check_control_tokens(tokenizer, texts, "documents")


def listing(problems: Sequence[str]) -> str:
    """Return the first problems, one per line, and the number of further problems. Equal problems are listed once."""
    problems = list(dict.fromkeys(problems))
    more = [f"... and {len(problems) - MOST_PROBLEMS} more."] if len(problems) > MOST_PROBLEMS else []
    return "\n".join([*problems[:MOST_PROBLEMS], *more])


def document_views(
    document: Document,
    settings: ViewSettings,
    lengths: TokenLengths,
    max_length: int | None,
    tokenizer: "PreTrainedTokenizerBase | None" = None,
) -> list[tuple[Document, Sequence[View]]]:
    """Return the parts of a document, each with its views in the template of the settings. For the arguments, see
    `document_rows`."""

    def part_views(part: Document) -> list[View]:
        made = training_views(part, settings_for(part, document, settings))
        if settings.template != CHAT:
            return made
        assert tokenizer is not None, "template='chat' requires a tokenizer"
        return [assistant_turn(view, document.title, tokenizer) for view in made]

    if settings.part_tokens is None and max_length is None:
        return [(document, part_views(document))]
    size = settings.part_tokens or max_length
    assert size is not None
    return views_of_parts(document, part_views, lengths, size, max_length)


def assistant_turn(view: View, title: str, tokenizer: "PreTrainedTokenizerBase") -> View:
    """Return the view as the assistant's turn in the chat template.

    The user's turn is the prompt of the view. If the view has no prompt, the user's turn requests the document by its
    title.

    Raises:
        ValueError: the view has no prompt and the document has no title.
    """
    if not view.prompt and not title.strip():
        raise ValueError(
            f"Document {view.document_id!r} has no title, but document_template='chat' requests a document by its"
            " title. Give it a title (in a table, a column 'title'), or set document_template to plain."
        )
    request = view.prompt.rstrip() or DOCUMENT_REQUEST.format(title=title.strip())
    prompt, text = prompt_and_completion(tokenizer, CHAT, request, view.text)
    before, after = text_around_answer(tokenizer)
    content = text.removeprefix(before).removesuffix(after)
    cut = view.text.index(content)  # white space that the template strips
    return replace(view, prompt=prompt, text=text, spans=_moved(view, cut, len(content), len(before)))


def _moved(view: View, cut: int, length: int, start: int) -> tuple[tuple[int, int, int], ...]:
    """Return the spans of the characters `cut` to `cut + length` of a view, moved to `start` in a new text."""
    spans = []
    for begin, in_document, size in view.spans:
        first, end = max(begin, cut), min(begin + size, cut + length)
        if first < end:
            spans.append((first - cut + start, in_document + first - begin, end - first))
    return tuple(spans)


def view_row(view: View) -> Row:
    """Return the row of a view."""
    return {
        "prompt": view.prompt,
        "completion": view.text,
        "document_id": view.document_id,
        "part": view.part,
        "view": view.index,
        "family": view.family,
        "format": view.format,
    }


def question_rows(
    questions: Sequence[Question],
    tokenizer: "PreTrainedTokenizerBase",
    template: str,
    instruction: str | None = None,
) -> list[Row]:
    """Return the row of each question. The prompts are those of an evaluation with this template and instruction.

    Args:
        instruction: text before each question. None: the default instruction of the template.

    Raises:
        ValueError: some questions contain control tokens. The message lists them.
    """
    check_questions(tokenizer, questions)
    template = resolve_template(tokenizer, template)
    instruction = default_instruction(template) if instruction is None else instruction
    return [question_row(question, tokenizer, template, instruction) for question in questions]


def question_row(
    question: Question, tokenizer: "PreTrainedTokenizerBase", template: str, instruction: str = ""
) -> Row:
    """Return the row of a question. The completion is the first answer that is not blank."""
    before = f"{instruction}\n\n" if instruction else ""
    text = before + question.text if template == CHAT else question.text
    prompt, completion = prompt_and_completion(tokenizer, template, text, first_answer(question))
    prompt = prompt if template == CHAT else before + prompt
    return _row(prompt, completion, QUESTION, question.document_id or "")


def conversation_rows(
    conversations: Iterable[Conversation],
    tokenizer: "PreTrainedTokenizerBase",
    lengths: TokenLengths,
    max_length: int | None,
) -> list[Row]:
    """Return a row for each turn of the assistant. For the arguments and errors, see `conversation_turns`."""
    turns = conversation_turns(tokenizer, conversations, lengths, max_length)
    return [_row(prompt, completion, CONVERSATION) for prompt, completion in turns]


def check_replay_prompts(prompts: Iterable[str | Question], tokenizer: "PreTrainedTokenizerBase") -> None:
    """Raise a ValueError that lists the prompts of self-generated texts that contain control tokens."""
    texts = [prompt if isinstance(prompt, str) else prompt.text for prompt in prompts]
    named_texts = ((text[:80], text) for text in texts)
    check_control_tokens(tokenizer, named_texts, "prompts in replay_self_prompts")


def generated_row(prompt: str, text: str, ended: bool) -> Row:
    """Return the row of a self-generated text.

    Args:
        ended: whether the model generated an end token after the text. False if the text was truncated at the maximum
            number of tokens.
    """
    return _row(prompt, text, SELF_GENERATED if ended else SELF_GENERATED_CUT)


def _row(prompt: str, completion: str, family: str, document_id: str = "") -> Row:
    row = {"prompt": prompt, "completion": completion, "document_id": document_id}
    return {**row, "part": 0, "view": 0, "family": family, "format": ""}
