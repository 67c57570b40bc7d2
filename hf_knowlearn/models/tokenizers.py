"""Applies the options that change a tokenizer, and checks that a tokenizer fits its model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from hf_knowlearn.counts import number_of

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

TEMPLATE_FILES = (".jinja", ".j2")


def apply_tokenizer_options(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    *,
    chat_template_path: str | None = None,
    eos_token: str | None = None,
    pad_token: str | None = None,
    uses_adapter: bool = False,
) -> None:
    """Change the model and the tokenizer in place, as `SFTTrainer` does for these options of `SFTConfig`.

    Why: the training rows are built before the `SFTTrainer` is created, and need the changed tokenizer.

    Args:
        chat_template_path: A `.jinja` file, or the folder or Hub name of another model with a chat template. If the
            tokenizer of the other model has further tokens, these tokens are added, and the embeddings are enlarged.
        eos_token: The new end token.
        pad_token: The new padding token.
        uses_adapter: Whether an adapter is trained. No tokens can be added then, because an adapter does not save
            enlarged embeddings.

    Raises:
        ValueError: The chat template, the end token or the padding token cannot be used.
    """
    problems = [
        f"--{option} {token!r}: the tokenizer does not have this token. Give a token of the tokenizer, or remove"
        f" --{option}."
        for option, token in {"eos_token": eos_token, "pad_token": pad_token}.items()
        if token is not None and token not in tokenizer.get_vocab()
    ]
    if problems:
        raise ValueError("\n".join(problems))
    if eos_token is not None:
        tokenizer.eos_token = eos_token
        model.config.get_text_config().eos_token_id = tokenizer.eos_token_id
        _add_end_token(model.generation_config, tokenizer.eos_token_id)
    if chat_template_path is None:
        return
    check_template_path(chat_template_path)
    if chat_template_path.endswith(TEMPLATE_FILES):
        tokenizer.chat_template = Path(chat_template_path).read_text(encoding="utf-8")
        return
    _clone(model, tokenizer, chat_template_path, uses_adapter)


def check_template_path(path: str) -> None:
    """Raise a `ValueError` if the value of `--chat_template_path` is a missing template, or a file of another kind."""
    if path.endswith(TEMPLATE_FILES) and not Path(path).is_file():
        raise ValueError(f"--chat_template_path {path!r}: this file does not exist. Check the path.")
    if Path(path).is_file() and not path.endswith(TEMPLATE_FILES):
        raise ValueError(
            f"--chat_template_path {path!r}: this file is not a chat template. Give a file that ends in"
            f" {' or '.join(TEMPLATE_FILES)}, or the folder or the Hub name of a model with a chat template."
        )


def _add_end_token(generation_config: Any, token: int) -> None:
    ends = generation_config.eos_token_id
    ends = [] if ends is None else [ends] if isinstance(ends, int) else ends
    generation_config.eos_token_id = ends if token in ends else [token, *ends]


def _clone(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", name: str, uses_adapter: bool) -> None:
    from trl import clone_chat_template

    from hf_knowlearn.models.loading import ModelSettings, load_tokenizer

    label = f"--chat_template_path {name}"
    source = load_tokenizer(ModelSettings(name, label=label))
    if not source.chat_template:
        raise ValueError(
            f"{label}: the tokenizer of this model has no chat template. Give another model, or a .jinja file."
        )
    vocabulary = tokenizer.get_vocab()
    added = [token.content for token in source.added_tokens_decoder.values() if token.content not in vocabulary]
    if added and uses_adapter:
        raise ValueError(
            f"{label}: the tokenizer of this model has tokens that the tokenizer of the trained model does not have"
            f" ({', '.join(added[:5])}). They need new embeddings, which an adapter does not save. Use --use_peft"
            " false, or give a .jinja file whose template needs no new tokens."
        )
    if added:
        clone_chat_template(model, tokenizer, name)
    else:
        tokenizer.chat_template = source.chat_template
        tokenizer.eos_token = source.eos_token


def check_embeddings(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", label: str) -> None:
    """Raise a `ValueError` if the tokenizer has tokens for which the model has no embedding.

    Args:
        label: The model's name in the message.
    """
    embeddings = model.get_input_embeddings().weight.shape[0]
    beyond = sorted((id, token) for token, id in tokenizer.get_vocab().items() if id >= embeddings)
    if beyond:
        listed = ", ".join(f"{token!r} ({id})" for id, token in beyond[:5])
        raise ValueError(
            f"{label}: the tokenizer has {number_of(len(beyond), 'token')} without an embedding in the model, such as"
            f" {listed}. The model has {number_of(embeddings, 'embedding')}. Use the model's own tokenizer, or enlarge"
            " the model with resize_token_embeddings and save it."
        )


def check_end_token(tokenizer: "PreTrainedTokenizerBase", label: str) -> None:
    """Raise a `ValueError` if the tokenizer has no end token, which training needs.

    Args:
        label: The model's name in the message.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"{label}: the tokenizer has no end token, so the model cannot learn where an answer ends. Name one of the"
            " tokenizer's tokens with --eos_token, or set eos_token in tokenizer_config.json."
        )
