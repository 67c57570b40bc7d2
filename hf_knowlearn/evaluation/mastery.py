"""Mastery: how well a model knows the answer to each question, in the four classes of SliCK (arXiv 2405.05904, §3).

Each question is put into several few-shot prompts, whose examples have the same relation as the question. The model
generates one greedy response and several sampled responses to each prompt. P(T=0) is the share of greedy responses
that are correct. P(T>0) is the share of sampled responses that are correct.

- HighlyKnown: P(T=0) = 1
- MaybeKnown: 0 < P(T=0) < 1
- WeaklyKnown: P(T=0) = 0 and P(T>0) > 0
- Unknown: P(T=0) = 0 and P(T>0) = 0
"""

import logging
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.correct_responses import response_checker
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall.scoring import language_problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.generation.responses import Responses

logger = logging.getLogger(__name__)

Category = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

# Number of prompts for each question, and of samples for each prompt. "full" has the numbers of the paper.
# docs/mastery.md compares both presets.
PRESETS = {"full": {"prompts": 10, "samples": 16}, "quick": {"prompts": 5, "samples": 4}}
SHOTS = 4
NO_RELATION = "(no relation)"

# The minimum of each setting, and the reason for it.
MINIMUMS = {
    "prompts": (2, "with one prompt, no question can be MaybeKnown"),
    "shots": (1, "without examples, all prompts of a question are the same"),
    "samples": (1, "without samples, WeaklyKnown and Unknown cannot be distinguished"),
}


@dataclass(frozen=True)
class Mastery:
    """How well a model knows the answer to one question.

    Args:
        greedy: P(T=0), the share of greedy responses that are correct, in [0, 1].
        sampled: P(T>0), the share of sampled responses that are correct, in [0, 1].
        category: the class of the question (see `category_of`).

    Example:
        >>> Mastery("q1", greedy=0.4, sampled=0.3, category="MaybeKnown")
    """

    question_id: str
    greedy: float
    sampled: float
    category: Category


def category_of(greedy: float, sampled: float) -> Category:
    """Return the class of a question from its shares of correct greedy and sampled responses, both in [0, 1]."""
    if greedy == 1:
        return "HighlyKnown"
    if greedy > 0:
        return "MaybeKnown"
    return "WeaklyKnown" if sampled > 0 else "Unknown"


def classify_mastery(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    *,
    preset: str = "full",
    pool: Sequence[Question] | None = None,
    language: str = "en",
    answer_cache: Path | None = None,
    progress: str | None = None,
    **settings: Any,
) -> list[Mastery]:
    """Return how well the model knows the answer to each question, in the order of `questions`.

    The rule of a correct response is that of `knowledge_recall.correct`. The examples in a prompt have the same
    relation as the question, but never the same fact or document. All questions without a
    relation count as one relation. The result depends on the weights and the seed. It does not depend on the batch
    size, the order of the questions or the number of processes.

    Args:
        preset: "full" (10 prompts and 16 samples, as in the paper) or "quick" (5 prompts and 4 samples).
        pool: questions that examples are chosen from. None: `questions`.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        answer_cache: a file that stores the responses. None: no file.
        progress: label of the progress bar. None: no bar.
        settings: fields of `GenerationSettings`. `prompts` (at least 2) and `samples` (at least 1) override the
            preset. `shots` (at least 1) is the number of examples in a prompt.

    Raises:
        ValueError: a setting is out of range, or a relation has fewer than `shots` examples. The error is raised
            before anything is generated.

    Example:
        >>> masteries = classify_mastery(model, tokenizer, questions, preset="quick", seed=1)
        >>> counts(masteries)
        {'HighlyKnown': 12, 'MaybeKnown': 30, 'WeaklyKnown': 8, 'Unknown': 50}
    """
    generation = _settings(preset, language, **settings)
    from hf_knowlearn.generation.responses import generate_responses

    if bare := sum(question.relation is None for question in questions):
        logger.warning(
            "%s no relation, out of %d. The few-shot examples for them can be about anything. Set `relation` in each"
            " question to get the classes of SliCK.",
            number_of(bare, "question has", "questions have"),
            len(questions),
        )
    responses = generate_responses(
        model,
        tokenizer,
        _with_relation(questions),
        generation,
        pool=pool and _with_relation(pool),
        answer_cache=answer_cache,
        progress=progress,
    )
    is_right = response_checker(questions, language)
    return [_mastery(question, own, is_right) for question, own in zip(questions, responses, strict=True)]


