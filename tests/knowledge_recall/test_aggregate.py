"""Tests of `score`: closed forms, plain definitions, and changes of the input that must not change a score."""

import math
import random
import re
from collections import Counter
from fractions import Fraction
from statistics import fmean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hf_knowlearn.knowledge_recall import contains, exact_match, f1, first_line, normalize, score
from hf_knowlearn.knowledge_recall.aggregate import ABSTENTIONS

CITIES = ["Lyon", "Oslo", "Rome", "New York", "Nice"]
TRUTH = [[city] for city in CITIES]


# The plain definitions, letter by letter as SQuAD's script has them


def plainly_normal(text):
    text = "".join(sign for sign in text.lower() if sign not in set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~"))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def plain_f1(prediction, answer):
    predictions, accepted = plainly_normal(prediction).split(), plainly_normal(answer).split()
    shared = sum((Counter(predictions) & Counter(accepted)).values())
    if shared == 0:
        return 0
    precision, recall = Fraction(shared, len(predictions)), Fraction(shared, len(accepted))
    return 2 * precision * recall / (precision + recall)


WORDS = "the The a an AN thee ana Lyon lyon's new York “the” é e\u0301 5° $ _the_ the-a . - İ ß ²"
PIECES = st.sampled_from([*WORDS.split(" "), "a\u00a0b", "\n", "\t", "\u2028", "\x00"])
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=8).map(" ".join) | st.lists(PIECES, max_size=4).map("".join)


@given(TEXTS)
def test_the_fast_normalisation_equals_the_plain_one(text):
    assert normalize(text) == plainly_normal(text)


@given(TEXTS, st.lists(TEXTS, min_size=1, max_size=3))
def test_exact_match_and_f1_equal_plain_definitions(prediction, answers):
    assert exact_match(prediction, answers) == any(plainly_normal(prediction) == plainly_normal(a) for a in answers)
    assert f1(prediction, answers) == pytest.approx(float(max(plain_f1(prediction, a) for a in answers)), abs=1e-12)


def test_f1_of_many_words_equals_the_plain_definition():
    rng = random.Random(0)
    for size in (20, 40, 60, 3000):
        predictions, accepted = (" ".join(f"w{rng.randrange(30)}" for _ in range(size)) for _ in range(2))
        assert f1(predictions, [accepted]) == pytest.approx(float(plain_f1(predictions, accepted)), abs=1e-12)


def some_run(rows, seed=0):
    """Predictions of all kinds, with repeats, over several batches."""
    rng = random.Random(seed)
    ends = ["", ".", "\nRome", " and Oslo", "\n\n"]
    predictions = [rng.choice(["", " ", "\n", "The "]) + rng.choice([*CITIES, "I don't know", ""]) + rng.choice(ends)]
    predictions += [
        rng.choice(["", "\n", "The "]) + rng.choice([*CITIES, "Unknown"]) + rng.choice(ends) for _ in range(rows)
    ]
    references = [rng.sample(CITIES, rng.choice([1, 1, 2])) for _ in range(rows)]
    return predictions[:rows], references


def test_the_scores_of_a_run_are_means_over_rows():
    predictions, references = some_run(2500)
    figures = score(predictions, references)
    lines = [first_line(text) for text in predictions]
    right = [exact_match(line, answers) for line, answers in zip(lines, references, strict=True)]
    near = [f1(line, answers) for line, answers in zip(lines, references, strict=True)]
    held = [contains(text, answers) for text, answers in zip(predictions, references, strict=True)]
    assert 0 < figures["exact_match"] < 1
    assert figures["exact_match"] == pytest.approx(fmean(right), abs=1e-12)
    assert figures["f1"] == pytest.approx(fmean(near), abs=1e-12)
    assert figures["f1_se"] == pytest.approx(stdev(near) / 50, abs=1e-12)
    assert figures["contains"] == pytest.approx(fmean(held), abs=1e-12)
    assert figures["mean_answer_words"] == pytest.approx(fmean(len(text.split()) for text in predictions), abs=1e-12)
    assert figures["n"] == 2500


# Standard errors


