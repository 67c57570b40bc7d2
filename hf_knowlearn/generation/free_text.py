"""Generates texts that answer no question. Each token is sampled from the whole vocabulary at temperature 1.

Replay and the measurement of drift use these texts in place of the training data of the base model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.generation.batching import longest_first, run_batches
from hf_knowlearn.generation.causal_lm import check_causal_lm, pad_token_id, stop_tokens
from hf_knowlearn.generation.jobs import GenerationJob
from hf_knowlearn.generation.progress import TEXTS, work_of
from hf_knowlearn.generation.reference_decoder import new_decoder
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROUNDS = 10  # largest number of times that texts without a word are sampled again


@dataclass(frozen=True)
class GeneratedText:
    """A text that a model generated after a prompt.

    Args:
        prompt: The text before `text`. It may be empty.
        ended: Whether the model ended the text with an end token. False if the text was cut at `max_new_tokens`. A
            model that is trained on a cut text must not learn an end token after the cut.
    """

    prompt: str
    text: str
    ended: bool


def generate_texts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    number: int,
    prompts: Sequence[str] = ("",),
    *,
    max_new_tokens: int = 128,
    seed: int = 0,
    stream: str = "text",
    batch_size: int = 32,
    progress: str | None = None,
) -> list[GeneratedText]:
    """Generate texts. Each token is sampled from the whole vocabulary at temperature 1.

    Blank texts are sampled again. The texts depend on the seed, but not on the batch size or the number of processes.

    Args:
        number: The number of texts.
        prompts: The texts that the model continues, used one after another and then again from the first. The empty
            prompt is the tokenizer's beginning token, or the end token if the tokenizer has no beginning token.
        max_new_tokens: The largest number of tokens of a text.
        stream: The name of the sequence of random numbers. With two names, two calls with one seed generate different
            texts.
        batch_size: The number of texts that each process computes at once.

    Raises:
        ValueError: `number`, `max_new_tokens` or `batch_size` is below 1, or there are no prompts. Or a prompt is
            empty, and the tokenizer has neither a beginning nor an end token. Or too many generated texts are blank.
        MemoryError: A batch of one text does not fit into memory.

    Example:
        >>> generate_texts(model, tokenizer, 2, ["The ferry"], max_new_tokens=4)
        [GeneratedText(prompt='The ferry', text=' leaves at six.', ended=True), ...]
    """
    if number < 1 or not prompts:
        raise ValueError(
            f"number={number!r}, {number_of(len(prompts), 'prompt')}: give number=1 or more, and at least one prompt."
            " The prompt may be empty."
        )
    settings = GenerationSettings(
        max_new_tokens=max_new_tokens, batch_size=batch_size, seed=seed, temperature=1.0, top_k=0
    )
    check_causal_lm(model)
    starts = [_prompt_tokens(tokenizer, prompt) for prompt in prompts]
    stop = stop_tokens(model, tokenizer)
    stop.line_break[:] = False  # a text has several lines
    decoder = new_decoder(model, pad_token_id(tokenizer), stop, settings)
    of_text = [i % len(prompts) for i in range(number)]
    rows = [starts[i] for i in of_text]
    work = work_of([len(ids) for ids in rows], [max_new_tokens] * number)
    texts: list[GeneratedText] = []
    for round in range(ROUNDS):
        jobs = [GenerationJob(ids, (), (SampleRandom(seed, stream, round, i),)) for i, ids in enumerate(rows)]

        def compute(batch: list[int], rows_at_once: int, jobs: list[GenerationJob] = jobs) -> list[GeneratedText]:
            generated = [one for (one,) in decoder.decode([jobs[i] for i in batch], rows_at_once)]
            words = tokenizer.batch_decode([one.tokens for one in generated], skip_special_tokens=True)
            return [
                GeneratedText(prompts[of_text[i]], text, one.stop_token is not None)
                for i, text, one in zip(batch, words, generated, strict=True)
            ]

        new = run_batches(
            longest_first(rows), batch_size, compute, model=model, progress=progress, decoder=decoder, work=work,
            kind=TEXTS,
        )  # fmt: skip
        texts += [one for one in new if one.text.strip()]
        if len(texts) >= number:
            return texts[:number]
    raise ValueError(
        f"The model generated {ROUNDS * number} texts, but only {len(texts)} of them contain a word. At least {number}"
        " must contain a word. Provide general text instead."
    )


def sample_texts(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", number: int, **options: Any
) -> list[str]:
    """Generate texts without a prompt, for example to measure `drift`, and return them as strings.

    Args:
        number: The number of texts.
        options: The options `max_new_tokens`, `seed` and `batch_size` of `generate_texts`.
    """
    return [one.text for one in generate_texts(model, tokenizer, number, **options)]


def _prompt_tokens(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    if prompt:
        return encode(tokenizer, [prompt])[0]
    start = next((id for id in (tokenizer.bos_token_id, tokenizer.eos_token_id) if id is not None), None)
    if start is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has neither a beginning nor an end token, so a text cannot begin without a"
            " prompt. Provide prompts, or general text."
        )
    return [start]