def check_mastery(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    *,
    pool: Sequence[Question] | None = None,
    preset: str = "full",
    **settings: Any,
) -> None:
    """Raise the `ValueError` that `classify_mastery` would raise for these arguments. Nothing is generated."""
    from hf_knowlearn.generation.responses import build_prompts

    generation = _settings(preset, "en", **settings)
    build_prompts(model, tokenizer, _with_relation(questions), generation, pool and _with_relation(pool))


def counts(masteries: Iterable[Mastery]) -> dict[str, int]:
    """Return the number of questions in each class."""
    number = Counter(mastery.category for mastery in masteries)
    return {category: number[category] for category in CATEGORIES}


def flow(before: Iterable[Mastery], after: Iterable[Mastery]) -> dict[str, dict[str, int]]:
    """Return how many questions moved from each class to each class: `flow[class before][class after]`.

    Questions are matched by id, in any order.

    Raises:
        ValueError: `before` and `after` contain different questions, or one of them contains a question twice.
    """
    sides = {"before": list(before), "after": list(after)}
    old, new = ({one.question_id: one.category for one in side} for side in sides.values())
    problems = [
        f"{number_of(len(ids), 'question id occurs', 'question ids occur')} more than once in `{name}`, such as"
        f" {ids[0]!r}."
        for name, side in sides.items()
        if (ids := [id for id, count in Counter(one.question_id for one in side).items() if count > 1])
    ]
    for name, ids in (("before", sorted({*old} - {*new})), ("after", sorted({*new} - {*old}))):
        if ids:
            problems.append(
                f"{number_of(len(ids), 'question occurs', 'questions occur')} only in `{name}`, such as {ids[0]!r}."
            )
    if problems:
        raise ValueError("\n".join([*problems, "Give each question once in `before` and once in `after`."]))
    moved = Counter((old[id], new[id]) for id in old)
    return {one: {other: moved[one, other] for other in CATEGORIES} for one in CATEGORIES}


def _settings(preset: str, language: str, **values: Any) -> GenerationSettings:
    """Return the settings of the generation: the values of the preset, overridden by the given values.

    Raises:
        ValueError: a value is out of range. The message lists all problems.
    """
    problems = [f"{problem}." for problem in language_problems(language)]
    if preset not in PRESETS:
        problems.append(f"preset={preset!r}: choose from {', '.join(PRESETS)}.")
    values = {"shots": SHOTS, **PRESETS.get(preset, PRESETS["full"]), **values}
    for name, (minimum, reason) in MINIMUMS.items():
        if type(values[name]) is int and values[name] < minimum:
            problems.append(f"{name}={values[name]}: {reason}. Give {minimum} or more.")
            values[name] = minimum
    try:
        settings = GenerationSettings(**values)
    except ValueError as error:
        problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return settings


def _with_relation(questions: Iterable[Question]) -> list[Question]:
    return [q if q.relation is not None else replace(q, relation=NO_RELATION) for q in questions]


def _mastery(question: Question, responses: "Responses", is_right: Callable[[Question, str], bool]) -> Mastery:
    samples = [text for own in responses.sampled for text in own]
    # Why: many samples are equal, so each distinct response is compared only once.
    texts = {*responses.greedy, *samples}
    is_correct = {text: is_right(question, text) for text in texts}
    greedy = sum(is_correct[text] for text in responses.greedy) / len(responses.greedy)
    sampled = sum(is_correct[text] for text in samples) / len(samples)
    return Mastery(question.id, greedy, sampled, category_of(greedy, sampled))
