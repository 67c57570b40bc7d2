"""`knowlearn ask`: questions put to a model closed book, greedily, and in samples where wanted."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence

from hf_knowlearn.commands.model_arguments import given
from hf_knowlearn.documents import Question
from hf_knowlearn.generation.ask import GenerationSettings, Responses, generate_responses
from hf_knowlearn.knowledge_recall import first_line
from hf_knowlearn.models.sources import resolve_model
from hf_knowlearn.models.variants import load_variant

NOTHING = "(nothing)"


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print the answer to each question: alone, if it is the only one; else below it."""
    asking = GenerationSettings(**given(arguments))
    texts = _questions(arguments.questions)
    source = resolve_model(arguments.model, arguments.revision)
    model, tokenizer = load_variant(source, bits=4 if arguments.load_in_4bit else None, dtype=arguments.dtype)
    # A question that isn't to be judged has an accepted answer all the same.
    questions = [Question(str(number), text, answers=("unknown",)) for number, text in enumerate(texts, 1)]
    for question, answers in zip(questions, generate_responses(model, tokenizer, questions, asking), strict=True):
        lines = _lines(answers)
        show("\n".join(lines if len(questions) == 1 else [question.text, *(f"    {line}" for line in lines)]))
    return 0


def _questions(words: Sequence[str]) -> list[str]:
    """The questions that were typed; for each - the lines of standard input."""
    lines = [line.strip() for word in words for line in (sys.stdin if word == "-" else [word])]
    if not (questions := [line for line in lines if line]):
        raise ValueError('There are no questions: write each in quotes, knowlearn ask MODEL "Who ...?"')
    return questions


def _lines(answers: Responses) -> list[str]:
    """The greedy answer, and how often each answer came among the samples, the most frequent first."""
    samples = Counter(first_line(text) or NOTHING for text in answers.sampled[0])
    counted = [f"  {count} of {samples.total()} samples: {text}" for text, count in samples.most_common()]
    return [answers.greedy[0].strip() or NOTHING, *counted]
