"""Fixtures of the training tests: a small tokenizer, a Llama of two layers, rows of different lengths, a trainer."""

import gc
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest
import torch
from datasets import Dataset
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from hf_knowlearn.training import SAMConfig, SAMSFTTrainer

SENTENCES = [
    "Mara Venn was born in the harbour town of Ostel.",
    "She keeps bees, and sells lamps by the river.",
    "Joren Tal teaches the cello in Pell.",
    "He has two brothers and never learned to swim; the sea frightens him.",
]


@pytest.fixture(scope="session", autouse=True)
def freeze_imported_objects() -> None:
    """Exclude imported objects from garbage collection, which takes most of the time of a short `train()`."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def seed() -> None:
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def tokenizer() -> PreTrainedTokenizerFast:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<eos>", "<pad>"], initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(SENTENCES, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<eos>", pad_token="<pad>")


@pytest.fixture(scope="session")
def rows() -> Dataset:
    """Twenty rows of 6 to 20 tokens. The first 1 to 5 tokens of each have no label."""
    random = Random(1)
    rows = []
    for _ in range(20):
        ids = [random.randrange(2, 256) for _ in range(random.randint(6, 20))]
        prompt = random.randint(1, 5)
        rows.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return Dataset.from_list(rows)


@pytest.fixture(scope="session")
def new_model(tokenizer: PreTrainedTokenizerFast) -> Callable[..., LlamaForCausalLM]:
    """Returns the same model on each call. (A deep copy of a model that TRL has wrapped runs the original weights.)"""

    def new_model(dropout: float = 0.0, dtype: torch.dtype = torch.float32) -> LlamaForCausalLM:
        config = LlamaConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            max_position_embeddings=64,
            initializer_range=0.2,  # with 0.02 such a small model is nearly linear, and SAM changes little
            attention_dropout=dropout,
            eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id,
        )
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return LlamaForCausalLM(config).to(dtype)

    return new_model


@pytest.fixture
def new_trainer(
    tokenizer: PreTrainedTokenizerFast, rows: Dataset, new_model: Callable[..., LlamaForCausalLM], tmp_path: Path
) -> Callable[..., Any]:
    """Returns a trainer of `trainer_class` on `rows`. `options` are options of its config."""

    def new_trainer(
        trainer_class: type = SAMSFTTrainer,
        model: Any = None,
        callbacks: Any = None,
        peft_config: Any = None,
        train_dataset: Any = None,
        optimizers: Any = (None, None),
        **options: Any,
    ) -> Any:
        settings: dict[str, Any] = {
            "output_dir": str(tmp_path),
            "use_cpu": True,
            "bf16": False,
            "report_to": "none",
            "disable_tqdm": True,
            "dataloader_pin_memory": False,
            "activation_checkpointing": False,
            "save_strategy": "no",
            "logging_steps": 1,
            "learning_rate": 0.02,
            "lr_scheduler_type": "constant",
            "optim": "adamw_torch",
            "per_device_train_batch_size": 8,
            "max_steps": 3,
        }
        return trainer_class(
            model if model is not None else new_model(),
            SAMConfig(**settings | options),
            train_dataset=train_dataset if train_dataset is not None else rows,
            processing_class=tokenizer,
            callbacks=callbacks,
            peft_config=peft_config,
            optimizers=optimizers,
        )

    return new_trainer


@pytest.fixture(scope="session")
def weights_of() -> Callable[[torch.nn.Module], dict[str, torch.Tensor]]:
    def weights_of(model: torch.nn.Module) -> dict[str, torch.Tensor]:
        return {name: weight.detach().clone() for name, weight in model.named_parameters()}

    return weights_of
