"""The recipes of models: each names a model at a commit, its memory follows docs/models.md, and it runs."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors import safe_open
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM

from hf_knowlearn.config.recipes import parse_recipe, read_recipe
from hf_knowlearn.paths import RECIPES
from hf_knowlearn.teach.pipeline import teach

FOLDER = RECIPES / "models"
MODELS = sorted(path for path in FOLDER.glob("*.yaml") if not path.name.startswith("_"))
SHARED = sorted(FOLDER.glob("_*.yaml"))
PAGE = Path(__file__).parents[2] / "docs" / "models.md"
ROWS, TOKENS = 4, 1024  # of a micro-batch in these recipes


def of(**text: Any) -> dict[str, Any]:
    return {"tie_word_embeddings": True, **text}


QWEN3 = {"num_key_value_heads": 8, "head_dim": 128, "vocab_size": 151_936}
LLAMA = {"num_key_value_heads": 8, "vocab_size": 128_256}
# Type and dimensions as on the Hub, and the number of parameters on the model pages, in millions.
DIMENSIONS: dict[str, tuple[str, dict[str, Any], float]] = {
    "qwen3_0.6b": (
        "qwen3",
        of(**QWEN3, hidden_size=1024, num_hidden_layers=28, num_attention_heads=16, intermediate_size=3072),
        596,
    ),
    "qwen3_1.7b": (
        "qwen3",
        of(**QWEN3, hidden_size=2048, num_hidden_layers=28, num_attention_heads=16, intermediate_size=6144),
        1721,
    ),
    "qwen3_4b": (
        "qwen3",
        of(**QWEN3, hidden_size=2560, num_hidden_layers=36, num_attention_heads=32, intermediate_size=9728),
        4022,
    ),
    "llama3.2_1b": (
        "llama",
        of(**LLAMA, hidden_size=2048, num_hidden_layers=16, num_attention_heads=32, intermediate_size=8192),
        1236,
    ),
    "llama3.2_3b": (
        "llama",
        of(**LLAMA, hidden_size=3072, num_hidden_layers=28, num_attention_heads=24, intermediate_size=8192),
        3213,
    ),
    "smollm3_3b": (
        "smollm3",
        of(
            hidden_size=2048,
            num_hidden_layers=36,
            num_attention_heads=16,
            num_key_value_heads=4,
            intermediate_size=11_008,
            vocab_size=128_256,
        ),
        3075,
    ),
    "gemma3_1b": (
        "gemma3_text",
        of(
            hidden_size=1152,
            num_hidden_layers=26,
            num_attention_heads=4,
            num_key_value_heads=1,
            head_dim=256,
            intermediate_size=6912,
            vocab_size=262_144,
        ),
        1000,
    ),
    "gemma3_4b": (
        "gemma3",
        {
            "text_config": {
                "hidden_size": 2560,
                "num_hidden_layers": 34,
                "num_attention_heads": 8,
                "num_key_value_heads": 4,
                "head_dim": 256,
                "intermediate_size": 10_240,
                "vocab_size": 262_208,
            },
            "vision_config": {
                "hidden_size": 1152,
                "intermediate_size": 4304,
                "num_attention_heads": 16,
                "num_hidden_layers": 27,
                "image_size": 896,
                "patch_size": 14,
                "vision_use_head": False,
            },
        },
        4300,
    ),
    "mistral_7b": (
        "mistral",
        {
            "hidden_size": 4096,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "intermediate_size": 14_336,
            "vocab_size": 32_768,
        },
        7248,
    ),
}
FAST = {"qwen3_0.6b_lora", "llama3.2_1b_lora", "smollm3_3b_lora", "gemma3_1b_lora", "mistral_7b_qlora"}


def kind_of(path: Path) -> tuple[str, str]:
    model, _, kind = path.stem.rpartition("_")
    return model, kind


named = pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)


def test_every_model_has_a_recipe_and_there_are_at_most_16_files():
    assert {kind_of(path)[0] for path in MODELS} == set(DIMENSIONS)
    assert {kind_of(path)[1] for path in MODELS} == {"lora", "qlora", "full"}
    assert len(MODELS) + len(SHARED) <= 16


def test_no_two_recipes_set_an_option_to_the_same_value():
    recipes = [
        {(name, str(value)) for name, value in yaml.safe_load(path.read_text(encoding="utf-8")).items()}
        for path in [*MODELS, *SHARED, RECIPES / "teach.yaml"]
    ]
    for name in {name for options in recipes for name, _ in options} - {
        "extends",
        "model_name_or_path",
        "model_revision",
    }:
        values = [value for options in recipes for one, value in options if one == name]
        assert len(values) == len(set(values)), name


@named
def test_a_recipe_names_a_model_at_a_commit_and_one_kind_of_training(path: Path):
    _, kind = kind_of(path)
    options = read_recipe(path)
    assert re.fullmatch("[0-9a-f]{40}", options["model_revision"])
    assert options["model_name_or_path"].count("/") == 1
    run = parse_recipe(["--config", str(path), "--documents", "d", "--output_dir", "o", "--use_cpu", "true"])
    assert run.model.use_peft is (kind != "full")
    assert run.model.load_in_4bit is (kind == "qlora")
    assert run.training.per_device_train_batch_size * run.training.gradient_accumulation_steps == 16
    assert (run.training.per_device_train_batch_size, run.training.max_length) == (ROWS, TOKENS)
    header = path.read_text(encoding="utf-8").partition("\nextends")[0]
    assert f"knowlearn teach --config recipes/models/{path.name} --documents PATH" in header
    assert "Not run on this model" in header


def memory(model: nn.Module, config: Any, kind: str, rank: int, adapted: Callable[[str], bool]) -> float:
    """Bytes of GPU memory at a training step, by the rule of docs/models.md."""
    linear = {
        name: part for name, part in model.named_modules() if isinstance(part, nn.Linear) and "lm_head" not in name
    }
    parameters = sum(weight.numel() for weight in model.parameters())
    in_blocks = sum(part.weight.numel() for part in linear.values())
    adapter = sum(rank * (part.in_features + part.out_features) for name, part in linear.items() if adapted(name))
    weights = {
        "full": 4 * parameters,
        "lora": 2 * parameters,
        "qlora": 0.516 * in_blocks + 2 * (parameters - in_blocks),
    }[kind]
    trained = 12 * parameters if kind == "full" else 16 * adapter
    text, tokens = config.get_text_config(), ROWS * TOKENS
    stored = text.num_hidden_layers * text.hidden_size * (4 if kind == "full" else 2)
    layer = (12 * text.hidden_size + 6 * text.intermediate_size) * 4
    head = min(text.vocab_size, 32_768) * 8
    return weights + trained + tokens * (stored + layer + head) + 1e9


@named
def test_the_memory_in_the_header_and_on_the_page_follows_the_rule(path: Path):
    name, kind = kind_of(path)
    type_, dimensions, millions = DIMENSIONS[name]
    config = AutoConfig.for_model(type_, **dimensions)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    assert sum(weight.numel() for weight in model.parameters()) / 1e6 == pytest.approx(millions, abs=0.5)
    options = read_recipe(path)
    (targets,) = options.get("lora_target_modules", ["all-linear"])  # without an adapter, the rule does not use it
    needed = memory(
        model,
        config,
        kind,
        options.get("lora_r", 0),
        lambda name: targets == "all-linear" or bool(re.fullmatch(targets, name)),
    )
    shown = f"{needed / 1e9:.1f} GB"
    assert f"GPU memory: {shown}, computed" in path.read_text(encoding="utf-8")
    (row,) = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if f"`{path.name}`" in line]
    assert shown in row


# Runs


@pytest.fixture(scope="module")
def tiny(base: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of an untrained tiny model of a type, with a chat template and no padding token."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.pad_token = None
    tokenizer.chat_template = "{% for m in messages %}{{ m['role'] }}: {{ m['content'] }}{{ eos_token }}{% endfor %}"
    small = {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,  # bitsandbytes needs multiples of 64
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 32,
        "max_position_embeddings": 2048,
    }
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "pad_token_id": None}
    vision = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 2}

    def tiny(type_: str) -> Path:
        folder = tmp_path_factory.getbasetemp() / f"tiny_{type_}"
        if not folder.exists():
            parts = {"text_config": small | ids, "vision_config": vision | {"image_size": 28, "patch_size": 14}}
            config = AutoConfig.for_model(type_, **(parts if type_ == "gemma3" else small | ids))
            with torch.random.fork_rng():
                torch.manual_seed(0)
                AutoModelForCausalLM.from_config(config).save_pretrained(folder)
            tokenizer.save_pretrained(folder)
        return folder

    return tiny


@pytest.mark.filterwarnings("ignore")  # bitsandbytes warns that its CPU kernels are missing, and of casts
@pytest.mark.parametrize(
    "path",
    [pytest.param(p, id=p.stem, marks=[] if p.stem in FAST else pytest.mark.slow) for p in MODELS],
)
def test_a_recipe_runs_on_a_tiny_model_of_its_architecture(
    path: Path, tiny: Callable[[str], Path], documents: Path, questions: Path, tmp_path: Path
):
    name, kind = kind_of(path)
    if kind == "qlora":
        pytest.importorskip("bitsandbytes")
    changes = {
        "model_name_or_path": str(tiny(DIMENSIONS[name][0])),
        "documents": str(documents),
        "questions": str(questions),
        "output_dir": str(tmp_path / "run"),
        "use_cpu": True,
        "max_steps": 2,
        "replay_self": 4,
        "num_views": 2,
        "per_device_train_batch_size": 2,
        "gradient_accumulation_steps": 1,
        "evaluation.max_new_tokens": 4,
        "disable_tqdm": True,
    }
    report = teach(parse_recipe(["--config", str(path)], changes))
    (run,) = report["runs"].values()
    assert run["steps"] == 2
    assert run["train_loss"] > 0
    assert {"stopped", "end_of_turn"} <= run.keys() & report["before"].keys()
    saved = tmp_path / "run" / "model" / ("model.safetensors" if kind == "full" else "adapter_model.safetensors")
    with safe_open(saved, "pt") as weights:
        names = list(weights.keys())
    assert any("mlp.down_proj" in one for one in names)
    assert kind == "full" or not any("vision" in one for one in names)
