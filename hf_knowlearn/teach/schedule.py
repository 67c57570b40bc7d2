"""The plan of a run: which rows are read in which optimizer step, laid out before training starts.

Rows are `prompt` and `completion`; a document's prompt is empty, so documents and questions share a batch and each is
learned by the loss on its completion (documents on every token, questions on the answer: arXiv 2402.12847, §3). Every
step holds the same share of replay, and no row ever leaves a step, so that order needs no state to be resumed.
What is read without a break is a *lesson*: a document, a question, a turn, or a document behind its questions.
"""

import logging
import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import cycle, islice
from typing import TYPE_CHECKING

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.splitting import TokenLengths
from hf_knowlearn.views import FAMILIES, View, raw_view
from hf_knowlearn.views.parts import views_of_parts

if TYPE_CHECKING:
    from hf_knowlearn.config.teach_arguments import TeachArguments
    from hf_knowlearn.generation.free_text import GeneratedText

logger = logging.getLogger(__name__)

Row = dict[str, str]
TrainingUnit = Sequence[Sequence[Row]]  # what is read one after the other, each in the tellings it has
TrainedAs = Callable[[str, str], tuple[str, str]]  # what is asked and said, as prompt and completion
SHOWN = 20  # problems told of, at most
OWN, OWN_CUT = "self", "self, cut"  # the view of a row that the model wrote, to its end or not
REQUEST = "Tell me about {title}."  # what a document answers where it is told in a chat template


def tell(
    documents: Iterable[Document],
    arguments: "TeachArguments",
    lengths: TokenLengths,
    limit: int | None,
    seed: int,
    in_turns: TrainedAs | None = None,
) -> list[Sequence[View]]:
    """The views of every document, or of its parts if it is long: a list for each, in the order they are read.

    Args:
        lengths: tokens of each of some texts.
        limit: tokens that a view may have; a part whose layout takes it past this is cut once more. None: no limit.
        in_turns: what makes a view the answer to a request. None: views are plain text.

    Raises:
        ValueError: documents that can't be told so, each by its id; or, in turns, that have no title.
    """
    told: list[Sequence[View]] = []
    problems = []
    for document in documents:
        try:
            told.extend(_views_that_fit(document, arguments, lengths, limit, seed, in_turns))
        except ValueError as error:
            problems.append(str(error))
    if problems:
        more = [f"... and {len(problems) - SHOWN} more."] if len(problems) > SHOWN else []
        raise ValueError("\n".join(problems[:SHOWN] + more))
    return told


def _views_that_fit(
    document: Document,
    arguments: "TeachArguments",
    lengths: TokenLengths,
    limit: int | None,
    seed: int,
    in_turns: TrainedAs | None,
) -> list[Sequence[View]]:
    def tell_part(part: Document) -> list[View]:
        views = views_of(part, arguments, seed)
        return views if in_turns is None else [_in_turns(view, document.title, in_turns) for view in views]

    return [views for _, views in views_of_parts(document, tell_part, lengths, arguments.part_tokens, limit)]


def _in_turns(view: View, title: str, in_turns: TrainedAs) -> View:
    """The view as what the assistant says to the view's own request, or to one for what the title names."""
    if not view.prompt and not title.strip():
        raise ValueError(
            f"Document {view.document_id!r} has no title, by which document_template='chat' asks for it: give it one"
            f" (in a table, a column 'title'), or set document_template: plain."
        )
    prompt, text = in_turns(view.prompt.rstrip() or REQUEST.format(title=title.strip()), view.text)
    before = text.index(view.text)
    spans = tuple((start + before, in_document, length) for start, in_document, length in view.spans)
    return replace(view, prompt=prompt, text=text, spans=spans)


def views_of(part: Document, arguments: "TeachArguments", seed: int) -> list[View]:
    """The views in which a run reads a document, or a part of it."""
    if arguments.views == "raw":
        return [raw_view(part)]
    weights = {"weights": arguments.view_weights} if arguments.views == "mixed" else {}
    tell_in = FAMILIES[arguments.views]
    return tell_in(part, arguments.num_views, seed, arguments.format_groups, arguments.hold_out, **weights)


def steps_for(told: Sequence[object], epochs: float, batch: int, replayed: int) -> int:
    """Optimizer steps in which everything of `told` is read `epochs` times."""
    return max(1, round(epochs * len(told) / (batch - replayed)))


