"""vLLM: saved weights asked by an engine that serves many requests at once (arXiv 2309.06180), in the same prompts.

Each answer is a request of its own; what prompts and samples share, vLLM's prefix cache reads once. The surprising
decision: a sample is drawn by vLLM's generator, not by ours, seeded from (seed, question id, prompt number, sample
number). So it depends on nothing else, as with the other engine, but it is another draw: greedy answers of the two
engines can be compared one by one, samples only as shares.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import numpy as np
from accelerate import PartialState

from hf_knowlearn.generation.decoding import Ends, Job, Written
from hf_knowlearn.generation.sampling import SampleRandom

if TYPE_CHECKING:
    import torch

    from hf_knowlearn.generation.ask import GenerationSettings

LEAST_TEMPERATURE = 0.01  # below it vLLM takes this one
FILES = ["*.json", "*.safetensors"]


class VLLM:
    """A saved model or LoRA adapter in a vLLM engine, to be asked in place of a model of transformers.

    The engine holds its memory until the object is gone: load it once, and ask it as often as you like.

    Args:
        name: the folder of a model or of a LoRA adapter, or a name on the Hub.
        revision: of a name on the Hub.
        settings: of `vllm.LLM`, such as tensor_parallel_size, gpu_memory_utilization or max_model_len. `dtype` is
            what the weights are saved in, as transformers has it; vLLM's own "auto" would take 16 bits for 32.

    Raises:
        ValueError: vLLM is not installed; or it is given a model in training, quantised weights, several processes or
            what it can't load.
    """

    def __init__(self, name: str | PathLike[str], revision: str | None = None, **settings: Any) -> None:
        _refuse(name, settings)
        llm, lora_request, ranks, on_cpu = _imported()
        from transformers import AutoConfig, GenerationConfig

        try:
            folder, adapter = _folder(name, revision), None
            if (folder / "adapter_config.json").exists():
                folder, adapter = _base_of(folder), folder
            self.folders = [folder, *([adapter] if adapter else [])]
            self.config = AutoConfig.from_pretrained(folder)
            _refuse_quantised(name, self.config)
            self.generation_config = GenerationConfig.from_model_config(self.config)
            if (folder / "generation_config.json").exists():
                self.generation_config = GenerationConfig.from_pretrained(folder)
            self.dtype = settings.pop("dtype", None) or str(self.config.dtype or "float32").removeprefix("torch.")
            if adapter:
                rank = _rank_of(adapter)
                fits = min((size for size in ranks if size >= rank), default=rank)
                settings = {"enable_lora": True, "max_loras": 1, "max_lora_rank": fits, **settings}
            if on_cpu:  # a prompt read in pieces turns back its seeded generator, which one of a CPU can't
                settings = {"enable_chunked_prefill": False, **settings}
            self.engine = llm(
                str(folder), dtype=self.dtype, skip_tokenizer_init=True, enable_prefix_caching=True, **settings
            )
            self.adapter = lora_request("taught", 1, str(adapter)) if adapter else None
            if self.adapter:
                self.engine.llm_engine.add_lora(self.adapter)  # what it can't serve is said here
        except (OSError, ImportError, RuntimeError, ValueError) as error:
            raise ValueError(
                f"{str(name)!r} can't be loaded by vLLM: {error}\nMend that, or ask with engine='transformers'."
            ) from error
        room = self.engine.model_config.max_model_len
        self.config.get_text_config().max_position_embeddings = room  # what questions must leave room in

    def named_parameters(self) -> Iterator[tuple[str, "torch.Tensor"]]:
        """The weights as they are saved, the base's before the adapter's."""
        from safetensors import safe_open

        for folder in self.folders:
            for file in sorted(folder.glob("*.safetensors")):
                with safe_open(file, framework="pt") as weights:
                    yield from ((name, weights.get_tensor(name)) for name in weights.keys())  # noqa: SIM118

    def decode(self, jobs: Sequence[Job], ends: Ends, asking: "GenerationSettings") -> list[list[Written]]:
        """The answers to each job. How many are computed at once is vLLM's own affair (`max_num_seqs`)."""
        answers = [_Answer(job.ids, draw) for job in jobs for draw in job.draws]
        going = answers
        while going:
            # A line break before anything was said ends vLLM's answer and not ours, which goes on from there.
            params = [self._params(answer, ends, asking) for answer in going]
            prompts = [{"prompt_token_ids": [*answer.prompt, *answer.said]} for answer in going]
            outputs = self.engine.generate(prompts, params, use_tqdm=False, lora_request=self.adapter)
            for answer, output in zip(going, outputs, strict=True):
                answer.said.extend(output.outputs[0].token_ids)
            going = [a for a in going if not a.ended(ends) and len(a.said) < asking.max_new_tokens]
        written = iter([answer.written(ends) for answer in answers])
        return [[next(written) for _ in job.draws] for job in jobs]

    def _params(self, answer: "_Answer", ends: Ends, asking: "GenerationSettings") -> Any:
        from vllm import SamplingParams

        stops = (ends.text | ends.line)[: self.config.get_text_config().vocab_size]
        sampled: dict[str, Any] = {}
        if answer.draw is not None:
            seed = seed_of(answer.draw, len(answer.said))
            sampled = {"temperature": asking.temperature, "top_k": asking.top_k, "seed": seed}
        return SamplingParams(
            **{"temperature": 0.0, **sampled},
            max_tokens=asking.max_new_tokens - len(answer.said),
            stop_token_ids=np.flatnonzero(stops).tolist(),
            ignore_eos=True,  # it is among those
            detokenize=False,
        )


