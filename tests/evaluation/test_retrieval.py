"""Retrieval: BM25 against its formula, and the passages in the prompts of a tiny model."""

import math
import random
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from hf_knowlearn.documents import Document, Question, split_document
from hf_knowlearn.evaluation.evaluate import evaluate
from hf_knowlearn.evaluation.retrieval import K1, B, check_retrieval, passage_text, retrieval, search, words
from hf_knowlearn.generation import responses
from hf_knowlearn.generation.settings import GenerationSettings

MILL = Document("mill", "The mill grinds rye.", title="The mill")
FERRY = Document("ferry", "The ferry leaves at six. It carries forty cars.", title="Ferry")
BAKERY = Document("bakery", "The bakery sells bread of rye at six.", title="Bakery")
PARTS = [MILL, FERRY, BAKERY]
QUESTIONS = [
    Question("q1", "What does the mill grind?", ("rye",), document_id="mill"),
    Question("q2", "How many cars does the ferry carry?", ("forty",), document_id="ferry"),
]
SETTINGS = GenerationSettings(max_new_tokens=4, template="plain")


def bm25(passages: list[list[str]], query: list[str]) -> list[float]:
    """The scores by Lucene's formula (Kamphuis et al. 2020), written again from the paper."""
    mean = sum(map(len, passages)) / len(passages)
    scores = [0.0] * len(passages)
    for word in query:
        df = sum(word in passage for passage in passages)
        idf = math.log(1 + (len(passages) - df + 0.5) / (df + 0.5))
        for place, passage in enumerate(passages):
            tf = passage.count(word)
            scores[place] += idf * tf / (tf + K1 * (1 - B + B * len(passage) / mean)) if df else 0
    return scores


@pytest.mark.parametrize(
    ("query", "order"),
    [
        # Scores of rye: ln 1.6 * 2 / 3.2 = 0.294, ln 1.6 * 1 / 1.9 = 0.247. The mean length is 3.
        ("rye", [0, 1]),
        # mill is rarer than rye: ln(1 + 2.5 / 1.5) / 1.9 = 0.516. With rye, the second passage has 0.763.
        ("rye mill", [1, 0]),
        ("ferry", [2]),
        ("ox", []),
        ("?", []),
    ],
)
def test_passages_are_ordered_by_the_scores_computed_by_hand(query: str, order: list[int]):
    assert (K1, B) == (1.2, 0.75)
    passages = ["Rye, rye, oats.", "Rye mill.", "Ferry to the isle."]
    assert search(passages, [query], k=3) == [order]
    assert search(passages, [query], k=1) == [order[:1]]


def test_the_order_is_that_of_the_formula():
    draw = random.Random(0)
    texts = [[draw.choice("abcdefgh") * 2 for _ in range(draw.randint(1, 12))] for _ in range(30)]
    queries = [[draw.choice("abcdefghi") * 2 for _ in range(draw.randint(1, 4))] for _ in range(50)]
    found = search([" ".join(text) for text in texts], [" ".join(query) for query in queries], k=30)
    for query, order in zip(queries, found, strict=True):
        scores = bm25(texts, query)
        best = sorted(range(30), key=lambda place: (-round(scores[place], 12), place))
        assert order == [place for place in best if scores[place] > 0]


def test_of_equal_passages_the_first_is_better():
    assert search(["a rye", "a rye", "a rye", "oats"], ["rye"], k=2) == [[0, 1]]
    assert search(["oats", "the rye", "rye the"], ["the rye"], k=1) == [[1]]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("The mill’s WHEEL, 1820", ["the", "mill", "s", "wheel", "1820"]),
        ("Stra\u00dfe, M\u00fcller, Mu\u0308ller", ["strasse", "m\u00fcller", "m\u00fcller"]),
        ("水車小屋", ["水", "車", "小", "屋"]),
        ("हिन्दी में", ["हिन्दी", "में"]),
        ("— … !", []),
    ],
)
def test_words_of_any_language(text: str, found: list[str]):
    assert words(text) == found


def test_passages_without_a_word_are_never_found():
    assert search(["—", "…"], ["rye"], k=1) == [[]]


def test_a_passage_begins_with_its_title_or_section_once():
    assert passage_text(FERRY) == "Ferry\n\nThe ferry leaves at six. It carries forty cars."
    assert passage_text(MILL) == "The mill grinds rye."  # begins with the title
    assert passage_text(Document("d", "# The mill\n\nRye.", title="The mill")) == "# The mill\n\nRye."
    book = Document("b", "# Grain\n\nRye is grain. Oats too.\n\n# Water\n\nThe wheel turns. It is old.", title="Mill")
    parts = split_document(book, lambda text: len(text.split()), 8)
    assert [passage_text(part).split("\n")[0] for part in parts] == ["Mill", "Mill"]


