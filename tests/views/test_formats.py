"""Formats: how many a document has, which of them are sampled, and which arguments are valid."""

import json
import os
import subprocess
import sys
from collections import Counter
from itertools import combinations

import numpy
import pytest
import yaml

from hf_knowlearn.documents import Document
from hf_knowlearn.views import FAMILIES, GROUPS, MARKS, TooFewViewsError, format_views, raw_view

FIVE = "Anna was born in Rome. She works as a baker. Tarn College was her school. Anna collects lanterns. All is well."
ADA = Document("ada", "One is here. Two is there.\n\nThree.", title="Ada")
# Documents with different features: with and without a title, paragraphs, line breaks, special characters, a table.
DOCUMENTS = {
    "five": Document("five", FIVE),
    "titled": Document("titled", FIVE, title="Anna"),
    "paragraphs": Document("paragraphs", FIVE.replace("baker. ", "baker.\n\n"), title="Anna"),
    "lines": Document("lines", FIVE.replace(". ", ".\n")),
    "signs": Document("signs", FIVE.replace("Rome", '"Rome" <&> {$} | ``` ~~~')),
    "chinese": Document("chinese", "\u4f60\u597d\u3002\u4e16\u754c\u3002" * 3, language="zh"),
    "with a table": Document("table", f"{FIVE}\n\n| a | b |\n|---|---|\n| 1 | 2 |"),
}


def names(views):
    return [view.format for view in views]


def marks_of(view):
    return [mark for mark in view.format.split("+") if mark.partition(".")[0] in GROUPS]


def groups_of(view):
    return {mark.partition(".")[0] for mark in marks_of(view)}


def test_every_mark_has_a_unique_name_in_one_of_seven_groups():
    assert GROUPS == ("spacing", "breaks", "marks", "lists", "headings", "containers", "shift")
    named = [mark.full_name for group in GROUPS for mark in MARKS[group]]
    assert len(set(named)) == len(named)
    assert all(mark.group == group for group in GROUPS for mark in MARKS[group])


# How many there are


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_five_sentences_have_a_thousand_formats_that_differ_after_folding(kind, fold):
    views = format_views(DOCUMENTS[kind], 1000)
    assert len({fold(view.text) for view in views}) == 1000
    assert len({view.format for view in views}) == 1000


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_formats_that_differ_only_in_runs_of_spaces_come_last(kind, every_view, fold):
    views = every_view(DOCUMENTS[kind])
    looks = [tuple(mark for mark in marks_of(view) if not mark.startswith("spacing")) for view in views]
    last = next(index for index, look in enumerate(looks) if look in looks[:index])
    assert last > 1000
    assert len({fold(view.text) for view in views[:last]}) == last
    assert all(look in looks[:last] for look in looks[last:])


@pytest.mark.parametrize("document", [*DOCUMENTS.values(), Document("w", "Word"), Document("h", "# Heading")])
def test_the_error_for_too_few_formats_has_the_available_number(document):
    with pytest.raises(TooFewViewsError, match=f"num_views=20000, but document '{document.id}' has only") as raised:
        format_views(document, 20_000)
    has = raised.value.available
    assert f"has only {has} distinct formats. Request at most {has}, or allow more groups." in str(raised.value)
    assert len({view.text for view in format_views(document, has)}) == has
    with pytest.raises(ValueError, match=f"num_views={has + 1}, but .* has only {has} distinct formats"):
        format_views(document, has + 1)
    with pytest.raises(ValueError, match=f"num_views=1 from view {has} on, but .* has only {has} distinct formats"):
        format_views(document, 1, first=has)


def test_a_part_with_too_few_formats_is_named():
    with pytest.raises(ValueError, match=r"document 'w' \(part 3\) has only"):
        format_views(Document("w", "Word", part=3), 20_000)


def test_a_document_without_a_title_has_no_format_that_shows_one(every_view):
    titled = {mark.full_name for mark in MARKS["headings"] if "{title}" in mark.fields["head"]}
    assert len(titled) > 10
    seen = {mark for view in every_view(ADA) for mark in marks_of(view)}
    assert titled <= seen
    for title in ("", " \n"):
        untitled = {mark for view in every_view(Document("ada", ADA.text, title=title)) for mark in marks_of(view)}
        assert untitled == seen - titled


# Which are sampled


