"""Documents and questions: invalid ones are errors."""

import pickle
from typing import Any

import pytest

from hf_knowlearn.documents import Document, Question
from hf_knowlearn.documents.document import InvalidItemError


def test_a_document_and_a_question_can_be_hashed_pickled_and_compared():
    document = Document("d", "Text.", metadata={"year": 1900})
    question = Question("q", "Who?", ("Ada",))
    assert {document, question} == {pickle.loads(pickle.dumps(document)), pickle.loads(pickle.dumps(question))}
    assert document != Document("d", "Text.", metadata={"year": 1901})


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"id": 3}, "id must be a string, got int 3"),
        ({"id": ""}, "id is empty; it needs at least one word"),
        ({"text": " \n\u2003"}, "text contains only white space; it needs at least one word"),
        ({"text": None}, "text must be a string, got NoneType None"),
        (
            {"text": "a\ud800b"},
            r"text contains an unpaired surrogate \('\\ud800' at character 1\), which UTF-8 cannot encode",
        ),
        ({"title": b"x"}, "title must be a string, got bytes b'x'"),
        ({"language": ""}, "language is empty"),
        ({"part": -1}, "part must be an integer of at least 0, got int -1"),
        ({"start": True}, "start must be an integer of at least 0, got bool True"),
        ({"metadata": [1]}, r"metadata must be a mapping, got \[1\]"),
        (
            {"text": "", "part": 0.5},
            "^Document 'd': text is empty; it needs at least one word; part must be .* got float 0.5.$",
        ),
    ],
)
def test_an_invalid_document_is_an_error(wrong: dict[str, Any], expected: str):
    with pytest.raises(ValueError, match=expected):
        Document(**{"id": "d", "text": "Text.", **wrong})


@pytest.mark.parametrize(
    ("wrong", "expected"),
    [
        ({"text": ""}, "text is empty"),
        ({"answers": ()}, "answers is empty; a question needs at least one answer"),
        ({"answers": ("The", "a.", "")}, r"no word of the answers \['The', 'a.', ''\] is left after normalization"),
        ({"answers": "Ada"}, r"answers must be a tuple of strings, such as \('Paris',\), got 'Ada'"),
        ({"answers": ["Ada"]}, r"answers must be a tuple of strings, .* got \['Ada'\]"),
        ({"answers": ("Ada", 1815)}, r"answers\[1\] must be a string, got int 1815"),
        ({"answers": ("\udc00",)}, r"answers\[0\] contains an unpaired surrogate"),
        ({"options": (1,)}, r"options\[0\] must be a string, got int 1"),
        ({"document_id": 7}, "document_id must be a string, got int 7"),
        ({"relation": " "}, "relation contains only white space"),
        ({"fact_id": 1.5}, "fact_id must be a string, got float 1.5"),
        ({"kind": []}, r"kind must be a string, got \[\]"),
        ({"id": 1, "kind": 2}, "^Question int 1: id must be .*; kind must be a string, got int 2.$"),
    ],
)
def test_an_invalid_question_is_an_error(wrong: dict[str, Any], expected: str):
    with pytest.raises(ValueError, match=expected):
        Question(**{"id": "q", "text": "Who?", "answers": ("Ada",), **wrong})


def test_a_question_may_have_an_answer_without_words_beside_another_one():
    assert Question("q", "Which band?", ("The", "The The Band")).answers == ("The", "The The Band")


def test_a_message_shortens_a_very_long_value():
    with pytest.raises(ValueError, match="metadata must be") as caught:
        Document("d" * 10**6, "Text.", metadata="x" * 10**6)  # type: ignore[arg-type]
    assert len(str(caught.value)) < 300


def test_an_error_has_the_id_and_all_problems_and_can_be_pickled():
    with pytest.raises(InvalidItemError) as caught:
        Question("q", "", ())
    problems = ("text is empty; it needs at least one word", "answers is empty; a question needs at least one answer")
    for error in (caught.value, pickle.loads(pickle.dumps(caught.value))):
        assert (error.id, error.problems) == ("q", problems)
        assert str(error) == f"Question 'q': {'; '.join(problems)}."
