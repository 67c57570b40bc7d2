"""Engines: what turns jobs into tokens. Transformers is the default, vLLM an option.

`generate` is the whole interface. It generates the tokens of all jobs in batches, and calls `convert` with the numbers
of a batch's jobs and their tokens. It returns the results of `convert` by job number.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import TYPE_CHECKING, Any, TypeVar

from hf_knowlearn.generation.batching import run_batches, run_with_prefixes
from hf_knowlearn.generation.causal_lm import pad_token_id
from hf_knowlearn.generation.decoding import Decoder
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, StopTokens
from hf_knowlearn.generation.settings import ENGINES, VLLM_ENGINE, GenerationSettings
from hf_knowlearn.generation.vllm_engine import VLLM
from hf_knowlearn.models.loading import ModelSettings, load_model

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")
Convert = Callable[[Sequence[int], Sequence[Sequence[GeneratedTokens]]], Sequence[T]]


def load_engine(model: "PreTrainedModel | VLLM | str | PathLike[str]", engine: str) -> Any:
    """The model itself, or the model that `engine` loads from a path or a name.

    Raises:
        ValueError: `engine` is unknown, or it can't load the model.
    """
    if engine not in ENGINES:
        raise ValueError(f"engine={engine!r}: choose from {', '.join(ENGINES)}.")
    if isinstance(model, VLLM):
        return model
    if engine == VLLM_ENGINE:
        return VLLM(model)
    if isinstance(model, str | PathLike):
        return load_model(ModelSettings(str(model)))
    return model


def generate(
    model: "PreTrainedModel | VLLM",
    tokenizer: "PreTrainedTokenizerBase",
    jobs: Sequence[GenerationJob],
    stop_tokens: StopTokens,
    settings: GenerationSettings,
    convert: Convert[T],
    progress: str | None = None,
) -> list[T]:
    """Generate all jobs with the model's engine. Each process generates its share and returns all results."""
    if isinstance(model, VLLM):
        return _generate_with_vllm(model, jobs, stop_tokens, settings, convert, progress)
    decoder = Decoder(
        model, pad_token_id(tokenizer), stop_tokens, settings.max_new_tokens, settings.temperature, settings.top_k
    )
    rows, keys = [job.ids for job in jobs], [job.prefix_key for job in jobs]
    decoder.find_prefixes(rows, keys)

    def compute(batch: list[int], rows_at_once: int) -> Sequence[T]:
        return convert(batch, decoder.decode([jobs[i] for i in batch], rows_at_once))

    return run_with_prefixes(decoder, rows, keys, settings.batch_size, compute, progress)


def _generate_with_vllm(
    model: VLLM,
    jobs: Sequence[GenerationJob],
    stop_tokens: StopTokens,
    settings: GenerationSettings,
    convert: Convert[T],
    progress: str | None,
) -> list[T]:
    def compute(batch: list[int], _: int) -> Sequence[T]:
        return convert(batch, model.decode([jobs[i] for i in batch], stop_tokens, settings))

    order = sorted(range(len(jobs)), key=lambda i: (jobs[i].prefix_key, i))
    return run_batches(order, settings.batch_size, compute, progress=progress)