def test_the_clustered_error_is_the_closed_form():
    # Right 1 1 0 | 0 | 1: mean 3/5; residuals sum to 1/5, -3/5, 2/5; three documents.
    figures = score(["Lyon", "Lyon", "x", "x", "Lyon"], [["Lyon"]] * 5, documents=["d", "d", "d", "e", "f"])
    expected = math.sqrt(3 / 2 * (0.2**2 + 0.6**2 + 0.4**2)) / 5
    for name in ("exact_match", "f1", "contains", "wrong"):
        assert figures[f"{name}_se"] == pytest.approx(expected, abs=1e-12)
    assert (figures["n_documents"], figures["abstention_se"]) == (3, 0)


def test_with_one_question_per_document_the_clustered_error_is_the_simple_error_with_the_correction():
    predictions, references = some_run(1200)
    simple = score(predictions, references)
    clustered = score(predictions, references, documents=[f"d{i}" for i in range(1200)])
    assert clustered["f1_se"] == pytest.approx(simple["f1_se"], abs=1e-12)  # which has the factor
    for name in ("exact_match", "contains", "abstention", "wrong"):
        assert clustered[f"{name}_se"] == pytest.approx(simple[f"{name}_se"] * math.sqrt(1200 / 1199), abs=1e-12)


def test_repeated_questions_do_not_reduce_the_clustered_error():
    predictions, references = some_run(300)
    documents = [f"d{i}" for i in range(300)]
    once = score(predictions, references, documents=documents)
    twice = score(predictions * 2, references * 2, documents=documents * 2)
    blind = score(predictions * 2, references * 2)
    for name in ("exact_match", "f1", "contains"):
        assert twice[f"{name}_se"] == pytest.approx(once[f"{name}_se"], abs=1e-12)
        assert blind[f"{name}_se"] < 0.75 * twice[f"{name}_se"]


def test_the_error_of_a_single_document_is_nan():
    figures = score(["Lyon", "x"], [["Lyon"]] * 2, documents=["d", "d"], fact_ids=["f", "g"])
    errors = {name for name, value in figures.items() if name.endswith("_se") and not math.isnan(value)}
    assert not errors
    assert figures["n_documents"] == 1


def test_rows_of_equal_score_have_an_error_of_exactly_zero():
    predictions, references = ["new york city"] * 3001, [["New York"]] * 3001
    assert score(predictions, references)["f1_se"] == 0
    assert score(predictions, references, documents=[f"d{i % 7}" for i in range(3001)])["f1_se"] == 0


# Facts, relations, samples, abstentions


def test_consistency_is_the_share_of_facts_that_are_correct_in_all_or_most_wordings():
    right = {"three of three": "rrr", "two of three": "rrw", "one of two": "rw", "none": "ww", "one": "r"}
    rows = [(fact, judged) for fact, marks in right.items() for judged in marks]
    random.Random(1).shuffle(rows)  # a fact's questions need not stand together
    figures = score(
        ["Lyon" if mark == "r" else "Oslo" for _, mark in rows],
        [["Lyon"]] * len(rows),
        fact_ids=[fact for fact, _ in rows],
    )
    assert (figures["n_facts"], figures["n"]) == (5, 11)
    assert (figures["consistency_all"], figures["consistency_most"]) == (2 / 5, 3 / 5)
    assert figures["consistency_all_se"] == pytest.approx(math.sqrt(0.4 * 0.6 / 5), abs=1e-12)


def test_facts_are_clustered_by_the_document_of_their_questions():
    figures = score(
        ["Lyon", "Lyon", "x", "Lyon"],
        [["Lyon"]] * 4,
        fact_ids=["f", "f", "g", "h"],
        documents=["d", "d", "d", "e"],
    )
    # All right: f yes, g no (both of d), h yes (of e); mean 2/3; residuals 1/3 - 2/3 and 1/3; two documents.
    assert figures["consistency_all_se"] == pytest.approx(math.sqrt(2 * (1 / 9 + 1 / 9)) / 3, abs=1e-12)


def test_each_relation_has_the_scores_of_its_own_questions():
    predictions, references = some_run(2300)
    kinds = [("born in", "lives in", "works in")[i % 3] for i in range(2300)]
    documents = [f"d{i % 40}" for i in range(2300)]
    by_relation = score(predictions, references, relations=kinds, documents=documents)["by_relation"]
    assert list(by_relation) == ["born in", "lives in", "works in"]
    for start, kind in enumerate(by_relation):
        rows = slice(start, None, 3)
        alone = {"relations": kinds[rows], "documents": documents[rows]}
        own = score(predictions[rows], references[rows], **alone)["by_relation"][kind]
        assert by_relation[kind] == pytest.approx(own, abs=1e-12)


