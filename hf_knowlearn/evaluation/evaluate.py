"""Evaluation: sets of questions put to one model in one way; what it said, what of it was right, and the scores.

The surprising decision: errors are clustered by document, and figures given by relation and by fact, wherever every
question names its own; nobody has to ask for it.
"""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.generation.ask import GenerationSettings, Responses, generate_responses, turn_ends
from hf_knowlearn.knowledge_recall import KnowledgeRecall, exact_match, first_line, score

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


@dataclass(frozen=True)
class Evaluation:
    """What a model said to sets of questions, called by their roles.

    Args:
        asked: the questions, by role; only sets that are not empty.
        answers: for each question of a role what was said, in their order.
        seconds: how long asking took.
        language: how answers are normalised, see `knowledge_recall.scoring.normalize`.
        in_turns: whether they were asked in a chat template that ends turns.
    """

    asked: Mapping[str, Sequence[Question]]
    answers: Mapping[str, Sequence[Responses]]
    seconds: float
    language: str = "en"
    in_turns: bool = False

    def scores(self) -> dict[str, dict[str, Any]]:
        """The figures of `knowledge_recall`, and how answers ended, by role."""
        return {
            role: figures_of(questions, self.answers[role], self.language, self.in_turns)
            for role, questions in self.asked.items()
        }

    def greedy(self, role: str) -> list[str]:
        """The greedy answers to the questions of a role."""
        return [said.greedy[0] for said in self.answers[role]]

    def right(self, role: str) -> list[bool]:
        """Whether the greedy answer to each question of a role is right: its first line, by exact match."""
        return [
            exact_match(first_line(said), question.answers, self.language)
            for question, said in zip(self.asked[role], self.greedy(role), strict=True)
        ]

    def answered(self, role: str) -> "Evaluation":
        """This evaluation with the questions of `role` that were answered right alone."""
        kept = [i for i, right in enumerate(self.right(role)) if right]
        asked, answers = self.asked[role], self.answers[role]
        return replace(
            self,
            asked=_changed(self.asked, role, [asked[i] for i in kept]),
            answers=_changed(self.answers, role, [answers[i] for i in kept]),
        )

    def lines(self) -> list[dict[str, Any]]:
        """Every question with its answers, as a row of a JSONL."""
        return [
            {
                "role": role,
                "id": question.id,
                "question": question.text,
                "answers": question.answers,
                "response": said.greedy[0],
                "exact_match": right,
                **({"sampled": said.sampled[0]} if said.sampled[0] else {}),
                **({"ended": said.ended[0]} if said.ended else {}),
            }
            for role, questions in self.asked.items()
            for question, said, right in zip(questions, self.answers[role], self.right(role), strict=True)
        ]


def evaluate(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    asked: Mapping[str, Sequence[Question]],
    asking: GenerationSettings,
    *,
    pool: Sequence[Question] | None = None,
    documents: Sequence[Document] | None = None,
    language: str = "en",
    transcripts: Path | None = None,
    progress: str | None = None,
) -> Evaluation:
    """Ask each set of questions as `generate_responses` does, with one prompt a question.

    Args:
        asked: questions by role; empty sets are left out.
        pool: where examples are drawn from; a question's own set if None.
        transcripts: answers are kept in files that begin with this path while they come (`PATH.ROLE.jsonl`), and
            taken from there if asked again after an interruption.
        progress: what to write beside the progress bar, before the role; None shows no bar.

    Raises:
        ValueError: whatever `generate_responses` refuses.
    """
    start = time.monotonic()
    sets = {role: questions for role, questions in asked.items() if questions}
    answers = {
        role: generate_responses(
            model,
            tokenizer,
            questions,
            asking,
            pool=pool,
            documents=documents,
            answers_file=transcripts and transcripts.with_name(f"{transcripts.name}.{role}.jsonl"),
            progress=progress and f"{progress} ({role})",
        )
        for role, questions in sets.items()
    }
    in_turns = turn_ends(tokenizer, asking.template) is not None
    return Evaluation(sets, answers, time.monotonic() - start, language, in_turns)


def figures_of(
    questions: Sequence[Question], answers: Sequence[Responses], language: str = "en", in_turns: bool = False
) -> dict[str, Any]:
    """The metric's figures of one set: by document, by relation and by fact where every question names its own.

    Beside them `stopped`, the share of greedy answers that ended by themselves before they were cut, and, where they
    were asked for `in_turns`, `end_of_turn`, the share that ended as the chat template ends a turn. What can't be
    known, as an error over a single document, is left out.
    """
    references = [list(question.answers) for question in questions]
    samples = any(said.sampled[0] for said in answers)
    said = [[said.greedy[0], *said.sampled[0]] if samples else said.greedy[0] for said in answers]
    ids = {
        "documents": [question.document_id for question in questions],
        "relations": [question.relation for question in questions],
        "fact_ids": [question.fact_id for question in questions],
    }
    # One document has no spread, one relation is the whole, and facts asked for once each agree with themselves.
    several = {"documents": 2, "relations": 2, "fact_ids": 1}
    given: dict[str, Any] = {
        name: column for name, column in ids.items() if None not in column and len({*column}) >= several[name]
    }
    if len({*ids["fact_ids"]}) == len(questions):
        given.pop("fact_ids", None)
    metric = KnowledgeRecall(keep_in_memory=True)  # no lock file between processes
    figures = metric.compute(predictions=said, references=references, language=language, **given) or {}
    return _known(figures | _endings(answers, in_turns, given.get("documents")))


def _endings(answers: Sequence[Responses], in_turns: bool, documents: Sequence[str] | None) -> dict[str, float]:
    how = [said.ended[0] if said.ended else "" for said in answers]
    if "" in how:  # they are of a transcript that doesn't say
        return {}
    good = {"stopped": {"line", "turn", "text"}, **({"end_of_turn": {"turn"}} if in_turns else {})}
    figures: dict[str, float] = {}
    for name, endings in good.items():
        # A share of questions like any other, so its error is the metric's.
        yes = score([str(one in endings) for one in how], [["True"]] * len(how), documents=documents)
        figures |= {name: yes["exact_match"], f"{name}_se": yes["exact_match_se"]}
    return figures


def _changed(sets: Mapping[str, Any], role: str, value: Sequence[Any]) -> dict[str, Any]:
    changed = {**sets, role: value}
    return {name: values for name, values in changed.items() if values}


def _known(figures: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: _known(value) if isinstance(value, Mapping) else value for name, value in figures.items()}
    return {name: value for name, value in known.items() if not (isinstance(value, float) and math.isnan(value))}