@pytest.mark.parametrize("kind", DOCUMENTS)
def test_twelve_views_have_at_least_six_groups_and_no_two_share_a_mark(kind):
    for seed in range(300):
        views = format_views(DOCUMENTS[kind], 12, seed)
        assert len(set().union(*map(groups_of, views))) >= 6
        for one, other in combinations(views, 2):
            assert not set(marks_of(one)) & set(marks_of(other))


def test_a_format_is_one_mark_or_two_of_different_groups(every_view):
    for view in every_view(DOCUMENTS["paragraphs"]):
        assert 1 <= len(marks_of(view)) == len(groups_of(view)) <= 2


def test_over_many_seeds_every_mark_occurs_in_the_first_twelve_views():
    document = Document("long", f"{FIVE} {FIVE} {FIVE}\n\n{FIVE}", title="Anna")
    views = (view for seed in range(200) for view in format_views(document, 12, seed))
    counts = Counter(mark for view in views for mark in marks_of(view))
    assert set(counts) == {mark.full_name for marks in MARKS.values() for mark in marks}
    assert min(counts.values()) >= 5


def test_sampled_formats_are_the_recorded_ones_on_every_machine_and_python():
    assert names(format_views(ADA, 6, seed=0)) == [
        "spacing.trailing+marks.joint_bar",
        "spacing.triple+shift.forms",
        "lists.capital_bracket+shift.long",
        "lists.hanging_square+containers.block_quote",
        "breaks.sentence_lines+containers.doc",
        "breaks.spaced_lines+headings.content",
    ]
    assert names(format_views(ADA, 6, seed=1)) == [
        "breaks.sentence_lines+shift.here",
        "breaks.spaced_lines+containers.tilde_fence",
        "spacing.em_space+containers.doc",
        "spacing.indent_8+lists.number_brackets",
        "spacing.indent_2+headings.text_line",
        "marks.chevrons+headings.bold",
    ]
    part = Document("caf\u00e9/\U0001fae8", ADA.text, title="Ada", part=3)  # the emoji is of Unicode 15: Python 3.12
    assert names(format_views(part, 6, seed=7)) == [
        "breaks.one_line+containers.html_quote",
        "spacing.indent_8+breaks.paragraph_lines",
        "spacing.indent_2+shift.here",
        "headings.h1+shift.long",
        "lists.diamond+headings.ruled",
        "marks.quotes+lists.hanging_square",
    ]


SAMPLE = """
from hf_knowlearn.documents import Document
from hf_knowlearn.views import FAMILIES
document = Document("ada", "One is here. Two is there. Ada is not. Bo is.\\n\\nThree.", title="Ada")
for family, make_views in FAMILIES.items():
    for view in make_views(document, 12, 5):
        print(ascii(view))
"""


