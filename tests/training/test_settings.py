"""`ReplaySettings`: accepted values and error messages."""

import pytest

from hf_knowlearn.training import ReplaySettings


def test_replay_settings_accept_the_limits_of_their_ranges():
    settings = ReplaySettings(share=0.0, kl_weight=0.0, num_generated=0)
    assert settings.prompts is None
    assert ReplaySettings(0.99, 10.0, 5, ("",)).prompts == ("",)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"share": 1.0}, "share: 1.0 is not a number of at least 0 and less than 1"),
        ({"share": -0.1}, "share: -0.1 is not"),
        ({"kl_weight": -1.0}, "kl_weight: -1.0 is not a finite number of 0 or more"),
        ({"kl_weight": float("nan")}, "kl_weight: nan is not"),
        ({"num_generated": -1}, "num_generated: -1 is less than 0"),
        ({"prompts": ()}, "prompts: the list is empty"),
    ],
)
def test_a_value_out_of_range_is_an_error(value, message):
    valid = {"share": 0.25, "kl_weight": 1.0, "num_generated": 10}
    with pytest.raises(ValueError, match=message):
        ReplaySettings(**valid | value)


def test_the_error_lists_all_problems():
    with pytest.raises(ValueError, match=r"share: 2 .*\nkl_weight: -1 .*\nnum_generated: -1 "):
        ReplaySettings(share=2, kl_weight=-1, num_generated=-1)
