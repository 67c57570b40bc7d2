"""Step time and peak memory of SAM, compared with the plain `SFTTrainer`.

All variants run in one process, in alternating order. A ratio compares runs of one round, which follow each other in
time. In a loop without a trainer, `sam_ascent` is compared with the SAM of pytorch_optimizer. Peak memory is measured
in a separate run: by torch's allocator on a GPU, and by the profiler on a CPU.

    python benchmarks/sam.py                                               # a CPU, 12 minutes
    python benchmarks/sam.py --shape llama-0.1b qwen-0.5b --device cuda    # a GPU
    python benchmarks/sam.py --table
    python benchmarks/sam.py --chart                                       # docs/sam_cost.png
"""

# ruff: noqa: E402 -- torch reads the number of its threads when it is imported
import argparse
import gc
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from itertools import accumulate
from math import ceil
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

from hf_knowlearn.training import SAMConfig, SAMSFTTrainer, sam_ascent

LLAMA = {"model_type": "llama", "vocab_size": 32_000, "num_key_value_heads": 4}
QWEN = {"model_type": "qwen2", "vocab_size": 151_936, "tie_word_embeddings": True}
SHAPES: dict[str, dict[str, Any]] = {  # layers, width, inner width and heads of models on the Hub
    "tiny": {**LLAMA, "vocab_size": 2_000, "layers": 4, "width": 192, "inner": 512, "heads": 4},
    "llama-0.1b": {**LLAMA, "layers": 12, "width": 768, "inner": 2048, "heads": 12},
    "qwen-0.5b": {**QWEN, "layers": 24, "width": 896, "inner": 4864, "heads": 14, "num_key_value_heads": 2},
    "llama-1.1b": {**LLAMA, "layers": 22, "width": 2048, "inner": 5632, "heads": 32},
    "qwen-1.5b": {**QWEN, "layers": 28, "width": 1536, "inner": 8960, "heads": 12, "num_key_value_heads": 2},
}
WARM = 1  # steps that are not timed: the first creates the optimizer's state
CHART = measuring.ROOT / "docs" / "sam_cost.png"
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "pytorch_optimizer")

VARIANTS = ["exact", "a=1", "late", "by-hand-sam_ascent"]  # those with a limit
BASELINES = ("plain", "by-hand", "by-hand-pytorch_optimizer")
LABELS = {"exact": "exact SAM", "a=1": "sam_ascent_batches: 1", "late": "… and sam_start: 0.7"}
STYLES = {"full": ("#0072B2", "o", 0.15), "lora": ("#D55E00", "s", -0.15)}  # colour, marker, vertical offset

Figures = dict[str, float]


class Clock(TrainerCallback):
    """Seconds of each step: wall time, and CPU time of this process."""

    def __init__(self, cuda: bool) -> None:
        self.cuda = cuda
        self.wall: list[float] = []
        self.cpu: list[float] = []

    def now(self) -> tuple[float, float]:
        if self.cuda:
            torch.cuda.synchronize()
        return time.perf_counter(), time.process_time()

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self.begun = self.now()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        wall, cpu = self.now()
        self.wall.append(wall - self.begun[0])
        self.cpu.append(cpu - self.begun[1])

    def figures(self, passes: float) -> Figures:
        wall, cpu = (statistics.mean(seconds[WARM:]) for seconds in (self.wall, self.cpu))
        return {"wall_s": wall, "cpu_s": cpu, "passes": passes}


