"""What SAM costs: step time and peak memory of each kind beside the plain `SFTTrainer`, in turns in one process.

A ratio is taken within a round, between runs that are neighbours in time; the plain step's milliseconds are given too.
Beside them stands pytorch_optimizer's SAM in a loop by hand, against the same loop with AdamW alone.

    python tests/benchmarks/sam.py --shape tiny                                  # a CPU, minutes
    python tests/benchmarks/sam.py --shape llama-0.1b qwen-0.5b --device cuda    # a GPU
    python tests/benchmarks/sam.py --table
"""

# ruff: noqa: E402 -- torch reads the number of its threads when it is imported
import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import measuring

CORES = measuring.hold(1) if __name__ == "__main__" and "cuda" not in sys.argv else []

import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from tokenizers import Tokenizer, models
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from trl import SFTTrainer

from hf_knowlearn.training import MSAM, SAMConfig, SAMSFTTrainer

LLAMA = {"model_type": "llama", "vocab_size": 32_000, "num_key_value_heads": 4}
QWEN = {"model_type": "qwen2", "vocab_size": 151_936, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, Any]] = {  # layers, width, inner width and heads of models on the Hub
    "tiny": {**LLAMA, "vocab_size": 4_000, "layers": 4, "width": 256, "inner": 688, "heads": 4},
    "llama-0.1b": {**LLAMA, "layers": 12, "width": 768, "inner": 2048, "heads": 12},
    "qwen-0.5b": {**QWEN, "layers": 24, "width": 896, "inner": 4864, "heads": 14, "num_key_value_heads": 2},
    "llama-1.1b": {**LLAMA, "layers": 22, "width": 2048, "inner": 5632, "heads": 32},
    "qwen-1.5b": {**QWEN, "layers": 28, "width": 1536, "inner": 8960, "heads": 12, "num_key_value_heads": 2},
}
WARM = 1  # steps before the clock: the first makes the optimizer's state
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "pytorch_optimizer")

Figures = dict[str, float]


class Clock(TrainerCallback):
    """Seconds of each step, and the most memory that a GPU held in those after the first."""

    def __init__(self, cuda: bool) -> None:
        self.cuda, self.steps = cuda, []

    def now(self) -> float:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.cuda and state.global_step == WARM:
            torch.cuda.reset_peak_memory_stats()
        self.begun = self.now()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.steps.append(self.now() - self.begun)

    def figures(self, passes: float) -> Figures:
        peak = float(torch.cuda.max_memory_allocated()) if self.cuda else 0.0
        return {"step_s": statistics.mean(self.steps[WARM:]), "peak_bytes": peak, "passes": passes}


def new_model(shape: dict[str, Any], lora: bool, device: str) -> Any:
    config = AutoConfig.for_model(
        **{name: value for name, value in shape.items() if name not in ("layers", "width", "inner", "heads")},
        hidden_size=shape["width"],
        intermediate_size=shape["inner"],
        num_hidden_layers=shape["layers"],
        num_attention_heads=shape["heads"],
        eos_token_id=0,
        pad_token_id=1,
    )
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(
        config, dtype=torch.bfloat16 if lora and device == "cuda" else torch.float32
    )
    if lora:
        model = get_peft_model(model, LoraConfig(r=16, target_modules="all-linear"))
    return model.to(device)


def rows(options: argparse.Namespace, accumulation: int, vocabulary: int) -> list[list[int]]:
    count = options.batch * accumulation * (WARM + options.steps)
    generator = torch.Generator().manual_seed(0)
    return torch.randint(2, vocabulary, (count, options.length), generator=generator).tolist()


