"""Control tokens in the texts of the user, such as "A turn ends with <|im_end|>.".

A tokenizer turns such text into the token itself, wherever it occurs: the text would end a turn, or begin another one.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hf_knowlearn.documents import Question
from hf_knowlearn.prompts.examples import list_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Why candidates in a text, and not each token: some tokenizers have 6,000. Why lookahead: candidates overlap.
_BRACKETS = re.compile(r"(?=(<[^<>]+>|\[[^\[\]]+\]))")
# Why: Gemma has tokens for tags of HTML, which are ordinary text.
_HTML = re.compile(
    r"</?(a|b|blockquote|body|br|caption|code|div|em|h[1-6]|head|html|i|img|li|ol|p|pre|s|span|strong|sub|sup|table|tbody"
    r"|td|tfoot|th|thead|tr|u|ul)>"
)


def check_control_tokens(
    tokenizer: "PreTrainedTokenizerBase", named_texts: Iterable[tuple[str, str]], what: str
) -> None:
    """Raise ValueError with the ids of the texts that contain control tokens of this tokenizer, and the tokens.

    Control tokens are the special tokens that are not plain words, and other added tokens in <...> or [...].

    Args:
        named_texts: the id of each item and a text of it, before it is put into a template. Ids may repeat.
        what: the kind of the items in the plural, for the message.
    """
    tokens = _control_tokens(tokenizer)
    bare = [token for token in tokens if not _in_brackets(token)]
    items: dict[str, None] = {}
    found: dict[str, None] = {}
    for id, text in named_texts:
        candidates = [*_BRACKETS.findall(text), *(token for token in bare if token in text)]
        if own := [token for token in candidates if token in tokens and _has_token(tokenizer, text, token)]:
            items[id] = None
            found.update(dict.fromkeys(own))
    if items:
        first = next(iter(found))
        raise ValueError(
            f"{len(items)} {what} contain text that this tokenizer turns into control tokens ({list_ids(found)}):"
            f" {list_ids(items)}. Remove it, or rewrite it, for example with a space in it: '{first[0]} {first[1:]}'."
        )


def check_questions(tokenizer: "PreTrainedTokenizerBase", questions: Iterable[Question]) -> None:
    """`check_control_tokens` of the questions, their answers and their options."""
    texts = ((q.id, "\n".join((q.text, *q.answers, *q.options))) for q in questions)
    check_control_tokens(tokenizer, texts, "questions")


def _control_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special and re.search(r"[^\w\s]", token.content)}
    others = {token.content for token in added if not token.special and _in_brackets(token.content)}
    return special | {token for token in others if not _HTML.fullmatch(token)}


def _in_brackets(token: str) -> bool:
    return _BRACKETS.findall(token)[:1] == [token]


def _has_token(tokenizer: "PreTrainedTokenizerBase", text: str, token: str) -> bool:
    # Why: a tokenizer may split control tokens in texts (split_special_tokens).
    return (
        tokenizer.convert_tokens_to_ids(token) in tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"]
    )
