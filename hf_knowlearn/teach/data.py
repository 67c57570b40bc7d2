"""Loads the data of a run: the data to train on and to replay, and the questions of the evaluation.

Questions of the evaluation have one of three roles: `questions` are about the training documents, `replayed_questions`
are about the replayed documents, and `retention_questions` are about facts that appear nowhere in the data of the run.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

from hf_knowlearn.config.problems import raise_problems
from hf_knowlearn.config.settings import ReadingSettings, RunSettings, StageSettings
from hf_knowlearn.config.teach_arguments import DOCUMENT_OPTIONS, TRAINED_ON, TRAINING_SETS
from hf_knowlearn.documents import Conversation, Document, Question
from hf_knowlearn.evaluation.general_knowledge import general_questions
from hf_knowlearn.study.study_question import QUESTION_KINDS
from hf_knowlearn.teach.sources import (
    has_tables,
    load_conversations,
    load_documents,
    load_questions,
    load_replay_prompts,
)

if TYPE_CHECKING:
    from hf_knowlearn.generation.free_text import GeneratedText


@dataclass(frozen=True)
class RunData:
    """The data of a run or of one of its stages.

    Args:
        questions: the questions of the evaluation, by role.
        documents: the documents to train on that the evaluation questions are about.
        train_documents, train_questions, train_conversations: other data to train on, without evaluation questions.
        replay_prompts: the prompts of self-generated replay, in the order in which texts are generated.
        replay_generated: the self-generated texts. Empty until the base model has generated them.
        stages: the data of each stage.
        retention_candidates: the questions from which the retention questions are selected. None: the recipe names the
            retention questions.
        retention_source: a sentence about the source of the retention questions, or the reason why there are none.
    """

    documents: list[Document]
    replay_documents: list[Document]
    replay_questions: list[Question]
    questions: dict[str, list[Question]]
    retention_candidates: list[Question] | None = None
    retention_source: str = ""
    train_documents: list[Document] = field(default_factory=list)
    train_questions: list[Question] = field(default_factory=list)
    train_conversations: list[Conversation] = field(default_factory=list)
    replay_prompts: list[str | Question] = field(default_factory=lambda: [""])
    replay_generated: "list[GeneratedText]" = field(default_factory=list)
    stages: "tuple[RunData, ...]" = ()

    def training_documents(self, train_on: Sequence[str]) -> list[Document]:
        """Return the documents of the data sets that `train_on` names."""
        sets = [name for name in TRAINING_SETS if name in DOCUMENT_OPTIONS and name in train_on]
        return [document for name in sets for document in getattr(self, name)]

    def training_questions(self, train_on: Sequence[str]) -> list[Question]:
        """Return the questions to train on, or [] if `train_on` does not contain `train_questions`."""
        return self.train_questions if "train_questions" in train_on else []

    def classified_questions(self) -> list[Question]:
        """Return the questions whose mastery is measured.

        These are the training questions. Without training questions, these are the evaluation questions about the
        training documents.
        """
        return self.train_questions or self.questions["questions"]

    def counts(self) -> dict[str, int]:
        """Return the number of items of each data set."""
        others = {name: len(getattr(self, name)) for name in TRAINING_SETS if name != "documents"}
        by_role = {role: len(questions) for role, questions in self.questions.items()}
        return {"documents": len(self.documents), **{name: n for name, n in others.items() if n}, **by_role}

    def sets(self) -> dict[str, Sequence[Any]]:
        """Return all data sets by the names of their options."""
        return {
            "documents": self.documents,
            "train_documents": self.train_documents,
            "train_questions": self.train_questions,
            "train_conversations": self.train_conversations,
            "replay_documents": self.replay_documents,
            "replay_questions": self.replay_questions,
            "replay_self": self.replay_generated,
            **self.questions,
        }

    def open_book_questions(self) -> list[Question]:
        """Return the questions whose `document_id` is the id of a document of the run."""
        ids = {document.id for document in self.documents}
        return [question for question in self.questions["questions"] if question.document_id in ids]

    def example_pools(self) -> dict[str, list[Question]]:
        """Return, by role, the questions from which few-shot examples are chosen, if not those of the role itself.

        Why: the prompt of a question must not depend on which other questions the base model answers correctly.
        """
        return {} if self.retention_candidates is None else {"retention_questions": self.retention_candidates}

    @property
    def has_edits(self) -> bool:
        """Whether at least one question has the `kind` of a score of editing. Kinds of `study` belong to no score."""
        return any(question.kind not in (None, *QUESTION_KINDS) for question in self.questions["questions"])


def load_data(settings: RunSettings) -> RunData:
    """Load the data that the settings name.

    Raises:
        ValueError: data are invalid. The message lists the problems of all data sets with the options that name them.
    """
    loader = _Loader(settings.reading)
    prompts = loader.attempt("replay_self_prompts", load_replay_prompts, settings.stages[0].replay.prompts, [""])
    loader.problems.update(dict.fromkeys(_self_replay_problems(settings)))
    questions = {
        role: loader.load(role if role == "questions" else f"evaluation.{role}", source)
        for role, source in settings.questions.items()
    }
    data = RunData(**loader.training_sets(settings.stages), questions=questions, replay_prompts=prompts)
    data = replace(data, stages=tuple(replace(data, **loader.training_sets([each])) for each in settings.stages))
    if settings.questions["retention_questions"] is None and not loader.problems:
        data = _with_default_retention(data, settings.evaluation.general_knowledge)
    if settings.evaluation.open_book and not loader.problems and not data.open_book_questions():
        loader.problems[
            "--evaluation.open_book: no question names a document of the run, so no document can be put into a"
            " prompt. Give the questions a document_id, or remove --evaluation.open_book."
        ] = None
    has_both = data.documents and data.questions["questions"]
    if settings.evaluation.compare_rag and not loader.problems and not has_both:
        loader.problems[
            "--evaluation.compare_rag compares training with retrieval on questions about documents. Give --documents"
            " and --questions, or remove --evaluation.compare_rag."
        ] = None
    raise_problems(loader.problems)
    return data


class _Loader:
    """Loads the data that options name. Loads the value of each option once, and collects all problems."""

    def __init__(self, reading: ReadingSettings) -> None:
        self.reading = reading
        self.problems: dict[str, None] = {}
        self._loaded: dict[tuple[str, str | None], Any] = {}

    def attempt(self, option: str, load: Callable[[Any], Any], source: Any, fallback: Any) -> Any:
        try:
            return load(source)
        except ValueError as error:
            self.problems[f"--{option}: {error}"] = None
            return fallback

    def load(self, option: str, source: str | None) -> Any:
        if (option, source) not in self._loaded:
            self._loaded[option, source] = self.attempt(option, self._loader_of(option, source), source, [])
        return self._loaded[option, source]

    def _loader_of(self, option: str, source: str | None) -> Callable[[Any], Any]:
        if option == "train_conversations":
            return load_conversations
        if option in DOCUMENT_OPTIONS:
            # Why: one set of documents may be a table with this column, and another one may be text files.
            text_column = self.reading.text_column if source and has_tables(source) else None
            reading = self.reading
            return partial(load_documents, text_column=text_column, empty=reading.empty, language=reading.language)
        columns = {name: getattr(self.reading, name) for name in ("question_column", "answer_column")}
        return partial(load_questions, **columns)

    def training_sets(self, stages: Sequence[StageSettings]) -> dict[str, Any]:
        """Return the training and replay data of these stages, by option, in the order of the stages."""
        return {
            option: [item for source in sources_of(option, stages) for item in self.load(option, source)]
            for option in TRAINED_ON
        }


def _self_replay_problems(settings: RunSettings) -> Iterator[str]:
    if any(stage.replay.num_generated for stage in settings.stages):
        return
    fix = "has no effect, because no text is generated. Set replay_self to the number of texts, or remove"
    if settings.stages[0].replay.prompts is not None:
        yield f"--replay_self_prompts {fix} --replay_self_prompts."
    if any(stage.replay.kl_weight for stage in settings.stages):
        yield f"--replay_kl {fix} --replay_kl."


def sources_of(option: str, stages: Sequence[StageSettings]) -> list[str]:
    """Return the values of an option that names data, one for each stage, without duplicates.

    The result does not include data sets that a stage names but does not train on.
    """

    def is_used(stage: StageSettings) -> bool:
        used = {*stage.sources.train_on, *(["train_questions"] if stage.selection.replay_categories else [])}
        return option not in TRAINING_SETS or option in used

    named = dict.fromkeys(getattr(stage.sources, option) for stage in stages if is_used(stage))
    return [source for source in named if source is not None]


def _with_default_retention(data: RunData, general_knowledge: bool) -> RunData:
    """Return the data, with the candidates for retention questions as the retention questions.

    The candidates are the questions about documents that the run does not contain, and with `general_knowledge` the
    general-knowledge questions of the package. Why: training does not teach the answers to these questions.
    """
    documents = [*data.documents, *data.train_documents, *data.replay_documents]
    inside, outside = split_by_documents(data.questions["questions"], documents)
    candidates = [*outside, *(general_questions() if general_knowledge else [])]
    questions = {**data.questions, "questions": inside, "retention_questions": candidates}
    return replace(data, questions=questions, retention_candidates=candidates)


def split_by_documents(
    questions: Iterable[Question], documents: Iterable[Document]
) -> tuple[list[Question], list[Question]]:
    """Split questions into a list of questions about `documents` and a list of questions about other documents.

    Questions without a `document_id` are in the first list. If no question names one of `documents`, the ids of the
    questions are those of another collection, and all questions are in the first list.
    """
    questions, ids = list(questions), {document.id for document in documents}
    inside: list[Question] = []
    outside: list[Question] = []
    for question in questions:
        (inside if question.document_id is None or question.document_id in ids else outside).append(question)
    named = any(question.document_id is not None for question in inside)
    return (inside, outside) if named else (questions, [])
