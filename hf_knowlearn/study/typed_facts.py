"""Turns the facts of a document into answers: joins dates, names and units, and gives each fact a type."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.facts import fact_spans

NAME, NUMBER, DATE = "name", "number", "date"

_MONTHS = (
    "January February March April May June July August September October November December"
    " Januar Februar M\xe4rz Mai Juni Juli Oktober Dezember"
    " janvier f\xe9vrier mars avril mai juin juillet ao\xfbt septembre octobre novembre d\xe9cembre"
    " enero febrero marzo abril mayo junio julio agosto septiembre octubre noviembre diciembre"
)
_MONTH = rf"(?:{'|'.join(dict.fromkeys(_MONTHS.split()))})\b"
_DATE = re.compile(
    rf"\b\d{{1,2}}(?:st|nd|rd|th|er|\.)?[ ](?:de[ ]|of[ ])?{_MONTH}(?:(?:,|[ ]de)?[ ]\d{{4}}\b)?"
    rf"|\b{_MONTH}(?:[ ]\d{{1,2}}\b(?:st|nd|rd|th)?(?:,?[ ]\d{{4}}\b)?|[ ](?:de[ ])?\d{{4}}\b)"
)
# Between two names that are one name: "University of Leeds", "Ludwig van Beethoven", "Corrie's Coaches".
_CONNECTOR = re.compile(
    r" (?:of|of the|de|de la|de los|del|della|di|da|do|dos|du|des|van|van der|von|von der|den|bin|al|&) |['\u2019]s? "
    r"| d['\u2019]"
)
_BEFORE = "$\u20ac\xa3\xa5#+\u2212"
_AFTER = re.compile(
    r"\s?(?:%|\u2030|\xb0[CF]?|\u20ac|\$|\xa3)"
    r"|[ \u00a0](?:million|billion|trillion|thousand|hundred|per ?cent|percent|Prozent|Millionen|Milliarden|millions"
    r"|milliards|millones|pour cent|por ciento|[ckm]?m|[km]?g|kW|kWh|MW|Hz|kHz|MHz|GHz|mm|cm|km/h|mph|MB|GB|TB)\b"
)
_YEAR = re.compile(r"1\d{3}|20\d{2}")


@dataclass(frozen=True)
class Fact:
    """A span of a document that can be an answer.

    Args:
        start, end: position in the text of the document, in characters.
        kind: "name", "number" or "date".
    """

    start: int
    end: int
    kind: str


def typed_facts(document: Document) -> list[Fact]:
    """Return the facts of a document in ascending order and without overlap.

    Example:
        >>> document = Document("ferry", "She sails for the Bank of Ormel on 3 May 1990 and weighs 40 kg.")
        >>> [(document.text[fact.start : fact.end], fact.kind) for fact in typed_facts(document)]
        [('Bank of Ormel', 'name'), ('3 May 1990', 'date'), ('40 kg', 'number')]
    """
    return list(_joined(document.text, _widened(document)))


def _widened(document: Document) -> Iterator[Fact]:
    text = document.text
    dates = [match.span() for match in _DATE.finditer(text)]
    spans = sorted([*((*span, DATE) for span in dates), *(_token(text, *span) for span in fact_spans(document))])
    last: Fact | None = None
    for start, end, kind in spans:
        if last is not None and start < last.end:
            both = max(end, last.end)
            last = Fact(last.start, both, last.kind if both == last.end else kind)
            continue
        if last is not None:
            yield last
        last = Fact(start, end, kind)
    if last is not None:
        yield last


def _token(text: str, start: int, end: int) -> tuple[int, int, str]:
    """Return a fact, widened to whole words, with its sign of currency, its unit and the points of its initials."""
    while start and text[start - 1].isalnum() and text[start - 1].isascii() and text[start].isascii():
        start -= 1
    while end < len(text) and text[end].isalnum() and text[end].isascii() and text[end - 1].isascii():
        end += 1
    if not any(map(str.isdigit, text[start:end])):
        if re.search(r"\b[A-Z]\.[A-Z]$", text[max(start - 2, 0) : end]) and text.startswith(".", end):
            end += 1
        return start, _without_ending(text, start, end), NAME
    if start > 1 and text[start - 1] == "-" and text[start - 2].isalnum():  # "COVID-19"
        start = next((i + 1 for i in range(start - 2, -1, -1) if not text[i].isalnum()), 0)
    if any(map(str.isalpha, text[start:end])):  # "28th", "A100"
        return start, end, NUMBER if text[start].isdigit() else NAME
    start -= start > 0 and text[start - 1] in _BEFORE
    unit = _AFTER.match(text, end)
    end = unit.end() if unit else end
    return start, end, DATE if _YEAR.fullmatch(text[start:end]) else NUMBER


def _without_ending(text: str, start: int, end: int) -> int:
    """Return the end of a name without an ending in lower case: "Telugu" in "Telugu-language"."""
    word = text[start:end]
    first, hyphen, ending = word.rpartition("-")
    return start + len(first) if hyphen and ending.islower() and len(first) > 2 else end


def _joined(text: str, facts: Iterator[Fact]) -> Iterator[Fact]:
    """Yield the facts. Two names with a connector between them are one name."""
    last: Fact | None = None
    for fact in facts:
        if (
            last is not None
            and fact.start - last.end < 9
            and last.kind == fact.kind == NAME
            and _CONNECTOR.fullmatch(text, last.end, fact.start)
        ):
            last = Fact(last.start, fact.end, NAME)
            continue
        if last is not None:
            yield last
        last = fact
    if last is not None:
        yield last