def in_the_trainer(
    options: argparse.Namespace, shape: dict[str, Any], lora: bool, accumulation: int, folder: str, **sam: Any
) -> Figures:
    """One run of `SFTTrainer`, or with SAM if there are options of it."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<eos>": 0, "<pad>": 1})), eos_token="<eos>", pad_token="<pad>"
    )
    cuda = options.device == "cuda"
    clock, callbacks = Clock(cuda), [MSAM(sam.pop("msam"))] if "msam" in sam else []
    args = SAMConfig(
        folder,
        use_cpu=not cuda,
        bf16=cuda,
        report_to="none",
        disable_tqdm=True,
        save_strategy="no",
        logging_strategy="no",
        activation_checkpointing=False,
        dataloader_pin_memory=False,
        optim="adamw_torch",
        max_length=None,
        max_steps=WARM + options.steps,
        per_device_train_batch_size=options.batch,
        gradient_accumulation_steps=accumulation,
        **sam,
    )
    data = Dataset.from_dict({"input_ids": rows(options, accumulation, shape["vocab_size"])})
    trainer = (SAMSFTTrainer if sam or callbacks else SFTTrainer)(
        new_model(shape, lora, options.device),
        args,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[*callbacks, clock],
    )
    trainer.train()
    passes = getattr(trainer, "gradient_evaluations", args.max_steps) / args.max_steps
    return clock.figures(passes)


def by_hand(
    options: argparse.Namespace, shape: dict[str, Any], lora: bool, accumulation: int, folder: str, rho: float
) -> Figures:
    """AdamW in a loop of a few lines, or pytorch_optimizer's SAM around it."""
    import pytorch_optimizer

    model, clock = new_model(shape, lora, options.device), Clock(options.device == "cuda")
    weights = [p for p in model.parameters() if p.requires_grad]
    plain = {"lr": 2e-5, "weight_decay": 0.0}
    optimizer = (
        pytorch_optimizer.SAM(weights, torch.optim.AdamW, rho=rho, **plain) if rho else torch.optim.AdamW(weights)
    )
    data = torch.tensor(rows(options, accumulation, shape["vocab_size"]), device=options.device)
    model.train()
    for step, window in enumerate(data.split(options.batch * accumulation)):
        clock.on_step_begin(None, argparse.Namespace(global_step=step), None)

        def closure(window: torch.Tensor = window) -> None:
            for batch in window.split(options.batch):
                with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
                    loss = model(input_ids=batch, labels=batch, use_cache=False).loss / accumulation
                loss.backward()

        closure()
        torch.nn.utils.clip_grad_norm_(weights, 1.0) if not rho else None
        optimizer.step(closure) if rho else optimizer.step()
        optimizer.zero_grad()
        clock.on_step_end(None, None, None)
    return clock.figures(2.0 if rho else 1.0)


def arms(options: argparse.Namespace, accumulation: int) -> dict[str, Callable[..., Figures]]:
    late = (WARM + 0.7 * options.steps) / (WARM + options.steps)  # of the steps on the clock, the last 30 %
    found: dict[str, Callable[..., Figures]] = {
        "plain": in_the_trainer,
        "exact": partial(in_the_trainer, sam_rho=0.05),
        "adaptive": partial(in_the_trainer, sam_rho=0.5, sam_adaptive=True),
        "random": partial(in_the_trainer, sam_rho=0.05, sam_direction="random"),
        "msam": partial(in_the_trainer, msam=0.05),
        "by hand": partial(by_hand, rho=0.0),
        "by hand, pytorch_optimizer": partial(by_hand, rho=0.05),
    }
    if accumulation > 1:
        found["a=1"] = partial(in_the_trainer, sam_rho=0.05, sam_ascent_batches=1)
        found["a=1, late"] = partial(in_the_trainer, sam_rho=0.05, sam_ascent_batches=1, sam_start=late)
    return {name: arm for name, arm in found.items() if not options.arms or name in ("plain", *options.arms)}


def bar(arm: str, accumulation: int) -> float | None:
    """The most that the step time may be, of the plain one."""
    bars = {"exact": 2.05, "a=1": 1 + 1 / accumulation + 0.03, "msam": 1.02}
    return 1.06 if arm == "a=1, late" and accumulation == 8 else bars.get(arm)


