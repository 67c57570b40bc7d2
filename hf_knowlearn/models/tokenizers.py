"""Options that change a tokenizer, and the check that a tokenizer fits its model."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


def apply_tokenizer_options(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    *,
    chat_template_path: str | None = None,
    eos_token: str | None = None,
    uses_adapter: bool = False,
) -> None:
    """Apply the options of `trl.SFTConfig` that change the tokenizer, in place.

    Why here: SFTTrainer applies these options when it is created, but the training rows are built earlier.

    Args:
        chat_template_path: a `.jinja` file, or a folder or Hub name whose tokenizer has the chat template. The tokens
            of that tokenizer that are missing here are added, and the embeddings are enlarged.
        eos_token: the end token.
        uses_adapter: whether an adapter is trained. Adapters do not save enlarged embeddings.

    Raises:
        ValueError: the template or the end token cannot be used.
    """
    if eos_token is not None:
        if eos_token not in tokenizer.get_vocab():
            raise ValueError(
                f"--eos_token {eos_token!r}: the tokenizer does not have this token. Give a token of the tokenizer."
            )
        tokenizer.eos_token = eos_token
        model.config.get_text_config().eos_token_id = tokenizer.eos_token_id
        _add_end_token(model.generation_config, tokenizer.eos_token_id)
    if chat_template_path is None:
        return
    path = Path(chat_template_path)
    if path.suffix in (".jinja", ".j2"):
        if not path.is_file():
            raise ValueError(f"--chat_template_path {chat_template_path!r}: this file does not exist.")
        tokenizer.chat_template = path.read_text(encoding="utf-8")
        return
    _clone(model, tokenizer, chat_template_path, uses_adapter)


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
        raise ValueError(f"{label}: its tokenizer has no chat template. Give another model, or a .jinja file.")
    vocabulary = tokenizer.get_vocab()
    added = [token.content for token in source.added_tokens_decoder.values() if token.content not in vocabulary]
    if added and uses_adapter:
        raise ValueError(
            f"{label}: its template comes with tokens that this tokenizer does not have ({', '.join(added[:5])}), and"
            " an adapter does not save their embeddings. Use --use_peft false, or a .jinja file with a template of"
            " existing tokens."
        )
    if added:
        clone_chat_template(model, tokenizer, name)
    else:
        tokenizer.chat_template = source.chat_template
        tokenizer.eos_token = source.eos_token


def check_embeddings(model: "PreTrainedModel", tokenizer: "PreTrainedTokenizerBase", label: str) -> None:
    """Raise ValueError if the tokenizer has tokens for which the model has no embedding.

    Args:
        label: the model's name in the message.
    """
    embeddings = model.get_input_embeddings().weight.shape[0]
    beyond = sorted((id, token) for token, id in tokenizer.get_vocab().items() if id >= embeddings)
    if beyond:
        listed = ", ".join(f"{token!r} ({id})" for id, token in beyond[:5])
        raise ValueError(
            f"{label}: the tokenizer has {len(beyond)} tokens for which the model has no embedding, such as {listed};"
            f" the model has {embeddings} embeddings. Use the model's own tokenizer, or enlarge the model with"
            " resize_token_embeddings and save it."
        )


def check_end_token(tokenizer: "PreTrainedTokenizerBase", label: str) -> None:
    """Raise ValueError if the tokenizer has no end token, which training needs.

    Args:
        label: the model's name in the message.
    """
    if tokenizer.eos_token_id is None:
        raise ValueError(
            f"{label}: the tokenizer has no end token, so a model cannot learn where an answer ends. Give a token of"
            " the tokenizer with --eos_token, or set eos_token in tokenizer_config.json."
        )
