"""Splits a sentence into tokens: words, numbers, dates, times and signs, with the values that `correct` compares."""

import re
from functools import cache, lru_cache
from typing import NamedTuple

from .quantities import Number, Quantity, Time, quantity, quantity_pattern
from .scoring import RULES
from .word_lists import CURRENCY_CODES, UNITS, number_words, scales, spelled_number

CACHED_TEXTS = 20_000


class Token(NamedTuple):
    """A word, a quantity or a sign of a sentence.

    Args:
        text: the token in the sentence.
        key: the form that is compared: case-folded, without apostrophes. For a quantity, a text of its value.
        gap: the text between the token before and this one: white space and punctuation.
        value: the value of a number, date or time. None for other tokens.
    """

    text: str
    key: str
    gap: str
    value: Quantity | None = None

    @property
    def is_upper(self) -> bool:
        """Whether the token is a word that begins with a capital letter."""
        return self.value is None and self.text[:1].isupper()


@lru_cache(CACHED_TEXTS)
def tokens_of(text: str, language: str) -> tuple[Token, ...]:
    """Return the tokens of a text in NFKC with upper and lower case (see `cased_unicode`). Articles are left out.

    Example:
        >>> [token.key for token in tokens_of("The Aurora's 2 cabins", "en")]
        ['aurora', '2', 'cabins']
    """
    text = text.replace("per cent", "percent")
    found: list[Token] = []
    end = 0
    for match in _token_pattern(language).finditer(text):
        found.append(_token(match, text[end : match.start()], language))
        end = match.end()
    found = _merged_numbers(_merged_initials(found), language)
    return tuple(_without_articles(found, language))


def key_of(value: Quantity) -> str:
    """Return a text that is equal for equal values."""
    if isinstance(value, Number):
        return f"{value.value.normalize():f} {value.unit}".strip()
    return " ".join(map(str, value))


# A mark for feet or inches after a number. It is no quote, because no quote precedes the number.
_FOOT = "".join(rf"(?<![\"']\d{{{digits}}})" for digits in range(1, 5)) + r"(?<=\d)['\"](?![^\W_])"


@cache
def _token_pattern(language: str) -> re.Pattern[str]:
    letters = RULES[language].letters
    elision = r"|(?P<elision>[cdjlmnstCDJLMNST]|qu|Qu)'(?=[^\W\d_])" if language == "und" else ""
    return re.compile(
        rf"(?P<quantity>{quantity_pattern(language).pattern})"
        r"|(?P<address>[\w.+-]{1,64}@[\w-]{1,64}(?:\.[\w-]{1,64}){1,5}|(?<![\w.])(?:[^\W\d_]\.){2,}(?:[^\W\d_](?!\w))?)"
        + (rf"|(?P<letter>{letters})" if letters else "")
        + elision
        + rf"|(?P<word>{_word(letters)}(?:'{_word(letters)})*[+#]*)"
        rf"|(?P<sign>[&@$%/*=<>°§#+\\|~^?!€£¥]|{_FOOT}|(?<=\b[^\W\d_])-(?=\s|$))",
        re.IGNORECASE,
    )


def _word(letters: str) -> str:
    # Why marks too: the vowel signs of Hindi are no word characters.
    character = r"[^\W_]|(?<=[^\W_])[\u0300-\u036f\u0900-\u0903\u093a-\u094f\u0962\u0963\u064b-\u0652]"
    return rf"(?:(?!{letters})(?:{character}))+" if letters else rf"(?:{character})+"


def _token(match: re.Match[str], gap: str, language: str) -> Token:
    text = match[0]
    folded = text.casefold()
    if match.lastgroup == "quantity" or match["quantity"]:
        value = quantity(folded.strip(), language)
        return Token(text, key_of(value) if value else folded.replace(" ", ""), gap, value)
    if match["address"]:
        return Token(text, folded if "@" in text else folded.replace(".", ""), gap)
    key = folded[:-2] if folded.endswith("'s") else folded
    key = key.replace("'", "") or key
    if language == "ar" and key.startswith("ال") and len(key) > 3:
        key = key[2:]
    return Token(text, key, gap)


def _merged_initials(tokens: list[Token]) -> list[Token]:
    """Return the tokens with "J. R. R." as one token, like "J.R.R."."""
    merged: list[Token] = []
    for token in tokens:
        before = merged[-1] if merged else None
        if before and token.gap == ". " and _is_initial(token) and before.text.isupper() and _is_initials(before):
            merged[-1] = Token(before.text + token.text, before.key + token.key, before.gap)
        else:
            merged.append(token)
    return merged


def _is_initial(token: Token) -> bool:
    return len(token.text) == 1 and token.is_upper


def _is_initials(token: Token) -> bool:
    return len(token.text) <= 4 and token.is_upper and token.text.isalpha()


def _merged_numbers(tokens: list[Token], language: str) -> list[Token]:
    """Return the tokens with number words as numbers, and with units as parts of their numbers."""
    merged: list[Token] = []
    place = 0
    while place < len(tokens):
        token, used = _spelled(tokens[place : place + 8], language)
        place += used
        if isinstance(token.value, Number):
            number, place = _with_unit(token.value, tokens, place, language)
            if merged and merged[-1].key in CURRENCY_CODES and token.gap == " ":
                currency = merged.pop()
                token = token._replace(gap=currency.gap)
                number = number._replace(unit=UNITS.get(currency.key, currency.key))
            token = token._replace(value=number)
        merged.append(token._replace(key=key_of(token.value)) if token.value else token)
    return merged


def _spelled(tokens: list[Token], language: str) -> tuple[Token, int]:
    """Return the first token, with a value if it begins a number in words, and the number of tokens that it covers."""
    first = tokens[0]
    if first.value is not None or first.key not in number_words(language):
        return first, 1
    run = [first.key]
    for token in tokens[1:]:
        if token.gap not in (" ", "-"):
            break
        run.append(token.key)
    number, used = spelled_number(run, language)
    if number <= 24 and run[used : used + 1] in (["oclock"], ["uhr"]):
        return first._replace(value=Time("time", number, 0, 0)), used + 1
    return first._replace(value=quantity(str(number), language)), max(1, used)


def _with_unit(number: Number, tokens: list[Token], place: int, language: str) -> tuple[Number, int]:
    """Return a number with the unit or the word such as "million" after it, and the place of the next token."""
    while place < len(tokens) and tokens[place].gap in ("", " ", "-"):
        word = tokens[place]
        if power := scales(language).get(word.key):
            number = number._replace(value=number.value.scaleb(power))
        elif not number.unit and word.key in UNITS and word.key == word.text.casefold():
            number = number._replace(unit=UNITS[word.key])
        else:
            break
        place += 1
    return number, place


def _without_articles(tokens: list[Token], language: str) -> list[Token]:
    """Return the tokens without articles. A capital "A" within a sentence is no article: "Vitamin A"."""
    articles = _articles(language)
    found: list[Token] = []
    gap = ""
    for place, token in enumerate(tokens):
        is_article = token.key in articles and (place == 0 or token.text.islower() or len(token.text) > 1)
        if is_article and len(tokens) > 1:
            gap = gap or token.gap
            continue
        found.append(token._replace(gap=gap if gap.strip() else token.gap) if gap else token)
        gap = ""
    return found


@cache
def _articles(language: str) -> frozenset[str]:
    if language not in ("en", "de", "es"):
        return frozenset()
    return frozenset(re.findall(r"\w+", RULES[language].articles.replace(r"\b", " ")))
