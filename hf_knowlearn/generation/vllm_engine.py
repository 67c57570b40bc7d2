"""A vLLM engine in place of a transformers model. It computes many requests at once (arXiv 2309.06180).

Each response is a request of its own, and vLLM's prefix cache computes shared prefixes once. Samples come from vLLM's
random number generator, seeded by (seed, question id, prompt number, sample number). Greedy responses equal those of
transformers up to the last bits of the logits. Samples have the same frequencies.
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
    """A saved model in a vLLM engine. It takes the place of a transformers model.

    The engine occupies memory for as long as the object exists. Create the object once and use it for several calls.

    Args:
        name: folder of a model, or its name on the Hub. Merge an adapter into its base first (`knowlearn merge`).
        settings: arguments of `vllm.LLM`, such as tensor_parallel_size, gpu_memory_utilization or max_model_len. The
            default of `dtype` is the dtype of the saved weights.

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
                f"VLLM in {number} processes: each would load the whole model. Start one process, and use"
                " tensor_parallel_size for several devices."
            )
        try:
            from vllm import LLM
            from vllm.platforms import current_platform
        except ImportError as error:
            raise ValueError(
                f"VLLM needs vLLM ({error}). Install it with `pip install vllm` in an environment of its own, because"
                " it needs its own versions of torch and transformers (docs/evaluation.md). Or load the model with"
                " transformers."
            ) from error
        from transformers import AutoConfig, GenerationConfig

        if current_platform.is_cpu():  # Why: a prompt that is prefilled in pieces would need to rewind a generator
            settings = {"enable_chunked_prefill": False, **settings}
        try:
            self.config = AutoConfig.from_pretrained(self.name)
            if settings.get("quantization") or getattr(self.config, "quantization_config", None):
                raise ValueError("vLLM's kernels of quantised weights differ from those of this package.")
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
                f"vLLM can't load {self.name!r}: {error}\nGive an unquantised model, not an adapter (`knowlearn merge`"
                " merges one), or load it with transformers."
            ) from error
        self.config.get_text_config().max_position_embeddings = self.engine.model_config.max_model_len

    def decode(
        self, jobs: Sequence[GenerationJob], stop: StopTokens, settings: GenerationSettings
    ) -> list[list[GeneratedTokens]]:
        """The responses to each job. vLLM decides how many it computes at once (`max_num_seqs`)."""
        requests = [_Request(job.ids, sampler) for job in jobs for sampler in job.samplers]
        going = requests
        while going:
            # Why: vLLM stops even at a line break before any text. Such a response is continued in another request.
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
    """A response while it is generated."""

    prompt: Sequence[int]
    sampler: SampleRandom | None
    tokens: list[int] = field(default_factory=list)

    def generated(self, stop: StopTokens) -> GeneratedTokens:
        last = self.tokens[-1]
        without_end = self.tokens[:-1] if stop.end_of_text[last] else self.tokens
        return GeneratedTokens(without_end, last if stop.ends(self.tokens) else None)


def request_seed(sampler: SampleRandom, step: int) -> int:
    """The seed of a request that continues a sample after `step` tokens: 62 bits, from the key of the sample."""
    key = repr((sampler.seed, sampler.question, sampler.prompt, sampler.sample, step))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 2
