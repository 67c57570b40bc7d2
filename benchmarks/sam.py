"""What SAM costs: step time and peak memory of each kind beside the plain `SFTTrainer`, in turns in one process.

A ratio is taken within a round, between runs that are neighbours in time; the plain step's milliseconds are given too.
By hand, in one loop of a few lines, pytorch_optimizer's SAM stands beside our `sam_ascent`. Memory is measured in a
run of
its own: what torch's allocator has given out and not got back, on a CPU by the profiler's record of it.

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
from collections.abc import Callable, Iterator, Mapping
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
WARM = 1  # steps before the clock: the first makes the optimizer's state
CHART = measuring.ROOT / "docs" / "sam_cost.png"
PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "pytorch_optimizer")

ARMS = ["exact", "a=1", "late", "msam", "nbar", "by-hand-uphill"]  # of all, those with a bar
BASES = ("plain", "by-hand", "by-hand-pytorch_optimizer")
ARM_NAMES = {
    "exact": "exact SAM",
    "a=1": "sam_ascent_batches: 1",
    "late": "… and sam_start: 0.7",
    "msam": "msam_rho",
    "nbar": "nbar_alpha",
}
LOOKS = {"full": ("#0072B2", "o", 0.15), "lora": ("#D55E00", "s", -0.15)}  # apart in grey by shape and place

Figures = dict[str, float]


class Clock(TrainerCallback):
    """Seconds of each step by the clock, and of this process's own computing."""

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
        for kept, begun, ended in zip((self.wall, self.cpu), self.begun, self.now(), strict=True):
            kept.append(ended - begun)

    def figures(self, passes: float) -> Figures:
        wall, cpu = (statistics.mean(seconds[WARM:]) for seconds in (self.wall, self.cpu))
        return {"wall_s": wall, "cpu_s": cpu, "passes": passes}


def peak_bytes(work: Callable[[], Any], cuda: bool) -> int:
    """The most that tensors held at once while `work` ran, those it makes and those it found on the GPU."""
    if cuda:
        torch.cuda.reset_peak_memory_stats()
        work()
        return torch.cuda.max_memory_allocated()
    gc.collect()  # lest what the run before left behind is freed, and taken away, from this one's
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
    """Steps of a run; of one that starts late a multiple of 10 are timed, and so 30 % of these are late."""
    timed = ceil(options.micro_batches / accumulation)
    return WARM + (10 * ceil(timed / 10) if late else timed)


def rows(options: argparse.Namespace, count: int, vocabulary: int) -> list[list[int]]:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(2, vocabulary, (options.batch * count, options.length), generator=generator).tolist()


def in_the_trainer(
    options: argparse.Namespace, shape: dict[str, Any], lora: bool, accumulation: int, folder: str, **sam: Any
) -> Figures:
    """One run of `SFTTrainer`, or with SAM if there are options of it."""
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
    """AdamW in a loop of a few lines, alone or with a `kind` of SAM."""
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
        if kind == "uphill":
            with sam_ascent(weights, rho=0.05):
                closure()
        optimizer.step(*[closure] * (kind == "pytorch_optimizer"))
        optimizer.zero_grad()
        clock.on_step_end(None, None, None)
    return clock.figures(2.0 if kind else 1.0)


def arms(options: argparse.Namespace, accumulation: int) -> dict[str, Callable[..., Figures]]:
    found: dict[str, Callable[..., Figures]] = {
        "plain": in_the_trainer,
        "exact": partial(in_the_trainer, sam_rho=0.05),
        "adaptive": partial(in_the_trainer, sam_rho=0.5, sam_adaptive=True),
        "random": partial(in_the_trainer, sam_rho=0.05, sam_direction="random"),
        "msam": partial(in_the_trainer, msam_rho=0.05),
        "by-hand": by_hand,
        "by-hand-pytorch_optimizer": partial(by_hand, kind="pytorch_optimizer"),
        "by-hand-uphill": partial(by_hand, kind="uphill"),
    }
    if options.lora:
        found["nbar"] = partial(in_the_trainer, nbar_alpha=1.0)
    if accumulation > 1:
        found["a=1"] = partial(in_the_trainer, sam_rho=0.05, sam_ascent_batches=1)
        found["late"] = partial(in_the_trainer, sam_rho=0.05, sam_ascent_batches=1, sam_start=0.7)
    return {name: arm for name, arm in found.items() if name in (*BASES, *options.arms)}


def base_of(arm: str) -> str:
    """What an arm is measured against."""
    if arm == "by-hand-uphill":
        return "by-hand-pytorch_optimizer"
    return "by-hand" if arm.startswith("by-hand") else "plain"


def bar(arm: str, accumulation: int) -> float | None:
    """The most that the step time may be, of the one it is measured against."""
    bars = {"exact": 2.05, "a=1": 1 + 1 / accumulation + 0.03, "msam": 1.02, "nbar": 1.02, "by-hand-uphill": 1.0}
    return 1.06 if arm == "late" and accumulation == 8 else bars.get(arm)


