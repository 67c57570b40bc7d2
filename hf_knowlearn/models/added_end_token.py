"""Tokenizers that add an end token to every text (`add_eos_token`)."""

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def remove_added_end_token(tokenizer: "PreTrainedTokenizerBase") -> None:
    """Change a tokenizer that adds an end token to every text so that it adds none.

    Why: a model does not continue a prompt that ends with an end token, and TRL itself adds the end token of a
    training row.
    """
    plain, whole = (tokenizer("a", add_special_tokens=special)["input_ids"] for special in (False, True))
    end = [tokenizer.eos_token_id]
    if whole[-1:] != end or plain[-1:] == end:
        return
    if not tokenizer.is_fast:
        tokenizer.add_eos_token = False
        return
    backend = tokenizer.backend_tokenizer
    state = json.loads(backend.to_str())
    steps = [state["post_processor"], *state["post_processor"].get("processors", [])]
    for step in steps:
        if step["type"] == "TemplateProcessing":
            for kind in ("single", "pair"):
                while "SpecialToken" in step[kind][-1]:
                    step[kind].pop()
    backend.post_processor = type(backend).from_str(json.dumps(state)).post_processor
