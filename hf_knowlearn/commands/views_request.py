"""What `knowlearn views` was asked for: its options, all that is wrong with them at once, and what they name.

The surprising decision: an option that would change nothing is refused, because whoever typed it believes it does.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.commands.views_export import wrong_folder
from hf_knowlearn.config.teach_arguments import TeachArguments
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.paths import TINY_BASE
from hf_knowlearn.teach.schedule import tell
from hf_knowlearn.teach.sources import load_documents, load_questions
from hf_knowlearn.views import FAMILIES
from hf_knowlearn.views.coverage import Lengths, Tell
from hf_knowlearn.views.formats import allowed_groups
from hf_knowlearn.views.parts import SHORTEST_PART

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@dataclass(frozen=True)
class Request:
    """The options of `knowlearn views`, as typed; None is one that wasn't."""

    path: str
    document: str | None = None
    part: int | None = None
    num_views: int = 6
    family: Sequence[str] | None = None
    groups: Sequence[str] | None = None
    hold_out: str | None = None
    seed: int = 0
    language: str | None = None
    max_length: int | None = None
    part_tokens: int | None = None
    tokenizer: str = "tiny_base"
    excerpt: int | None = None
    stats: bool = False
    questions: str | None = None
    epochs: int | None = None
    json: str | None = None
    export: str | None = None

    @property
    def families(self) -> list[str]:
        """The families, each once."""
        return list(dict.fromkeys(self.family or ("formats",)))

    @property
    def counts(self) -> bool:
        """Whether all documents are counted, rather than one shown."""
        return self.stats or self.export is not None

    @property
    def is_cut(self) -> bool:
        """Whether long documents are cut into parts."""
        return self.max_length is not None or self.part_tokens is not None

    @property
    def told_by(self) -> dict[str, Any]:
        """The options that decide on the views."""
        is_here = Path(self.tokenizer).exists()  # then its path is nobody else's business
        options = {
            "num_views": self.num_views,
            "seed": self.seed,
            "groups": self.groups,
            "hold_out": self.hold_out,
            "language": self.language,
            "max_length": self.max_length,
            "part_tokens": self.part_tokens,
            "tokenizer": Path(self.tokenizer).name if is_here else self.tokenizer,
        }
        return {name: value for name, value in options.items() if value is not None}

    def teach_arguments(self, family: str) -> TeachArguments:
        """The same options as a recipe has them."""
        given = TeachArguments(
            views=family,
            num_views=self.num_views,
            format_groups=None if self.groups is None else list(self.groups),
            hold_out=self.hold_out,
        )
        return given if self.part_tokens is None else replace(given, part_tokens=self.part_tokens)


@dataclass(frozen=True)
class Material:
    """What a request names, and how it is told and measured."""

    documents: list[Document]
    questions: list[Question]
    left_out: int  # questions about other documents than the one asked for
    lengths: Lengths
    tell: dict[str, Tell]


def read(request: Request) -> Material:
    """The documents and the questions, what counts tokens, and what tells a document in each family.

    Raises:
        ValueError: what is wrong with them and with the options, all at once.
    """
    problems = list(_wrong(request))

    def attempt(reader: Callable[[], Any]) -> Any:
        try:
            return reader()
        except ValueError as error:
            problems.append(str(error))

    documents = attempt(lambda: _documents(request))
    questions = attempt(lambda: load_questions(request.questions))
    lengths = attempt(lambda: lengths_by(request.tokenizer))
    if problems:
        raise ValueError("\n".join(problems))
    asked = [q for q in questions if request.document is None or q.document_id in (None, request.document)]
    tell_in = {family: _tell(request, family, lengths) for family in request.families}
    return Material(documents, asked, len(questions) - len(asked), lengths, tell_in)


def _documents(request: Request) -> list[Document]:
    documents = load_documents(request.path)
    if request.document is not None:
        documents = _chosen(documents, request.document)
    return [replace(d, language=request.language) for d in documents] if request.language is not None else documents


def _wrong(request: Request) -> Iterator[str]:
    """What is wrong with the options alone."""
    if unknown := [family for family in request.families if family not in FAMILIES]:
        yield f"--family: unknown families {unknown}: choose from {', '.join(FAMILIES)}."
    try:
        request.teach_arguments("formats")
        laid_out = [family for family in request.families if family != "masked"]
        has_formats = allowed_groups(request.num_views, request.groups, request.hold_out) or laid_out == ["order"]
        if laid_out and not has_formats:
            yield f"groups={request.groups} with hold_out={request.hold_out!r} leaves no format to tell in."
        if not laid_out and (request.groups or request.hold_out):
            yield "--groups and --hold_out choose formats, and masked has none: leave them out."
    except ValueError as error:
        yield str(error)
    for name, least in {"max_length": SHORTEST_PART, "epochs": 1, "excerpt": 0, "part": 0}.items():
        value = getattr(request, name)
        if value is not None and value < least:
            yield f"{name}={value}: give {least} or more."
    useless = ("part", "excerpt") if request.counts else ("questions", "epochs", "json")
    if given := " and ".join(f"--{name}" for name in useless if getattr(request, name) is not None):
        what = "where one document is shown: leave out" if request.counts else "where all are counted: add"
        yield f"{given}: {what} --stats{' and --export' * request.counts}."
    if request.epochs is not None and request.questions is None and request.counts:
        yield "--epochs: how often a run would show the answers; give their --questions."
    if request.json is not None and Path(request.json).exists():
        yield f"--json {request.json}: is there already; choose another name, or move it away."
    if request.export is not None:
        yield from wrong_folder(Path(request.export))


def _chosen(documents: list[Document], wanted: str) -> list[Document]:
    """The document that the user named."""
    if found := [document for document in documents if document.id == wanted]:
        return found
    by_name = {document.title: document for document in documents} | {document.id: document for document in documents}
    near = [by_name[name] for name in get_close_matches(wanted, by_name, 3)]
    shown = ", ".join(repr(id) for id in dict.fromkeys(document.id for document in near or documents[:3]))
    raise ValueError(
        f"--document {wanted!r}: none of the {len(documents):,} documents has this id."
        f" {'Near it, by id or title' if near else 'The first'}: {shown}."
    )


def _tell(request: Request, family: str, lengths: Lengths) -> Tell:
    arguments = request.teach_arguments(family)
    measured: Lengths = lengths if request.is_cut else lambda texts: [0] * len(texts)
    return lambda document: tell([document], arguments, measured, request.max_length, request.seed)


def lengths_by(tokenizer: str) -> Lengths:
    """Tokens of each of some texts, as a row of training has them: with a beginning and an end."""
    if tokenizer == "tiny_base":
        from tokenizers import Tokenizer

        return partial(_lengths_tiny, Tokenizer.from_file(str(TINY_BASE / "tokenizer.json")))
    from transformers import AutoTokenizer

    try:
        loaded = AutoTokenizer.from_pretrained(tokenizer)
    except (OSError, ImportError, ValueError) as error:
        where = "" if Path(tokenizer).exists() else "there is no such folder here, and from the Hub "
        raise ValueError(f"--tokenizer {tokenizer}: {where}it can't be loaded: {error}") from error
    return lambda texts: [len(ids) + 1 for ids in loaded(texts, verbose=False)["input_ids"]]


def _lengths_tiny(tokenizer: "Tokenizer", texts: list[str]) -> list[int]:
    """As `AutoTokenizer` would, without the seconds that importing it takes."""
    return [len(encoding) + 1 for encoding in tokenizer.encode_batch_fast(texts)]
