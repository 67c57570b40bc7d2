"""Parses numbers, amounts with a unit, dates and times, so that all spellings of a quantity have the same value.

`quantity` takes a text that `correctness` has normalised. The whole text must be a quantity.
`quantity_pattern` finds candidates in a sentence.
"""

import re
from datetime import date
from decimal import Decimal
from functools import cache
from typing import NamedTuple, TypeAlias
from unicodedata import normalize

from .word_lists import CURRENCY_CODES, UNITS, number_words, scales, spelled_number


class Number(NamedTuple):
    """A number with its unit. The unit is "" for a bare number."""

    kind: str  # "number"
    value: Decimal
    unit: str


class Date(NamedTuple):
    """A date. A missing year or day is 0."""

    kind: str  # "date"
    year: int
    month: int
    day: int


class Time(NamedTuple):
    """A time of the day."""

    kind: str  # "time"
    hour: int
    minute: int
    second: int


Quantity: TypeAlias = Number | Date | Time

DECIMAL_COMMA = frozenset(["de", "es", "vi"])  # "1.000,5"; other languages write "1,000.5"
CURRENCY = "$¢£¤¥฿৳؋₠-₿"

_MONTHS = {
    "en": "january/jan february/feb march/mar april/apr may june/jun july/jul august/aug september/sept/sep"
    " october/oct november/nov december/dec",
    "de": "januar/jänner/jan februar/feb märz/mär/mrz april/apr mai juni/jun juli/jul august/aug september/sept/sep"
    " oktober/okt november/nov dezember/dez",
    "es": "enero/ene febrero/feb marzo/mar abril/abr mayo/may junio/jun julio/jul agosto/ago"
    " septiembre/setiembre/sept/sep octubre/oct noviembre/nov diciembre/dic",
    "ar": "يناير/كانون_الثاني فبراير/شباط مارس/آذار أبريل/إبريل/نيسان مايو/أيار يونيو/حزيران يوليو/تموز أغسطس/آب"
    " سبتمبر/أيلول أكتوبر/تشرين_الأول نوفمبر/تشرين_الثاني ديسمبر/كانون_الأول",
    "hi": "जनवरी फ़रवरी/फरवरी मार्च अप्रैल मई जून जुलाई अगस्त सितंबर/सितम्बर अक्टूबर/अक्तूबर नवंबर/नवम्बर दिसंबर/दिसम्बर",
    "vi": " ".join(f"tháng_{number}/tháng_{number:02}" for number in range(1, 13)),
}
_DAY = r"(?P<day>\d{1,2})(?:st|nd|rd|th|\.?°|\.)?"
_YEAR = r"(?P<year>\d{4})"
# Words between or before the parts of a date.
_BETWEEN = r"(?:[ ,./-]|\b(?:of|de|del|năm|ngày|the)\b)+"
_BEFORE = r"(?:ngày |the )?"
_CHINESE_DATE = re.compile(rf"(?:{_YEAR}年)?(?P<month>\d{{1,2}})月(?:(?P<day>\d{{1,2}})[日号號])?")
_YEAR_FIRST = re.compile(r"(?P<year>\d{4})([-/])(?P<month>\d{1,2})\2(?P<day>\d{1,2})")
_YEAR_LAST = re.compile(r"(\d{1,2})([-/.])(\d{1,2})\2(\d{4})")


def quantity(text: str, language: str) -> Quantity | None:
    """Return the value of a number, an amount with a unit, a date or a time. Return None for any other text.

    Args:
        text: a text in NFKC, case-folded, with ASCII digits, quotes and minus signs.

    Example:
        >>> quantity("1,000 km", "en") == quantity("1000km", "en")
        True
        >>> quantity("june 2, 2023", "en")
        Date(kind='date', year=2023, month=6, day=2)
    """
    text = text.replace("per cent", "percent")
    if not any(map(str.isdigit, text)):
        text = _in_digits(text, language)
        if not text[:1].isdigit():
            return None
    return _date(text, language) or _time(text, language) or _number(text, language)


# Numbers


