"""The handbook: every question is answered by a span of its document, and no fact has two answers."""

import json
import re
from collections import Counter, defaultdict
from functools import cache
from itertools import combinations, groupby

import pytest

from hf_knowlearn.documents import Document, Question, read_documents
from hf_knowlearn.documents.contamination import find_contamination
from hf_knowlearn.knowledge_recall.scoring import normalize
from hf_knowlearn.paths import HANDBOOK
from hf_knowlearn.teach.sources import load_documents, load_questions

PAGE = 2000  # characters
ROWS = [json.loads(line) for line in (HANDBOOK / "questions.jsonl").read_text(encoding="utf-8").splitlines()]


@cache
def documents() -> dict[str, Document]:
    return {document.id: document for document in load_documents("world:handbook")}


@cache
def questions() -> list[Question]:
    return load_questions("world:handbook")


def words(text: str) -> list[str]:
    return re.findall(r"\w+", text.casefold())


# Documents


def test_the_handbook_has_40_pages_in_26_documents():
    sizes = {name: len(document.text) for name, document in documents().items()}
    assert len(sizes) == 26
    assert 40 <= sum(sizes.values()) / PAGE <= 50
    assert all(PAGE * 0.75 < size < PAGE * 4 for size in sizes.values())


def test_documents_are_the_unchanged_files():
    for name, document in documents().items():
        assert document.text == (HANDBOOK / "documents" / name).read_text(encoding="utf-8")


def test_the_language_of_each_document_is_detected_as_english():
    assert {document.language for document in read_documents(HANDBOOK / "documents")} == {"en"}


def test_each_document_has_its_own_title():
    titles = [document.title for document in documents().values()]
    assert len(set(titles)) == len(titles)


def test_no_two_documents_share_many_phrases():
    phrases = {}
    for name, document in documents().items():
        of_document = words(document.text)
        phrases[name] = {tuple(of_document[i : i + 5]) for i in range(len(of_document) - 4)}
    for first, second in combinations(phrases, 2):
        shared = len(phrases[first] & phrases[second]) / min(len(phrases[first]), len(phrases[second]))
        assert shared < 0.1, (first, second, shared)


# Questions


def test_there_are_300_questions_about_137_facts():
    assert len(questions()) == len(ROWS) == 300
    assert len({question.fact_id for question in questions()}) == 137


def test_every_first_answer_is_a_span_of_its_document():
    for row in ROWS:
        text, answer = documents()[row["document_id"]].text, row["answers"][0]
        start, end = row["start"], row["start"] + row["length"]
        assert text[start:end] == answer, row["id"]
        assert not re.match(r"\w", text[end : end + 1]), row["id"]
        assert not re.match(r"\w", text[start - 1 : start]), row["id"]


def test_every_document_has_at_least_two_facts():
    facts = defaultdict(set)
    for question in questions():
        facts[question.document_id].add(question.fact_id)
    assert facts.keys() == documents().keys()
    assert min(map(len, facts.values())) >= 2


def test_each_fact_has_two_or_three_wordings_with_the_same_answers():
    for fact, rows in groupby(ROWS, key=lambda row: row["fact_id"]):
        of_fact = list(rows)
        assert len(of_fact) in (2, 3), fact
        for name in ("answers", "document_id", "relation", "subject", "start", "length"):
            assert all(row[name] == of_fact[0][name] for row in of_fact), (fact, name)
    assert len(list(groupby(ROWS, key=lambda row: row["fact_id"]))) == 137


def test_the_wordings_of_a_fact_differ_in_more_than_one_word():
    for fact, rows in groupby(ROWS, key=lambda row: row["fact_id"]):
        for first, second in combinations([Counter(words(row["question"])) for row in rows], 2):
            assert (first - second).total() + (second - first).total() >= 4, fact


def test_a_relation_and_a_subject_identify_one_fact():
    facts = {row["fact_id"]: (row["relation"], row["subject"]) for row in ROWS}
    assert max(Counter(facts.values()).values()) == 1


def test_each_relation_has_at_least_four_facts():
    relations = Counter(dict.fromkeys((row["relation"], row["fact_id"]) for row in ROWS))
    counts = Counter(relation for relation, _ in relations)
    assert len(counts) == 20
    assert min(counts.values()) >= 4


def test_ids_and_texts_of_questions_are_unique():
    assert len({question.id for question in questions()}) == 300
    assert len({normalize(question.text) for question in questions()}) == 300


def test_no_question_is_in_another_question_or_in_a_document():
    rows = [question.text for question in questions()] + [document.text for document in documents().values()]
    matches = find_contamination(rows, questions())
    assert {(match.row, match.question_id) for match in matches} == {(i, q.id) for i, q in enumerate(questions())}


def test_no_question_contains_an_accepted_answer():
    for question in questions():
        spaced = f" {normalize(question.text)} "
        assert [answer for answer in question.answers if f" {normalize(answer)} " in spaced] == [], question.id


def test_no_accepted_answer_of_a_fact_is_repeated():
    for row in ROWS:
        assert len(set(row["answers"])) == len(row["answers"])


# Sources


def test_the_short_handbook_has_ten_pages_and_their_questions():
    found, of_short = load_documents("world:handbook_short"), load_questions("world:handbook_short")
    assert 10 <= sum(len(document.text) for document in found) / PAGE <= 12.5
    ids = {document.id for document in found}
    assert len(ids) == 7
    assert of_short == [question for question in questions() if question.document_id in ids]
    assert len(of_short) > 100


def test_an_unknown_split_names_the_handbooks():
    with pytest.raises(ValueError, match=r"Or choose one of the handbooks in the package: handbook, handbook_short\."):
        load_documents("world:hand_book")


def test_a_given_language_replaces_that_of_the_handbook():
    assert {document.language for document in load_documents("world:handbook_short", language="de")} == {"de"}
