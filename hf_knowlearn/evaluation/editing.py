"""Editing scores by the definitions of KnowEdit (arXiv 2401.01286).

Reliability: does the model know the fact? Generalisation: does it also answer other wordings of the question?
Portability: does it know the consequences of the fact? Locality: do the answers to unrelated questions stay the
same? KnowEdit scores teacher-forced answers: the share of tokens that the model predicts correctly after the true
tokens before them. A wrong first token then has no effect on the second one, so each score is also computed from
generated responses.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.documents.answer_search import WORD
from hf_knowlearn.evaluation.model_responses import ModelResponses, agreement
from hf_knowlearn.evaluation.standard_errors import clustered_mean
from hf_knowlearn.knowledge_recall import correct
from hf_knowlearn.knowledge_recall.scoring import first_line, normalizer

REPHRASED = "rephrased"
# In KnowEdit: Subject_Aliasing, reasoning and Logical_Generalization.
PORTABILITY = ("alias", "one-hop", "reversed")
KINDS = (None, REPHRASED, *PORTABILITY)
WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # weights of the entropies of pairs and of triples
_WORD_OR_SIGN = re.compile(rf"{WORD.pattern}|[^\w\s]")

Score = tuple[str, float, float]  # the document, the teacher-forced score and the generated score


def editing_scores(
    questions: Sequence[Question],
    locality_questions: Sequence[Question],
    before: ModelResponses,
    after: ModelResponses,
    *,
    language: str = "en",
) -> dict[str, Any]:
    """Scores for how well a model learned facts, and how much its other knowledge changed.

    Scores are means over questions (KnowEdit: over edits, and over the questions of each). Portability is the mean
    over its kinds. Standard errors are clustered by document. A question without a document is a cluster of its own.

    Args:
        questions: questions about the training documents. Among the questions of `kind` None with the same `fact_id`,
            the first one asks for the fact (reliability). The others are other wordings (generalisation), like the
            questions of kind "rephrased". "alias", "one-hop" and "reversed" ask for what follows from the fact
            (portability).
        locality_questions: questions of any kind that are unrelated to the training documents.
        before, after: the responses before and after training. `before` needs those to `locality_questions` only.
        language: see `knowledge_recall.scoring.normalize`.

    Returns:
        reliability, generalisation, portability: each with `teacher_forced` (mean share of the predicted tokens of the
            first accepted answer that are its own) and `generated` (share of responses whose first line is
            correct). Portability also has `by_kind`.
        locality: `teacher_forced` (mean share of those tokens that are predicted as before) and `generated` (share of
            responses whose first line, normalised, is that of before).
        fluency: mean of `fluency` over the texts before and after, in bits.
        NAME_se, n: standard errors, nan for a single cluster; and numbers of questions or texts.
        A score without questions is left out. All scores except fluency are in [0, 1].

    Raises:
        ValueError: a question has an unknown kind or no response, the tokenizers differ, or the language is unknown.
            The message lists all problems.

    Example:
        >>> scores = editing_scores(questions, locality_questions, before, after)
        >>> scores["reliability"]["generated"], scores["locality"]["generated"]
        (0.8, 0.95)
    """
    normal = normalizer(language)
    _check(questions, locality_questions, before, after)
    by_kind: dict[str | None, list[Score]] = defaultdict(list)
    for question, kind in zip(questions, _kinds(questions), strict=True):
        is_correct = correct(first_line(after.generated[question.id]), question.answers, language)
        by_kind[kind].append((_cluster(question), after.teacher_forced[question.id].accuracy, float(is_correct)))
    unchanged: list[Score] = []
    for question in locality_questions:
        tokens = agreement(*(model.teacher_forced[question.id].predicted for model in (before, after)))
        texts = {normal(first_line(model.generated[question.id])) for model in (before, after)}
        unchanged.append((_cluster(question), tokens, float(len(texts) == 1)))
    portability = {kind: by_kind[kind] for kind in PORTABILITY if kind in by_kind}
    groups = {
        "reliability": [by_kind.get(None, [])],
        "generalisation": [by_kind.get(REPHRASED, [])],
        "portability": list(portability.values()),
        "locality": [unchanged],
    }
    scores: dict[str, Any] = {name: _means(own) for name, own in groups.items() if any(own)}
    if portability:
        scores["portability"]["by_kind"] = {kind: _means([own]) for kind, own in portability.items()}
    scores["fluency"] = {
        name: _mean_fluency(model.texts) for name, model in (("before", before), ("after", after)) if model.texts
    }
    return scores


def fluency(text: str) -> float:
    """A measure of how little a text repeats itself: (2/3 H(2) + 4/3 H(3)) / 2, in bits. A text of one repeated word
    has 0.

    H(n) = -sum of f(k) log2 f(k) over the different n-grams k of the text, with f(k) the share of k among its n-grams.
    H(n) = 0 for a text of fewer than n words. It is ROME's generation entropy (arXiv 2202.05262) with the weights of
    its code, which KnowEdit uses and prints times 100. Words and punctuation marks count, and characters in scripts
    without spaces; their words are those of NLTK.
    """
    words = _WORD_OR_SIGN.findall(text)
    return sum(weight * _entropy(words, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def _entropy(words: Sequence[str], n: int) -> float:
    """The entropy of the n-grams, in bits."""
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    return math.fsum(count / counts.total() * math.log2(counts.total() / count) for count in counts.values())


def _cluster(question: Question) -> str:
    return f"question {question.id}" if question.document_id is None else f"document {question.document_id}"


def _kinds(questions: Sequence[Question]) -> list[str | None]:
    """The kind of each question. Every wording of a fact after the first counts as a rephrasing."""
    first: dict[str, str] = {}
    for question in questions:
        if question.kind is None and question.fact_id is not None:
            first.setdefault(question.fact_id, question.id)
    return [
        REPHRASED if q.kind is None and q.fact_id is not None and first[q.fact_id] != q.id else q.kind
        for q in questions
    ]


def _means(groups: Sequence[Sequence[Score]]) -> dict[str, Any]:
    """The mean over groups of the mean of each group, for teacher-forced and generated scores, with standard
    errors."""
    documents = [document for group in groups for document, *_ in group]
    means: dict[str, Any] = {}
    for column, name in enumerate(("teacher_forced", "generated"), start=1):
        values = [[float(score[column]) for score in group] for group in groups]
        means[name], means[f"{name}_se"] = clustered_mean(values, documents)
    return {**means, "n": len(documents)}


def _mean_fluency(texts: Sequence[str]) -> dict[str, Any]:
    mean, error = clustered_mean([list(map(fluency, texts))], list(map(str, range(len(texts)))))
    return {"bits": mean, "bits_se": error, "n": len(texts)}


def _check(
    questions: Sequence[Question], locality: Sequence[Question], before: ModelResponses, after: ModelResponses
) -> None:
    problems = []
    if unknown := {q.kind: q.id for q in reversed(questions) if q.kind not in KINDS}:
        listed = ", ".join(f"{kind!r} (question {id!r})" for kind, id in unknown.items())
        problems.append(f"Unknown kinds of questions: {listed}. Choose from {', '.join(map(repr, KINDS))}.")
    everything = [*questions, *locality]
    if repeated := sorted(id for id, count in Counter(q.id for q in everything).items() if count > 1):
        problems.append(
            f"{len(repeated)} question ids occur more than once, such as {repeated[0]!r}: give each question its own."
        )
    for name, found, needed in (("before", before, locality), ("after", after, everything)):
        if lost := [q.id for q in needed if q.id not in found.generated or q.id not in found.teacher_forced]:
            problems.append(
                f"`{name}` lacks responses to {number_of(len(lost), 'question')}, such as {lost[0]!r}. Add them."
            )
    old, new = before.teacher_forced, after.teacher_forced
    if not problems and (other := [q.id for q in locality if old[q.id].expected != new[q.id].expected]):
        problems.append(
            f"The answers to {len(other)} locality questions, such as {other[0]!r}, have different tokens before and"
            " after: use the same tokenizer and the same accepted answers both times."
        )
    if problems:
        raise ValueError("\n".join(problems))
