"""Determines the language of a document: the code that its row or file gives, or the language that py3langid detects.

Why py3langid 0.4: for 1,243 messages of the Django project with 40 to 100 characters in 21 languages, py3langid is
right in 99.1 %, lingua 2.1 in 98.2 % and langdetect 1.0.9 in 96.7 %. Detection takes 0.1 to 0.7 ms per document with
py3langid, and 3 to 5 ms with lingua or langdetect. Lingua needs 1.2 GB of memory. All three libraries are right for
150 documents of 8 kinds in English, German and French.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from hf_knowlearn.documents.document import Document, show

if TYPE_CHECKING:
    from py3langid.langid import LanguageIdentifier

logger = logging.getLogger(__name__)

UNDETERMINED = "und"  # the code of ISO 639-2 for a language that is neither given nor detected
DEFAULT = "en"
RULE = 'a code of ISO 639 such as "en", "de" or "pt-BR"'

_SAMPLE = 2000  # characters that the detector reads
_LETTERS = re.compile(r"[^\W\d_]{2,}")
_FEWEST_LETTERS = 40  # bytes. Why bytes: one Chinese character has the information of several Latin letters.
_SMALLEST_SHARE = 0.2  # of letters in the sample. Why: py3langid takes a table of numbers for Volapük.
# A language needs a probability of at least `_CERTAIN`. If more than the share `_USUAL` of the earlier documents has
# this language, `_LIKELY` suffices. Why two limits: with 0.5 alone, 6 % of English sentences with foreign names
# count as another language.
_CERTAIN, _LIKELY, _USUAL = 0.9, 0.3, 0.02

_CODE = re.compile(r"(?:[a-z]{2,3})(?:-[a-z0-9]{2,8})*", re.IGNORECASE)
_TWO_LETTER_CODES = frozenset(
    """
    aa ab ae af ak am an ar as av ay az ba be bg bh bi bm bn bo br bs ca ce ch co cr cs cu cv cy da de dv dz
    ee el en eo es et eu fa ff fi fj fo fr fy ga gd gl gn gu gv ha he hi ho hr ht hu hy hz ia id ie ig ii ik
    io is it iu ja jv ka kg ki kj kk kl km kn ko kr ks ku kv kw ky la lb lg li ln lo lt lu lv mg mh mi mk ml
    mn mr ms mt my na nb nd ne ng nl nn no nr nv ny oc oj om or os pa pi pl ps pt qu rm rn ro ru rw sa sc sd
    se sg sh si sk sl sm sn so sq sr ss st su sv sw ta te tg th ti tk tl tn to tr ts tt tw ty ug uk ur uz ve
    vi vo wa wo xh yi yo za zh zu
    """.split()
)


def language_code(value: Any) -> str:
    """Return a language code in its usual form, such as "pt-BR" for "PT_br".

    Raises:
        ValueError: `value` is not a language code.

    Example:
        >>> [language_code(text) for text in ("de", "EN", "pt_br")]
        ['de', 'en', 'pt-BR']
    """
    code = value.strip().replace("_", "-") if isinstance(value, str) else ""
    primary = primary_language(code)
    if not _CODE.fullmatch(code) or (len(primary) == 2 and primary not in _TWO_LETTER_CODES):
        raise ValueError(f"language must be {RULE}, got {show(value)}")
    others = (part.upper() if len(part) == 2 else part for part in code.split("-")[1:])
    return "-".join([primary, *others])


def is_language_code(value: Any) -> bool:
    """Return whether `language_code` accepts `value`."""
    try:
        return bool(language_code(value))
    except ValueError:
        return False


def primary_language(code: str) -> str:
    """Return the language of a code without its region or script: "pt" for "pt-BR"."""
    return code.replace("_", "-").partition("-")[0].casefold()


def detected_language(text: str) -> str:
    """Return the code of the language of a text, or "und" if the text is short or the language is uncertain.

    Example:
        >>> detected_language("Die Fähre fährt jeden Morgen um sechs Uhr nach Ormel.")
        'de'
    """
    return _detected(text, Counter()) or UNDETERMINED


def with_languages(documents: Iterable[Document]) -> Iterator[Document]:
    """Yield the documents. Documents with the language `UNDETERMINED` get a detected language.

    If a document is short or the detection is uncertain, the document gets the most frequent language of the documents
    before it. If there is no earlier language, documents are held back until the language of one document is certain,
    or until their joined texts are long enough for detection.
    """
    found: Counter[str] = Counter()  # languages that documents name, or that are detected
    totals: Counter[str] = Counter()
    waiting: list[Document] = []
    problem = None
    try:
        for document in documents:
            is_given = document.language != UNDETERMINED
            code = document.language if is_given else _detected(document.text, found)
            if code:
                found[code] += 1
            waiting.append(document)
            if found or sum(len(each.text) for each in waiting) >= _SAMPLE:
                yield from _settled(waiting, code, found, totals)
                waiting = []
    except ValueError as error:  # Why: the reader raises its problems after the documents before them.
        problem = error
    yield from _settled(waiting, "", found, totals)
    if problem:
        raise problem
    if totals:
        shown = ", ".join(f"{code} {count:,}" for code, count in totals.most_common())
        logger.info("Languages: %s.", shown)


def _settled(waiting: list[Document], last: str, found: Counter[str], totals: Counter[str]) -> Iterator[Document]:
    """Yield the documents in `waiting`, each with a language. `last` is the language of the last document, or an empty
    string if this language is uncertain."""
    if not found and waiting:
        found[_detected("\n".join(document.text for document in waiting), found) or DEFAULT] += 1
    usual = found.most_common(1)[0][0] if found else DEFAULT
    for number, document in enumerate(waiting, 1):
        code = last if last and number == len(waiting) else usual
        totals[code] += 1
        yield document if document.language == code else replace(document, language=code)


def _detected(text: str, found: Counter[str]) -> str:
    """Return the language of a text, or an empty string if the language is uncertain."""
    sample = text[:_SAMPLE]
    letters = "".join(_LETTERS.findall(sample))
    if len(letters.encode()) < _FEWEST_LETTERS or len(letters) < _SMALLEST_SHARE * len(sample):
        return ""
    code, probability = _identifier().classify(sample)
    is_known = probability >= _LIKELY and found[code] > _USUAL * found.total()
    return code if probability >= _CERTAIN or is_known else ""


@cache  # Why: loading takes 0.7 s, and only a document without a language needs it.
def _identifier() -> LanguageIdentifier:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    identifier = LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
    # Why: the other languages, such as Wu or Egyptian Arabic, take probability from a larger one with the same rules.
    identifier.set_languages([code for code in identifier.labels if code in _TWO_LETTER_CODES])
    return identifier