def test_the_first_sample_is_scored_and_sample_accuracy_uses_all():
    figures = score([["Lyon", "Oslo\nLyon"], ["Nice", "\nthe Lyon."], ["Lyon"]], [["Lyon"]] * 3)
    shares = [0.5, 0.5, 1.0]
    assert (figures["exact_match"], figures["contains"], figures["wrong"]) == (2 / 3, 2 / 3, pytest.approx(1 / 3))
    assert figures["sample_accuracy"] == pytest.approx(fmean(shares), abs=1e-12)
    assert figures["sample_accuracy_se"] == pytest.approx(stdev(shares) / math.sqrt(3), abs=1e-12)
    # One sample each is the run without samples.
    predictions, references = some_run(1500)
    single = score([[text] for text in predictions], references)
    assert single.pop("sample_accuracy") == pytest.approx(single["correct"], abs=1e-12)
    del single["sample_accuracy_se"]
    assert single == pytest.approx(score(predictions, references), abs=1e-12)


@pytest.mark.parametrize(
    ("predictions", "kind"),
    [
        ("Lyon", "exact_match"),
        ("Oslo", "wrong"),
        ("I don't know.", "abstention"),
        ("I don’t know", "abstention"),  # as phones write it
        ("\n UNKNOWN \nLyon", "abstention"),
        ("", "abstention"),
        ("...", "abstention"),
        ("I don't know, perhaps Lyon", "wrong"),  # only as the whole line
        ("I would not know", "wrong"),
    ],
)
def test_a_prediction_matches_or_abstains_or_is_wrong(predictions, kind):
    figures = score([predictions], [["Lyon"]])
    assert {name: figures[name] for name in ("exact_match", "abstention", "wrong")} == {
        "exact_match": 0,
        "abstention": 0,
        "wrong": 0,
        kind: 1,
    }


def test_an_accepted_answer_that_is_also_an_abstention_matches():
    figures = score(["unknown"], [["Unknown"]])
    assert (figures["exact_match"], figures["abstention"]) == (1, 0)


def test_abstentions_can_be_set_and_an_empty_prediction_is_always_one():
    predictions = ["pass!", "I don't know", ""]
    figures = score(predictions, [["Lyon"]] * 3, abstentions=["Pass"])
    assert (figures["abstention"], figures["wrong"]) == (pytest.approx(2 / 3), pytest.approx(1 / 3))
    assert score(predictions, [["Lyon"]] * 3, abstentions=[])["abstention"] == pytest.approx(1 / 3)
    assert score(["weiß nicht"], [["Lyon"]], language="de", abstentions=["Weiß nicht"])["abstention"] == 1
    assert score(["I don't know"], [["Lyon"]], language="de")["abstention"] == 0  # the default is English


def test_every_default_abstention_is_found():
    assert score(list(ABSTENTIONS), [["Lyon"]] * len(ABSTENTIONS))["abstention"] == 1


def test_correct_abstention_and_wrong_add_up_to_1():
    figures = score(*some_run(3000), whole=True)
    parts = [figures[name] for name in ("correct", "abstention", "wrong")]
    assert min(parts) > 0
    assert sum(parts) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("between", [", ", " and ", "\n"])
def test_a_prediction_that_lists_every_value_has_the_best_contains_only(between):
    wordings = {"fact_ids": [f"fact {i // 2}" for i in range(10)]}
    truth = [answers for answers in TRUTH for _ in range(2)]
    honest = [city for city in ["Lyon", "Oslo", "Rome", "Nice", "New York"] for _ in range(2)]  # 3 of 5 facts
    lister = score([[between.join(CITIES)] * 3] * 10, truth, **wordings)
    honest_figures = score([[city] * 3 for city in honest], truth, **wordings)
    for name in ("exact_match", "f1", "sample_accuracy", "consistency_all", "consistency_most"):
        assert lister[name] < honest_figures[name], name
    assert lister["wrong"] > honest_figures["wrong"]
    assert lister["contains"] == 1 > honest_figures["contains"]
    assert list(lister).index("mean_answer_words") - list(lister).index("contains") <= 3
    assert lister["mean_answer_words"] >= 5 * honest_figures["mean_answer_words"]


# What must not change a figure


