"""Loads the tokenizer of a run without the model, for commands that show training rows."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True)
class RowTokenizer:
    """The properties of a model that determine the training rows.

    Args:
        encode: a function that returns the tokens of each text in a list, with the beginning token.
        end: the end token, with which every row ends.
        context: number of tokens of the model's context. None: the configuration of the model does not state it.
        tokenizer: the tokenizer. None for the tiny base with plain documents, because `encode` is then sufficient.
    """

    encode: Callable[[Sequence[str]], Sequence[Sequence[int]]]
    end: str
    context: int | None
    tokenizer: "PreTrainedTokenizerBase | None" = None

    def lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text plus an end token, as `prompts.limits.token_lengths` does."""
        return [len(ids) + 1 for ids in self.encode(texts)]

    def row_lengths(self, texts: Sequence[str]) -> list[int]:
        """Return the number of tokens of each text as a row. If a text ends with the end token, no second is added."""
        return [len(ids) for ids in self.encode(list(map(self.with_end, texts)))]

    def with_end(self, text: str) -> str:
        """Return the text with an end token at its end, as TRL does."""
        return text if text.endswith(self.end) else text + self.end

    def count_tokens(self, prompt: str, completion: str) -> tuple[int, int]:
        """Return the number of tokens of a row, and the number of these tokens that carry loss.

        As in TRL, the longest common prefix of the tokens of the prompt and of the row carries no loss.
        """
        of_prompt, of_row = self.encode([prompt, prompt + self.with_end(completion)])
        equal = takewhile(lambda pair: pair[0] == pair[1], zip(of_prompt, of_row, strict=False))
        return len(of_row), len(of_row) - len(list(equal))


def row_tokenizer(options: Mapping[str, Any]) -> RowTokenizer:
    """Load the tokenizer of a run with these options.

    Raises:
        ValueError: the tokenizer or the configuration of the model cannot be loaded.
    """
    name = options["model_name_or_path"]
    if name == "tiny_base" and options["document_template"] == "plain":
        return _tiny()
    from transformers import AutoConfig

    from hf_knowlearn.models.loading import ModelSettings, load_errors, load_tokenizer, model_path
    from hf_knowlearn.prompts.tokens import encode

    settings = ModelSettings(name, revision=options.get("model_revision"), label=f"--model {name}")
    tokenizer = load_tokenizer(settings)
    _set_template(tokenizer, options.get("chat_template_path"), options.get("eos_token"))
    path = model_path(name, settings.shown_name)
    with load_errors(path, settings.shown_name):
        config = AutoConfig.from_pretrained(path, revision=settings.revision)
    context = getattr(config.get_text_config(), "max_position_embeddings", None)
    return RowTokenizer(partial(encode, tokenizer), str(tokenizer.eos_token or ""), context, tokenizer)


def _set_template(tokenizer: "PreTrainedTokenizerBase", path: str | None, end: str | None) -> None:
    """Change the end token, the chat template and the added tokens of the tokenizer as a run does."""
    from hf_knowlearn.models.loading import ModelSettings, load_tokenizer
    from hf_knowlearn.models.tokenizers import TEMPLATE_FILES, check_template_path

    if end is not None:
        tokenizer.eos_token = end
    if path is None:
        return
    check_template_path(path)
    if path.endswith(TEMPLATE_FILES):
        tokenizer.chat_template = Path(path).read_text(encoding="utf-8")
    else:
        other = load_tokenizer(ModelSettings(path, label=f"--chat_template_path {path}"))
        tokenizer.chat_template = other.chat_template
        tokenizer.add_tokens(list(other.added_tokens_decoder.values()))


def _tiny() -> RowTokenizer:
    """Load the tokenizer of the tiny base. Why not with `AutoTokenizer`: its import takes seconds."""
    from tokenizers import Tokenizer

    from hf_knowlearn.paths import TINY_BASE

    tiny = Tokenizer.from_file(str(TINY_BASE / "tokenizer.json"))
    config = json.loads((TINY_BASE / "config.json").read_text(encoding="utf-8"))
    end = json.loads((TINY_BASE / "tokenizer_config.json").read_text(encoding="utf-8"))["eos_token"]
    return RowTokenizer(
        lambda texts: [encoding.ids for encoding in tiny.encode_batch_fast(list(texts))],
        end if isinstance(end, str) else end["content"],
        config["max_position_embeddings"],
    )
