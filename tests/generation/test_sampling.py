"""Random numbers of samples and the tokens that they choose: closed forms and a recorded value."""

import numpy as np
import pytest
import torch

from hf_knowlearn.generation.sampling import SampleRandom, choose, cumulative


def test_random_numbers_depend_on_their_key_and_not_on_the_order_of_access():
    forwards, backwards = SampleRandom(3, "q", 1, 4), SampleRandom(3, "q", 1, 4)
    steps = range(40)
    assert [forwards[i] for i in steps] == [backwards[i] for i in reversed(steps)][::-1]
    others = [
        SampleRandom(4, "q", 1, 4),
        SampleRandom(3, "r", 1, 4),
        SampleRandom(3, "q", 2, 4),
        SampleRandom(3, "q", 1, 5),
    ]
    drawn = {sampler[i] for sampler in (forwards, *others) for i in steps}
    assert len(drawn) == 5 * 40


def test_random_numbers_equal_recorded_values():
    assert [round(SampleRandom(0, "who?", 0, 0)[step], 12) for step in (0, 1, 8)] == [
        0.542558508633,
        0.678232238296,
        0.869485574173,
    ]


def test_random_numbers_are_uniform():
    drawn = np.array([SampleRandom(0, f"q{i}", 0, 0)[step] for i in range(1000) for step in range(10)])
    assert 0 <= drawn.min() < 0.001
    assert 0.999 < drawn.max() < 1
    counts = np.histogram(drawn, 20, (0, 1))[0]
    assert ((counts - 500) ** 2 / 500).sum() < 43.8  # chi square of 19 degrees, one in a thousand


def test_tokens_occur_as_often_as_the_softmax_over_the_top_k():
    logits = torch.tensor([[0.0, 3.0, 1.0, 2.5, -1.0, 2.0], [1.0, 1.0, 1.0, 1.0, 9.0, -4.0]])
    ids, ends = cumulative(logits, 0.5, 3)
    assert ids.tolist()[0] == [1, 3, 5]
    uniform = np.array([SampleRandom(1, f"q{i}", 0, 0)[0] for i in range(20_000)])
    chosen = choose(ids, ends, np.zeros(20_000, dtype=int), uniform)
    shares = (logits[0, [1, 3, 5]] / 0.5).softmax(-1).numpy()
    found = np.array([(chosen == token).mean() for token in (1, 3, 5)])
    assert abs(found - shares).max() < 4 * np.sqrt(0.25 / 20_000)
    assert found.sum() == pytest.approx(1)


def test_without_top_k_every_token_is_possible():
    logits = torch.zeros(1, 7)
    for top_k in (0, 7, 40):
        ids, ends = cumulative(logits, 1.0, top_k)
        uniform = (np.arange(7) + 0.5) / 7
        assert choose(ids, ends, np.zeros(7, dtype=int), uniform).tolist() == list(range(7))


def test_the_last_bits_of_two_logits_do_not_change_the_chosen_token():
    one = torch.tensor([[2.0, 5.0, 5.0 + 1e-6, 1.0]])
    other = torch.tensor([[2.0, 5.0 + 1e-6, 5.0, 1.0]])
    uniform = np.linspace(0, 0.999, 500)
    rows = np.zeros(500, dtype=int)
    assert (choose(*cumulative(one, 1.0, 3), rows, uniform) == choose(*cumulative(other, 1.0, 3), rows, uniform)).all()


@pytest.mark.parametrize("uniform", [0.0, 1 - 2**-53])
def test_the_ends_of_the_interval_choose_a_possible_token(uniform: float):
    logits = torch.tensor([[-torch.inf, 1.0, 1.0, -torch.inf]])
    ids, ends = cumulative(logits, 1.0, 2)
    assert choose(ids, ends, np.array([0]), np.array([uniform])).item() in (1, 2)
