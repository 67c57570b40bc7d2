"""The ten pages of the comparison of HTML readers."""

import pytest
import yaml


def test_the_reader_is_right_on_all_pages_and_a_worse_one_is_not():
    pytest.importorskip("resiliparse")
    from html_readers import PAGES, check, ours, resiliparse

    expected = yaml.safe_load((PAGES / "expected.yaml").read_text(encoding="utf-8"))
    assert len(expected) == 10
    right = {"content": [], "structure": [], "navigation": []}
    for name, strings in expected.items():
        html = (PAGES / f"{name}.html").read_text(encoding="utf-8")
        assert check(ours()(html), strings) == right, name
    assert check(resiliparse((PAGES / "prices.html").read_text(encoding="utf-8")), expected["prices"]) != right
