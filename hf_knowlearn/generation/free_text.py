"""Free text: what a model writes by itself, sampled from all tokens at temperature 1; its own idea of text.

On such text a model is compared with what it was, and by such text it can be reminded of what it knew: nobody needs
what it was trained on. The surprising decision: a text that was cut says so, because it does not end where it stops,
and nobody should learn that it does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from accelerate.utils import gather_object

from hf_knowlearn.generation.batching import in_shares
from hf_knowlearn.generation.decoding import Decoder, Job
from hf_knowlearn.generation.models import check_model, ends_of, pad_id
from hf_knowlearn.generation.sampling import SampleRandom

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TRIES = 10  # rounds of sampling, after which a model is held to say nothing


@dataclass(frozen=True)
class GeneratedText:
    """What a model wrote behind an opening, which may be empty; `ended` says whether it ended the text by itself."""

    opening: str
    text: str
    ended: bool


def generate_texts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    number: int,
    openings: Sequence[str] = ("",),
    *,
    max_new_tokens: int = 128,
    seed: int = 0,
    stream: str = "text",
    batch_size: int = 32,
    progress: str | None = None,
) -> list[GeneratedText]:
    """`number` texts that the model itself writes, sampled from all tokens at temperature 1: what it takes for text.

    Behind an empty opening they begin where a text begins: behind the tokenizer's beginning token; without one behind
    its end token, which parts the texts that such models were trained on. Texts without a word are drawn again. The
    same seed gives the same texts, whatever the batch size and the number of processes; no generator of torch or
    Python is touched.

    Args:
        openings: taken by turns.
        max_new_tokens: a text is cut here, if the model doesn't end it before.
        seed, stream: texts that training rehearses and texts that drift is measured on need different ones.
        batch_size: texts written at once, by each process.

    Raises:
        ValueError: an empty opening, and the tokenizer has neither a beginning nor an end token; the model ends nearly
            every text before its first word; a number below 1; no openings.
        MemoryError: the memory does not hold a single text.
    """
    counts = {"number": number, "max_new_tokens": max_new_tokens, "batch_size": batch_size}
    problems = [f"{name}={value!r}: give a whole number from 1 up" for name, value in counts.items() if not _is(value)]
    if problems := problems + (
        [] if openings else ["openings is empty: give one at least, which may be the empty one"]
    ):
        raise ValueError("; ".join(problems) + ".")
    check_model(model)
    starts = [_start(tokenizer, opening) for opening in openings]
    ends = ends_of(model, tokenizer)
    ends.line[:] = False  # a text has many lines
    decoder = Decoder(model, pad_id(tokenizer), ends, max_new_tokens)
    turns = [i % len(openings) for i in range(number)]
    texts: list[GeneratedText] = []
    for round in range(TRIES):
        jobs = [Job(starts[turn], (), (SampleRandom(seed, stream, round, i),)) for i, turn in enumerate(turns)]
        said: dict[int, tuple[str, bool]] = {}

        def work(batch: list[int], jobs: list[Job] = jobs, said: dict[int, tuple[str, bool]] = said) -> None:
            written = [one for (one,) in decoder.decode([jobs[i] for i in batch], batch_size)]
            words = tokenizer.batch_decode([one.tokens for one in written], skip_special_tokens=True)
            said.update({i: (text, one.end is not None) for i, text, one in zip(batch, words, written, strict=True)})

        in_shares(model, [len(job.ids) for job in jobs], batch_size, work, progress)
        by_place = dict(gather_object(list(said.items())))
        drawn = (GeneratedText(openings[turn], *by_place[i]) for i, turn in enumerate(turns))
        texts += [one for one in drawn if one.text.strip()]
        if len(texts) >= number:
            return texts[:number]
    raise ValueError(
        f"Of {TRIES * number} texts that the model sampled only {len(texts)} have a word, not {number}: give general"
        " text of your own."
    )


def _is(value: object) -> bool:
    return type(value) is int and value >= 1


def _start(tokenizer: "PreTrainedTokenizerBase", opening: str) -> list[int]:
    """The tokens behind which a text with this opening begins."""
    if opening:
        return list(tokenizer(opening)["input_ids"])
    start = next((id for id in (tokenizer.bos_token_id, tokenizer.eos_token_id) if id is not None), None)
    if start is None:
        raise ValueError(
            f"{type(tokenizer).__name__} has neither a beginning nor an end token, so there is nothing to begin a text"
            " with: give general text of your own, or words to begin with."
        )
    return [start]


def sample_texts(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    number: int,
    *,
    max_new_tokens: int = 128,
    seed: int = 0,
    batch_size: int = 32,
    progress: str | None = None,
) -> list[str]:
    """The words of `number` `generate_texts` without an opening, for `drift` to be measured on."""
    texts = generate_texts(
        model, tokenizer, number, max_new_tokens=max_new_tokens, seed=seed, batch_size=batch_size, progress=progress
    )
    return [one.text for one in texts]