def make_schedule(
    told: Sequence[Sequence[View]],
    replay_documents: Sequence[View],
    replay_questions: Sequence[Question],
    *,
    steps: int,
    batch: int,
    replayed: int,
    trained_as: TrainedAs,
    seed: int,
    replay_self: "Sequence[GeneratedText]" = (),
    questions: Sequence[Question] = (),
    question_order: str = "shuffled",
    turns: Sequence[tuple[str, str]] = (),
) -> list[Row]:
    """The rows of `steps` optimizer steps of `batch` rows, of which `replayed` are replay; in reading order.

    Lessons are shuffled anew every epoch and told in their next view each time. Within a step, long rows come first:
    the micro-batches of an accumulation window then hold rows of like length.

    Args:
        replay_self: what the model itself wrote, replayed in turn with the documents and questions.
        questions: that are trained on beside the documents.
        question_order: `shuffled` among the documents, or `before` the document that each is about.
        turns: of conversations, as prompt and completion; each is a lesson by itself.

    Raises:
        ValueError: questions that are to stand before a document which isn't read.
    """
    asked = [_question_row(question, trained_as) for question in questions]
    fresh = _epochs([*_lessons(told, asked, question_order), *([[_turn_row(*turn)]] for turn in turns)], seed)
    retold = [_document_row(view) for view in replay_documents]
    reasked = [_question_row(question, trained_as) for question in replay_questions]
    old = _replay((retold, reasked, [_own_row(text) for text in replay_self]), seed)
    rows: list[Row] = []
    for _ in range(steps):
        step = [*islice(fresh, batch - replayed), *islice(old, replayed)]
        rows += sorted(step, key=lambda row: -len(row["prompt"]) - len(row["completion"]))
    return rows


def _lessons(told: Sequence[Sequence[View]], asked: Sequence[Row], order: str) -> list[TrainingUnit]:
    """What is shuffled as a whole: by itself each, or every document behind all the questions about it."""
    parts = [[_document_row(view) for view in views] for views in told]
    if order == "shuffled":
        return [[rows] for rows in (*parts, *([row] for row in asked))]
    about: dict[str, list[list[Row]]] = {views[0].document_id: [] for views in told}
    if lost := [row["prompt"].strip() for row in asked if row["document_id"] not in about]:
        more = f" ... and {len(lost) - SHOWN} more" if len(lost) > SHOWN else ""
        raise ValueError(
            f"question_order='before': {len(lost)} questions are about no document that is read with them, by their"
            f" document_id: {'; '.join(map(repr, lost[:SHOWN]))}{more}. Read those documents as well, leave the"
            f" questions out, or set question_order: shuffled."
        )
    for row in asked:
        about[row["document_id"]].append([row])
    for rows in parts:
        about[rows[0]["document_id"]].append(rows)
    return list(about.values())


def replayed_rows(arguments: "TeachArguments", batch: int) -> int:
    """Rows of a batch that are replay. A share that rounds to none, or to all of the batch, is refused."""
    named = (arguments.replay_documents, arguments.replay_questions, arguments.replay_categories)
    if not (any(named) or arguments.replay_self) or not arguments.replay_share:
        logger.info(
            "Nothing is replayed: what the model knew before may be forgotten (see `retention`)."
            " --replay_self 1000 --replay_share 0.5 replays what it writes itself."
        )
        return 0
    rows = round(arguments.replay_share * batch)
    if rows in (0, batch):
        shares = f", or a share between {1 / batch:.3f} and {1 - 1 / batch:.3f}" if batch > 1 else ""
        raise ValueError(
            f"replay_share={arguments.replay_share} of a batch of {batch} rows is {rows} rows: choose a larger batch"
            f" (per_device_train_batch_size, gradient_accumulation_steps){shares}."
        )
    return rows


def _document_row(view: View) -> Row:
    name = f"{view.family}/{view.format}"
    return {"prompt": view.prompt, "completion": view.text, "document_id": view.document_id, "view": name}


def _question_row(question: Question, trained_as: TrainedAs) -> Row:
    prompt, completion = trained_as(question.text, question.answers[0])
    return {
        "prompt": prompt,
        "completion": completion,
        "document_id": question.document_id or "",
        "view": "question",
    }


def _turn_row(prompt: str, completion: str) -> Row:
    return {"prompt": prompt, "completion": completion, "document_id": "", "view": "conversation"}


def _own_row(text: "GeneratedText") -> Row:
    """Only what the model wrote is trained on, not the opening it was given."""
    view = OWN if text.ended else OWN_CUT
    return {"prompt": text.opening, "completion": text.text, "document_id": "", "view": view}


def _epochs(lessons: Sequence[TrainingUnit], seed: int) -> Iterator[Row]:
    """Every lesson once an epoch, in a new order, all that is in it in the telling whose turn it is; without end."""
    for epoch, order in enumerate(_orders(len(lessons), seed)):
        for i in order:
            for tellings in lessons[i]:
                yield tellings[epoch % len(tellings)]


def _replay(sources: Sequence[Sequence[Row]], seed: int) -> Iterator[Row]:
    """A row of each source that has any, in turn, each source in orders of its own; without end."""

    def shuffled(rows: Sequence[Row], seed: int) -> Iterator[Row]:
        return (rows[i] for order in _orders(len(rows), seed) for i in order)

    turns = [shuffled(rows, seed + number) for number, rows in enumerate(sources, 1) if rows]
    return (next(rows) for rows in cycle(turns))


def _orders(count: int, seed: int) -> Iterator[list[int]]:
    """Orders of `count` things, a new one each time, without end (or none, of nothing)."""
    epoch = 0
    while count:
        yield random.Random(f"{seed}/{epoch}").sample(range(count), count)
        epoch += 1
