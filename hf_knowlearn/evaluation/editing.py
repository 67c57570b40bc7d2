"""Editing scores: is the fact taken in, does it carry over, did the rest stay as it was (KnowEdit, arXiv 2401.01286)?

KnowEdit scores an answer teacher-forced: the share of its tokens that the model would have said, each after the true
ones before it. That is kinder than asking, since a wrong first token is forgiven at the second; so every score is
given twice, `teacher_forced` and `generated`. The surprising decision: we teach documents, and no wording of a
question is the edit itself, so the first wording of a fact stands for it and the others are its rephrasings.
"""

import math
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.duplicates import WORD
from hf_knowlearn.evaluation.answer_logprobs import Row, answer_rows, in_shares, read_answers
from hf_knowlearn.evaluation.standard_errors import mean_and_error
from hf_knowlearn.generation.ask import GenerationSettings, build_prompts, generate_responses, in_order
from hf_knowlearn.generation.decoding import Decoder, Job
from hf_knowlearn.generation.models import check_model, ends_of, pad_id
from hf_knowlearn.generation.sampling import SampleRandom
from hf_knowlearn.knowledge_recall.scoring import exact_match, first_line, normalizer
from hf_knowlearn.prompts.templates import first_answer

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

REPHRASED = "rephrased"
# KnowEdit's Subject_Aliasing, reasoning and Logical_Generalization.
PORTABILITY = ("alias", "one-hop", "reversed")
KINDS = (None, REPHRASED, *PORTABILITY)
WEIGHTS = {2: 2 / 3, 3: 4 / 3}  # of the entropies of pairs and of triples
TOP_K, TEXT = 5, 100  # as ROME's code samples the texts that it measures fluency on (arXiv 2202.05262), and tokens
_TOKEN = re.compile(rf"{WORD.pattern}|[^\w\s]")


@dataclass(frozen=True)
class TeacherForced:
    """An accepted answer's tokens, and at the place of each the one that the model finds most probable.

    Args:
        answer: the first accepted one, as KnowEdit has one target.
    """

    question_id: str
    prompt: int
    answer: str
    expected: tuple[int, ...]
    predicted: tuple[int, ...]

    @property
    def accuracy(self) -> float:
        """The share of tokens that are predicted, in [0, 1]."""
        return _same(self.expected, self.predicted)


@dataclass(frozen=True)
class ModelResponses:
    """What one model said: by question id, generated and teacher-forced; and texts that it went on to, for fluency."""

    generated: Mapping[str, str]
    teacher_forced: Mapping[str, TeacherForced]
    texts: Sequence[str] = field(default=())


def collect_responses(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    asking: GenerationSettings | None = None,
    *,
    pool: Sequence[Question] | None = None,
    documents: Sequence[Document] | None = None,
    texts: int = 100,
    progress: str | None = None,
) -> ModelResponses:
    """Ask the model everything that `editing_scores` needs; the first `texts` questions for fluency.

    Asked with one prompt each, greedily. Raises as `generate_responses` and `answer_logprobs` do.
    """
    asking = replace(asking or GenerationSettings(), prompts=1, samples=0)
    some = questions[:texts]
    told = continuations(model, tokenizer, some, asking, pool=pool, documents=documents, progress=progress)
    answers = generate_responses(
        model, tokenizer, questions, asking, pool=pool, documents=documents, progress=progress
    )
    forced = teacher_forced(model, tokenizer, questions, asking, pool=pool, documents=documents, progress=progress)
    return ModelResponses(
        {answer.question_id: answer.greedy[0] for answer in answers},
        {one.question_id: one for one in forced},
        told,
    )


def teacher_forced(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    asking: GenerationSettings | None = None,
    *,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | None = None,
    progress: str | None = None,
) -> list[TeacherForced]:
    """The first accepted answer to each prompt of each question, teacher-forced, in their order.

    Asked as `generate_responses` asks; samples and `max_new_tokens` play no part. Each rank of several reads its
    share.

    Raises:
        ValueError: whatever is wrong with the questions, each named by its id: what `generate_responses` refuses,
            or an answer that leaves the model's context.
        MemoryError: the memory does not hold a single prompt.
    """
    asking = asking or GenerationSettings()
    prompts = build_prompts(model, tokenizer, questions, replace(asking, max_new_tokens=1), pool, documents)
    rows = answer_rows(model, tokenizer, prompts, [[first_answer(prompt.question)] for prompt in prompts], asking)
    predicted = read_answers(model, tokenizer, prompts, rows, asking, _most_probable, progress)
    return [
        TeacherForced(prompt.question.id, prompt.number, row.answer, row.ids[row.start :], tokens)
        for prompt, row, tokens in zip(prompts, rows, predicted, strict=True)
    ]


