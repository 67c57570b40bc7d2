"""Rules that check whether a response fulfils an instruction, as in IFEval (arXiv 2311.07911).

Each rule is a function of the response and of the arguments of an instruction. White space around a response never
counts. Rules of phrases ignore case. All rules are strict: no rule removes an introduction such as "Sure!".
"""

import json
import re
from collections.abc import Callable

from hf_knowlearn.documents.language import detected_language
from hf_knowlearn.documents.sentences import SOFT, sentences

_FENCE = re.compile(r"```(?:json)?\s*\n(.*)\n\s*```", re.DOTALL | re.IGNORECASE)
_AROUND_WORD = " \t\r\n\"'“”\u2018\u2019.!*`"


def is_one_of(text: str, texts: list[str]) -> bool:
    """Return whether the response is one of `texts`. Case, quotes and a full stop at the end are ignored."""
    return text.strip(_AROUND_WORD).casefold() in {each.casefold() for each in texts}


def repeats(text: str, sentence: str) -> bool:
    """Return whether the response is exactly this sentence."""
    return text.strip() == sentence


def is_number(text: str) -> bool:
    """Return whether the response consists of digits only."""
    return re.fullmatch(r"\d+", text.strip()) is not None


def has_words(text: str, minimum: int, maximum: int) -> bool:
    """Return whether the number of words is from `minimum` to `maximum`."""
    return minimum <= sum(any(map(str.isalnum, word)) for word in text.split()) <= maximum


def has_characters(text: str, maximum: int) -> bool:
    """Return whether the response has at most `maximum` characters."""
    return len(text.strip()) <= maximum


def has_sentences(text: str, number: int) -> bool:
    """Return whether the response has exactly this number of sentences."""
    return sum(each != SOFT for each in sentences(text.strip()).breaks) == number


def has_paragraphs(text: str, number: int) -> bool:
    """Return whether the response has exactly this number of paragraphs. Blank lines separate paragraphs."""
    return len(re.split(r"\n\s*\n", text.strip())) == number


def has_parts(text: str, separator: str, number: int) -> bool:
    """Return whether separators divide the response into exactly this number of parts that are not blank."""
    parts = text.split(separator)
    return len(parts) == number and all(map(str.strip, parts))


def has_bullets(text: str, number: int) -> bool:
    """Return whether exactly this number of lines begin with a bullet ("-", "*" or "•") and a space."""
    return len(re.findall(r"^ *[-*•] +\S", text, re.MULTILINE)) == number


def has_numbered_items(text: str, number: int) -> bool:
    """Return whether the lines that begin with a number and a full stop are numbered from 1 to `number`."""
    return re.findall(r"^ *(\d+)[.)] +\S", text, re.MULTILINE) == [str(i) for i in range(1, number + 1)]


def is_lower_case(text: str) -> bool:
    """Return whether the response has letters, and none of them is a capital letter."""
    return text.islower()


def is_upper_case(text: str) -> bool:
    """Return whether the response has letters, and all of them are capital letters."""
    return text.isupper()


def starts_with(text: str, phrase: str) -> bool:
    """Return whether the response starts with the phrase."""
    return text.strip().casefold().startswith(phrase.casefold())


def ends_with(text: str, phrase: str) -> bool:
    """Return whether the response ends with the phrase."""
    return text.strip().casefold().endswith(phrase.casefold())


def contains(text: str, phrases: list[str]) -> bool:
    """Return whether the response contains all phrases, as whole words."""
    return all(_count(text, phrase) for phrase in phrases)


def contains_times(text: str, phrase: str, number: int) -> bool:
    """Return whether the response contains the phrase exactly this number of times, as whole words."""
    return _count(text, phrase) == number


def avoids(text: str, phrases: list[str]) -> bool:
    """Return whether the response contains none of the phrases as whole words, or none of the characters."""
    return not any(_count(text, phrase) for phrase in phrases)


def is_json(text: str, keys: list[str]) -> bool:
    """Return whether the response is a JSON object with exactly these keys. It may be in a block of code."""
    fenced = _FENCE.fullmatch(text.strip())
    try:
        value = json.loads(fenced[1] if fenced else text)
    except ValueError:
        return False
    return isinstance(value, dict) and value.keys() == {*keys}


def is_language(text: str, code: str) -> bool:
    """Return whether the detected language of the response has this code."""
    return detected_language(text) == code


def is_quoted(text: str) -> bool:
    """Return whether the response starts and ends with a double quotation mark."""
    return re.fullmatch(r'["“].+["”]', text.strip(), re.DOTALL) is not None


def has_title(text: str) -> bool:
    """Return whether the response contains a title in double square brackets, such as [[The ferry]]."""
    return re.search(r"\[\[[^\[\]\n]+\]\]", text) is not None


def _count(text: str, phrase: str) -> int:
    """Return how often the phrase occurs. A word occurs only as a whole word, and another character anywhere."""
    start, end = (r"\b" if edge.isalnum() else "" for edge in (phrase[0], phrase[-1]))
    return len(re.findall(f"{start}{re.escape(phrase)}{end}", text, re.IGNORECASE))


RULES: dict[str, Callable[..., bool]] = {
    rule.__name__: rule
    for rule in (
        is_one_of, repeats, is_number, has_words, has_characters, has_sentences, has_paragraphs, has_parts,
        has_bullets, has_numbered_items, is_lower_case, is_upper_case, starts_with, ends_with, contains,
        contains_times, avoids, is_json, is_language, is_quoted, has_title,
    )
}  # fmt: skip
