"""Generates the responses to many prompts with transformers or vLLM."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeVar

from hf_knowlearn.generation.batching import run_batches, run_with_prefixes
from hf_knowlearn.generation.causal_lm import pad_token_id
from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, StopTokens
from hf_knowlearn.generation.reference_decoder import new_decoder
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.generation.vllm_engine import VLLM

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

T = TypeVar("T")
Convert = Callable[[Sequence[int], Sequence[Sequence[GeneratedTokens]]], Sequence[T]]


def generate(
    model: "PreTrainedModel | VLLM",
    tokenizer: "PreTrainedTokenizerBase",
    jobs: Sequence[GenerationJob],
    stop_tokens: StopTokens,
    settings: GenerationSettings,
    convert: Convert[T],
    progress: str | None = None,
) -> list[T]:
    """Generate the responses to the prompts of all jobs, and return the converted responses in the order of `jobs`.

    Each process generates its share and returns all results.

    Args:
        convert: A function that is called after each batch and returns one result for each job of the batch. The
            arguments of the function are the indices of these jobs in `jobs`, and the tokens of their responses.
    """
    if isinstance(model, VLLM):

        def serve(batch: list[int], _: int) -> Sequence[T]:
            return convert(batch, model.decode([jobs[i] for i in batch], stop_tokens, settings))

        order = sorted(range(len(jobs)), key=lambda i: (jobs[i].prefix_key, i))
        return run_batches(order, settings.batch_size, serve, progress=progress)
    decoder = new_decoder(model, pad_token_id(tokenizer), stop_tokens, settings)
    rows, keys = [job.ids for job in jobs], [job.prefix_key for job in jobs]
    decoder.find_prefixes(rows, keys)

    def compute(batch: list[int], rows_at_once: int) -> Sequence[T]:
        return convert(batch, decoder.decode([jobs[i] for i in batch], rows_at_once))

    generated = [settings.max_new_tokens * len(job.samplers) for job in jobs]
    return run_with_prefixes(decoder, rows, keys, settings.batch_size, compute, progress, generated)
