"""Scores in closed form: each expected number was computed by hand."""

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hf_knowlearn.knowledge_recall import contains, exact_match, f1, first_line, normalize, score

REPO = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("text", "normal"),
    [
        ("The  Cat,\tsat\n on a MAT!", "cat sat on mat"),
        ("an Anthem, another theatre", "anthem another theatre"),  # articles go as whole words only
        ("Saint-Denis", "saintdenis"),  # punctuation is deleted, not turned into a space
        ("A.N. Other", "other"),  # and before the articles are: "a.n." becomes "an"
        ("“Élan” – 5°", "“élan” – 5°"),  # ASCII punctuation only
        ("The A, an.", ""),
        ("", ""),
    ],
)
def test_normalisation_equals_that_of_the_squad_script(text, normal):
    assert normalize(text) == normal


@pytest.mark.parametrize(
    ("text", "line"),
    [
        (" \n\t\n Lyon \nParis", "Lyon"),  # what comes first is an answer, not a blank line
        ("Lyon\r\nParis", "Lyon"),
        ("Lyon\rParis", "Lyon"),
        ("Lyon\u2028Paris", "Lyon"),
        ("in Lyon, France", "in Lyon, France"),
        (" \n ", ""),
        ("", ""),
    ],
)
def test_the_first_line_is_the_first_line_that_is_not_blank(text, line):
    assert first_line(text) == line


@pytest.mark.parametrize(
    ("prediction", "answers", "same"),
    [
        ("the LYON.", ["Paris", "Lyon"], True),
        ("Lyon, France", ["Lyon"], False),
        ("Lyon", ["Lyon, France"], False),
        ("", ["Lyon"], False),
        ("Lyon\nParis", ["Lyon"], False),  # the whole prediction
        ("", ["Lyon", "."], True),  # as in SQuAD's script
    ],
)
def test_exact_match_is_equality_with_any_accepted_answer_after_normalisation(prediction, answers, same):
    assert exact_match(prediction, answers) is same


@pytest.mark.parametrize(
    ("prediction", "answers", "value"),
    [
        ("Lyon", ["the Lyon!"], 1.0),
        ("Paris", ["Lyon"], 0.0),
        ("new york city", ["New York"], 2 * 2 / (3 + 2)),
        ("york new", ["New York"], 1.0),  # order doesn't matter
        ("new new new york", ["New York"], 2 * 2 / (4 + 2)),  # a second "new" earns nothing: bags, not sets
        ("new new york", ["New New York"], 1.0),
        ("new york", ["Boston", "York", "New York State"], 2 * 2 / (2 + 3)),  # the nearest answer counts
        ("", ["Lyon"], 0.0),
        ("", ["the"], 0.0),  # as in SQuAD's v1.1 script, although exact match is true
    ],
)
def test_f1_is_the_overlap_of_word_bags_with_the_nearest_answer(prediction, answers, value):
    assert f1(prediction, answers) == pytest.approx(value, abs=1e-12)


@pytest.mark.parametrize(
    ("prediction", "answers", "held"),
    [
        ("She moved.\nShe was born in New York.", ["New York"], True),
        ("York, the new", ["New York"], False),  # in order
        ("new and york", ["New York"], False),  # side by side
        ("Lyonnaise", ["Lyon"], False),  # whole words
        ("BabyLyon", ["Lyon"], False),
        ("nothing", ["The", "Lyon"], False),  # never through an answer that normalises to nothing
        ("", ["The"], False),
        ("in the end, Lyon", ["The", "Lyon"], True),
    ],
)
def test_contains_needs_an_accepted_answer_as_whole_words(prediction, answers, held):
    assert contains(prediction, answers) is held