def _number(text: str, language: str) -> Quantity | None:
    if not (found := _numbers(language).fullmatch(text)) or (found["sign"] and found["inner_sign"]):
        return None
    sign = found["sign"] or found["inner_sign"]
    point = "," if language in DECIMAL_COMMA else "."
    whole, _, fraction = found["number"].replace(*_und_point(language)).partition(point)
    digits = re.sub(r"\D", "", whole) or "0"
    exponent = found["exponent"] or found["power"] or "0"
    value = Decimal(f"{sign}{digits}.{fraction or '0'}e{exponent}")
    unit = " ".join((found["unit"] or "").replace(".", "").split())
    first, _, rest = unit.partition(" ")
    if power := scales(language).get(first):
        value, unit = value.scaleb(power), rest
    unit = (found["currency"] or "") + unit
    return Number("number", value, UNITS.get(unit, unit))


def _in_digits(text: str, language: str) -> str:
    """Return the text with digits instead of the number words at its beginning ("forty-five km": "45 km")."""
    words = text.replace("-", " ").split()
    if not words or words[0] not in number_words(language):
        return text
    value, used = spelled_number(words, language)
    return " ".join([str(value), *words[used:]])


def _und_point(language: str) -> tuple[str, str]:
    return (",", ".") if language == "und" else ("", "")


@cache
def _numbers(language: str) -> re.Pattern[str]:
    """Return the pattern of a number with an optional sign, currency, exponent and unit.

    Numbers with leading zeros do not match, because "007" and "7" are different names.
    """
    if language == "und":  # Why: "1,000" and "1.000" are ambiguous, so only other numbers are parsed.
        number = r"[1-9]\d{0,2}(?:(?P<group>[ '])\d{3})(?:(?P=group)\d{3})*|(?:0|[1-9]\d*)(?:[.,](?!\d{3}(?!\d))\d+)?"
    else:
        comma, point = (r"\.", ",") if language in DECIMAL_COMMA else (",", r"\.")
        grouped = rf"[1-9]\d{{0,2}}(?P<group>[ '{comma}])\d{{3}}(?:(?P=group)\d{{3}})*"
        indian = rf"|[1-9]\d?(?:{comma}\d\d)+{comma}\d{{3}}" if language in ("en", "hi") else ""
        number = rf"(?:{grouped}{indian}|0|[1-9]\d*)(?:{point}\d+)?|{point}\d+"
    exponent = r"(?:e(?P<exponent>[+-]?\d{1,3})| ?[×*x] ?10\^(?P<power>[+-]?\d{1,3}))?"
    unit = r"(?: ?|-(?=[^\W\d]))(?P<unit>[^\d\s.,:/'\"+*=<>~^-](?:[^\d^]|\^-?\d+)*)?"
    currency = rf"(?:(?P<currency>[{CURRENCY}]|{'|'.join(CURRENCY_CODES)}) ?)?"
    return re.compile(rf"(?P<sign>[+-]?){currency}(?P<inner_sign>[+-]?)(?P<number>{number}){exponent}{unit}")


@cache
def groups_of_thousands(language: str) -> re.Pattern[str] | None:
    """Return the pattern of grouped integers, such as "1,000"; None if the separator of the language is unknown."""
    if language == "und":
        return None
    comma, point = (r"\.", ",") if language in DECIMAL_COMMA else (",", r"\.")
    return re.compile(rf"(?<![\w,.])[1-9]\d{{0,2}}(?:{comma}\d{{3}})+(?![\d]|{comma}\d|{point}\d)")


# Times


_TIME = re.compile(
    r"(?P<hour>\d{1,2})(?:(?P<mark>[:.h])(?P<minute>\d\d)(?::(?P<second>\d\d))?)?"
    r"(?: ?(?P<half>[ap])\.? ?m\.?| ?(?P<word>o'?clock|uhr))?"
)


def _time(text: str, language: str) -> Quantity | None:
    """Return a time of the day. "8" is no time, but "8 pm", "8:00" and "8 o'clock" are."""
    found = _TIME.fullmatch(text)
    if not found or not (found["half"] or found["word"] or found["mark"] in (":", "h")):
        return None
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    if found["half"]:
        if not 1 <= hour <= 12:
            return None
        hour = hour % 12 + 12 * (found["half"] == "p")
    return Time("time", hour, minute, second) if hour <= 24 and minute < 60 and second < 60 else None


# Dates


