"""`knowlearn ask`: asks a model questions without documents, and prints its greedy and sampled answers."""

import argparse
import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.knowledge_recall.scoring import first_line

if TYPE_CHECKING:
    from hf_knowlearn.generation.responses import Responses
    from hf_knowlearn.generation.settings import GenerationSettings

MODEL_HELP = "a run's output folder, a folder with a model or an adapter, a name on the Hub, tiny_base or smollm2-135m"
EMPTY = "(empty)"
# The options of `add_generation_options` and `recall` that are fields of `GenerationSettings`.
GENERATION = ("shots", "samples", "template", "instruction", "max_new_tokens", "batch_size", "seed")


def add_parser(subparsers: Any) -> None:
    """Declare the command's options."""
    text = "ask a model questions, closed book"
    parser = subparsers.add_parser("ask", help=text, description=f"{text.capitalize()}, and print its answers.")
    parser.add_argument("model", metavar="MODEL", help=MODEL_HELP)
    parser.add_argument("questions", metavar="QUESTION", nargs="+", help="a question; - reads one per line from stdin")
    add_generation_options(parser)
    add_loading_options(parser)


def add_generation_options(parser: argparse.ArgumentParser) -> None:
    """Declare the options of generation.

    An option that the user does not give has the value None, because the defaults are in `GenerationSettings`.
    """
    add = parser.add_argument
    add("--template", choices=("plain", "chat", "auto"), help="the template of the questions (auto)")
    add("--instruction", help="text before every question (in the chat template: Answer with a few words only.)")
    add("--max_new_tokens", type=int, help="maximum tokens of an answer (32)")
    add("--samples", type=int, help="sampled answers to each question, besides the greedy one (0)")
    add("--seed", type=int, help="seed of the samples and the examples (0)")


def add_loading_options(parser: argparse.ArgumentParser, in_4bit: str = "quantise with bitsandbytes") -> None:
    """Declare the options for loading a model."""
    parser.add_argument("--load_in_4bit", action="store_true", help=in_4bit)
    add_dtype(parser, "dtype of the weights (as stored; with an adapter, as in training)")
    add_revision(parser)


def add_dtype(parser: argparse.ArgumentParser, text: str) -> None:
    """Declare `--dtype`."""
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"), help=text)


def add_revision(parser: argparse.ArgumentParser) -> None:
    """Declare `--revision`."""
    parser.add_argument("--revision", help="a branch, tag or commit of a model on the Hub")


def generation_settings(arguments: argparse.Namespace) -> "GenerationSettings":
    """Build the generation settings from the options of the command line."""
    from hf_knowlearn.generation.settings import GenerationSettings

    return GenerationSettings(**{name: getattr(arguments, name) for name in given(arguments, GENERATION)})


def given(arguments: argparse.Namespace, names: Sequence[str]) -> list[str]:
    """Return the values of those options in `names` that the user gave, by name."""
    return [name for name in names if getattr(arguments, name, None) not in (None, False)]


def run(arguments: argparse.Namespace, show: Callable[[str], None]) -> int:
    """Print the answers below each question. If there is only one question, print only its answers."""
    from hf_knowlearn.models.sources import resolve_model

    settings = generation_settings(arguments)
    texts = _questions(arguments.questions)
    source = resolve_model(arguments.model, arguments.revision)
    from hf_knowlearn.documents import Question
    from hf_knowlearn.generation.responses import generate_responses
    from hf_knowlearn.models.variants import load_variant

    model, tokenizer = load_variant(source, bits=4 if arguments.load_in_4bit else None, dtype=arguments.dtype)
    # Why: a `Question` needs an accepted answer, even if the responses are not scored.
    questions = [Question(str(number), text, answers=("unknown",)) for number, text in enumerate(texts, 1)]
    for question, responses in zip(questions, generate_responses(model, tokenizer, questions, settings), strict=True):
        lines = _lines(responses)
        show("\n".join(lines if len(questions) == 1 else [question.text, *(f"    {line}" for line in lines)]))
    return 0


def _questions(words: Sequence[str]) -> list[str]:
    """Return the questions of the command line. The word `-` is replaced by the lines of standard input."""
    lines = [line.strip() for word in words for line in (sys.stdin if word == "-" else [word])]
    questions = [line for line in lines if line]
    if not questions:
        raise ValueError('There are no questions. Write each question in quotes: knowlearn ask MODEL "Who ...?"')
    return questions


def _lines(responses: "Responses") -> list[str]:
    """Return the greedy answer, and a line for each distinct sampled answer, from the most to the least frequent."""
    samples = Counter(first_line(text) or EMPTY for text in responses.sampled[0])
    counted = [f"  {count} of {number_of(samples.total(), 'sample')}: {text}" for text, count in samples.most_common()]
    return [responses.greedy[0].strip() or EMPTY, *counted]
