"""Finds control tokens in the user's texts, such as `<|im_end|>` in "A turn ends with <|im_end|>.".

A tokenizer turns these characters into the control token, so the text would end a turn or begin another turn.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING

from hf_knowlearn.documents import Question
from hf_knowlearn.prompts.examples import list_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

# Why texts are searched for brackets and not for each token: some tokenizers have 6,000 control tokens. Why lookahead:
# pairs of brackets can overlap.
_BRACKETS = re.compile(r"(?=(<[^<>]+>|\[[^\[\]]+\]))")
# Why: Gemma's tokenizer has tokens for HTML tags, which are ordinary text.
_HTML = re.compile(
    r"</?(blockquote|br?|caption|code|em|h[1-6]|i|li|[ou]l|p|pre|s|strong|su[bp]|t(able|body|d|foot|h|head|r)|u)>"
)


def check_control_tokens(
    tokenizer: "PreTrainedTokenizerBase", named_texts: Iterable[tuple[str, str]], what: str
) -> None:
    """Raise a `ValueError` if texts contain control tokens of this tokenizer. The message lists ids and tokens.

    Control tokens are the special tokens that are not plain words, and other added tokens in <...> or [...].

    Args:
        named_texts: Pairs of an id and a text that is not yet in a template. Ids may repeat.
        what: The word for the texts in the message, such as "questions".
    """
    tokens = _control_tokens(tokenizer)
    bare = [token for token in tokens if not _in_brackets(token)]
    items: dict[str, set[str]] = {}
    for id, text in named_texts:
        candidates = tokens & {*_BRACKETS.findall(text), *(token for token in bare if token in text)}
        # Why the tokenizer is called: it may split control tokens in texts (split_special_tokens).
        if candidates and (found := candidates & {*tokenizer.tokenize(text)}):
            items[id] = found
    if items:
        found = {token for own in items.values() for token in own}
        first = min(found)
        raise ValueError(
            f"This tokenizer turns text of the {what} {list_ids(items)} into control tokens:"
            f" {list_ids(sorted(found))}. Remove this text, or insert a space: '{first[0]} {first[1:]}'."
        )


def check_questions(tokenizer: "PreTrainedTokenizerBase", questions: Iterable[Question]) -> None:
    """Raise a `ValueError` if the text, the answers or the choices of a question contain control tokens."""
    texts = ((q.id, "\n".join((q.text, *q.answers, *q.options))) for q in questions)
    check_control_tokens(tokenizer, texts, "questions")


def _control_tokens(tokenizer: "PreTrainedTokenizerBase") -> set[str]:
    added = tokenizer.added_tokens_decoder.values()
    special = {token.content for token in added if token.special and re.search(r"[^\w\s]", token.content)}
    others = {token.content for token in added if not token.special and _in_brackets(token.content)}
    return special | {token for token in others if not _HTML.fullmatch(token)}


def _in_brackets(token: str) -> bool:
    return _BRACKETS.findall(token)[:1] == [token]
