"""Free text: texts that a model generates by itself, sampled from all tokens at temperature 1.

They are used for self-generated replay and to measure drift. Neither use needs the training data of the base model.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hf_knowlearn.generation.batching import longest_first, run_batches
from hf_knowlearn.generation.causal_lm import check_causal_lm, pad_token_id, stop_tokens
from hf_knowlearn.generation.jobs import GenerationJob
from hf_knowlearn.generation.reference_decoder import new_decoder
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.prompts.tokens import encode

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

ROUNDS = 10  # rounds of sampling after which a model counts as unable to generate text


@dataclass(frozen=True)
class GeneratedText:
    """A text that a model generated after a prompt.

    Args:
        prompt: may be empty.
        ended: whether the model ended the text. False if `max_new_tokens` truncated the text; its end must then not be
            learned.
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
    """`number` texts that the model generates, sampled from all tokens at temperature 1.

    An empty prompt is the tokenizer's beginning token, or its end token if it has none. Texts without a word are
    sampled again. The texts depend on the seed only, not on batch size or number of processes. No random number
    generator of torch or Python is used.

    Args:
        prompts: text i continues prompt i % len(prompts).
        max_new_tokens: limit for the tokens of a text.
        stream: name of the sequence of random numbers. Texts for replay and texts for drift need different ones.
        batch_size: number of texts that each process computes at once.

    Raises:
        ValueError: a number is below 1; there are no prompts; a prompt is empty and the tokenizer has neither a
            beginning nor an end token; or the model generates texts without words.
        MemoryError: one text does not fit.

    Example:
        >>> generate_texts(model, tokenizer, 2, ["The ferry"], max_new_tokens=4)
        [GeneratedText(prompt='The ferry', text=' leaves at six.', ended=True), ...]
    """
    if number < 1 or not prompts:
        raise ValueError(f"number={number!r}, {len(prompts)} prompts: give at least 1 of both. A prompt may be empty.")
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

        new = run_batches(longest_first(rows), batch_size, compute, model=model, progress=progress)
        texts += [one for one in new if one.text.strip()]
        if len(texts) >= number:
            return texts[:number]
    raise ValueError(
        f"Only {len(texts)} of {ROUNDS * number} texts that the model sampled have a word, and {number} are needed:"
        " provide general text instead."
    )


def sample_texts(
    model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", number: int, **options: Any
) -> list[str]:
    """`generate_texts` without a prompt, as plain strings. `drift` is measured on them.

    Args:
        options: `max_new_tokens`, `seed` and `batch_size` of `generate_texts`.
    """
    return [one.text for one in generate_texts(model, tokenizer, number, **options)]


def _prompt_tokens(tokenizer: "PreTrainedTokenizerBase", prompt: str) -> list[int]:
    if prompt:
        return encode(tokenizer, [prompt])[0]
    start = next((id for id in (tokenizer.bos_token_id, tokenizer.eos_token_id) if id is not None), None)
    if start is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has neither a beginning nor an end token, so a text can't begin without a"
            " prompt: provide general text, or prompts."
        )
    return [start]