@dataclass
class _Answer:
    """An answer while it is written."""

    prompt: Sequence[int]
    draw: SampleRandom | None
    said: list[int] = field(default_factory=list)

    def ended(self, ends: Ends) -> bool:
        last = self.said[-1]
        return bool(ends.text[last] or (ends.line[last] and ends.speaks[self.said].any()))

    def written(self, ends: Ends) -> Written:
        last = self.said[-1]
        return Written(self.said[:-1] if ends.text[last] else self.said, last if self.ended(ends) else None)


def seed_of(noise: SampleRandom, step: int) -> int:
    """The seed of a request that goes on after `step` tokens of a sample: 62 bits, of its key and of nothing else."""
    key = repr((noise.seed, noise.question, noise.prompt, noise.sample, step))
    return int.from_bytes(hashlib.blake2b(key.encode(), digest_size=8).digest(), "little") >> 2


def refuse_draws(asking: "GenerationSettings") -> None:
    """Refuse samples that vLLM would draw otherwise than asked."""
    if asking.samples and asking.temperature < LEAST_TEMPERATURE:
        raise ValueError(
            f"temperature={asking.temperature!r}: below {LEAST_TEMPERATURE} vLLM draws at {LEAST_TEMPERATURE}. Ask at"
            " that or more, or with engine='transformers'."
        )


def _imported() -> tuple[Any, Any, tuple[int, ...], bool]:
    """vLLM's engine, its request for an adapter, the ranks it makes room for, and whether it runs on a CPU."""
    try:
        from vllm import LLM
        from vllm.config.lora import MaxLoRARanks
        from vllm.lora.request import LoRARequest
        from vllm.platforms import current_platform
    except ImportError as error:
        raise ValueError(
            f"engine='vllm' needs vLLM ({error}): `pip install vllm` in an environment of its own, since it asks for"
            " its own versions of torch and transformers (docs/recall.md). Or ask with engine='transformers'."
        ) from error
    return LLM, LoRARequest, get_args(MaxLoRARanks), current_platform.is_cpu()


def _refuse(name: object, settings: dict[str, Any]) -> None:
    wrong = []
    if not isinstance(name, str | PathLike):
        wrong.append(
            f"engine='vllm' was given a {type(name).__name__} in memory: vLLM loads saved weights into an engine of"
            " its own, and would not see those that are being trained. Give the path they are saved at, or ask with"
            " engine='transformers'."
        )
    if settings.get("quantization"):
        wrong.append(f"quantization={settings['quantization']!r}: {UNQUANTISED}")
    if (number := PartialState().num_processes) > 1:
        wrong.append(
            f"engine='vllm' in {number} processes: each would load the whole model. Start one process;"
            " tensor_parallel_size of VLLM takes several devices."
        )
    if wrong:
        raise ValueError("\n".join(wrong))


UNQUANTISED = (
    "by vLLM unquantised weights are asked, since its kernels for 4 bits are others than those the figures of this"
    " package come from. Give the unquantised model, or ask with engine='transformers'."
)


def _refuse_quantised(name: object, config: Any) -> None:
    if getattr(config, "quantization_config", None):
        raise ValueError(f"its weights are quantised; {UNQUANTISED}")


def _folder(name: str | PathLike[str], revision: str | None) -> Path:
    """Where the weights lie; those of a name on the Hub are fetched."""
    if not Path(name).is_dir():
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(str(name), revision=revision, allow_patterns=FILES))
    return Path(name)


def _base_of(adapter: Path) -> Path:
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(adapter))
    if config.peft_type != "LORA":
        raise ValueError(f"vLLM serves adapters of LoRA alone, and this is one of {config.peft_type}.")
    return _folder(config.base_model_name_or_path, config.revision)


def _rank_of(adapter: Path) -> int:
    from peft import PeftConfig

    config = PeftConfig.from_pretrained(str(adapter))
    return max([config.r, *config.rank_pattern.values()])