def test_score_of_five_rows_is_the_closed_form():
    table = score(
        ["Lyon\nthe end", "new york city\n1 2 3", "It is Nice", "", "\n Rome "],
        [["Lyon"], ["New York", "Boston"], ["Nice"], ["Oslo"], ("Roma", "Rome")],
    )
    overlaps = [1.0, 0.8, 0.5, 0.0, 1.0]
    spread = sum((value - 0.66) ** 2 for value in overlaps) / 4
    assert table == pytest.approx(
        {
            "correct": 3 / 5,  # "It is Nice" states the answer
            "correct_se": math.sqrt(0.4 * 0.6 / 5),
            "exact_match": 2 / 5,
            "exact_match_se": math.sqrt(0.4 * 0.6 / 5),
            "f1": 0.66,
            "f1_se": math.sqrt(spread / 5),
            "contains": 4 / 5,
            "contains_se": math.sqrt(0.8 * 0.2 / 5),
            "mean_answer_words": (3 + 6 + 3 + 0 + 1) / 5,
            "abstention": 1 / 5,
            "abstention_se": math.sqrt(0.2 * 0.8 / 5),
            "wrong": 1 / 5,
            "wrong_se": math.sqrt(0.2 * 0.8 / 5),
            "n": 5,
        },
        abs=1e-12,
    )


def test_exact_match_and_f1_use_the_first_line_and_contains_the_whole_prediction():
    table = score(["Paris\nLyon"], [["Lyon"]])
    assert (table["exact_match"], table["f1"], table["contains"]) == (0, 0, 1)
    assert score(["Lyon\nParis"], [["Lyon"]])["exact_match"] == 1


def test_one_row_has_a_standard_error_of_zero():
    table = score(["new york city"], [["New York"]])
    assert (table["f1"], table["f1_se"], table["exact_match_se"]) == (pytest.approx(0.8), 0, 0)


CITIES = ["Lyon", "Oslo", "Rome", "New York", "Nice"]


@pytest.mark.parametrize("between", [", ", " and ", "\n"])
def test_a_prediction_that_lists_every_value_contains_the_answer_and_does_not_match(between):
    truth = [[city] for city in CITIES]
    lister = score([between.join(CITIES)] * len(CITIES), truth)
    honest = score(["Lyon", "Oslo", "Rome", "Nice", "New York"], truth)  # three of five right
    assert lister["contains"] == 1 > honest["contains"]
    # One value a line gets the first of them right and no more: what a guess is worth.
    assert lister["exact_match"] == (1 / len(CITIES) if between == "\n" else 0)
    assert lister["exact_match"] < honest["exact_match"]
    assert lister["f1"] < honest["f1"]
    assert lister["mean_answer_words"] >= 6 > honest["mean_answer_words"] == 1.2


def test_a_prediction_of_a_million_characters_is_scored_correctly():
    chatter = "The word. " * 100_000
    table = score([f"Lyon\n{chatter}", f"{chatter}\nLyon"], [["Lyon"], ["Lyon"]])
    assert (table["exact_match"], table["contains"], table["mean_answer_words"]) == (0.5, 1, 200_001)


INVALID = {
    "lengths": (["Lyon", "Oslo"], [["Lyon"]], ["predictions: 2, references: 1", 'write "" as its prediction']),
    "both empty": ([], [], ["predictions is []: give a list of strings", "references is []: give a list of lists"]),
    "both None": (None, None, ["predictions is None", "references is None"]),
    "text for a list": ("Lyon", [["Lyon"]], ["predictions is 'Lyon': give a list of strings"]),
    "SQuAD's own shape": ({"id1": "Lyon"}, [["Lyon"]], ["predictions is {'id1': 'Lyon'}: give a list of strings"]),
    "a set has no order": ({"Lyon"}, [["Lyon"]], ["predictions is {'Lyon'}: give a list"]),
    "one array value": (np.array("a"), [np.array("a")], ["predictions is array('a'", "references[0] is array('a'"]),
    "None in a row": (["Lyon", None], [["Lyon"], ["Oslo"]], ["predictions[1] is None: a prediction is one string"]),
    "a number": ([4], [["4"]], ["predictions[0] is 4: a prediction is one string"]),
    "NaN": ([float("nan")], [["4"]], ["predictions[0] is nan: a prediction is one string"]),
    "bytes": ([b"Lyon"], [["Lyon"]], ["predictions[0] is b'Lyon': a prediction is one string"]),
    "no sample": ([["Lyon"], []], [["Lyon"]] * 2, ["predictions[1] is []: samples are a list of at least one"]),
    "a sample is None": ([["Lyon", None]], [["Lyon"]], ["predictions[0] is ['Lyon', None]: each sample is a string"]),
    "samples here and there": (
        ["Lyon", ["Lyon"], "Oslo"],
        [["Lyon"]] * 3,
        ["predictions[1] is ['Lyon']: some rows are strings and others are lists of samples"],
    ),
    "a bare answer": (["L"], ["Lyon"], ["references[0] is 'Lyon': give a list of strings", "even for a single"]),
    "answers None": (["Lyon"], [None], ["references[0] is None: give a list of strings"]),
    "SQuAD's answers": (["a"], [{"text": ["b"]}], ["references[0] is {'text': ['b']}: give a list of strings"]),
    "no answer": (["Lyon"], [[]], ["references[0] is []: a question needs at least one accepted answer"]),
    "answer None": (["Lyon"], [["Lyon", None]], ["references[0] is ['Lyon', None]: each accepted answer is a string"]),
    "only articles": (["a"], [["The", "..."]], ["references[0] is ['The', '...']: every accepted answer", "remove"]),
    "a lone surrogate": (["\ud83d"], [["a\udc00"]], ["predictions[0] is '\\ud83d': it has a lone", "references[0]"]),
}


