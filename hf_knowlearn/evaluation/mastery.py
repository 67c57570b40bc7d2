"""Mastery: how well each question is known, in SliCK's four classes (Gekhman et al., arXiv 2405.05904, §3, Fig. 2a).

A question is asked with several few-shot prompts of its relation, greedily and in samples; P(T=0) and P(T>0) are the
shares of right answers, over the prompts and over all samples. HighlyKnown: P(T=0) = 1. MaybeKnown: 0 < P(T=0) < 1.
WeaklyKnown: P(T=0) = 0 and P(T>0) > 0. Unknown: both 0. The surprising decision: a single prompt is refused, because
its class could never be MaybeKnown, the one from which most is learned.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from hf_knowlearn.documents import Question
from hf_knowlearn.knowledge_recall.scoring import exact_match, first_line, language_problems

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from hf_knowlearn.generation.ask import GenerationSettings, Responses

logger = logging.getLogger(__name__)

Category = Literal["HighlyKnown", "MaybeKnown", "WeaklyKnown", "Unknown"]
CATEGORIES: tuple[Category, ...] = get_args(Category)

# Prompts a question and samples a prompt; "full" is the paper's. What "quick" gives up is measured in docs/mastery.md.
PRESETS = {"full": {"prompts": 10, "samples": 16}, "quick": {"prompts": 5, "samples": 4}}
SHOTS = 4
NO_RELATION = "(no relation)"  # of questions that name none


@dataclass(frozen=True)
class Mastery:
    """How well one question is known.

    Args:
        greedy: P(T=0), the share of prompts whose greedy answer is right, in [0, 1].
        sampled: P(T>0), the share of right samples over all prompts, in [0, 1].
        category: the class that follows from the two.
    """

    question_id: str
    greedy: float
    sampled: float
    category: Category


def category_of(greedy: float, sampled: float) -> Category:
    """The class of a question with these shares of right answers, both in [0, 1]."""
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
    examples: Sequence[Question] | None = None,
    preset: str = "full",
    seed: int = 0,
    batch_size: int = 128,
    max_new_tokens: int = 32,
    template: str = "plain",
    language: str = "en",
    transcripts: Path | None = None,
    progress: str | None = None,
) -> list[Mastery]:
    """How well the model knows the answer to each question, in the order of `questions`.

    An answer is right if its first line is an exact match, as `KnowledgeRecall` counts. What is shown before a
    question is of its relation and never of its fact or document. Questions without a relation count as one relation:
    they are shown one another. The result depends on the weights and the seed, not on batch, order or number of
    processes (up to the last bits of the logits, see `generate_responses`); several processes share the asking.

    Args:
        prompts: prompts a question, at least 2, each with examples of its own; None for the preset's.
        shots: examples a prompt, at least 1.
        samples: sampled answers to each prompt, at least 1, beside the greedy one; None for the preset's.
        temperature, top_k: of the samples.
        examples: questions from which examples are drawn; None for `questions` themselves.
        preset: "full" (10 prompts, 16 samples, as the paper has it) or "quick" (5 and 4).
        seed: of the examples and the samples.
        template: "plain" ("Question: … Answer:"), "chat" (the tokenizer's), or "auto" (chat where it has one).
        language: how answers are normalised, see `knowledge_recall.scoring.normalize`.
        transcripts: the JSONL of all answers; asking that was interrupted goes on from there.
        progress: what to write beside the progress bar; None shows no bar.

    Raises:
        ValueError: whatever is wrong with the options or the questions, before anything is asked; among it a relation
            with fewer than `shots` questions that could be shown.
    """
    asking = _asking(
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
    from hf_knowlearn.generation.ask import generate_responses

    bare = sum(question.relation is None for question in questions)
    if bare:
        logger.warning(
            "%d of %d questions name no relation and count as one: they are shown one another's answers, whatever"
            " those are about. Name their relations for classes as SliCK defines them.",
            bare,
            len(questions),
        )
    answers = generate_responses(
        model,
        tokenizer,
        _related(questions),
        asking,
        pool=None if examples is None else _related(examples),
        answers_file=transcripts,
        progress=progress,
    )
    return [_mastery(question, said, language) for question, said in zip(questions, answers, strict=True)]


def check_mastery(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    *,
    examples: Sequence[Question] | None = None,
    preset: str = "full",
    **settings: Any,
) -> None:
    """Ask nothing, and refuse what `classify_mastery` would refuse.

    Args:
        settings: `seed`, `max_new_tokens` and `template`, as there.

    Raises:
        ValueError: as there.
    """
    from hf_knowlearn.generation.ask import build_prompts

    asking = _asking(preset, "en", prompts=None, shots=SHOTS, samples=None, **settings)
    build_prompts(
        model, tokenizer, _related(questions), asking, None if examples is None else _related(examples), None
    )


def counts(masteries: Iterable[Mastery]) -> dict[str, int]:
    """How many questions are of each class; all four are there."""
    number = Counter(mastery.category for mastery in masteries)
    return {category: number[category] for category in CATEGORIES}


def flow(before: Iterable[Mastery], after: Iterable[Mastery]) -> dict[str, dict[str, int]]:
    """How many questions went from each class to each: `flow[before][after]`, all sixteen of them.

    Questions are matched by their ids; the order of either side doesn't matter.

    Raises:
        ValueError: the two are not of the same questions, each once.
    """
    sides = [list(before), list(after)]
    was, now = ({mastery.question_id: mastery.category for mastery in side} for side in sides)
    if wrong := list(_unmatched(sides, was.keys(), now.keys())):
        raise ValueError("\n".join([*wrong, "Give each question once before and once after."]))
    moved = Counter((was[id], now[id]) for id in was)
    return {old: {new: moved[old, new] for new in CATEGORIES} for old in CATEGORIES}


def _unmatched(sides: Sequence[Sequence[Mastery]], was: Iterable[str], now: Iterable[str]) -> Iterator[str]:
    for name, side in zip(("before", "after"), sides, strict=True):
        twice = [id for id, count in Counter(mastery.question_id for mastery in side).items() if count > 1]
        if twice:
            yield f"{len(twice)} question ids stand more than once {name}, such as {twice[0]!r}."
    for name, only in (("before", set(was) - set(now)), ("after", set(now) - set(was))):
        if only:
            yield f"{len(only)} questions stand {name} alone, such as {min(only)!r}."


# The least of each, and why.
LEAST = {
    "prompts": (2, "a single prompt is right or wrong, and no question would be MaybeKnown"),
    "shots": (1, "without examples all prompts of a question are one and the same"),
    "samples": (1, "without samples WeaklyKnown is not told from Unknown"),
}


def _asking(preset: str, language: str, **settings: Any) -> "GenerationSettings":
    """How to ask; refused, all at once, what could not be asked or would leave out a class."""
    from hf_knowlearn.generation.ask import GenerationSettings

    wrong = [f"{problem}." for problem in language_problems(language)]
    if preset not in PRESETS:
        wrong.append(f"preset={preset!r}: choose from {', '.join(PRESETS)}.")
    for name, count in PRESETS.get(preset, PRESETS["full"]).items():
        settings[name] = count if settings[name] is None else settings[name]
    for name, (least, why) in LEAST.items():
        if type(settings[name]) is int and settings[name] < least:
            wrong.append(f"{name}={settings[name]}: {why}. Give {least} or more.")
            settings[name] = least
    try:
        asking = GenerationSettings(**settings)
    except ValueError as error:
        wrong.append(str(error))
    if wrong:
        raise ValueError("\n".join(wrong))
    return asking


def _related(questions: Iterable[Question]) -> list[Question]:
    return [q if q.relation is not None else replace(q, relation=NO_RELATION) for q in questions]


def _mastery(question: Question, said: "Responses", language: str) -> Mastery:
    samples = [text for of_prompt in said.sampled for text in of_prompt]
    # The same is said again and again: each text is compared once.
    right = {text: exact_match(first_line(text), question.answers, language) for text in {*said.greedy, *samples}}
    greedy = sum(right[text] for text in said.greedy) / len(said.greedy)
    sampled = sum(right[text] for text in samples) / len(samples)
    return Mastery(question.id, greedy, sampled, category_of(greedy, sampled))
