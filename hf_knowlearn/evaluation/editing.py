"""Scores of knowledge editing, by the definitions of KnowEdit (arXiv 2401.01286).

- Reliability: does the model answer the question about the fact?
- Generalisation: does the model also answer other wordings of the question?
- Portability: does the model know the consequences of the fact?
- Locality: does the model answer unrelated questions as it did before training?

Each score is computed twice. The teacher-forced score is that of KnowEdit: the share of the answer's tokens that the
model predicts correctly. Each token is predicted from the correct tokens before it, so a wrong prediction has no
effect on later tokens. The generated score, which KnowEdit does not have, uses the responses that the model generates.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Question
from hf_knowlearn.documents.answer_search import WORD
from hf_knowlearn.evaluation.correct_responses import response_checker
from hf_knowlearn.evaluation.model_responses import ModelResponses, agreement
from hf_knowlearn.evaluation.standard_errors import clustered_mean
from hf_knowlearn.knowledge_recall.scoring import first_line, normalizer

REPHRASED = "rephrased"
# KnowEdit calls these kinds Subject_Aliasing, reasoning and Logical_Generalization.
PORTABILITY = ("alias", "one-hop", "reversed")
KINDS = (None, REPHRASED, *PORTABILITY)
WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # weight of the entropy of pairs and of triples of words
_WORD_OR_SIGN = re.compile(rf"{WORD.pattern}|[^\w\s]")

Score = tuple[str, float, float]  # cluster (document or question), teacher-forced score, generated score


def editing_scores(
    questions: Sequence[Question],
    locality_questions: Sequence[Question],
    before: ModelResponses,
    after: ModelResponses,
    *,
    language: str = "en",
) -> dict[str, Any]:
    """Return how well a model learned facts, and how much its other knowledge changed.

    A score is a mean over questions. (KnowEdit averages over edits, and over the questions of each edit.) The score
    for portability is the mean over the kinds of questions. Standard errors are clustered by document. A question
    without a document is a separate cluster.

    Args:
        questions: questions about the training documents. The `kind` of a question determines its score. "alias",
            "one-hop" and "reversed" belong to portability, and "rephrased" belongs to generalisation. Questions
            without a kind belong to reliability. But if several of them have the same `fact_id`, all except the first
            belong to generalisation.
        locality_questions: questions of any kind that are unrelated to the training documents.
        before, after: the model's responses before and after training. `before` needs responses to
            `locality_questions` only.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).

    Returns:
        reliability, generalisation, portability: each has `teacher_forced`, the mean share of the first accepted
            answer's tokens that are predicted correctly, and `generated`, the share of responses that are correct.
            Portability also has these scores `by_kind`.
        locality: `teacher_forced` is the mean share of the first accepted answer's tokens for which the model predicts
            one and the same token before and after training. `generated` is the share of questions whose responses
            before and after training have the same normalised first line.
        fluency: `before` and `after` have the mean fluency of the texts, in bits (see `fluency`).
        NAME_se: the standard error of a score; nan for a single cluster.
        n: the number of questions or texts.
        A score without questions is left out. All scores except fluency are in [0, 1].

    Raises:
        ValueError: a question has an unknown kind or no response, an id occurs twice, or the answers have different
            tokens before and after. The message lists all problems. Or the language is unknown.

    Example:
        >>> scores = editing_scores(questions, locality_questions, before, after)
        >>> scores["reliability"]["generated"], scores["locality"]["generated"]
        (0.8, 0.95)
    """
    normal = normalizer(language)
    _check(questions, locality_questions, before, after)
    by_kind: dict[str | None, list[Score]] = defaultdict(list)
    is_right = response_checker(questions, language)
    for question, kind in zip(questions, _kinds(questions), strict=True):
        is_correct = is_right(question, after.generated[question.id])
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
    """Return the fluency of a text, in bits. It is low if the text repeats itself, and 0 for one repeated word.

    Fluency is (2/3 H(2) + 4/3 H(3)) / 2. H(n) is the entropy of the text's n-grams: -sum of f(k) log2 f(k) over its
    different n-grams k, where f(k) is the share of k among all n-grams. H(n) is 0 for a text of fewer than n words.

    This is the generation entropy of ROME (arXiv 2202.05262), with the weights of ROME's code. KnowEdit also uses it,
    multiplied by 100. Here, each word and each punctuation mark counts as a word. In scripts without spaces, each
    character counts as a word. ROME and KnowEdit use the words of NLTK.
    """
    words = _WORD_OR_SIGN.findall(text)
    return sum(weight * _entropy(words, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def _entropy(words: Sequence[str], n: int) -> float:
    """Return the entropy of the n-grams, in bits."""
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    return math.fsum(count / counts.total() * math.log2(counts.total() / count) for count in counts.values())


def _cluster(question: Question) -> str:
    return f"question {question.id}" if question.document_id is None else f"document {question.document_id}"


def _kinds(questions: Sequence[Question]) -> list[str | None]:
    """Return the kind of each question.

    Among the questions of kind None about a fact, all except the first get the kind "rephrased".
    """
    first: dict[str, str] = {}
    for question in questions:
        if question.kind is None and question.fact_id is not None:
            first.setdefault(question.fact_id, question.id)
    return [
        REPHRASED if q.kind is None and q.fact_id is not None and first[q.fact_id] != q.id else q.kind
        for q in questions
    ]


def _means(groups: Sequence[Sequence[Score]]) -> dict[str, Any]:
    """Return the mean teacher-forced score and the mean generated score. All groups have the same weight."""
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
            f"{number_of(len(repeated), 'question id occurs', 'question ids occur')} more than once, such as"
            f" {repeated[0]!r}. Give each question its own id."
        )
    for name, found, needed in (("before", before, locality), ("after", after, everything)):
        if lost := [q.id for q in needed if q.id not in found.generated or q.id not in found.teacher_forced]:
            problems.append(
                f"{name}: {number_of(len(lost), 'question has', 'questions have')} no response, such as {lost[0]!r}."
                " Add the responses."
            )
    old, new = before.teacher_forced, after.teacher_forced
    if not problems and (other := [q.id for q in locality if old[q.id].expected != new[q.id].expected]):
        problems.append(
            f"The accepted answers of {number_of(len(other), 'locality question')}, such as {other[0]!r}, have"
            " different tokens before and after. Use the same tokenizer and the same accepted answers both times."
        )
    if problems:
        raise ValueError("\n".join(problems))
