"""Recognises texts whose order matters, such as procedures and stories. If a text may be a procedure or a
story, the text keeps its order."""

import re
from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from itertools import pairwise

from hf_knowlearn.documents.block_rules import BlockKind
from hf_knowlearn.documents.sentence_rules import LANGUAGES, SentenceRules, words_of
from hf_knowlearn.documents.structure import Block


class DocumentKind(StrEnum):
    """Kinds of documents. Only documents of the first three kinds have sentences that can move."""

    INDEPENDENT_FACTS = "independent facts"
    SECTIONED_REFERENCE = "sectioned reference"
    MIXED = "mixed"
    PROCEDURE = "procedure"
    DIALOGUE = "dialogue"
    LEGAL = "legal"
    NARRATIVE = "narrative"
    LOG = "log"
    MAIL = "mail"
    BLOCKS = "lists, tables or code"
    CONNECTED = "connected text"
    OTHER_LANGUAGE = "language without rules"


Sign = tuple[DocumentKind, str]  # the kind of a text whose order matters, and the reason

_YEAR = re.compile(r"(?<![\d.,(])(?:1[0-9]|20)\d\d(?![\d,)%])(?!\.\d)")
_CLOCK = re.compile(r"(?<!\d)\d{1,2}(?::\d{2}|(?:\.\d{2})?\s?(?:Uhr|h\b|[ap]\.?m\b))")
_QUESTION_MARKS = ("?", "\u061f", "\uff1f")
_BOLD_QUESTION = re.compile(r"\W{0,3}(\*\*|__)[^*\n]+[?\u061f\uff1f]\1")
# "What is it?" called Ada. Why not "is": the title of a song can end with a question mark.
_SPOKEN = re.compile(
    "[\"\u201c\u201e\u00ab\u00bb\u2018'][^\\n]*?[?!,][\"\u201d\u201c\u00ab\u00bb\u2019']\\s+(?!(?:is|was|are|were|has|by|from|and|or)\\b)[^\\W\\d_A-Z]"
)
_QUOTED = re.compile("[\"\u201c\u201d\u201e\u00ab\u00bb]|(?:^|\\s)'[^\\W\\d_]")


def document_sign(text: str, blocks: Sequence[Block], rules: SentenceRules | None, language: str) -> Sign | None:
    """Return the kind of a document in which no sentence may move, and the reason. None: sentences may move."""
    if rules is None:
        names = ", ".join(LANGUAGES)
        return DocumentKind.OTHER_LANGUAGE, f"no rules for the language {language!r}, only for {names}"
    counts = Counter(block.kind for block in blocks)
    share = {kind: sum(b.end - b.start for b in blocks if b.kind is kind) / len(text) for kind in counts}
    if counts[BlockKind.MAIL_HEADER] or _is_letter(text, blocks, rules):
        return DocumentKind.MAIL, "a mail or a letter"
    if share.get(BlockKind.DIALOGUE_TURN, 0) > 0.3:
        return DocumentKind.DIALOGUE, "turns of a dialogue"
    if (questions := sum(_asks(text[block.start : block.end]) for block in blocks)) > 1:
        return DocumentKind.DIALOGUE, f"{questions} questions, whose answers follow"
    if share.get(BlockKind.LOG_LINE, 0) > 0.3:
        return DocumentKind.LOG, "most lines begin with a time"
    found = [match.casefold() for match in rules.legal.findall(text.lower())]
    legal_words = set(found) if 3000 * len(found) >= len(text) else set()  # Why: a novel has a few of them too.
    defines = _DEFINED_TERM.search(text) is not None
    has_items = counts[BlockKind.CLAUSE] + counts[BlockKind.ORDERED_LIST] > 0
    articles = sum(block.level > 0 and _ARTICLE.match(text, block.start) is not None for block in blocks)
    if (
        counts[BlockKind.CLAUSE] + articles > 1
        or len(legal_words) + defines + has_items > 2
        or (defines and legal_words)
    ):
        return DocumentKind.LEGAL, "clauses of a contract or statute"
    return None


# The heading of an article of a contract or statute.
_ARTICLE = re.compile(
    r"[\s#*_]*(?:\u00a7{1,2}\s?\d|(?:article|artikel|art\.|art\u00edculo|articolo|artigo|clause|klausel)\s(?:\d|[IVXLC]+\b))",
    re.IGNORECASE,
)
# A defined term, such as: (the "Product"), "Services" means.
_DEFINED_TERM = re.compile(
    '\\((?:[^()\\n]{0,20})["\u201c\u201e\u00ab]\\s?[^"\u201d\u201c\u00bb\\n]{1,40}["\u201d\u201c\u00bb]\\)'
    '|["\u201d\u201c\u00bb] (?:means|bezeichnet|ist im Sinne|d\u00e9signe|d\u00e9signent)\\b'
)