def measured(options: argparse.Namespace, name: str, lora: bool, accumulation: int) -> dict[str, Any]:
    shape, runs = SHAPES[name], arms(options, accumulation)

    def run(arm: Callable[..., Figures]) -> Figures:
        gc.collect()
        if options.device == "cuda":
            torch.cuda.empty_cache()
        with tempfile.TemporaryDirectory() as folder:
            return arm(options, shape, lora, accumulation, folder)

    found = measuring.rounds({arm: partial(run, work) for arm, work in runs.items()}, options.repeats)
    trained = sum(p.numel() for p in new_model(shape, lora, "cpu").parameters() if p.requires_grad)
    results: dict[str, Any] = {"trained_parameters": trained, "arms": {}}
    for arm, repeats in found.items():
        base = found["by hand" if arm.startswith("by hand") and "by hand" in found else "plain"]
        ratios = [ours["step_s"] / plain["step_s"] for ours, plain in zip(repeats, base, strict=True)]
        results["arms"][arm] = {
            "step_ms": measuring.spread([1000 * repeat["step_s"] for repeat in repeats]),
            "ratio": measuring.spread(ratios),
            "bar": bar(arm, accumulation),
            "passes_a_step": repeats[0]["passes"],
            "peak_bytes": max(repeat["peak_bytes"] for repeat in repeats),
        }
    return results


def table(file: Path) -> Iterator[str]:
    yield (
        "| model | trained | window | arm | ms a step (least–most) | of plain (least–most) | bar "
        "| peak, of plain + 4 bytes a trained parameter |"
    )
    yield "|---|---|---|---|---|---|---|---|"
    for part, kept in json.loads(file.read_text(encoding="utf-8")).items():
        name, trained, window = part.split(", ")
        plain, parameters = kept["results"]["arms"]["plain"], kept["results"]["trained_parameters"]
        for arm, figures in kept["results"]["arms"].items():
            ms, ratio = figures["step_ms"], figures["ratio"]
            allowed = plain["peak_bytes"] + 4 * parameters
            peak = f"{figures['peak_bytes'] / allowed:.3f}" if plain["peak_bytes"] else "–"
            yield (
                f"| {name} | {trained} | {window} | {arm} | {ms['median']:.0f} ({ms['min']:.0f}–{ms['max']:.0f}) | "
                f"{ratio['median']:.3f} ({ratio['min']:.3f}–{ratio['max']:.3f}) | {figures['bar'] or '–'} | {peak} |"
            )


def main(words: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=["tiny"])
    parser.add_argument("--trained", nargs="+", choices=["full", "lora"], default=["full", "lora"])
    parser.add_argument("--accumulation", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--arms", nargs="+", help="beside plain; all if left out")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, default=2, help="rows of a micro-batch")
    parser.add_argument("--length", type=int, default=128, help="tokens of a row")
    parser.add_argument("--steps", type=int, default=10, help="steps of a run that are timed")
    parser.add_argument("--repeats", type=int, default=5, help="runs of each arm")
    parser.add_argument("--results", type=Path, help="the file to write; today's in results/ if left out")
    parser.add_argument("--table", action="store_true", help="the newest results as Markdown")
    options = parser.parse_args(words)
    if options.table:
        print("\n".join(table(options.results or measuring.latest("sam"))))
        return
    for name in options.shape:
        for trained in options.trained:
            for accumulation in options.accumulation:
                part = f"{name}, {trained}, {accumulation}"
                measuring.say(part)
                run = measuring.environment("sam.py", options, PACKAGES, CORES)
                run["device"] = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
                results = measured(options, name, trained == "lora", accumulation)
                measuring.keep(options.results or measuring.today("sam"), part, run, results)


if __name__ == "__main__":
    main()
