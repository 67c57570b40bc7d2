"""Checks that accepted answers are not longer than the longest possible response."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.prompts.option_names import option

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check_answers_fit(
    tokenizer: "PreTrainedTokenizerBase", questions: Sequence[Question], max_new_tokens: int
) -> None:
    """Check that each question has an accepted answer of at most `max_new_tokens` tokens.

    Raises:
        ValueError: all accepted answers of a question are longer. The message lists such questions.

    Example:
        >>> check_answers_fit(tokenizer, [Question("q1", "Where does the ferry go?", ("Ormel",))], max_new_tokens=32)
    """
    answers = [answer for question in questions for answer in question.answers]
    if not answers:
        return
    # Why with and without a space: a response begins with a space in the plain template, but not in chat templates.
    encoded = (tokenizer(list(texts), add_special_tokens=False, verbose=False)["input_ids"]
               for texts in (answers, [f" {answer}" for answer in answers]))  # fmt: skip
    lengths = iter([min(map(len, forms)) for forms in zip(*encoded, strict=True)])
    shortest = {question.id: min(next(lengths) for _ in question.answers) for question in questions}
    if long := {id: length for id, length in shortest.items() if length > max_new_tokens}:
        listed = ", ".join(f"{id!r} ({number_of(length, 'token')})" for id, length in list(long.items())[:5])
        raise ValueError(
            f"The accepted answers of {number_of(len(long), 'question')} are longer than"
            f" {option('max_new_tokens', max_new_tokens)}, so no response is correct: {listed}."
            f" Set {option('max_new_tokens')} to at least {max(long.values())}, or add shorter answers."
        )
