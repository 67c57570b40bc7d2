"""Makes cloze questions, sentence completions and choice questions from the sentences of a document."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.answer_search import normalize
from hf_knowlearn.documents.language import primary_language
from hf_knowlearn.documents.sentence_rules import SentenceRules, rules_for
from hf_knowlearn.study.candidates import BLANK, MOST_ANSWER_WORDS, Candidate
from hf_knowlearn.study.passages import Passage, is_balanced, passages, without_markup
from hf_knowlearn.study.study_question import CHOICE, CLOZE, COMPLETION, stable_hash
from hf_knowlearn.study.typed_facts import DATE, NAME, Fact

_ORDER = (COMPLETION, CLOZE, CHOICE, CLOZE)  # the kinds of the questions of one sentence
_MARK = "\x00"  # in place of the blank, until the marks of Markdown are removed
_NUMBER_AFTER = re.compile(r"\s?\d")
_REFERENCE = re.compile(
    r"(?:fig(?:ure|\.)?|tab(?:le|\.)?|section|chapter|page|pp?\.|no\.|nr\.|item|step|abbildung|tabelle|kapitel|seite"
    r"|abschnitt|chapitre|cap\xedtulo|p\xe1gina|\xa7|\[)\s*$",
    re.IGNORECASE,
)
_WORD = re.compile(r"[^\W\d_]+")
_BEFORE = re.compile(r"(?<![\w.])([^\W\d_])[\w'\u2019-]*(?::? |[\u2013&])$")  # the word before a blank
_AFTER = re.compile(r"[ \u2013&]([^\W\d_])[\w'\u2019-]")
_TIME = re.compile(r"(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)days?|January|February|March|April|June|July|August")
_RUN_ON = re.compile(r"[a-z]{2}\.\s?[A-Z]")  # two sentences without a space between them
_NEXT_WORD = re.compile(r"[ -]([^\W\d_A-Z]+)")
_LIST = frozenset((",", "and", "und", "et", "y", "or", "oder", "ou", "o", "&"))
_ENOUGH = "enough questions about its sentence"
_LAST_WORD = re.compile(r"([^\W_]+)\W*$")
_COMPLETE = re.compile(r"[.;!)\u3002\uff01]|, (?=[a-z])|$")
_VERBS = {
    "en": "is was are were named called became becomes costs has had takes",
    "de": "ist war sind waren hei\xdft hie\xdf wurde kostet hat hatte",
    "fr": "est \xe9tait sont nomm\xe9 appel\xe9 devient co\xfbte a avait",
    "es": "es era fue son llamado cuesta tiene ten\xeda",
}
_ARTICLES = frozenset("the der die das den dem le la les el los las".split())
_DIGITS = re.compile(r"\d+")
_LETTERS = re.compile(r"[^\W\d_]{2,}")


def sentence_candidates(
    document: Document, facts: list[Fact], kinds: Collection[str], seed: int, rejected: Counter[str]
) -> Iterator[Candidate]:
    """Yield possible questions about the sentences of a document.

    Args:
        facts: the facts of the document, from `typed_facts`.
        kinds: the kinds of questions that are made.
        seed: chooses the facts of a sentence with many facts.
        rejected: receives the number of facts without a question, by reason.
    """
    starts = [fact.start for fact in facts]
    rules = rules_for(document.language)
    wanted = [kind for kind in _ORDER if kind in kinds]
    common = frozenset(filter(str.islower, _WORD.findall(document.text)))
    if rules is not None:
        common |= rules.function | rules.opening | rules.determiners | rules.prepositions
    for passage in passages(document):
        found = facts[bisect_left(starts, passage.start) : bisect_left(starts, passage.end)]
        if passage.problem:
            rejected[passage.problem] += len(found)
            continue
        found.sort(key=lambda fact: stable_hash(seed, document.id, fact.start))
        yield from _of_sentence(_Sentence(document, passage, rules, common), found, wanted, rejected)


@dataclass(frozen=True)
class _Sentence:
    """A sentence with its document, the rules of its language, and the words that the document has in lower case."""

    document: Document
    passage: Passage
    rules: SentenceRules | None
    common: frozenset[str]


def _of_sentence(
    sentence: _Sentence, facts: list[Fact], kinds: list[str], rejected: Counter[str]
) -> Iterator[Candidate]:
    possible: list[Fact] = []
    for number, fact in enumerate(facts):
        if len(possible) > len(kinds) + 2:
            rejected[_ENOUGH] += len(facts) - number
            break
        if problem := _problem(sentence, fact):
            rejected[problem] += 1
        else:
            possible.append(fact)
    for kind in kinds:
        fits = [fact for fact in possible if kind != COMPLETION or _can_complete(sentence, fact)]
        if fits:
            possible.remove(fits[0])
            yield _candidate(sentence, fits[0], kind)
    rejected[_ENOUGH] += len(possible)


def _candidate(sentence: _Sentence, fact: Fact, kind: str) -> Candidate:
    text, passage = sentence.document.text, sentence.passage
    shown = _shown(text, passage, fact, kind)
    prompts = tuple(f"{context}: {shown}" if context else shown for context in passage.contexts)
    return Candidate(prompts, text[fact.start : fact.end], fact.start, kind, _pool(sentence, fact))


def _shown(text: str, passage: Passage, fact: Fact, kind: str) -> str:
    """Return the sentence with a blank for the answer, or the beginning of the sentence up to the answer."""
    before = text[passage.start : fact.start]
    if kind == COMPLETION:
        return f"{without_markup(before)} ..."
    sentence = without_markup(f"{before}{_MARK}{text[fact.end : passage.end]}")
    return sentence.replace(_MARK, BLANK)


def _problem(sentence: _Sentence, fact: Fact) -> str:
    """Return why a fact is not an answer, or an empty string."""
    text, passage = sentence.document.text, sentence.passage
    answer = text[fact.start : fact.end]
    if fact.end > passage.end or len(answer.splitlines()) > 1:
        return "answer on two lines"
    if len(answer.split()) > MOST_ANSWER_WORDS:
        return "answer too long"
    if (len(answer) < 10 and not normalize(answer)) or (
        len(answer) < 3 and fact.kind == NAME and not answer.isupper()
    ):
        return "answer too short"
    before = text[max(passage.start, fact.start - 30) : fact.start]
    if _REFERENCE.search(before) or (_REFERENCE.match(answer) and _NUMBER_AFTER.match(text, fact.end)):
        return "number of a figure or section"
    if fact.kind == NAME and (problem := _problem_of_name(sentence, answer, before, text[fact.end : passage.end])):
        return problem
    shown = _shown(text, passage, fact, CLOZE)
    if BLANK not in shown:
        return "address or code"
    return "question contains the answer" if _contains(f"{passage.contexts[-1]} {shown}", answer, fact.kind) else ""


def _problem_of_name(sentence: _Sentence, answer: str, before: str, after: str) -> str:
    """Return why a name is not an answer, or an empty string."""
    if " " not in answer and not answer.isupper() and answer.casefold() in sentence.common:
        return "common word"
    if primary_language(sentence.document.language) == "de" and not _is_german_name(before, answer):
        return "common word"
    first, *others = answer.replace(".", "").split()
    if _RUN_ON.search(answer) or (others and (_TIME.fullmatch(first) or others[-1].casefold() in sentence.common)):
        return "part of a name"
    following, previous = _AFTER.match(after), _BEFORE.search(before)
    is_inner = " " in before.rstrip(" ")  # Why: the first word of a sentence has a capital letter.
    if (following and following.group(1).isupper()) or (is_inner and previous and previous.group(1).isupper()):
        return "part of a name"
    return ""


def _contains(question: str, answer: str, kind: str) -> bool:
    """Return whether a question contains the answer, or a word of a name that is the answer."""
    shown, folded = question.casefold(), answer.casefold()
    if folded in shown and (len(folded) > 3 or re.search(rf"\b{re.escape(folded)}\b", shown)):
        return True
    if kind == NAME and any(len(word) > 3 and word in shown for word in folded.split()):
        return True
    return not folded.isalnum() and f" {normalize(answer)} " in f" {normalize(question)} "


def _is_german_name(before: str, answer: str) -> bool:
    """Return whether a German noun is probably a name: several words, capitals, or a preposition before it."""
    if " " in answer or answer.isupper() or any(map(str.isdigit, answer)):
        return True
    last = _LAST_WORD.search(before)
    return bool(last and last.group(1) in ("in", "von", "nach", "aus", "bei", "durch", "mit"))


def _can_complete(sentence: _Sentence, fact: Fact) -> bool:
    """Return whether the answer ends a clause and follows a preposition or a verb."""
    text, passage, rules = sentence.document.text, sentence.passage, sentence.rules
    before = without_markup(text[passage.start : fact.start])
    if fact.end < passage.end and not _COMPLETE.match(text, fact.end, passage.end):
        return False
    if before.count(" ") < 3 or not before[-1].isalnum() or not is_balanced(before):
        return False
    if rules is None:
        return True
    words = before.casefold().split()
    if words[0] in rules.prepositions and "," not in before:  # Why: "After the storm of ..." has no verb.
        return False
    word = words[-2] if words[-1] in _ARTICLES else words[-1]
    verbs = _VERBS.get(primary_language(sentence.document.language), "").split()
    return word in rules.prepositions or word in rules.past_verbs or word in verbs


def _pool(sentence: _Sentence, fact: Fact) -> str:
    """Return the name of the answers that have the same form, and similar words beside them."""
    text, passage = sentence.document.text, sentence.passage
    answer, language = text[fact.start : fact.end], primary_language(sentence.document.language)
    if fact.kind != NAME:
        shape = _DIGITS.sub(lambda match: "0" * len(match.group()), answer)
        return f"{language} {fact.kind} {_LETTERS.sub('x', shape) if fact.kind == DATE else shape}"
    words = text[max(passage.start, fact.start - 30) : fact.start].replace(",", " ,").casefold().split()
    article = words.pop() if words and words[-1] in _ARTICLES else ""
    word = words[-1] if words else ""
    prepositions = sentence.rules.prepositions if sentence.rules else ()
    beside = "list" if word in _LIST else word if word in prepositions else ""
    if not beside and (following := _NEXT_WORD.match(text, fact.end, passage.end)):
        beside = f"> {following.group(1)}"
    return f"{language} {NAME} {beside} {article} {min(len(answer.split()), 3)} {answer.isupper()}"