def peak_bytes(work: Callable[[], Any], cuda: bool) -> int:
    """Peak memory of tensors during `work`. On a GPU this includes tensors allocated before."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    gc.collect()  # memory that a previous run frees during `work` would be subtracted
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        work()
    events = [event for event in profile.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate(event.nbytes() for event in sorted(events, key=lambda event: event.start_ns())))


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


def steps_of(options: argparse.Namespace, accumulation: int, late: bool = False) -> int:
    """Number of steps of a run. With `late` a multiple of 10 is timed, so that 30 % of these use SAM."""
    timed = ceil(options.micro_batches / accumulation)
    return WARM + (10 * ceil(timed / 10) if late else timed)


def rows(options: argparse.Namespace, count: int, vocabulary: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(2, vocabulary, (options.batch * count, options.length), generator=generator).tolist()


def in_the_trainer(
    options: argparse.Namespace, shape: dict[str, Any], lora: bool, accumulation: int, folder: str, **sam: Any
) -> Figures:
    """One run of `SFTTrainer`, or of `SAMSFTTrainer` if there are options of SAM."""
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({"<eos>": 0, "<pad>": 1})), eos_token="<eos>", pad_token="<pad>"
    )
    cuda = options.device == "cuda"
    clock, steps = Clock(cuda), steps_of(options, accumulation, "sam_start" in sam)
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
        max_steps=steps,
        per_device_train_batch_size=options.batch,
        gradient_accumulation_steps=accumulation,
        **sam,
    )
    data = Dataset.from_dict({"input_ids": rows(options, steps * accumulation, shape["vocab_size"])})
    trainer = (SAMSFTTrainer if sam else SFTTrainer)(
        new_model(shape, lora, options.device),
        args,
        train_dataset=data,
        processing_class=tokenizer,
        callbacks=[clock],
    )
    trainer.train()
    return clock.figures(getattr(trainer, "gradient_evaluations", steps) / steps)


def by_hand(
    options: argparse.Namespace, shape: dict[str, Any], lora: bool, accumulation: int, folder: str, kind: str = ""
) -> Figures:
    """AdamW in a loop without a trainer: plain, or with the SAM of `kind`."""
    import pytorch_optimizer

    model, clock = new_model(shape, lora, options.device), Clock(options.device == "cuda")
    weights = [p for p in model.parameters() if p.requires_grad]
    adamw = {"lr": 2e-5, "weight_decay": 0.0}
    optimizer: Any = torch.optim.AdamW(weights, **adamw)
    if kind == "pytorch_optimizer":
        optimizer = pytorch_optimizer.SAM(weights, torch.optim.AdamW, rho=0.05, **adamw)
    count = steps_of(options, accumulation) * accumulation
    data = torch.tensor(rows(options, count, shape["vocab_size"]), device=options.device)
    model.train()
    for window in data.split(options.batch * accumulation):
        clock.on_step_begin(None, None, None)

        def closure(window: torch.Tensor = window) -> None:
            for batch in window.split(options.batch):
                with torch.autocast(options.device, torch.bfloat16, enabled=options.device == "cuda"):
                    loss = model(input_ids=batch, labels=batch, use_cache=False).loss / accumulation
                loss.backward()

        closure()
        if kind == "sam_ascent":
            with sam_ascent(weights, rho=0.05):
                closure()
        if kind == "pytorch_optimizer":
            optimizer.step(closure)
        else:
            optimizer.step()
        optimizer.zero_grad()
        clock.on_step_end(None, None, None)
    return clock.figures(2.0 if kind else 1.0)


def variants(options: argparse.Namespace, accumulation: int) -> dict[str, Callable[..., Figures]]:
    found: dict[str, Callable[..., Figures]] = {
        "plain": in_the_trainer,
        "exact": partial(in_the_trainer, sam_rho=0.05),
        "adaptive": partial(in_the_trainer, sam_rho=0.5, sam_adaptive=True),
        "random": partial(in_the_trainer, sam_rho=0.05, sam_direction="random"),
        "by-hand": by_hand,
        "by-hand-pytorch_optimizer": partial(by_hand, kind="pytorch_optimizer"),
        "by-hand-sam_ascent": partial(by_hand, kind="sam_ascent"),
    }
    if accumulation > 1:
        found["a=1"] = partial(in_the_trainer, sam_rho=0.05, sam_ascent_batches=1)
        found["late"] = partial(in_the_trainer, sam_rho=0.05, sam_ascent_batches=1, sam_start=0.7)
    return {name: work for name, work in found.items() if name in (*BASELINES, *options.variants)}


def baseline_of(variant: str) -> str:
    """The variant that a variant is compared with."""
    if variant == "by-hand-sam_ascent":
        return "by-hand-pytorch_optimizer"
    return "by-hand" if variant.startswith("by-hand") else "plain"


def limit(variant: str, accumulation: int) -> float | None:
    """The largest acceptable step time, relative to the baseline."""
    limits = {"exact": 2.05, "a=1": 1 + 1 / accumulation + 0.03, "by-hand-sam_ascent": 1.0}
    return 1.06 if variant == "late" and accumulation == 8 else limits.get(variant)


def measured(options: argparse.Namespace, name: str, accumulation: int) -> dict[str, Any]:
    shape, work_of, cuda = SHAPES[name], variants(options, accumulation), options.device == "cuda"

    def run(work: Callable[..., Figures], options: argparse.Namespace = options) -> Figures:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            return work(options, shape, options.lora, accumulation, folder)

    found = measuring.rounds({variant: partial(run, work) for variant, work in work_of.items()}, options.repeats)
    short = argparse.Namespace(**vars(options) | {"micro_batches": 1})  # one step after the one that is not timed
    peaks = {
        variant: peak_bytes(partial(run, work, short), cuda) for variant, work in work_of.items() if variant != "late"
    }
    trained = sum(p.numel() for p in new_model(shape, options.lora, "cpu").parameters() if p.requires_grad)
    results: dict[str, Any] = {"trained_parameters": trained, "variants": {}}
    for variant, repeats in found.items():
        baseline = found[baseline_of(variant)]
        plain_peak = peaks["by-hand" if variant.startswith("by-hand") else "plain"]
        results["variants"][variant] = {
            "step_ms": measuring.spread([1000 * repeat["wall_s"] for repeat in repeats]),
            "of": baseline_of(variant),
            "ratio": ratios(repeats, baseline, "wall_s"),
            "cpu_ratio": ratios(repeats, baseline, "cpu_s"),
            "bar": limit(variant, accumulation),
            "passes_a_step": repeats[0]["passes"],
            "peak_bytes": peaks.get(variant),
            "peak_bar_bytes": round(1.01 * plain_peak + 4 * trained),
        }
    return results


def ratios(repeats: Sequence[Figures], baseline: Sequence[Figures], figure: str) -> dict[str, float]:
    return measuring.spread([ours[figure] / base[figure] for ours, base in zip(repeats, baseline, strict=True)])


def newest(options: argparse.Namespace) -> Mapping[str, Any]:
    file = options.output if options.output.exists() else max(measuring.RESULTS.glob("sam-*.json"))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def table(parts: Mapping[str, Any]) -> Iterator[str]:
    """The results as a Markdown table."""
    yield (
        "| model | trained | window | variant | ms per step (min–max) | baseline | wall time ratio (min–max) "
        "| CPU time ratio | limit | peak memory, of its limit |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for part, content in parts.items():
        for variant, figures in content["results"]["variants"].items():
            yield f"| {' | '.join([*part.split(', '), variant, *row(variant, figures)])} |"


def row(variant: str, figures: Mapping[str, Any]) -> list[str]:
    ms, ratio, peak = figures["step_ms"], figures["ratio"], figures["peak_bytes"]
    cells = [f"{ms['median']:.0f} ({ms['min']:.0f}–{ms['max']:.0f})"]
    if variant in ("plain", "by-hand"):
        return [*cells, "–", "–", "–", "–", "–"]
    return [
        *cells,
        figures["of"],
        f"{ratio['median']:.3f} ({ratio['min']:.3f}–{ratio['max']:.3f})",
        f"{figures['cpu_ratio']['median']:.3f}",
        f"{figures['bar']:.3f}" if figures["bar"] else "–",
        f"{peak / figures['peak_bar_bytes']:.3f}" if peak else "–",
    ]


def chart(parts: Mapping[str, Any], path: Path) -> Any:
    """Draw the step time of each variant with a limit, relative to the plain trainer: median, range and limit."""
    from matplotlib.figure import Figure

    shown = {
        (*part.split(", ")[1:], variant): figures
        for part, content in parts.items()
        for variant, figures in content["results"]["variants"].items()
        if variant in LABELS and figures["bar"]
    }
    rows = list(dict.fromkeys((variant, window) for _, window, variant in shown))
    rows.sort(key=lambda row: (list(LABELS).index(row[0]), int(row[1])))
    figure = Figure(figsize=(7, 0.8 + 0.33 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for (trained, window, variant), figures in shown.items():
        colour, marker, offset = STYLES[trained]
        y, ratio = rows.index((variant, window)) - offset, figures["ratio"]
        axes.plot([ratio["min"], ratio["max"]], [y, y], color=colour, lw=1)
        axes.plot(ratio["median"], y, marker, color=colour, ms=5, label=trained)
        axes.plot([figures["bar"]] * 2, [y - 0.3, y + 0.3], color="black", lw=1.5, label="limit")
    axes.set_yticks(range(len(rows)), [f"{LABELS[variant]}, window of {window}" for variant, window in rows])
    axes.set(ylim=(len(rows) - 0.5, -0.5), xlabel="step time relative to the plain trainer")
    axes.grid(axis="x", color="0.9")
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
    named = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    axes.legend(named.values(), named.keys(), frameon=False)
    figure.savefig(path, dpi=150)
    return axes


def main(words: list[str] | None = None) -> None:
    parser = measuring.parser(__doc__, "sam", repeats=5)
    parser.add_argument("--shape", nargs="+", choices=list(SHAPES), default=["tiny"])
    parser.add_argument("--trained", nargs="+", choices=["full", "lora"], default=["full", "lora"])
    parser.add_argument("--accumulation", nargs="+", type=int, default=[1, 4, 8])
    parser.add_argument("--variants", nargs="*", default=VARIANTS, help="in addition to the baselines")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, default=2, help="rows per micro-batch")
    parser.add_argument("--length", type=int, default=128, help="tokens per row")
    parser.add_argument(
        "--micro-batches", type=int, default=16, help="number that is timed in each run; more with sam_start"
    )
    parser.add_argument("--table", action="store_true", help="print the newest results as Markdown")
    parser.add_argument("--chart", action="store_true", help=f"draw the newest results to {CHART.name}")
    options = parser.parse_args(words)
    if options.table or options.chart:
        parts = newest(options)
        if options.table:
            print("\n".join(table(parts)))
        if options.chart:
            chart(parts, CHART)
        return
    for name in options.shape:
        for trained in options.trained:
            for accumulation in options.accumulation:
                part = f"{name}, {trained}, {accumulation}"
                run = measuring.environment("sam.py", options, PACKAGES, CORES)
                run["device"] = torch.cuda.get_device_name() if options.device == "cuda" else "cpu"
                options_of_part = argparse.Namespace(**vars(options), lora=trained == "lora")
                start = time.monotonic()
                measuring.save(options.output, part, run, measured(options_of_part, name, accumulation))
                measuring.log(f"{part}: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
