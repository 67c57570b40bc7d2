"""Facts: which characters of a document carry them (answers, else numbers and names, by script).

Knowledge tokens (arXiv 2503.03705) are counted over these characters; no text of the paper that we could read says
which they are, so the rules are our own. The surprising decision: no tagger and no dictionary, so that the same
characters count on every machine, in every language alike, and a reader can tell by looking which they are.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import CharSpan, find_whole_words
from hf_knowlearn.documents.back_references import BACK_REFERENCES
from hf_knowlearn.documents.sentences import SOFT, sentences

# Words that open a sentence and are no part of the name behind them ("In Ormel", "Die Stadt"), beside
# `BACK_REFERENCES`.
OPENING = {
    "en": (
        "a an the in on at by of to from for with as when while where after before during since until if"
        " although because under over near between among within without through against about into is was are"
        " were did does do has have had can what who why how his her its their our my your no not all most"
        " many some each every"
    ),
    "de": (
        "der die das den dem des ein eine einen einem einer eines in im an am auf aus bei beim mit nach seit"
        " von vom zu zum zur f\xfcr durch \xfcber unter vor hinter neben zwischen um gegen ohne w\xe4hrend wegen als"
        " wenn weil da ob wie was wer wo"
    ),
    "fr": (
        "le la les l un une des du de d au aux \xe0 en dans sur sous avec sans pour par chez vers depuis pendant"
        " apr\xe8s avant entre contre quand comme si que qui o\xf9"
    ),
    "es": (
        "el la los las un una unos unas de del a al en con sin por para sobre bajo entre desde hasta hacia"
        " durante tras seg\xfan contra cuando como si que qui\xe9n donde"
    ),
    "it": (
        "il lo la i gli le l un uno una di del della dei a al alla da dal dalla in nel nella con su sul sulla"
        " per tra fra senza dopo prima durante quando come se che chi dove"
    ),
    "pt": (
        "o a os as um uma de do da dos das em no na nos nas por pelo pela para com sem sobre sob entre desde"
        " at\xe9 ap\xf3s durante quando como se que quem onde"
    ),
}
_NO_NAMES = {
    language: frozenset(f"{words} {BACK_REFERENCES[language]}".split()) for language, words in OPENING.items()
}

LONGEST_QUOTE = 40  # characters; what is longer is said by somebody, and no title

# Digits of any script, joined by what stands inside numbers, dates and times; but no label of a list.
_NUMBER = re.compile(r"\d+(?:[.,:/'\u2019\u066b\u066c\u00a0\u202f\u2009\u2010-\u2013-]\d+)*")
_LABEL = re.compile(r"^[ \t]*\d+[.)](?=[ \t])", re.MULTILINE)
# Letters with their accents, joined by a hyphen.
_LETTERS = r"(?:[^\W\d_][\u0300-\u036f]*)+"
_WORD = re.compile(rf"{_LETTERS}(?:[\u2010-]{_LETTERS})*")
# Between two words of one name: white space, an apostrophe, or the point of an initial.
_WITHIN_NAME = re.compile(r"[\s'\u2019]|\.\s?")
_INITIAL = re.compile("[.'\u2019]")
_KATAKANA = re.compile("[\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f]{2,}")
_QUOTED = re.compile(
    "|".join(
        rf"{opening}([^{opening}{closing}\n]{{1,{LONGEST_QUOTE}}}){closing}"
        for opening, closing in (
            "\u300c\u300d",
            "\u300e\u300f",
            "\u300a\u300b",
            "\u3008\u3009",
            "\u201c\u201d",
            "\xab\xbb",
        )
    )
)
# What may stand before a capital that opens something: a quotation, a cell, what follows a colon.
_OPENS = re.compile('[:|"\u201c\u201e\xab\u2039]')


def fact_spans(document: Document, questions: Iterable[Question] = ()) -> tuple[CharSpan, ...]:
    """Where `document` states facts: (start, end) in characters of its text, ascending, without overlap.

    Of a document (or a part of one) that questions are about, by `document_id`, the facts are their answers, wherever
    they stand as whole words; there are none in a part without an answer. Of any other document they are:

    - numbers and dates: digits of any script with the signs between them (1.5, 1954-03-12, 10:30); but not "1." at the
      beginning of a line, which is a label;
    - names, in scripts that have case: words with a capital, adjacent ones as one name (Ada Lovelace, J. R. Smith).
      The first word of a sentence or a quotation is one if it stands capitalised elsewhere inside a sentence or in the
      title, or if a capital follows and it never stands in lower case; but no preposition, article, pronoun or
      connective is (lists in `OPENING` and `views.order.LEANING`: en, de, fr, es, it, pt). A single letter is one only
      beside another capital, and the English "I" only before a point. German nouns are all capitalised, so they count;
    - in any script, runs of two Katakana or more, and of text in letters without case (Chinese, Japanese, Korean,
      Arabic, Hebrew, Thai, Devanagari) what stands in quotation or title marks, up to `LONGEST_QUOTE` characters;
    - in a document most of whose letters have no case, Latin (Greek, Cyrillic) words, capitalised or not.

    So of a Chinese or Arabic text fewer facts are found than of an English one, and of some none: give questions.
    """
    about = [question for question in questions if question.document_id == document.id]
    return _merged(_of_answers(document, about) if about else _by_rule(document))


def identifying_spans(document: Document, questions: Iterable[Question] = ()) -> tuple[CharSpan, ...]:
    """Where `document` says anything that tells it from others: its facts by rule, and the answers about it."""
    return _merged([*_by_rule(document), *fact_spans(document, questions)])


def _of_answers(document: Document, questions: Iterable[Question]) -> Iterator[CharSpan]:
    for answer in dict.fromkeys(answer for question in questions for answer in question.answers if answer.strip()):
        yield from find_whole_words(document.text, answer)


def _by_rule(document: Document) -> Iterator[CharSpan]:
    text = document.text
    labels = {match.end() for match in _LABEL.finditer(text)}
    yield from (match.span() for match in _NUMBER.finditer(text) if match.end() + 1 not in labels)
    yield from (match.span() for match in _KATAKANA.finditer(text))
    for match in _QUOTED.finditer(text):
        if any(letter.isalpha() and not _has_case(letter) for letter in match.group()):
            yield match.start() + 1, match.end() - 1
    words = [match.span() for match in _WORD.finditer(text)]
    cased = Counter(map(_has_case, filter(str.isalpha, text)))
    if cased[False] > cased[True]:
        yield from (place for run in words for place in _with_case(text, *run))
    else:
        yield from _names(document, words)


def _has_case(letter: str) -> bool:
    return unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Mn")  # an accent goes with its letter


def _with_case(text: str, start: int, end: int) -> Iterator[CharSpan]:
    """The stretches of a run of letters that have case: Chinese puts no space between them and its own."""
    for cased, group in groupby(range(start, end), key=lambda i: _has_case(text[i])):
        if cased:
            stretch = list(group)
            yield stretch[0], stretch[-1] + 1


def _names(document: Document, words: list[CharSpan]) -> Iterator[CharSpan]:
    """Runs of capitalised words, less the first one of a sentence where the capital is no news."""
    text = document.text
    opening = _opening(document, words)
    spelled = [text[start:end] for start, end in words]
    i_am = "I" if document.language.split("-")[0] == "en" else ""
    capital = [
        (word[0].isupper() or word[0].istitle()) and (word != i_am or text.startswith(".", end))
        for word, (_, end) in zip(spelled, words, strict=True)
    ]
    known = {word for word, place, big in zip(spelled, words, capital, strict=True) if big and place not in opening}
    known.update(match.group() for match in _WORD.finditer(document.title))
    small = {word for word, big in zip(spelled, capital, strict=True) if not big}
    no_names = _NO_NAMES.get(document.language.split("-")[0], frozenset())

    def goes_on(i: int) -> bool:
        joined = i + 1 < len(words) and _WITHIN_NAME.fullmatch(text, words[i][1], words[i + 1][0])
        return bool(joined) and words[i + 1] not in opening and capital[i + 1]

    def is_name(i: int) -> bool:
        if words[i] not in opening or not capital[i]:
            return capital[i]
        if spelled[i].casefold() in no_names or (len(spelled[i]) == 1 and not _INITIAL.match(text, words[i][1])):
            return False
        return spelled[i] in known or (goes_on(i) and spelled[i].casefold() not in small)

    run: list[int] = []
    for i in range(len(words)):
        run += [i] if is_name(i) else []
        if run and not (run[-1] == i and goes_on(i)):
            if len(run) > 1 or len(spelled[run[0]]) > 1:
                yield words[run[0]][0], words[run[-1]][1]
            run = []


def _opening(document: Document, words: list[CharSpan]) -> set[CharSpan]:
    """The words that open a sentence, a quotation, a line of a block kept as written, or what follows a colon."""
    text, told = document.text, sentences(document.text, document.language)
    starts = []
    for piece, start, before, kept in zip(told.texts, told.starts, told.breaks, told.verbatim, strict=True):
        starts += [start] if before != SOFT else []
        starts += [start + match.end() for match in re.finditer("\n", piece)] if kept else []
    found, end, next_start = set(), 0, 0
    for place in words:
        passed = bisect_right(starts, place[0])
        if passed > next_start or _OPENS.search(text, end, place[0]):
            found.add(place)
        end, next_start = place[1], passed
    return found


def _merged(places: Iterable[CharSpan]) -> tuple[CharSpan, ...]:
    """The places in order; those that overlap become one."""
    merged: list[CharSpan] = []
    for start, end in sorted(places):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