def _asks(block: str) -> bool:
    """Return whether the first line of a block is a question."""
    return block.strip().split("\n")[0].rstrip('*_"\u201d\u00bb ').endswith(_QUESTION_MARKS)


def _is_letter(text: str, blocks: Sequence[Block], rules: SentenceRules) -> bool:
    """Return whether the text begins or ends like a letter."""
    shown = [text[block.start : block.end].strip() for block in blocks]
    greets = any(len(block) < 80 and rules.greeting.search(block.lower()) for block in shown[:4])
    closes = any(len(block) < 120 and rules.closing.search(block.split("\n")[0].lower()) for block in shown[-3:])
    return (greets and (closes or shown[0].rstrip().endswith(",") or len(shown) > 1)) or (closes and len(shown) > 2)


def run_sign(texts: Sequence[str], heading: str, rules: SentenceRules) -> Sign | None:
    """Return the kind of a run of prose in which no sentence may move, and the reason. None: sentences may move."""
    count = len(texts)
    instructions = sum(rules.is_instruction(text) and not _begins_with_name(text, texts) for text in texts)
    steps = sum(map(rules.orders_steps, texts))
    if instructions + steps > 2 or (instructions > 1 and 3 * instructions >= count):
        if instructions < steps:
            return DocumentKind.NARRATIVE, f"{steps} of {count} sentences order events"
        return DocumentKind.PROCEDURE, f"{instructions} of {count} sentences are instructions"
    processes = sum(map(rules.describes_step, texts))
    if processes > 2 and 5 * processes >= 3 * count:
        return DocumentKind.PROCEDURE, f"{processes} of {count} sentences describe steps"
    if (instructions or steps or processes) and rules.procedure.search(heading.lower()):
        return DocumentKind.PROCEDURE, f"the heading {heading!r} announces a procedure"
    if any(map(_asks, [heading, *texts])) or any(map(_BOLD_QUESTION.match, texts)):
        return DocumentKind.DIALOGUE, "a question, whose answer follows"
    return _narrative_sign(texts, rules)


def _begins_with_name(text: str, texts: Sequence[str]) -> bool:
    """Return whether the first two words are a name, such as "Simmer Rimpom", that also occurs within a sentence."""
    first_words = " ".join(text.split()[:2])
    return first_words.istitle() and any(each.find(first_words) > 0 for each in texts)


def _narrative_sign(texts: Sequence[str], rules: SentenceRules) -> Sign | None:
    count = len(texts)
    narrated = sum(map(rules.narrates, texts))
    timed = sum(rules.narrative_time.search(text.lower()) is not None for text in texts)
    quoted = sum(_QUOTED.search(text) is not None and rules.narrates(text) for text in texts)
    acted = sum(map(rules.acts_in_past, texts))
    if acted > 2 and 2 * acted >= count and not _has_one_subject(texts, rules):
        return DocumentKind.NARRATIVE, f"{acted} of {count} sentences report an action in the past"
    own = sum(rules.is_in_first_person(text) for text in texts)
    if any(map(_SPOKEN.match, texts)):
        return DocumentKind.NARRATIVE, "somebody speaks"
    if (narrated > 1 and 4 * (narrated + timed) >= count) or (narrated and timed) or quoted:
        return DocumentKind.NARRATIVE, f"{narrated} of {count} sentences narrate"
    if timed > 1 and 3 * timed >= count:
        return DocumentKind.NARRATIVE, f"{timed} of {count} sentences name a time in a sequence"
    if own > 1 and 3 * own >= count:
        return DocumentKind.NARRATIVE, f"{own} of {count} sentences are in the first person"
    text = " ".join(texts)
    for name, pattern in (("years", _YEAR), ("times of day", _CLOCK)):
        times = list(dict.fromkeys(_number(match.group()) for match in pattern.finditer(text)))
        is_sequence = len(times) > 3 or any(rules.refers_back(text) for text in texts[1:])
        descents = sum(after < before for before, after in pairwise(times))
        # Why: an event of several days passes midnight once.
        if len(times) > 2 and is_sequence and (not descents or (descents == 1 and len(times) > 3)):
            return DocumentKind.NARRATIVE, f"{len(times)} {name} in their order"
    return None


def _has_one_subject(texts: Sequence[str], rules: SentenceRules) -> bool:
    """Return whether one word occurs in most sentences, as in facts about one person or thing."""
    words = Counter(word for text in texts for word in {*words_of(text.casefold())} if rules.can_name(word))
    return bool(words) and 5 * words.most_common(1)[0][1] >= 3 * len(texts)


def _number(time: str) -> float:
    return float(re.sub(r"[^\d.]", "", time.replace(":", ".")).strip(".") or 0)
