"""Retrieval, the alternative to training: the base model answers each question with retrieved passages in its prompt.

The passages are parts of the documents. BM25 ranks the passages by the words that they share with the question. This
module uses the library bm25s (arXiv 2407.03618) with Lucene's formula and its default parameters.
"""

import logging
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import TYPE_CHECKING, Any

from hf_knowlearn.counts import number_of
from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.answer_search import UNSPACED
from hf_knowlearn.evaluation.evaluate import EvaluationResult, evaluate
from hf_knowlearn.evaluation.standard_errors import clustered_mean
from hf_knowlearn.generation.responses import build_prompts
from hf_knowlearn.generation.settings import GenerationSettings
from hf_knowlearn.knowledge_recall import contains
from hf_knowlearn.knowledge_recall.correctness import unicode_normal
from hf_knowlearn.knowledge_recall.scoring import Translation
from hf_knowlearn.prompts.limits import context_length

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

KS = (1, 3)  # numbers of passages that a run evaluates
K1, B = 1.2, 0.75  # Lucene's default parameters of BM25
QUESTIONS = "questions"
_UNSPACED = re.compile(f"[{UNSPACED}]")


@dataclass(frozen=True)
class RetrievalResult:
    """The responses of a model to questions, with the best `k` passages in each prompt.

    Args:
        k: the number of passages to retrieve for a question.
        evaluation: the responses to the questions, in the role "questions".
        passages: the passages in the prompt of each question, by the id of the question, the most relevant first. A
            question has fewer than `k` passages if fewer passages share a word with it or fit into the context.
        shortened: the number of questions whose prompt lacks retrieved passages, because these passages do not fit
            into the context of the model.
        prompt_tokens: the number of tokens of each prompt, in the order of the questions.
    """

    k: int
    evaluation: EvaluationResult
    passages: Mapping[str, Sequence[Document]]
    shortened: int
    prompt_tokens: Sequence[int]

    @property
    def questions(self) -> Sequence[Question]:
        """The evaluated questions."""
        return self.evaluation.questions[QUESTIONS]

    def found(self) -> list[bool]:
        """Return, for each question, whether an accepted answer occurs in its passages (see `contains`)."""
        texts = {id: "\n".join(map(passage_text, passages)) for id, passages in self.passages.items()}
        return [contains(texts[q.id], q.answers, self.evaluation.language) for q in self.questions]

    def found_documents(self) -> list[bool]:
        """Return, for each question, whether a passage of its document is among its passages."""
        return [q.document_id in {passage.id for passage in self.passages[q.id]} for q in self.questions]

    def figures(self) -> dict[str, Any]:
        """Return the figures for a report.

        The figures are the scores of the responses, and these:
            found: the share of questions with an accepted answer in their passages.
            document_found: the share of questions with a passage of their document. Only if all questions have a
                document.
            passages, prompt_tokens: the mean number of passages, and of tokens of a prompt.
            shortened: the number of questions with fewer passages than were retrieved.
        """
        figures: dict[str, Any] = dict(self.evaluation.scores()[QUESTIONS])
        shares = {"found": self.found()}
        if all(question.document_id is not None for question in self.questions):
            shares["document_found"] = self.found_documents()
        clusters = [question.document_id or question.id for question in self.questions]
        for name, values in shares.items():
            figures[name], figures[f"{name}_se"] = clustered_mean([values], clusters)
        counts = [len(passages) for passages in self.passages.values()]
        means = {"passages": mean(counts), "prompt_tokens": mean(self.prompt_tokens)}
        return {**figures, **means, "shortened": self.shortened}

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows of the evaluation, each with its passages, whether they contain an accepted answer, and the
        length of the prompt: lines of a JSONL file."""
        passages = ([{"document_id": p.id, "part": p.part} for p in self.passages[q.id]] for q in self.questions)
        rows = zip(self.evaluation.rows(), passages, self.found(), self.prompt_tokens, strict=True)
        return [
            {**row, "passages": own, "found": is_found, "prompt_tokens": tokens} for row, own, is_found, tokens in rows
        ]


def retrieval(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    documents: Sequence[Document],
    settings: GenerationSettings,
    ks: Sequence[int] = KS,
    *,
    language: str = "en",
    answer_cache: Path | None = None,
    progress: str | None = None,
) -> list[RetrievalResult]:
    """Evaluate a model with retrieved passages in the prompt of each question, once for each number of passages in
    `ks`.

    A prompt is an open-book prompt with passages instead of the document. The most relevant passage is first. If the
    prompt with all passages of a question exceeds the context of the model, the least relevant passages are left out,
    and a warning is logged. A passage is never cut.

    Args:
        questions: the questions, at least one.
        documents: the passages: documents, or parts of documents from `split_document`.
        settings: settings of the generation. `open_book` has no effect.
        ks: numbers of passages, each at least 1.
        language: the language code of the answers (see `knowledge_recall.scoring.normalize`).
        answer_cache: a path. The responses with `k` passages are cached in `{answer_cache}_{k}.questions.jsonl`. None:
            no cache.
        progress: label of the progress bars. None: no bars.

    Raises:
        ValueError: a prompt with a single passage exceeds the context, or the prompts cannot be built (see
            `generate_responses`). The error is raised before anything is generated.

    Example:
        >>> one, three = retrieval(model, tokenizer, questions, parts, GenerationSettings(template="auto"))
        >>> three.k, three.figures()["found"]
        (3, 0.9)
    """
    check_retrieval(model, tokenizer, questions, documents, settings)
    ranked = search([passage_text(each) for each in documents], [question.text for question in questions], max(ks))
    open_book = replace(settings, open_book=True)
    results = []
    for k in ks:
        best = {q.id: [documents[i] for i in own[:k]] for q, own in zip(questions, ranked, strict=True)}
        passages, lengths = _fitting(model, tokenizer, questions, best, open_book)
        shortened = sum(len(passages[id]) < len(own) for id, own in best.items())
        if shortened:
            logger.warning(
                "Retrieval, top %d: the passages of %s do not all fit into the context of the model. The least"
                " relevant passages are left out.", k, number_of(shortened, "question"),
            )  # fmt: skip
        evaluation = evaluate(
            model,
            tokenizer,
            {QUESTIONS: questions},
            open_book,
            documents=_texts(passages),
            language=language,
            answer_cache=answer_cache and answer_cache.with_name(f"{answer_cache.name}_{k}"),
            progress=progress and f"{progress}, top {k}",
        )
        results.append(RetrievalResult(k, evaluation, passages, shortened, lengths))
    return results


def check_retrieval(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    documents: Sequence[Document],
    settings: GenerationSettings,
) -> None:
    """Raise the errors of `retrieval` without generating anything."""
    ranked = search([passage_text(each) for each in documents], [question.text for question in questions], 1)
    best = {q.id: [documents[i] for i in own] for q, own in zip(questions, ranked, strict=True)}
    build_prompts(model, tokenizer, questions, replace(settings, open_book=True), None, _texts(best))


def search(passages: Sequence[str], queries: Iterable[str], k: int) -> list[list[int]]:
    """Return, for each query, the positions of the `k` passages with the highest BM25 scores, the best first.

    A passage without a word of the query is never returned. Of passages with equal scores, the first one is better.

    Example:
        >>> search(["The mill grinds rye.", "The ferry leaves at six."], ["When does the ferry leave?"], k=1)
        [[1]]
    """
    import bm25s
    import numpy as np

    found: list[list[int]] = []
    tokens = [words(passage) for passage in passages]
    if not any(tokens):  # bm25s divides by the mean length
        return [[] for _ in queries]
    index = bm25s.BM25(k1=K1, b=B, method="lucene", dtype="float64")
    index.index(tokens, create_empty_token=False, show_progress=False)
    for query in queries:
        known = index.get_tokens_ids(words(query))
        scores = index.get_scores_from_ids(known) if known else np.zeros(len(passages))
        # Why not the selection of bm25s: it returns passages with equal scores in an arbitrary order.
        best = np.argsort(-scores, kind="stable")[:k]
        found.append([int(place) for place in best if scores[place] > 0])
    return found


def words(text: str) -> list[str]:
    """Return the words of a text in any language, case-folded. In scripts without spaces, each character is a word.

    Example:
        >>> words("The mill’s wheel, 1820: 水車")
        ['the', 'mill', 's', 'wheel', '1820', '水', '車']
    """
    return unicode_normal(text).translate(_SPACED).split()


def _spaced(sign: str) -> str:
    if _UNSPACED.match(sign):
        return f" {sign} "
    # Why marks too: the vowel signs of Indic scripts are marks.
    return sign if sign.isalnum() or unicodedata.category(sign)[0] == "M" else " "


_SPACED = Translation(_spaced)


def passage_text(part: Document) -> str:
    """Return the text of a passage in a prompt: the heading of the part, or else the title, and the text of the part.

    A title with which the text begins is not repeated.
    """
    begins_with_title = part.text.lstrip("# \n").startswith(part.title)
    title = "" if begins_with_title else f"{part.title}\n\n"
    return ((part.heading or title) + part.text).strip()


def _texts(passages: Mapping[str, Sequence[Document]]) -> dict[str, str]:
    return {id: "\n\n".join(map(passage_text, own)) for id, own in passages.items()}


def _fitting(
    model: "PreTrainedModel",
    tokenizer: "PreTrainedTokenizerBase",
    questions: Sequence[Question],
    best: Mapping[str, Sequence[Document]],
    settings: GenerationSettings,
) -> tuple[dict[str, Sequence[Document]], list[int]]:
    """Leave out the least relevant passages of each question until its prompts fit into the context of the model.

    Returns:
        The passages of each question, and the number of tokens of each prompt.
    """
    limit, passages = context_length(model), dict(best)
    while True:
        prompts = build_prompts(model, tokenizer, questions, settings, None, _texts(passages), may_be_long=True)
        lengths = [len(prompt.ids) for prompt in prompts]
        long = {
            prompt.question.id
            for prompt, length in zip(prompts, lengths, strict=True)
            if limit is not None and length + settings.max_new_tokens > limit
        }
        if not (long := {id for id in long if len(passages[id]) > 1}):
            return passages, lengths
        passages |= {id: passages[id][:-1] for id in long}
