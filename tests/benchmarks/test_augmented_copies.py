"""Copies with changed words add no word, other wordings retain the order of the facts, and both are reproducible."""

import json
import random
from collections import Counter

import pytest

TEXT = "Mira Tolen was born in Ormel in May and studied the law of the sea before she moved to Tarn"


@pytest.mark.parametrize(("number", "words"), [(0, 22), (1, 20), (2, 18)], ids=["inserted", "swapped", "deleted"])
def test_a_tenth_of_the_words_changes_and_no_word_is_new(number, words):
    from augmented_copies import changed_words

    assert len({changed_words(TEXT, number, random.Random(seed)) for seed in range(20)}) > 15
    for seed in range(20):
        copy = changed_words(TEXT, number, random.Random(seed)).split()
        assert len(copy) == words
        assert set(copy) <= set(TEXT.split())
        if number == 1:
            assert Counter(copy) == Counter(TEXT.split())
            assert 0 < sum(one != other for one, other in zip(copy, TEXT.split(), strict=True)) <= 4


def test_other_wordings_have_the_same_facts_in_the_same_order():
    from augmented_copies import reworded

    from hf_knowlearn.paths import RECIPES
    from hf_knowlearn.worlds.splits import read_splits

    split = read_splits(RECIPES / "world.yaml")["new"]
    changed = 0
    for person in split.world.people(split.first, split.first + 20):
        text = split.world.biography(person).text
        other = reworded(text, person.name, person.facts, random.Random(1))
        changed += text != other
        places = [
            [text.lower().index(person.facts[attribute].lower()) for attribute in sorted(person.facts)]
            for text in (text, other)
        ]
        ranks = [[sorted(found).index(place) for place in found] for found in places]
        assert ranks[0] == ranks[1], (text, other)
        again = reworded(text, person.name, person.facts, random.Random(2))
        assert again != other, "wordings are random"
    assert changed == 20


def test_both_files_have_eleven_copies_of_each_document_and_are_reproducible(tmp_path):
    from augmented_copies import main

    for name in ("one", "two"):
        main(tmp_path / name)
    for kind in ("changed_words", "wordings"):
        written = (tmp_path / "one" / f"{kind}.jsonl").read_text(encoding="utf-8")
        assert written == (tmp_path / "two" / f"{kind}.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in written.splitlines()]
        assert len(rows) == len({row["id"] for row in rows}) == 300 * 12
        assert len({row["title"] for row in rows}) == 300
