"""Removes the end token that some tokenizers add to every text, such as the tokenizer of RoBERTa."""

import json
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def remove_added_end_token(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Change the tokenizer in place, so that it adds tokens only at the start of a text and not at the end.

    Why: TRL adds an end token to every training row, so a row would have two end tokens. A prompt must have no end
    token, because a model does not continue a text after an end token.
    """
    plain, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    if whole[-len(plain) :] == plain:
        return
    if not tokenizer.is_fast:
        tokenizer.add_eos_token = False
        return
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    state["post_processor"] = _without_end(state["post_processor"])
    backend.post_processor = type(backend).from_str(json.dumps(state)).post_processor


def _without_end(step: dict[str, Any]) -> dict[str, Any]:
    """Return a copy of a post-processor that adds no tokens at the end of a text. Both are in JSON form."""
    kind = step["type"]
    if kind == "Sequence":
        return {**step, "processors": [_without_end(part) for part in step["processors"]]}
    if kind == "TemplateProcessing":
        return {**step, **{name: _up_to_text(step[name]) for name in ("single", "pair")}}
    if kind == "BertProcessing":
        return _start_token(*step["cls"])
    if kind == "RobertaProcessing":  # it also trims offsets, as ByteLevel does
        options = {name: step[name] for name in ("add_prefix_space", "trim_offsets")}
        offsets = {"type": "ByteLevel", "use_regex": True, **options}
        return {"type": "Sequence", "processors": [offsets, _start_token(*step["cls"])]}
    return step


def _up_to_text(pieces: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the pieces of a template up to its last text, without the special tokens after this text."""
    last = max(number for number, piece in enumerate(pieces) if "Sequence" in piece)
    return pieces[: last + 1]


def _start_token(token: str, id: int) -> dict[str, Any]:
    """Return a post-processor that adds only this token, at the start of a text."""
    single = [{"SpecialToken": {"id": token, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}]
    return {
        "type": "TemplateProcessing",
        "single": single,
        "pair": [*single, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {token: {"id": token, "ids": [id], "tokens": [token]}},
    }
