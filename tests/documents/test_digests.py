"""What is known of texts that were met: the number each came with first, against a dict, through every growth."""

import random
from array import array

from hf_knowlearn.documents.digests import Digests


def test_it_says_what_a_dict_says():
    draw = random.Random(0)
    texts = [f"text {draw.randrange(15_000)}" for _ in range(40_000)]
    known: dict[str, int] = {}
    digests = Digests()
    for number, text in enumerate(texts):
        assert digests.first(text, number) == known.setdefault(text, number)
    assert len(digests) == len(known)
    assert [digests.first(text, -5) for text in known] == list(known.values())


def test_texts_whose_digests_begin_in_the_same_slot_are_kept_apart():
    digests = Digests()
    digests._make(8)  # so few that every text meets another
    assert [digests.first(str(number), number) for number in range(5)] == list(range(5))
    assert [digests.first(str(number), 9) for number in range(5)] == list(range(5))


def test_half_of_a_surrogate_pair_is_a_text():
    digests = Digests()
    assert [digests.first(text, number) for number, text in enumerate(["\ud800", "\udfff", "\ud800"])] == [0, 1, 0]


def test_a_text_takes_at_most_72_bytes():
    digests = Digests()
    for number in range(20_000):
        digests.first(str(number), number)
    arrays = [value for value in vars(digests).values() if isinstance(value, array)]
    assert sum(part.itemsize * len(part) for part in arrays) <= 72 * len(digests)