@pytest.mark.parametrize(("predictions", "references", "words"), INVALID.values(), ids=INVALID)
def test_an_error_has_the_input_the_rule_and_the_fix(predictions, references, words):
    with pytest.raises(ValueError, match="These predictions cannot be scored") as error:
        score(predictions, references)
    assert [part for part in words if part not in str(error.value)] == []


def test_one_error_lists_all_problems_and_no_valid_row():
    with pytest.raises(ValueError, match="cannot be scored") as error:
        score(["Lyon", None, 3, "Oslo"], [["Lyon"], [], ["a"], "Oslo", ["Rome"]])
    message = str(error.value)
    assert "predictions: 4, references: 5" in message
    rows = re.findall(r"(\w+)\[(\d)\] is", message)
    assert sorted(rows) == [*(("predictions", row) for row in "12"), *(("references", row) for row in "123")]


def test_an_error_is_short_if_every_row_is_wrong():
    with pytest.raises(ValueError, match="cannot be scored") as error:
        score([None] * 10_000, [["x" * 10_000, 1]] * 10_000)
    message = str(error.value)
    assert "predictions[4] is None and 9995 more up to row 9999" in message
    assert "predictions[5]" not in message
    assert len(message) < 2_000


@pytest.mark.parametrize("judge", [exact_match, f1, contains])
def test_the_error_of_a_single_row_has_the_same_rules(judge):
    with pytest.raises(ValueError, match="answers is 'Lyon': give a list of strings"):
        judge("L", "Lyon")
    with pytest.raises(ValueError, match="prediction is None: a prediction is one string"):
        judge(None, ["Lyon"])
    with pytest.raises(ValueError, match=r"answers is \[\]: a question needs at least one"):
        judge("Lyon", [])


def test_an_empty_prediction_is_scored_and_no_error():
    assert score(["", " \n"], [["Lyon"], ["Oslo"]])["exact_match"] == 0


def test_an_answer_that_is_empty_after_normalisation_is_valid_beside_another_answer():
    assert score(["Lyon"], [["The", "Lyon"]])["exact_match"] == 1


def test_scoring_does_not_change_its_input():
    predictions, references = ["Lyon "], [["The Lyon"]]
    score(predictions, references)
    assert (predictions, references) == (["Lyon "], [["The Lyon"]])


def test_importing_the_package_loads_the_standard_library_only():
    program = (
        "import sys; import hf_knowlearn; before = set(sys.modules); import hf_knowlearn.knowledge_recall as package; "
        "assert package.score(['Lyon'], [['Lyon']])['n'] == 1; "
        "new = {name.partition('.')[0] for name in set(sys.modules) - before}; "
        "print(sorted(new - set(sys.stdlib_module_names) - {'hf_knowlearn'}), 'KnowledgeRecall' in dir(package))"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=REPO, capture_output=True, text=True, check=True)
    assert run.stdout.split("\n")[0] == "[] True"


def test_an_unknown_name_of_the_package_is_an_attribute_error():
    import hf_knowlearn.knowledge_recall as package

    with pytest.raises(AttributeError, match="has no attribute 'KnowledgeRecal'"):
        package.KnowledgeRecal  # noqa: B018