def _date(text: str, language: str) -> Quantity | None:
    if found := _YEAR_FIRST.fullmatch(text):
        return _valid(found["year"], int(found["month"]), found["day"])
    if found := _YEAR_LAST.fullmatch(text):
        first, mark, second, year = found.groups()
        return _numeric_date(first, mark, second, year, language)
    if language in ("zh", "ja") and (found := _CHINESE_DATE.fullmatch(text)) and (found["year"] or found["day"]):
        return _valid(found["year"], int(found["month"]), found["day"])
    months, patterns = _written_dates(language)
    for pattern in patterns:
        if found := pattern.fullmatch(text):
            fields = found.groupdict()
            return _valid(fields.get("year"), months[found["month"]], fields.get("day"))
    return None


def _numeric_date(first: str, mark: str, second: str, year: str, language: str) -> Quantity | None:
    """Return a date that is written in digits. Return None if the order of day and month is ambiguous.

    A date with points is parsed only in German, where the day comes first.
    """
    if mark == ".":
        return _valid(year, int(second), first) if language == "de" else None
    readings = {_valid(year, int(second), first), _valid(year, int(first), second)} - {None}
    return readings.pop() if len(readings) == 1 else None


@cache
def _written_dates(language: str) -> tuple[dict[str, int], list[re.Pattern[str]]]:
    names = normalize("NFKC", _MONTHS.get(language, "")).casefold().split()
    months = {name.replace("_", " "): i for i, of in enumerate(names, 1) for name in of.split("/")}
    if not months:
        return {}, []
    month = rf"(?P<month>{'|'.join(sorted(map(re.escape, months), key=len, reverse=True))})\.?"
    orders = [
        f"{_DAY}{_BETWEEN}{month}(?:{_BETWEEN}{_YEAR})?",
        f"{month}{_BETWEEN}{_DAY}(?:{_BETWEEN}{_YEAR})?",
        f"{month}{_BETWEEN}{_YEAR}",
        f"{_YEAR}{_BETWEEN}{month}{_BETWEEN}{_DAY}",
    ]
    return months, [re.compile(_BEFORE + order) for order in orders]


def _valid(year: str | None, month: int, day: str | None) -> Quantity | None:
    try:
        date(int(year or 2000), month, int(day or 1))  # 2000: 29 February without a year exists
    except ValueError:
        return None
    return Date("date", int(year or 0), month, int(day or 0))


# Candidates in a sentence


@cache
def quantity_pattern(language: str) -> re.Pattern[str]:
    """Return a pattern of texts within a sentence that can be dates, times or numbers, without their unit.

    `quantity` returns None for a candidate that is none of them.
    """
    dates = [r"\d{4}[-/]\d{1,2}[-/]\d{1,2}", r"\d{1,2}(?P<separator>[-/.])\d{1,2}(?P=separator)\d{4}"]
    dates += [re.sub(r"\?P<\w+>", "?:", order.pattern) for order in _written_dates(language)[1]]
    if language in ("zh", "ja"):
        dates.append(r"(?:\d{4}年)?\d{1,2}月(?:\d{1,2}[日号號])?")
    time = r"\d{1,2}[:h]\d\d(?::\d\d)?(?: ?[ap]\.?m\b\.?)?|\d{1,2}(?:\.\d\d)? ?(?:[ap]\.?m\b\.?|o'clock|uhr\b)"
    # Why codes: version numbers, telephone numbers and numbers with leading zeros are compared as text.
    code = r"\d+(?:[.:/]\d+){2,}|0\d+|\d+/\d+"
    comma, point = (r"\.", ",") if language in DECIMAL_COMMA else (",", r"\.")
    number = rf"(?:[1-9]\d{{0,2}}(?:[ '{comma}]\d{{3}})+(?!\d)|\d+)(?:{point}\d+)?"
    joined = language in ("zh", "ja")  # no space separates a number from the words beside it
    start = (r"(?<!\d)" if joined else r"(?<![^\W_])") + r"(?<!\d[.,:/])"
    signed = rf"(?:(?<!\S)[-+])?(?:[{CURRENCY}] ?)?(?:{number})(?: ?[%{CURRENCY}])?"
    end = r"(?!\d|[.,:/]\d)" if joined else r"(?![^\W_]|[.,:/]\d)"
    either = "|".join([f"(?:{'|'.join(dates)}){end}", f"(?:{time}){end}", f"(?:{code}){end}", f"{signed}{end}"])
    return re.compile(f"{start}(?:{either})", re.IGNORECASE)
