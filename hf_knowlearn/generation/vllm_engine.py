"""vLLM as an engine: saved weights, served to many requests at once (arXiv 2309.06180), with the same prompts.

Each response is a request of its own, and vLLM's prefix cache computes shared prefixes once. Samples come from vLLM's
random number generator, seeded by (seed, question id, prompt number, sample number). Greedy responses of the two
engines can be compared one by one, samples only by their frequencies.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from accelerate import PartialState

from hf_knowlearn.generation.jobs import GeneratedTokens, GenerationJob, StopTokens
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.generation.settings import GenerationSettings

if TYPE_CHECKING:
    import torch

MIN_TEMPERATURE = 0.01  # vLLM raises lower temperatures to this one
FILES = ["*.json", "*.safetensors"]
UNQUANTISED = (
    "vLLM is used with unquantised weights only, because its 4-bit kernels differ from those of this package. Give the"
    " unquantised model, or use engine='transformers'."
)


class VLLM:
    """A saved model or LoRA adapter in a vLLM engine. It takes the place of a transformers model.

    The engine holds its memory for as long as the object exists. Load it once and use it for several calls.

    Args:
        name: folder of a model or a LoRA adapter, or a name on the Hub.
        revision: of a name on the Hub.
        settings: of `vllm.LLM`, such as tensor_parallel_size, gpu_memory_utilization or max_model_len. `dtype` is the
            dtype of the saved weights if it is not given.

    Raises:
        ValueError: vLLM is not installed or can't load the model, the model is in memory or quantised, or there are
            several processes.

    Example:
        >>> model = VLLM("outputs/mine/model", gpu_memory_utilization=0.8)
        >>> responses = generate_responses(model, tokenizer, questions)
    """

    def __init__(self, name: str | PathLike[str], revision: str | None = None, **settings: Any) -> None:
        _check_arguments(name, settings)
        llm, lora_request, ranks, on_cpu = _import_vllm()
        from transformers import AutoConfig, GenerationConfig

        try:
            folder, adapter = _folder(name, revision), None
            if (folder / "adapter_config.json").exists():
                folder, adapter = _base_folder(folder), folder
            self.folders = [folder, *([adapter] if adapter else [])]
            self.config = AutoConfig.from_pretrained(folder)
            if getattr(self.config, "quantization_config", None):
                raise ValueError(f"its weights are quantised. {UNQUANTISED}")
            self.generation_config = GenerationConfig.from_model_config(self.config)
            if (folder / "generation_config.json").exists():
                self.generation_config = GenerationConfig.from_pretrained(folder)
            # Why: vLLM's "auto" loads 32-bit weights in 16 bits.
            self.dtype = settings.pop("dtype", None) or str(self.config.dtype or "float32").removeprefix("torch.")
            if adapter:
                rank = _rank(adapter)
                fits = min((size for size in ranks if size >= rank), default=rank)
                settings = {"enable_lora": True, "max_loras": 1, "max_lora_rank": fits, **settings}
            if on_cpu:  # a prompt that is prefilled in pieces needs to rewind a generator, which the CPU can't
                settings = {"enable_chunked_prefill": False, **settings}
            self.engine = llm(
                str(folder), dtype=self.dtype, skip_tokenizer_init=True, enable_prefix_caching=True, **settings
            )
            self.adapter = lora_request("adapter", 1, str(adapter)) if adapter else None
            if self.adapter:
                self.engine.llm_engine.add_lora(self.adapter)  # raises for an adapter that vLLM can't serve
        except (OSError, ImportError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"vLLM can't load {str(name)!r}: {error}\nFix that, or use engine='transformers'."
            ) from error
        self.config.get_text_config().max_position_embeddings = self.engine.model_config.max_model_len

    def named_parameters(self) -> Iterator[tuple[str, "torch.Tensor"]]:
        """The saved weights, those of the base model before those of the adapter."""
        from safetensors import safe_open

        for folder in self.folders:
            for file in sorted(folder.glob("*.safetensors")):
                with safe_open(file, framework="pt") as weights:
                    yield from ((name, weights.get_tensor(name)) for name in weights.keys())  # noqa: SIM118

    def decode(
        self, jobs: Sequence[GenerationJob], stop: StopTokens, settings: GenerationSettings
    ) -> list[list[GeneratedTokens]]:
        """The responses to each job. vLLM decides how many it computes at once (`max_num_seqs`)."""
        requests = [_Request(job.ids, sampler) for job in jobs for sampler in job.samplers]
        going = requests
        while going:
            # Why: vLLM stops at a line break before any text. Such a response continues in a further request.
            params = [self._params(request, stop, settings) for request in going]
            prompts = [{"prompt_token_ids": [*request.prompt, *request.tokens]} for request in going]
            outputs = self.engine.generate(prompts, params, use_tqdm=False, lora_request=self.adapter)
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


def check_temperature(settings: GenerationSettings) -> None:
    """Raise ValueError for a temperature that vLLM would change."""
    if settings.samples and settings.temperature < MIN_TEMPERATURE:
        raise ValueError(
            f"temperature={settings.temperature!r}: vLLM samples at {MIN_TEMPERATURE} or above. Raise the temperature,"
            " or use engine='transformers'."
        )


def _import_vllm() -> tuple[Any, Any, tuple[int, ...], bool]:
    """vLLM's engine, its LoRA request, the LoRA ranks it supports, and whether it runs on a CPU."""
    try:
        from vllm import LLM
        from vllm.config.lora import MaxLoRARanks
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
    except ImportError as error:
        raise ValueError(
            f"engine='vllm' needs vLLM ({error}). Install it with `pip install vllm` in an environment of its own,"
            " because it needs its own versions of torch and transformers (docs/evaluation.md). Or use"
            " engine='transformers'."
        ) from error
    return LLM, LoRARequest, get_args(MaxLoRARanks), current_platform.is_cpu()


def _check_arguments(name: object, settings: dict[str, Any]) -> None:
    problems = []
    if not isinstance(name, str | PathLike):
        problems.append(
            f"engine='vllm' got a {type(name).__name__} in memory. vLLM loads saved weights and does not see weights"
            " in training. Give the path of the saved model, or use engine='transformers'."
        )
    if settings.get("quantization"):
        problems.append(f"quantization={settings['quantization']!r}: {UNQUANTISED}")
    if (number := PartialState().num_processes) > 1:
        problems.append(
            f"engine='vllm' in {number} processes: each would load the whole model. Start one process, and use"
            " tensor_parallel_size of VLLM for several devices."
        )
    if problems:
        raise ValueError("\n".join(problems))


def _folder(name: str | PathLike[str], revision: str | None) -> Path:
    """The folder of the weights. A name on the Hub is downloaded."""
    if Path(name).is_dir():
        return Path(name)
    from huggingface_hub import snapshot_download

    return Path(snapshot_download(str(name), revision=revision, allow_patterns=FILES))


def _base_folder(adapter: Path) -> Path:
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(adapter))
    if config.peft_type != "LORA":
        raise ValueError(f"vLLM serves LoRA adapters only, and this one is {config.peft_type}.")
    return _folder(config.base_model_name_or_path, config.revision)


def _rank(adapter: Path) -> int:
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(adapter))
    return max([config.r, *config.rank_pattern.values()])