def test_the_order_of_rows_changes_no_score():
    predictions, references = some_run(2100)
    columns = {
        "fact_ids": [f"f{i % 700}" for i in range(2100)],
        "relations": [f"r{i % 4}" for i in range(2100)],
        "documents": [f"d{i % 70}" for i in range(2100)],  # all wordings of a fact are of one document
    }
    order = list(range(2100))
    random.Random(2).shuffle(order)
    shuffled = {name: [column[i] for i in order] for name, column in columns.items()}
    before = score(predictions, references, **columns)
    after = score([predictions[i] for i in order], [references[i] for i in order], **shuffled)
    for relation, figures in before.pop("by_relation").items():
        assert after["by_relation"][relation] == pytest.approx(figures, abs=1e-12)
    del after["by_relation"]
    assert after == pytest.approx(before, abs=1e-12)


@pytest.mark.parametrize(
    "kind", [tuple, np.array, lambda texts: dict(enumerate(texts)).values()], ids=["tuple", "np", "view"]
)
def test_every_kind_of_list_is_accepted(kind):
    assert score(kind(CITIES), [kind(answers) for answers in TRUTH]) == score(CITIES, TRUTH)


def test_documents_and_facts_do_not_change_the_other_scores():
    predictions, references = some_run(1100)
    ids = [f"x{i % 9}" for i in range(1100)]
    plain = score(predictions, references)
    for name in ("fact_ids", "documents"):
        figures = score(predictions, references, **{name: ids})
        same = [key for key in plain if name != "documents" or not key.endswith("_se")]
        assert {key: figures[key] for key in same} == {key: plain[key] for key in same}


def test_relations_and_questions_change_only_which_sentences_are_correct():
    predictions, references = some_run(1100)
    plain = score(predictions, references)
    for columns in ({"relations": ["born in"] * 1100}, {"questions": ["Where was Ann born?"] * 1100}):
        figures = score(predictions, references, **columns)
        same = [key for key in plain if not key.startswith(("correct", "wrong"))]
        assert {key: figures[key] for key in same} == {key: plain[key] for key in same}
        assert figures["exact_match"] <= figures["correct"] <= plain["correct"]


def test_the_answer_of_another_question_of_the_relation_competes():
    predictions = ["Ann was born in Lyon, near Nice.", "Bo was born in Nice.", "Cy lives in Rome near Nice."]
    references = [["Lyon"], ["Nice"], ["Rome"]]
    found = score(predictions, references, relations=["born in", "born in", "lives in"])
    assert [found["by_relation"][relation]["correct"] for relation in ("born in", "lives in")] == [0.5, 1]
    assert score(predictions, references)["correct"] == 1
    questions = ["Where near Nice was Ann born?", "", ""]
    assert score(predictions, references, relations=["r"] * 3, questions=questions)["correct"] == 2 / 3


# Errors


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"documents": ["d", None]}, "documents[1] is None: an id is a string"),
        ({"documents": ["d", float("nan")]}, "documents[1] is nan: an id is a string"),
        ({"fact_ids": ["f", 3]}, "fact_ids[1] is 3: an id is a string; write a number as text"),
        ({"relations": ["r", " "]}, "relations[1] is ' ': an id has at least one character"),
        ({"questions": ["q", None]}, "questions[1] is None: a question is one string"),
        ({"relations": ["r"]}, "predictions: 2, references: 2, relations: 1"),
        ({"relations": "rs"}, "relations is 'rs': give a list of strings, one per question, or leave it out"),
        ({"documents": []}, "documents is []: give a list of strings"),
        ({"language": "fr"}, "language is 'fr': choose from en, ar, de, es, hi, ja, und, vi, zh. Use 'und'"),
        ({"language": None}, "language is None: choose from"),
        ({"abstentions": "pass"}, "abstentions is 'pass': give a list of strings"),
        ({"abstentions": [None]}, "abstentions is [None]: give a list of strings"),
    ],
)
def test_a_wrong_optional_input_is_an_error_with_its_name(more, words):
    with pytest.raises(ValueError, match="cannot be scored") as error:
        score(["Lyon", "Oslo"], [["Lyon"], ["Oslo"]], **more)
    assert words in str(error.value)


def test_a_wrong_row_in_a_later_batch_is_an_error_with_its_number():
    predictions = ["Lyon"] * 5000
    predictions[4321] = None
    with pytest.raises(ValueError, match=r"predictions\[4321\] is None"):
        score(predictions, [["Lyon"]] * 5000)