def test_another_process_with_another_hash_seed_samples_the_same():
    sampled = [
        subprocess.run(
            [sys.executable, "-c", SAMPLE], env=os.environ | {"PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    ]
    assert sampled[0] == sampled[1]
    assert sampled[0].count(b"\n") == 12 * len(FAMILIES)


def test_a_seed_of_numpy_samples_like_the_same_integer():
    assert format_views(ADA, 5, numpy.int64(3)) == format_views(ADA, 5, 3)


def test_sampling_depends_on_the_seed_the_id_the_part_and_the_features_of_the_text_only():
    sampled = names(format_views(ADA, 12))
    assert names(format_views(ADA, 12, seed=1)) != sampled
    assert names(format_views(Document("bob", ADA.text, title="Ada"), 12)) != sampled
    assert names(format_views(Document("ada", ADA.text, title="Ada", part=1), 12)) != sampled
    other = Document("ada", "Four.\n\nFive is here. Six is.", title="Bob", start=9, metadata={"a": 1})
    assert names(format_views(other, 12)) == sampled


@pytest.mark.parametrize("family", FAMILIES)
def test_a_second_call_returns_the_same_views_and_first_skips_views_of_the_same_sequence(family):
    document = DOCUMENTS["paragraphs"]
    views = FAMILIES[family](document, 40, 3)
    assert [view.index for view in views] == list(range(40))
    assert FAMILIES[family](document, 40, 3) == views
    for first, count in [(0, 1), (0, 13), (7, 1), (7, 20), (39, 1)]:
        assert FAMILIES[family](document, count, 3, first=first) == views[first : first + count]


# Arguments


@pytest.mark.parametrize("group", GROUPS)
@pytest.mark.parametrize("family", ["formats", "order", "mixed"])
def test_the_held_out_group_is_never_sampled(family, group):
    for seed in range(5):
        views = FAMILIES[family](DOCUMENTS["paragraphs"], 40, seed, hold_out=group)
        assert group not in set().union(*map(groups_of, views))
        assert len(set().union(*map(groups_of, views))) == len(GROUPS) - 1


@pytest.mark.parametrize("group", GROUPS)
def test_only_the_given_groups_are_sampled(group, every_view):
    views = every_view(DOCUMENTS["paragraphs"], groups=[group])
    assert {frozenset(groups_of(view)) for view in views} == {frozenset([group])}
    sampled = {mark for view in views for mark in marks_of(view)}
    assert sampled == {
        mark for view in every_view(DOCUMENTS["paragraphs"]) for mark in marks_of(view) if group in mark.split(".")
    }
    assert format_views(ADA, 2, groups=[group, "shift"], hold_out="shift" if group != "shift" else None) == (
        format_views(ADA, 2, groups=[group])
    )


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_views": 0}, "num_views=0: give 1 or more"),
        ({"num_views": -1}, "num_views=-1: give 1 or more"),
        ({"first": -1}, "first=-1: views are numbered from 0, so give 0 or more"),
        ({"groups": "lists"}, r"groups='lists' is one string: give a list of groups, such as \['lists'\]"),
        ({"groups": ["lists", "list"]}, r"Unknown groups of formats \['list'\]. Choose from spacing, breaks,"),
        ({"hold_out": "fences"}, r"Unknown groups of formats \['fences'\]. Choose from spacing, breaks,"),
        ({"hold_out": ""}, r"Unknown groups of formats \[''\]. Choose from spacing, breaks,"),
        ({"groups": ["a"], "hold_out": "b"}, r"Unknown groups of formats \['a', 'b'\]"),
        ({"num_views": 0, "first": -1, "groups": ["a"]}, r"num_views=0: .* first=-1: .* Unknown groups of formats"),
    ],
)
def test_a_wrong_argument_of_any_family_is_an_error_with_the_fix(family, arguments, message):
    with pytest.raises(ValueError, match=message):
        FAMILIES[family](ADA, **{"num_views": 1} | arguments)


@pytest.mark.parametrize("choice", [{"groups": []}, {"groups": ["lists"], "hold_out": "lists"}])
def test_a_choice_of_groups_that_leaves_no_format_is_an_error(choice):
    with pytest.raises(ValueError, match=r"groups=\[.*\] with hold_out=.* leaves no format. Allow another group"):
        format_views(ADA, 1, **choice)


def test_the_raw_view_is_the_unchanged_document():
    view = raw_view(ADA)
    assert (view.text, view.spans, view.format) == (ADA.text, ((0, 0, len(ADA.text)),), "raw")


# Containers


def test_front_matter_parses_if_the_title_needs_no_escaping():
    views = format_views(ADA, 20, groups=["headings"])
    view = next(view for view in views if view.format == "headings.front_matter")
    _, front, text = view.text.split("---\n")
    assert yaml.safe_load(front) == {"title": "Ada"}
    assert text.split() == ADA.text.split()


@pytest.mark.parametrize("sign", ['"', "\\", "\t", "\x7f", "\u2028", "\ufeff"])
def test_a_text_that_needs_escaping_has_no_json_or_yaml_format(sign, every_view):
    plain = {mark for view in every_view(DOCUMENTS["five"], groups=["containers"]) for mark in marks_of(view)}
    text = FIVE.replace("Rome", f"R{sign}ome")
    assert {"containers.json", "containers.yaml"} <= plain
    assert not {"containers.json", "containers.yaml"} & {
        mark for view in every_view(Document("d", text), groups=["containers"]) for mark in marks_of(view)
    }


def test_json_has_the_text_on_one_line(every_view):
    for view in every_view(DOCUMENTS["paragraphs"]):
        if "containers.json" in view.format:
            text = view.text[view.text.index("{") :]
            assert "\n" not in text
            assert json.loads(text)["text"].split() == DOCUMENTS["paragraphs"].text.split()
