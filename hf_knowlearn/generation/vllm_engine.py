"""Generates responses with vLLM (arXiv 2309.06180), which computes many requests at once.

Each response is a separate request. If several requests have a common prefix, vLLM computes the prefix only once. The
greedy responses equal those of transformers, apart from the effect of the last bits of the logits. The sampled
responses differ, because vLLM uses another random number generator.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any

import numpy as np
from accelerate import PartialState

from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, StopTokens
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings


class VLLM:
    """A model in vLLM. It can be used in place of a transformers model.

    The model occupies memory as long as the object exists. Create the object once and use it for several calls.

    Args:
        name: The folder of a model or its name on the Hub. An adapter must first be merged (`knowlearn merge`).
        settings: Arguments of `vllm.LLM`, such as tensor_parallel_size, gpu_memory_utilization or max_model_len. If
            `dtype` is not given, the dtype of the saved weights is used.

    Raises:
        ValueError: vLLM is not installed or cannot load the model, the model is quantised, or there are several
            processes.

    Example:
        >>> model = VLLM("outputs/merged", gpu_memory_utilization=0.8)
        >>> responses = generate_responses(model, tokenizer, questions)
    """

    def __init__(self, name: str | PathLike[str], **settings: Any) -> None:
        self.name = str(name)
        if (number := PartialState().num_processes) > 1:
            raise ValueError(
                f"VLLM was created in {number} processes, and each of them would load the whole model. Start one"
                " process, and use tensor_parallel_size for several devices."
            )
        try:
            from vllm import LLM
            from vllm.platforms import current_platform
        except ImportError as error:
            raise ValueError(
                f"The class VLLM needs the package vllm ({error}). Install it with `pip install vllm` in a separate"
                " environment, because vllm needs other versions of torch and transformers (see docs/evaluation.md)."
                " Or load the model with transformers."
            ) from error
        from transformers import AutoConfig, GenerationConfig

        if current_platform.is_cpu():  # Why: else vLLM would have to rewind random number generators
            settings = {"enable_chunked_prefill": False, **settings}
        try:
            self.config = AutoConfig.from_pretrained(self.name)
            if settings.get("quantization") or getattr(self.config, "quantization_config", None):
                raise ValueError(
                    "the weights are quantised, and vLLM computes with quantised weights in another way than"
                    " transformers."
                )
            try:
                self.generation_config = GenerationConfig.from_pretrained(self.name)
            except OSError:  # the model has none
                self.generation_config = GenerationConfig.from_model_config(self.config)
            # Why: vLLM's "auto" loads 32-bit weights in 16 bits.
            self.dtype = settings.pop("dtype", None) or str(self.config.dtype or "float32").removeprefix("torch.")
            self.engine = LLM(
                self.name, dtype=self.dtype, skip_tokenizer_init=True, enable_prefix_caching=True, **settings
            )
        except (OSError, ImportError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"vLLM cannot load {self.name!r}: {error}\nGive an unquantised model without an adapter (`knowlearn"
                " merge` merges an adapter), or load the model with transformers."
            ) from error
        self.config.get_text_config().max_position_embeddings = self.engine.model_config.max_model_len

    def decode(
        self, jobs: Sequence[GenerationJob], stop: StopTokens, settings: GenerationSettings
    ) -> list[list[GeneratedTokens]]:
        """Return the responses to each job. The argument `max_num_seqs` of vLLM limits the size of its batches."""
        requests = [_Request(job.ids, sampler) for job in jobs for sampler in job.samplers]
        going = requests
        while going:
            # Why: vLLM stops at every line break, even before the answer. Another request continues such a response.
            params = [self._params(request, stop, settings) for request in going]
            prompts = [{"prompt_token_ids": [*request.prompt, *request.tokens]} for request in going]
            outputs = self.engine.generate(prompts, params, use_tqdm=False)
            for request, output in zip(going, outputs, strict=True):
                request.tokens.extend(output.outputs[0].token_ids)
            going = [r for r in going if not stop.ends(r.tokens) and len(r.tokens) < settings.max_new_tokens]
        generated = iter([request.generated(stop) for request in requests])
        return [[next(generated) for _ in job.samplers] for job in jobs]

    def _params(self, request: "_Request", stop: StopTokens, settings: GenerationSettings) -> Any:
        from vllm import SamplingParams

        stops = (stop.end_of_text | stop.line_break)[: self.config.get_text_config().vocab_size]
        sampled: dict[str, Any] = {}
        if request.sampler is not None:
            seed = request_seed(request.sampler, len(request.tokens))
            sampled = {"temperature": settings.temperature, "top_k": settings.top_k, "seed": seed}
        return SamplingParams(
            **{"temperature": 0.0, **sampled},
            max_tokens=settings.max_new_tokens - len(request.tokens),
            stop_token_ids=np.flatnonzero(stops).tolist(),
            ignore_eos=True,  # stop_token_ids has it
            detokenize=False,
        )


@dataclass
class _Request:
    """A request to vLLM: a prompt, and the tokens of the response that were generated so far."""

    prompt: Sequence[int]
    sampler: SampleRandom | None
    tokens: list[int] = field(default_factory=list)

    def generated(self, stop: StopTokens) -> GeneratedTokens:
        last = self.tokens[-1]
        without_end = self.tokens[:-1] if stop.end_of_text[last] else self.tokens
        return GeneratedTokens(without_end, last if stop.ends(self.tokens) else None)


def request_seed(sampler: SampleRandom, step: int) -> int:
    """Return the seed, of 62 bits, for a request that continues a sampled response after `step` tokens."""
    key = repr((sampler.seed, sampler.question, sampler.prompt, sampler.sample, step))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 2
