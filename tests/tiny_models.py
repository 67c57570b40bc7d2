"""Fixtures of the tests of prompts, generation and evaluation: a tokenizer, tiny untrained models, questions."""

import gc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer, PreTrainedConfig
from transformers.modeling_outputs import CausalLMOutput

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.worlds.people import World

SMALL = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 512,
    "initializer_range": 0.3,
}
GPT2 = {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 512, "initializer_range": 0.3}
MODELS: dict[str, dict[str, Any]] = {  # the model type is the first word
    "llama": SMALL,
    "qwen3": SMALL,
    "gpt2": GPT2,
    "mistral, a window of 24": {**SMALL, "sliding_window": 24},
    "gemma2, every other layer a window of 24": {**SMALL, "sliding_window": 24, "query_pre_attn_scalar": 8},
}


def new_tiny_model(kind: str, **config: Any) -> Any:
    """An untrained model of a kind of `MODELS`, with these values of its configuration."""
    values = {**MODELS[kind], **config}
    return AutoModelForCausalLM.from_config(AutoConfig.for_model(kind.partition(",")[0], **values))


class Bigrams(nn.Module):
    """A model whose logits depend on the last token only, by a table (vocabulary, vocabulary)."""

    def __init__(self, table: torch.Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)
        self.config = PreTrainedConfig()
        self.device = table.device

    def forward(self, input_ids: torch.Tensor, **_: Any) -> CausalLMOutput:
        return CausalLMOutput(logits=self.table[input_ids])


@pytest.fixture(scope="session")
def model_of_bigrams() -> type[Bigrams]:
    """A model with the probabilities of a table, so that tests can compute what is measured."""
    return Bigrams


@pytest.fixture(scope="session")
def bigrams(tokenizer: Any) -> Callable[[int], Bigrams]:
    """A function that returns such a model with a random table, by its seed."""

    def new(seed: int) -> Bigrams:
        return Bigrams(torch.randn(len(tokenizer), len(tokenizer), generator=torch.Generator().manual_seed(seed)))

    return new


@pytest.fixture(scope="session", autouse=True)
def imported_modules_are_not_garbage() -> None:
    """Exclude imported modules from garbage collection, which runs when memory runs out."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session")
def tokenizer(base: Path) -> Any:
    """The tokenizer of the base model, without its chat template: questions are in the plain template."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = None
    return tokenizer


@pytest.fixture(scope="session")
def build(tokenizer: Any) -> Callable[..., Any]:
    """A function that returns an untrained model. Its responses end with a line, with the text, or not at all."""

    def build(kind: str, **config: Any) -> Any:
        ids = {name: getattr(tokenizer, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
        with torch.random.fork_rng():
            torch.manual_seed(3)
            model = new_tiny_model(kind, vocab_size=len(tokenizer), **ids, **config).eval()
            model.get_output_embeddings().weight = torch.nn.Parameter(
                torch.randn(len(tokenizer), model.config.hidden_size) * 0.3
            )
        with torch.no_grad():
            head = model.get_output_embeddings().weight
            head[tokenizer.convert_tokens_to_ids("Ċ")] *= 3  # a line break, in byte-level BPE
            head[tokenizer.eos_token_id] *= 3
        return model

    return build


@pytest.fixture(scope="session")
def model(build: Callable[[str], Any]) -> Any:
    """A Llama model that no test changes."""
    return build("llama")


@pytest.fixture(scope="session")
def world_questions() -> list[Question]:
    """Questions about twelve people, of two relations and several lengths, not ordered by length."""
    world = World(7)
    people = [q for p in world.people(0, 12) for q in world.questions(p) if q.relation in ("school", "employer")]
    return [
        Question(q.id, ("Please, " * (i % 4)) + q.text, q.answers, q.document_id, q.relation, q.fact_id)
        for i, q in enumerate(people)
    ]


@pytest.fixture(scope="session")
def biographies() -> list[Document]:
    world = World(7)
    return [world.biography(person) for person in world.people(0, 12)]