def measured(options: argparse.Namespace, name: str, accumulation: int) -> dict[str, Any]:
    shape, runs, cuda = SHAPES[name], arms(options, accumulation), options.device == "cuda"

    def run(arm: Callable[..., Figures], options: argparse.Namespace = options) -> Figures:
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
        with tempfile.TemporaryDirectory(dir=options.scratch) as folder:
            return arm(options, shape, options.lora, accumulation, folder)

    found = measuring.rounds({arm: partial(run, work) for arm, work in runs.items()}, options.repeats)
    short = argparse.Namespace(**vars(options) | {"micro_batches": 1})  # one step, after one that makes Adam's state
    peaks = {arm: peak_bytes(partial(run, work, short), cuda) for arm, work in runs.items() if arm != "late"}
    trained = sum(p.numel() for p in new_model(shape, options.lora, "cpu").parameters() if p.requires_grad)
    results: dict[str, Any] = {"trained_parameters": trained, "arms": {}}
    for arm, repeats in found.items():
        results["arms"][arm] = {
            "step_ms": measuring.spread([1000 * repeat["wall_s"] for repeat in repeats]),
            "of": base_of(arm),
            **{
                ratio: measuring.spread(
                    [ours[by] / base[by] for ours, base in zip(repeats, found[base_of(arm)], strict=True)]
                )
                for ratio, by in (("ratio", "wall_s"), ("cpu_ratio", "cpu_s"))
            },
            "bar": bar(arm, accumulation),
            "passes_a_step": repeats[0]["passes"],
            "peak_bytes": peaks.get(arm),
            "peak_bar_bytes": round(1.01 * peaks["by-hand" if arm.startswith("by-hand") else "plain"] + 4 * trained),
        }
    return results


def newest(options: argparse.Namespace) -> Mapping[str, Any]:
    file = options.output if options.output.exists() else max(measuring.RESULTS.glob("sam-*.json"))
    return dict(json.loads(file.read_text(encoding="utf-8")))


def table(parts: Mapping[str, Any]) -> Iterator[str]:
    yield (
        "| model | trained | window | arm | ms a step (least–most) | of | by the clock (least–most) "
        "| by computing time | bar | peak, of what it may be |"
    )
    yield "|---|---|---|---|---|---|---|---|---|---|"
    for part, kept in parts.items():
        for arm, figures in kept["results"]["arms"].items():
            ms, ratio, cpu = figures["step_ms"], figures["ratio"], figures["cpu_ratio"]
            is_base, peak = arm == figures["of"] or arm == "by-hand", figures["peak_bytes"]
            cells = [
                *part.split(", "),
                arm,
                f"{ms['median']:.0f} ({ms['min']:.0f}–{ms['max']:.0f})",
                "–" if is_base else figures["of"],
                "–" if is_base else f"{ratio['median']:.3f} ({ratio['min']:.3f}–{ratio['max']:.3f})",
                "–" if is_base else f"{cpu['median']:.3f}",
                f"{figures['bar']:.3f}" if figures["bar"] else "–",
                "–" if is_base or not peak else f"{peak / figures['peak_bar_bytes']:.3f}",
            ]
            yield f"| {' | '.join(cells)} |"


def chart(parts: Mapping[str, Any], path: Path) -> Any:
    """A dot for each arm with a bar to keep: step time of plain, from least to most, beside what it may be."""
    from matplotlib.figure import Figure

    kept = {
        (*part.split(", ")[1:], arm): figures
        for part, found in parts.items()
        for arm, figures in found["results"]["arms"].items()
        if figures["bar"] and figures["of"] == "plain"
    }
    places = list(dict.fromkeys((arm, window) for _, window, arm in kept))
    places.sort(key=lambda place: (list(ARM_NAMES).index(place[0]), int(place[1])))
    figure = Figure(figsize=(7, 0.8 + 0.33 * len(places)), layout="constrained")
    axes = figure.subplots()
    for (trained, window, arm), figures in kept.items():
        colour, marker, aside = LOOKS[trained]
        y, ratio = places.index((arm, window)) - aside, figures["ratio"]
        axes.plot([ratio["min"], ratio["max"]], [y, y], color=colour, lw=1)
        axes.plot(ratio["median"], y, marker, color=colour, ms=5, label=trained)
        axes.plot([figures["bar"]] * 2, [y - 0.3, y + 0.3], color="black", lw=1.5, label="at most")
    axes.set_yticks(range(len(places)), [f"{ARM_NAMES[arm]}, window of {window}" for arm, window in places])
    axes.set(ylim=(len(places) - 0.5, -0.5), xlabel="step time, of the plain trainer's")
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
    parser.add_argument("--arms", nargs="*", default=ARMS, help="beside the ones measured against")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--batch", type=int, default=2, help="rows of a micro-batch")
    parser.add_argument("--length", type=int, default=128, help="tokens of a row")
    parser.add_argument("--micro-batches", type=int, default=16, help="timed of each run; more where it starts late")
    parser.add_argument("--table", action="store_true", help="the newest results as Markdown")
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
                measuring.keep(options.output, part, run, measured(options_of_part, name, accumulation))
                measuring.say(f"{part}: {time.monotonic() - start:.0f} s")


if __name__ == "__main__":
    main()
