"""One Unicode form for texts that look alike: NFKC, with ASCII quotes, dashes and digits."""
# ruff: noqa: RUF001

import re
import unicodedata

from .scoring import Translation

# Characters that NFKC leaves as they are, or replaces by a character with another meaning.
_QUOTES = {**dict.fromkeys("‘’‚‛′ʼ`´ʹ＇", "'"), **dict.fromkeys("“”„‟«»″〝〞＂", '"'), "‹": "'", "›": "'"}
_SIGNS = {"−": "-", "⁃": "-", "⁄": "/", "∕": "/", "º": "°", "˚": "°", "٫": ".", "٬": ",", "٪": "%"}
_DELETED = "\u034f\u0640\ufe0e\ufe0f™®℠"  # invisible marks, the Arabic elongation mark, trademarks
_REPLACED = {**_QUOTES, **_SIGNS, **dict.fromkeys(_DELETED)}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻₀₁₂₃₄₅₆₇₈₉", "0123456789+-0123456789")
_RAISED_RUN = re.compile("[⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻]+")
_LOWERED_RUN = re.compile(r"(?<=\d)[₀-₉]+")
_FRACTION = re.compile(r"(?<=\d)(?=[¼-¾⅐-⅞])")


def unicode_normal(text: str) -> str:
    """Return the text in NFKC, case-folded, with ASCII quotes, dashes and digits, and with single spaces."""
    return " ".join(unicodedata.normalize("NFKC", cased_unicode(text).casefold()).split())


def cased_unicode(text: str) -> str:
    """Return the text in NFKC, with ASCII quotes, dashes and digits. Upper and lower case and white space remain."""
    if not text.isascii():
        # Why first: NFKC makes "103" of "10³", "102" of "10₂", and "31/2" of "3½".
        text = _RAISED_RUN.sub(lambda run: "^" + run[0].translate(_RAISED), text)
        text = _LOWERED_RUN.sub(lambda run: "_" + run[0].translate(_RAISED), text)
        text = _FRACTION.sub(" ", text).translate(_PLAIN)
        text = unicodedata.normalize("NFKC", text).translate(_PLAIN)
    return text.replace("`", "'")


def _plain(sign: str) -> str | None:
    """Return the ASCII form of a quote, dash or digit, None for an invisible character, or else the character."""
    if sign.isascii():
        return sign
    if sign in _REPLACED:
        return _REPLACED[sign]
    match unicodedata.category(sign):
        case "Cf":
            return None
        case "Pd":
            return "-"
        case "Nd":
            return str(unicodedata.decimal(sign))
    return sign


_PLAIN = Translation(_plain)
