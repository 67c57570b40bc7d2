"""Makes cloze questions, sentence completions and choice questions from the sentences of a document."""

import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterator

from hf_knowlearn.documents import Document
from hf_knowlearn.documents.answer_search import normalize
from hf_knowlearn.documents.language import primary_language
from hf_knowlearn.documents.sentence_rules import SentenceRules, rules_for
from hf_knowlearn.study.candidates import BLANK, MOST_ANSWER_WORDS, Candidate
from hf_knowlearn.study.passages import Passage, passages, without_markup
from hf_knowlearn.study.study_question import CHOICE, CLOZE, COMPLETION, stable_hash
from hf_knowlearn.study.typed_facts import DATE, NAME, Fact

_ORDER = (COMPLETION, CLOZE, CHOICE, CLOZE)  # the kinds of the questions of one sentence
_MARK = "\x00"  # in place of the blank, until the marks of Markdown are removed
_REFERENCE = re.compile(
    r"(?:fig(?:ure|\.)?|tab(?:le|\.)?|section|chapter|page|pp?\.|no\.|nr\.|item|step|abbildung|tabelle|kapitel|seite"
    r"|abschnitt|chapitre|cap\xedtulo|p\xe1gina|\xa7|\[)\s*$",
    re.IGNORECASE,
)
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
    for passage in passages(document):
        found = facts[bisect_left(starts, passage.start) : bisect_left(starts, passage.end)]
        if passage.problem:
            rejected[passage.problem] += len(found)
            continue
        yield from _of_sentence(document, passage, found, rules, kinds, seed, rejected)


def _of_sentence(
    document: Document,
    passage: Passage,
    facts: list[Fact],
    rules: SentenceRules | None,
    kinds: Collection[str],
    seed: int,
    rejected: Counter[str],
) -> Iterator[Candidate]:
    possible = []
    for fact in facts:
        if problem := _problem(document, passage, fact, rules):
            rejected[problem] += 1
        else:
            possible.append(fact)
    possible.sort(key=lambda fact: stable_hash(seed, document.id, fact.start))
    for kind in _ORDER:
        fits = [fact for fact in possible if kind != COMPLETION or _can_complete(document, passage, fact, rules)]
        if kind in kinds and fits:
            possible.remove(fits[0])
            yield _candidate(document, passage, fits[0], kind, rules)
    rejected["enough questions about its sentence"] += len(possible)


def _candidate(
    document: Document, passage: Passage, fact: Fact, kind: str, rules: SentenceRules | None
) -> Candidate:
    text = document.text
    shown = _shown(text, passage, fact, kind)
    prompts = tuple(f"{context}: {shown}" if context else shown for context in passage.contexts)
    answer = text[fact.start : fact.end]
    return Candidate(prompts, answer, fact.start, kind, _pool(document, passage, fact, rules))


def _shown(text: str, passage: Passage, fact: Fact, kind: str) -> str:
    """Return the sentence with a blank for the answer, or the beginning of the sentence up to the answer."""
    before = text[passage.start : fact.start]
    if kind == COMPLETION:
        return f"{without_markup(before)} ..."
    sentence = without_markup(f"{before}{_MARK}{text[fact.end : passage.end]}")
    return sentence.replace(_MARK, BLANK)


def _problem(document: Document, passage: Passage, fact: Fact, rules: SentenceRules | None) -> str:
    """Return why a fact is not an answer, or an empty string."""
    text, answer = document.text, document.text[fact.start : fact.end]
    if fact.end > passage.end or len(answer.splitlines()) > 1:
        return "answer on two lines"
    if len(answer.split()) > MOST_ANSWER_WORDS:
        return "answer too long"
    if not normalize(answer) or (len(answer) < 3 and fact.kind == NAME and not answer.isupper()):
        return "answer too short"
    before = text[max(passage.start, fact.start - 20) : fact.start]
    if _REFERENCE.search(before):
        return "number of a figure or section"
    if fact.kind == NAME and primary_language(document.language) == "de" and not _is_german_name(before, answer, rules):
        return "common noun"
    shown = _shown(text, passage, fact, CLOZE)
    if BLANK not in shown:
        return "address or code"
    if _contains(f"{passage.contexts[-1]} {shown}", answer, fact.kind):
        return "question contains the answer"
    return ""


def _contains(question: str, answer: str, kind: str) -> bool:
    """Return whether a question contains the answer, or a word of a name that is the answer."""
    shown = f" {normalize(question)} "
    if f" {normalize(answer)} " in shown or (len(answer) > 3 and answer.casefold() in question.casefold()):
        return True
    words = (normalize(word) for word in answer.split()) if kind == NAME else ()
    return any(len(word) > 3 and f" {word} " in shown for word in words)


def _is_german_name(before: str, answer: str, rules: SentenceRules | None) -> bool:
    """Return whether a German noun is probably a name: several words, capitals, or a preposition before it."""
    if " " in answer or answer.isupper() or any(map(str.isdigit, answer)):
        return True
    last = _LAST_WORD.search(before)
    return bool(last and rules and last.group(1) in ("in", "von", "nach", "aus", "bei", "durch", "mit"))


def _can_complete(document: Document, passage: Passage, fact: Fact, rules: SentenceRules | None) -> bool:
    """Return whether the answer ends a clause and follows a preposition or a verb."""
    text = document.text
    before = without_markup(text[passage.start : fact.start])
    if fact.end < passage.end and not _COMPLETE.match(text, fact.end, passage.end):
        return False
    if before.count(" ") < 3 or not before[-1].isalnum():
        return False
    if rules is None:
        return True
    words = before.casefold().split()
    word = words[-2] if words[-1] in _ARTICLES else words[-1]
    verbs = _VERBS.get(primary_language(document.language), "").split()
    return word in rules.prepositions or word in rules.past_verbs or word in verbs


def _pool(document: Document, passage: Passage, fact: Fact, rules: SentenceRules | None) -> str:
    """Return the name of the answers that have the same form, and the same preposition before them."""
    answer = document.text[fact.start : fact.end]
    language = primary_language(document.language)
    if fact.kind != NAME:
        shape = _DIGITS.sub(lambda match: "0" * len(match.group()), answer)
        return f"{language} {fact.kind} {_LETTERS.sub('x', shape) if fact.kind == DATE else shape}"
    last = _LAST_WORD.search(document.text, max(passage.start, fact.start - 20), fact.start)
    word = last.group(1).casefold() if last else ""
    preposition = word if rules and word in rules.prepositions else ""
    return f"{language} {NAME} {preposition} {min(len(answer.split()), 3)} {answer.isupper()}"
