"""Finds the characters of a document that carry facts: answers to questions, or numbers and names.

Knowledge tokens (arXiv 2503.03705) are the tokens over these characters. The paper does not define which characters
carry facts, so this module has rules of its own, for many scripts. The rules use no tagger and no dictionary, and give
the same result on every machine.
"""

import re
import unicodedata
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Iterator
from itertools import groupby

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import CharSpan, find_whole_words
from hf_knowlearn.documents.sentence_rules import rules_for
from hf_knowlearn.documents.sentences import SOFT, sentences

# Words at the beginning of a sentence that are not part of the name after them ("In Ormel", "Die Stadt"), in addition
# to `opening` in `language_rules.toml`.
FUNCTION_WORDS = {
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
_NOT_NAMES = {
    language: frozenset(words.split()) | rules.opening
    for language, words in FUNCTION_WORDS.items()
    if (rules := rules_for(language))
}

MAX_QUOTE = 40  # characters; a longer quotation is speech and not a title

# Digits of any script, joined by the characters that occur inside numbers, dates and times.
_NUMBER = re.compile(r"\d+(?:[.,:/'\u2019\u066b\u066c\u00a0\u202f\u2009\u2010-\u2013-]\d+)*")
_LIST_LABEL = re.compile(r"^[ \t]*\d+[.)](?=[ \t])", re.MULTILINE)
# Letters with their accents, joined by hyphens.
_LETTERS = r"(?:[^\W\d_][\u0300-\u036f]*)+"
_WORD = re.compile(rf"{_LETTERS}(?:[\u2010-]{_LETTERS})*")
# Between two words of one name: white space, an apostrophe, or the full stop of an initial.
_WITHIN_NAME = re.compile(r"[\s'\u2019]|\.\s?")
_AFTER_INITIAL = re.compile("[.'\u2019]")
_KATAKANA = re.compile("[\u30a1-\u30ff\u31f0-\u31ff\uff66-\uff9f]{2,}")
_QUOTES = "\u300c\u300d\u300e\u300f\u300a\u300b\u3008\u3009\u201c\u201d\xab\xbb"  # pairs of opening and closing
_QUOTED = re.compile(
    "|".join(
        rf"{start}([^{start}{end}\n]{{1,{MAX_QUOTE}}}){end}"
        for start, end in zip(_QUOTES[::2], _QUOTES[1::2], strict=True)
    )
)
# After these, a word is capitalized without being a name: a colon, a table cell, an opening quotation mark.
_CLAUSE_START = re.compile('[:|"\u201c\u201e\xab\u2039]')


def fact_spans(document: Document, questions: Iterable[Question] = ()) -> tuple[CharSpan, ...]:
    """Return the characters of a document that carry facts.

    If some of the questions are about the document (by `document_id`), the facts are their answers, wherever the
    answers occur as whole words. Otherwise the facts are:

    - Numbers and dates: digits of any script with the characters between them (1.5, 1954-03-12, 10:30). The label of
      a list item ("1." at the beginning of a line) is not a fact.
    - Names, in scripts with upper and lower case: capitalized words. Adjacent capitalized words are one name (Ada
      Lovelace, J. R. Smith). All German nouns count, because they are capitalized. A single letter is part of a name
      only beside another capitalized word. The English "I" is part of a name only before a full stop.
    - The first word of a sentence or quotation, in two cases. In the first case, the word also occurs capitalized
      inside a sentence or in the title. In the second case, a capitalized word follows, and the document never has the
      first word in lower case. Words in `FUNCTION_WORDS` and `opening` in `language_rules.toml` (en, de, fr, es, it,
      pt) are never names at the beginning of a sentence.
    - Runs of at least two Katakana.
    - Quoted text and titles in letters without case (such as Chinese, Arabic or Thai), up to `MAX_QUOTE` characters.
    - Words in a script with case (Latin, Greek, Cyrillic), if most letters of the document have no case.

    These rules find few facts, or none, in a text whose script has no case. Give questions for such texts.

    Returns:
        (start, end) in characters of `document.text`, ascending and without overlap.

    Example:
        >>> document = Document("tarn", "The mill in Tarn grinds 40 sacks of rye.")
        >>> [document.text[start:end] for start, end in fact_spans(document)]
        ['Tarn', '40']
        >>> question = Question("q", "What does the mill grind?", ("rye",), document_id="tarn")
        >>> [document.text[start:end] for start, end in fact_spans(document, [question])]
        ['rye']
    """
    about = [question for question in questions if question.document_id == document.id]
    return _merged(_answer_spans(document, about) if about else _rule_spans(document))


def identifying_spans(document: Document, questions: Iterable[Question] = ()) -> tuple[CharSpan, ...]:
    """Return the spans that distinguish a document from other documents. These are the numbers and names that the
    rules find, and the answers to the document's questions."""
    return _merged([*_rule_spans(document), *fact_spans(document, questions)])


def _answer_spans(document: Document, questions: Iterable[Question]) -> Iterator[CharSpan]:
    for answer in dict.fromkeys(answer for question in questions for answer in question.answers if answer.strip()):
        yield from find_whole_words(document.text, answer)


def _rule_spans(document: Document) -> Iterator[CharSpan]:
    text = document.text
    labels = {match.end() for match in _LIST_LABEL.finditer(text)}
    yield from (match.span() for match in _NUMBER.finditer(text) if match.end() + 1 not in labels)
    yield from (match.span() for match in _KATAKANA.finditer(text))
    for match in _QUOTED.finditer(text):
        if any(letter.isalpha() and not _has_case(letter) for letter in match.group()):
            yield match.start() + 1, match.end() - 1
    words = [match.span() for match in _WORD.finditer(text)]
    cased = Counter(map(_has_case, filter(str.isalpha, text)))
    if cased[False] > cased[True]:
        yield from (span for word in words for span in _cased_runs(text, *word))
    else:
        yield from _names(document, words)


def _has_case(letter: str) -> bool:
    return unicodedata.category(letter) in ("Lu", "Ll", "Lt", "Mn")  # Why Mn: an accent belongs to its letter.


def _cased_runs(text: str, start: int, end: int) -> Iterator[CharSpan]:
    """Yield the runs of letters with case in a word. Why: Chinese text has no space between Latin letters and
    Chinese characters."""
    for cased, group in groupby(range(start, end), key=lambda i: _has_case(text[i])):
        if cased:
            run = list(group)
            yield run[0], run[-1] + 1


def _names(document: Document, words: list[CharSpan]) -> Iterator[CharSpan]:
    """Yield the runs of capitalized words, without words that are capitalized only because they begin a sentence."""
    text, language = document.text, document.language.split("-")[0]
    first_words = _first_words(document, words)
    spelled = [text[start:end] for start, end in words]
    pronoun = "I" if language == "en" else ""
    capital = [
        (word[0].isupper() or word[0].istitle()) and (word != pronoun or text.startswith(".", end))
        for word, (_, end) in zip(spelled, words, strict=True)
    ]
    names = {word for word, span, big in zip(spelled, words, capital, strict=True) if big and span not in first_words}
    names.update(match.group() for match in _WORD.finditer(document.title))
    lower = {word for word, big in zip(spelled, capital, strict=True) if not big}
    not_names = _NOT_NAMES.get(language, frozenset())

    def continues(i: int) -> bool:
        """Return whether the word after word `i` belongs to the name that contains word `i`."""
        joined = i + 1 < len(words) and _WITHIN_NAME.fullmatch(text, words[i][1], words[i + 1][0])
        return bool(joined) and words[i + 1] not in first_words and capital[i + 1]

    def is_name(i: int) -> bool:
        if words[i] not in first_words or not capital[i]:
            return capital[i]
        if spelled[i].casefold() in not_names or (
            len(spelled[i]) == 1 and not _AFTER_INITIAL.match(text, words[i][1])
        ):
            return False
        return spelled[i] in names or (continues(i) and spelled[i].casefold() not in lower)

    run: list[int] = []
    for i in range(len(words)):
        if is_name(i):
            run.append(i)
        if run and not (run[-1] == i and continues(i)):
            if len(run) > 1 or len(spelled[run[0]]) > 1:
                yield words[run[0]][0], words[run[-1]][1]
            run = []


def _first_words(document: Document, words: list[CharSpan]) -> set[CharSpan]:
    """Return the words that follow a colon or begin a sentence, quotation, table cell or line of a verbatim block."""
    text, pieces = document.text, sentences(document.text, document.language)
    starts = []
    for piece, start, before, verbatim in zip(
        pieces.texts, pieces.starts, pieces.breaks, pieces.verbatim, strict=True
    ):
        if before != SOFT:
            starts.append(start)
        if verbatim:
            starts.extend(start + match.end() for match in re.finditer("\n", piece))
    found, end, next_start = set(), 0, 0
    for word in words:
        passed = bisect_right(starts, word[0])
        if passed > next_start or _CLAUSE_START.search(text, end, word[0]):
            found.add(word)
        end, next_start = word[1], passed
    return found


def _merged(spans: Iterable[CharSpan]) -> tuple[CharSpan, ...]:
    """Return the spans in ascending order. Overlapping spans are joined."""
    merged: list[CharSpan] = []
    for start, end in sorted(spans):
        if merged and start < merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return tuple(merged)