def _most_probable(logits: torch.Tensor, rows: Sequence[Row]) -> list[tuple[int, ...]]:
    best = logits.argmax(-1).tolist()
    return [tuple(of_it[row.start - len(row.ids) :]) for of_it, row in zip(best, rows, strict=True)]


def continuations(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    asking: GenerationSettings | None = None,
    *,
    pool: Iterable[Question] | None = None,
    documents: Iterable[Document] | None = None,
    progress: str | None = None,
) -> list[str]:
    """What the model says after the first prompt of each question, 100 tokens long, whatever ends in
    between.

    Sampled from the five most probable tokens, as KnowEdit's code does; drawn as `generate_responses` draws. (KnowEdit
    counts the prompt among the 100 tokens and in the entropy; we don't.)
    """
    asking = replace(asking or GenerationSettings(), prompts=1, max_new_tokens=TEXT, temperature=1.0, top_k=TOP_K)
    prompts = build_prompts(model, tokenizer, questions, asking, pool, documents)
    if not prompts:
        return []
    check_model(model)
    ends = ends_of(model, tokenizer)
    ends.text[:] = ends.line[:] = False
    decoder = Decoder(model, pad_id(tokenizer), ends, TEXT, asking.temperature, asking.top_k)
    jobs = [Job(p.ids, p.family, (SampleRandom(asking.seed, p.question.id, p.number, 0),)) for p in prompts]
    families = [job.family for job in jobs]
    decoder.share([job.ids for job in jobs], families)
    order = in_order([job.ids for job in jobs], families, decoder)

    def work(batch: list[int], batch_size: int) -> list[str]:
        decoder.read_beginnings({families[i]: jobs[i].ids for i in batch}, batch_size)
        said = decoder.decode([jobs[i] for i in batch], batch_size)
        return tokenizer.batch_decode([one.tokens for (one,) in said], skip_special_tokens=True)

    return in_shares(model, order, [family in decoder.shared for family in families], work, asking, progress)


def editing_scores(
    questions: Sequence[Question],
    locality_questions: Sequence[Question],
    before: ModelResponses,
    after: ModelResponses,
    *,
    language: str = "en",
) -> dict[str, Any]:
    """How a model has taken in facts, and what of it that has changed besides, by KnowEdit's definitions.

    Means are taken over questions (KnowEdit: over edits, and over the questions of each), portability's over its
    kinds. Standard errors are clustered by document, as `score` does; a question without one stands for itself.

    Args:
        questions: about what was taught. Of `kind` None, the first of its `fact_id` asks for the fact (reliability),
            and the others reword it (generalisation), as those of kind "rephrased" do; "alias", "one-hop" and
            "reversed" ask for what follows from it (portability).
        locality_questions: about what was not; of any kind.
        before, after: what the model said before and after; of `questions`, only what it said after is looked at.
        language: how generated answers are normalised, see `scoring.normalize`.

    Returns:
        reliability, generalisation, portability: each with teacher_forced (mean share of the tokens of the first
            accepted answer that are predicted, each after the true ones before it) and generated (share of answers
            whose first line is an accepted one); portability has them by_kind, too.
        locality: teacher_forced (mean share of those tokens at whose place the model predicts what it did before) and
            generated (share of answers whose first line is that of before, normalised).
        fluency: of the texts said before and after, mean weighted entropy of n-grams in bits, see `fluency`.
        NAME_se, n: standard errors, nan where there is one document; and how many questions or texts there were. A
        score of which nothing was asked is left out. All but fluency lie in [0, 1].

    Raises:
        ValueError: a question is of another kind, was not answered, or was answered with another tokenizer before;
            or the language is not known.
    """
    normal = normalizer(language)
    _refuse(questions, locality_questions, before, after)
    right: dict[str | None, list[_Judged]] = defaultdict(list)
    for question, kind in zip(questions, _kinds(questions), strict=True):
        said = exact_match(first_line(after.generated[question.id]), question.answers, language)
        right[kind].append((_document(question), after.teacher_forced[question.id].accuracy, float(said)))
    kept: list[_Judged] = []
    for question in locality_questions:
        tokens = _same(*(said.teacher_forced[question.id].predicted for said in (before, after)))
        texts = {normal(first_line(said.generated[question.id])) for said in (before, after)}
        kept.append((_document(question), tokens, float(len(texts) == 1)))
    carried = {kind: right[kind] for kind in PORTABILITY if kind in right}
    parts = {
        "reliability": [right.get(None, [])],
        "generalisation": [right.get(REPHRASED, [])],
        "portability": list(carried.values()),
        "locality": [kept],
    }
    scores: dict[str, Any] = {name: _figures(groups) for name, groups in parts.items() if any(groups)}
    if carried:
        scores["portability"]["by_kind"] = {kind: _figures([of_it]) for kind, of_it in carried.items()}
    fluencies = {"before": before.texts, "after": after.texts}
    scores["fluency"] = {name: _fluency_of(texts) for name, texts in fluencies.items() if texts}
    return scores


