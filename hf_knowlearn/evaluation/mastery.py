"""Mastery: how well each question is known, in the four classes of SliCK (Gekhman et al., arXiv 2405.05904, §3).

A question gets several few-shot prompts of its relation, with a greedy response and sampled responses to each. P(T=0)
and P(T>0) are the shares of correct greedy and of correct sampled responses.

- HighlyKnown: P(T=0) = 1
- MaybeKnown: 0 < P(T=0) < 1
- WeaklyKnown: P(T=0) = 0 and P(T>0) > 0
- Unknown: both are 0
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hf_knowlearn.documents import Question
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall.scoring import exact_match, first_line, language_problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.generation.responses import Responses

logger = logging.getLogger(__name__)

Category = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

# Prompts for a question and samples for a prompt. "full" is the paper's. docs/mastery.md compares the two.
PRESETS = {"full": {"prompts": 10, "samples": 16}, "quick": {"prompts": 5, "samples": 4}}
SHOTS = 4
NO_RELATION = "(no relation)"

# The minimum of each number, and its reason.
MINIMUMS = {
    "prompts": (2, "with one prompt no question can be MaybeKnown"),
    "shots": (1, "without examples all prompts of a question are the same"),
    "samples": (1, "without samples WeaklyKnown and Unknown can't be distinguished"),
}


@dataclass(frozen=True)
class Mastery:
    """How well one question is known.

    Args:
        greedy: P(T=0), the share of prompts with a correct greedy response, in [0, 1].
        sampled: P(T>0), the share of correct samples over all prompts, in [0, 1].
        category: the class that follows from the two.

    Example:
        >>> Mastery("q1", greedy=0.4, sampled=0.3, category="MaybeKnown")
    """

    question_id: str
    greedy: float
    sampled: float
    category: Category


def category_of(greedy: float, sampled: float) -> Category:
    """The class of a question with these shares of correct responses, both in [0, 1]."""
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
    prompts: int | None = None,
    shots: int = SHOTS,
    samples: int | None = None,
    temperature: float = 0.5,
    top_k: int = 40,
    pool: Sequence[Question] | None = None,
    preset: str = "full",
    seed: int = 0,
    batch_size: int = 128,
    max_new_tokens: int = 32,
    template: str = "plain",
    language: str = "en",
    answer_cache: Path | None = None,
    progress: str | None = None,
) -> list[Mastery]:
    """How well the model knows the answer to each question, in the order of `questions`.

    A response is correct if its first line is an exact match. Examples have the relation of the question and never its
    fact or its document. Questions without a relation count as one relation. The result depends on the weights and the
    seed, not on batch size, order or number of processes (see `generate_responses`).

    Args:
        prompts: number of prompts for a question, at least 2. None: as in the preset.
        shots: number of examples in a prompt, at least 1.
        samples: number of sampled responses to each prompt, at least 1. None: as in the preset.
        pool: questions that examples are chosen from; `questions` if None.
        preset: "full" (10 prompts, 16 samples, as in the paper) or "quick" (5 and 4).
        language: see `knowledge_recall.scoring.normalize`.
        temperature, top_k, seed, batch_size, max_new_tokens, template: see `GenerationSettings`.
        answer_cache, progress: see `generate_responses`.

    Raises:
        ValueError: an option is out of range, or a relation has fewer than `shots` examples. The error occurs before
            anything is generated.

    Example:
        >>> masteries = classify_mastery(model, tokenizer, questions, preset="quick")
        >>> counts(masteries)
        {'HighlyKnown': 12, 'MaybeKnown': 30, 'WeaklyKnown': 8, 'Unknown': 50}
    """
    settings = _settings(
        preset,
        language,
        prompts=prompts,
        shots=shots,
        samples=samples,
        temperature=temperature,
        top_k=top_k,
        seed=seed,
        batch_size=batch_size,
        max_new_tokens=max_new_tokens,
        template=template,
    )
    from hf_knowlearn.generation.responses import generate_responses

    if bare := sum(question.relation is None for question in questions):
        logger.warning(
            "%d of %d questions have no relation and count as one relation. Their examples may be about anything. Set"
            " the relation of each question for the classes of SliCK.",
            bare,
            len(questions),
        )
    responses = generate_responses(
        model,
        tokenizer,
        _with_relation(questions),
        settings,
        pool=None if pool is None else _with_relation(pool),
        answer_cache=answer_cache,
        progress=progress,
    )
    return [_mastery(question, own, language) for question, own in zip(questions, responses, strict=True)]


def check_mastery(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    *,
    pool: Sequence[Question] | None = None,
    preset: str = "full",
    **settings: Any,
) -> None:
    """Raise the ValueError that `classify_mastery` would raise, without generating anything.

    Args:
        settings: `seed`, `max_new_tokens` and `template` of `classify_mastery`.
    """
    from hf_knowlearn.generation.responses import build_prompts

    generation = _settings(preset, "en", prompts=None, shots=SHOTS, samples=None, **settings)
    examples = None if pool is None else _with_relation(pool)
    build_prompts(model, tokenizer, _with_relation(questions), generation, examples, None)


def counts(masteries: Iterable[Mastery]) -> dict[str, int]:
    """The number of questions in each of the four classes."""
    number = Counter(mastery.category for mastery in masteries)
    return {category: number[category] for category in CATEGORIES}


def flow(before: Iterable[Mastery], after: Iterable[Mastery]) -> dict[str, dict[str, int]]:
    """The number of questions that went from each class to each class: `flow[class before][class after]`.

    Questions are matched by id. The order does not matter.

    Raises:
        ValueError: the two sides have different questions, or a question twice.
    """
    sides = {"before": list(before), "after": list(after)}
    old, new = ({one.question_id: one.category for one in side} for side in sides.values())
    problems = [
        *_repeated(sides),
        *_unmatched("before", old.keys() - new.keys()),
        *_unmatched("after", new.keys() - old.keys()),
    ]
    if problems:
        raise ValueError("\n".join([*problems, "Give each question once before and once after."]))
    moved = Counter((old[id], new[id]) for id in old)
    return {one: {other: moved[one, other] for other in CATEGORIES} for one in CATEGORIES}


def _repeated(sides: dict[str, list[Mastery]]) -> Iterator[str]:
    for name, side in sides.items():
        if ids := [id for id, count in Counter(one.question_id for one in side).items() if count > 1]:
            yield f"{len(ids)} question ids occur more than once {name}, such as {ids[0]!r}."


def _unmatched(name: str, ids: set[str]) -> Iterator[str]:
    if ids:
        yield f"{len(ids)} questions occur only {name}, such as {min(ids)!r}."


def _settings(preset: str, language: str, **values: Any) -> GenerationSettings:
    """The settings of the generation.

    Raises:
        ValueError: a value is out of range, or rules out a class. The message lists all problems.
    """
    problems = [f"{problem}." for problem in language_problems(language)]
    if preset not in PRESETS:
        problems.append(f"preset={preset!r}: choose from {', '.join(PRESETS)}.")
    for name, number in PRESETS.get(preset, PRESETS["full"]).items():
        values[name] = number if values[name] is None else values[name]
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


def _mastery(question: Question, responses: "Responses", language: str) -> Mastery:
    samples = [text for own in responses.sampled for text in own]
    # Samples repeat one another often, so each different response is compared once.
    correct = {
        text: exact_match(first_line(text), question.answers, language) for text in {*responses.greedy, *samples}
    }
    greedy = sum(correct[text] for text in responses.greedy) / len(responses.greedy)
    sampled = sum(correct[text] for text in samples) / len(samples)
    return Mastery(question.id, greedy, sampled, category_of(greedy, sampled))