def spied(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    prompts: list[Any] = []
    build = responses.question_prompts

    def spy(*arguments: Any, **options: Any) -> Any:
        prompts.append(build(*arguments, **options))
        return prompts[-1]

    monkeypatch.setattr(responses, "question_prompts", spy)
    return prompts


def test_the_prompt_has_the_best_passages_the_best_first(model: Any, tokenizer: Any, monkeypatch: pytest.MonkeyPatch):
    built = spied(monkeypatch)
    one, two = retrieval(model, tokenizer, QUESTIONS, PARTS, SETTINGS, ks=(1, 2))
    assert (one.k, two.k) == (1, 2)
    of_one = [prompt.text for prompt in built[-3]]
    of_two = [prompt.text for prompt in built[-1]]
    assert of_one[0] == f"{passage_text(MILL)}\n\nQuestion: {QUESTIONS[0].text}\nAnswer:"
    assert of_one[1].startswith(f"{passage_text(FERRY)}\n\nQuestion")
    assert of_two[1].startswith(f"{passage_text(FERRY)}\n\n{passage_text(MILL)}\n\nQuestion")
    assert one.prompt_tokens == [row["prompt_tokens"] for row in one.rows()] == [len(p.ids) for p in built[-3]]
    assert one.figures()["prompt_tokens"] == sum(one.prompt_tokens) / 2
    passages = {"q1": passage_text(MILL), "q2": passage_text(FERRY)}
    same = evaluate(
        model,
        tokenizer,
        {"questions": QUESTIONS},
        replace(SETTINGS, open_book=True),
        documents=passages,
    )
    assert one.evaluation.responses == same.responses
    assert one.evaluation.responses != evaluate(model, tokenizer, {"questions": QUESTIONS}, SETTINGS).responses


def test_figures_and_rows_state_what_was_found(model: Any, tokenizer: Any):
    items = [*QUESTIONS, Question("q3", "When does the bakery sell bread of rye?", ("oats",), document_id="mill")]
    one, three = retrieval(model, tokenizer, items, PARTS, SETTINGS)
    assert one.found() == [True, True, False]
    assert one.found_documents() == [True, True, False]
    assert three.found_documents() == [True, True, True]
    figures = one.figures()
    assert (figures["found"], figures["document_found"]) == (pytest.approx(2 / 3), pytest.approx(2 / 3))
    # Two documents with the residuals 1/9 and -1/9 of the mean: sqrt(2 / 1 * (1/81 + 1/81)).
    assert figures["found_se"] == pytest.approx(2 / 9)
    assert (figures["passages"], figures["shortened"], figures["correct"], figures["n"]) == (1, 0, 0, 3)
    rows = three.rows()
    assert [row["id"] for row in rows] == ["q1", "q2", "q3"]
    assert rows[1]["passages"][0] == {"document_id": "ferry", "part": 0}
    assert rows[0]["found"] is True
    assert "response" in rows[0]


def test_without_documents_of_the_questions_only_answers_are_found(model: Any, tokenizer: Any):
    [one] = retrieval(model, tokenizer, [Question("q", "What does the mill grind?", ("rye",))], PARTS, SETTINGS, (1,))
    assert one.figures()["found"] == 1
    assert "document_found" not in one.figures()


def test_a_question_that_shares_no_word_has_a_closed_book_prompt(model: Any, tokenizer: Any):
    items = [Question("q", "Why?", ("rye",))]
    [one] = retrieval(model, tokenizer, items, PARTS, SETTINGS, (1,))
    assert one.passages == {"q": []}
    assert one.evaluation.responses == evaluate(model, tokenizer, {"questions": items}, SETTINGS).responses


def test_two_calls_agree_and_use_the_cache(model: Any, tokenizer: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch):
    first = retrieval(model, tokenizer, QUESTIONS, PARTS, SETTINGS, answer_cache=tmp_path / "responses.rag")
    assert {path.name for path in tmp_path.glob("*.jsonl")} == {f"responses.rag_{k}.questions.jsonl" for k in (1, 3)}
    monkeypatch.setattr(responses, "generate", lambda *_: pytest.fail("generated again"))
    again = retrieval(model, tokenizer, QUESTIONS, PARTS, SETTINGS, answer_cache=tmp_path / "responses.rag")
    assert [one.rows() for one in again] == [one.rows() for one in first]


def test_passages_that_do_not_fit_are_left_out_with_a_warning(
    build: Callable[..., Any], tokenizer: Any, caplog: pytest.LogCaptureFixture
):
    lengths = {}
    for k in (1, 2, 3):
        [found] = retrieval(build("llama"), tokenizer, QUESTIONS[:1], PARTS, SETTINGS, (k,))
        [lengths[k]] = found.prompt_tokens
    assert lengths[1] < lengths[2] < lengths[3]
    small = build("llama", max_position_embeddings=lengths[3] + SETTINGS.max_new_tokens - 1)
    one, three = retrieval(small, tokenizer, QUESTIONS[:1], PARTS, SETTINGS)
    assert (one.shortened, three.shortened) == (0, 1)
    assert (len(three.passages["q1"]), three.prompt_tokens) == (2, [lengths[2]])
    assert "Retrieval, top 3: the passages of 1 question do not all fit into the context of the model" in caplog.text
    tiny = build("llama", max_position_embeddings=lengths[1] + SETTINGS.max_new_tokens - 1)
    with pytest.raises(ValueError, match=r"The prompts of 1 question, together with 4 new tokens, exceed"):
        check_retrieval(tiny, tokenizer, QUESTIONS[:1], PARTS, SETTINGS)
    with pytest.raises(ValueError, match=r"exceed this model's context"):
        retrieval(tiny, tokenizer, QUESTIONS[:1], PARTS, SETTINGS)