def fluency(text: str) -> float:
    """How little a text repeats itself: (2/3 H(2) + 4/3 H(3)) / 2, in bits; 0 for one word said again and again.

    H(n) = -sum over the text's different n-grams k of f(k) log2 f(k), f(k) the share of its n-grams that are k; a
    text of fewer than n words has none, and H(n) = 0. It is ROME's generation entropy (arXiv 2202.05262) with the
    weights of its code, taken over by KnowEdit, whose tables show it times 100. Words and punctuation marks are
    counted, and characters in scripts without spaces; their words are those of NLTK.
    """
    words = _TOKEN.findall(text)
    return sum(weight * _entropy(words, n) for n, weight in WEIGHTS.items()) / len(WEIGHTS)


def _entropy(words: Sequence[str], n: int) -> float:
    """Of the n-grams, in bits."""
    counts = Counter(zip(*(words[start:] for start in range(n)), strict=False))
    return math.fsum(count / counts.total() * math.log2(counts.total() / count) for count in counts.values())


def _same(one: Sequence[int], other: Sequence[int]) -> float:
    return sum(a == b for a, b in zip(one, other, strict=True)) / len(one)


_Judged = tuple[str, float, float]  # the document, teacher-forced and generated


def _document(question: Question) -> str:
    return f"question {question.id}" if question.document_id is None else f"document {question.document_id}"


def _kinds(questions: Sequence[Question]) -> list[str | None]:
    """The kind of each question, where a wording of a fact after the first is a rephrasing."""
    first: dict[str, str] = {}
    for question in questions:
        if question.kind is None and question.fact_id is not None:
            first.setdefault(question.fact_id, question.id)
    return [
        REPHRASED if q.kind is None and q.fact_id is not None and first[q.fact_id] != q.id else q.kind
        for q in questions
    ]


def _figures(groups: Sequence[Sequence[_Judged]]) -> dict[str, Any]:
    """The mean of the groups' means, teacher-forced and generated, with standard errors."""
    documents = [document for group in groups for document, *_ in group]
    figures: dict[str, Any] = {}
    for column, name in enumerate(("teacher_forced", "generated"), start=1):
        values = [[float(judged[column]) for judged in group] for group in groups]
        figures[name], figures[f"{name}_se"] = mean_and_error(values, documents)
    return {**figures, "n": len(documents)}


def _fluency_of(texts: Sequence[str]) -> dict[str, Any]:
    mean, error = mean_and_error([list(map(fluency, texts))], list(map(str, range(len(texts)))))
    return {"bits": mean, "bits_se": error, "n": len(texts)}


def _refuse(
    questions: Sequence[Question], locality: Sequence[Question], before: ModelResponses, after: ModelResponses
) -> None:
    wrong = []
    if unknown := {q.kind: q.id for q in reversed(questions) if q.kind not in KINDS}:
        listed = ", ".join(f"{kind!r} (as of question {id!r})" for kind, id in unknown.items())
        known = ", ".join(map(repr, KINDS))
        wrong.append(f"These kinds of questions are not known: {listed}. Give them one of {known}.")
    everything = [*questions, *locality]
    if twice := sorted(id for id, count in Counter(q.id for q in everything).items() if count > 1):
        wrong.append(f"{len(twice)} question ids stand more than once, such as {twice[0]!r}: give each its own.")
    for when, said, asked in (("before", before, locality), ("after", after, everything)):
        for how, answers in (("generated", said.generated), ("teacher_forced", said.teacher_forced)):
            if lost := [q.id for q in asked if q.id not in answers]:
                wrong.append(
                    f"`{when}.{how}` has no answer to {len(lost)} questions, such as {lost[0]!r}: ask all of them."
                )
    if not wrong and (other := [q.id for q in locality if _expected(before, q) != _expected(after, q)]):
        wrong.append(
            f"The answers to {len(other)} locality questions, such as {other[0]!r}, have other tokens before than"
            " after: ask both times with one tokenizer and the same accepted answers."
        )
    if wrong:
        raise ValueError("\n".join(wrong))


def _expected(said: ModelResponses, question: Question) -> tuple[int, ...]:
    return said.teacher_forced[question.id].expected
