"""Computes the responses that editing scores need: generated answers, teacher-forced answers and texts for fluency."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import torch

from hf_knowlearn.documents import Question
from hf_knowlearn.evaluation.answer_logprobs import AnswerRow, compute_answers
from hf_knowlearn.generation.causal_lm import check_causal_lm, stop_tokens
from hf_knowlearn.generation.engines import generate
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob
from hf_knowlearn.generation.responses import build_prompts
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.templates import first_answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

# Why: these are the values of ROME's code (arXiv 2202.05262), which samples texts to measure fluency.
TOP_K, TEXT_TOKENS = 5, 100


@dataclass(frozen=True)
class TeacherForced:
    """The tokens of the first accepted answer, and the tokens that the model predicts at their positions.

    Args:
        expected: the tokens of the first accepted answer. Why only the first one: KnowEdit has one target per
            question.
        predicted: the most probable token at each position, given the prompt and the expected tokens before it.
    """

    question_id: str
    expected: tuple[int, ...]
    predicted: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """The share of positions at which the predicted token is the expected token, in [0, 1]."""
        return agreement(self.expected, self.predicted)


@dataclass(frozen=True)
class ModelResponses:
    """The responses of one model to a set of questions.

    Args:
        generated: the greedy response, by question id.
        teacher_forced: the teacher-forced answer, by question id.
        texts: sampled texts to measure fluency, from `continuations`.
    """

    generated: Mapping[str, str]
    teacher_forced: Mapping[str, TeacherForced]
    texts: Sequence[str] = field(default=())


def teacher_forced(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    settings: GenerationSettings,
    progress: str | None = None,
) -> list[TeacherForced]:
    """Return, for each prompt of each question, the tokens that the model predicts for the first accepted answer.

    The prompts are those of `generate_responses`. The settings `samples` and `max_new_tokens` have no effect. With
    several processes, each process computes a share, and every process returns all results.

    Raises:
        ValueError: the prompts cannot be built, or a prompt with its answer exceeds the model's context. The message
            lists the ids of the questions.
        MemoryError: a batch of one row does not fit in memory.
    """
    prompts = build_prompts(model, tokenizer, questions, replace(settings, max_new_tokens=1))
    answers = [[first_answer(prompt.question)] for prompt in prompts]
    return [
        TeacherForced(prompts[row.prompt].question.id, row.ids[row.start :], tokens)
        for row, tokens in compute_answers(model, tokenizer, prompts, answers, settings, _most_probable, progress)
    ]


def _most_probable(logits: torch.Tensor, rows: Sequence[AnswerRow]) -> list[tuple[int, ...]]:
    best = logits.argmax(-1).tolist()
    return [tuple(own[row.start - len(row.ids) :]) for own, row in zip(best, rows, strict=True)]


def continuations(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    settings: GenerationSettings,
) -> list[str]:
    """Return a sampled text of 100 tokens that continues the first prompt of each question.

    Each token is sampled from the five most probable tokens, as in KnowEdit's code. Line breaks and end tokens do not
    stop the generation. In KnowEdit, the 100 tokens and the entropy include the prompt; here, they do not.
    """
    settings = replace(settings, prompts=1, max_new_tokens=TEXT_TOKENS, temperature=1.0, top_k=TOP_K)
    prompts = build_prompts(model, tokenizer, questions, settings)
    if not prompts:
        return []
    check_causal_lm(model)
    stop = stop_tokens(model, tokenizer)
    stop.end_of_text[:] = stop.line_break[:] = False
    jobs = [
        GenerationJob(p.ids, p.prefix_key, (SampleRandom(settings.seed, p.question.id, p.number, 0),)) for p in prompts
    ]

    def decode(_: Sequence[int], generated: Sequence[Sequence[GeneratedTokens]]) -> list[str]:
        texts: list[str] = tokenizer.batch_decode([one.tokens for (one,) in generated], skip_special_tokens=True)
        return texts

    return generate(model, tokenizer, jobs, stop, settings, decode)


def agreement(one: Sequence[int], other: Sequence[int]) -> float:
    """Return the share of positions at which two sequences of tokens are equal, in [0, 1]."""
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)
