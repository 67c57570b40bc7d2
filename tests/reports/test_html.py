"""Tests of the HTML page: content, escaping, and rendering in a browser on a screen and on a phone."""

import copy
import re
import shutil
import subprocess
from collections.abc import Callable
from functools import cache
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from hf_knowlearn.reports.charts import charts
from hf_knowlearn.reports.html import to_html
from hf_knowlearn.reports.schema import new_report
from hf_knowlearn.reports.tables import tables

MARKUP = "<script>document.title='taken'</script> & \"quoted\" <b onclick='x'>"
LONG = "a_recipe_of_a_name_that_goes_on_and_on_without_a_single_space_to_break_it_at_" * 2
COUNTS = {"documents": 300, "questions": 1500, "replayed_questions": 500, "retention_questions": 500}


def shares(**figures: float) -> dict[str, float]:
    return {key: figure for name, value in figures.items() for key, figure in ((name, value), (f"{name}_se", 0.01))}


def figures(recall: float, retention: float) -> dict[str, Any]:
    examples = [
        {"id": str(i), "question": question, "answers": ["six", "at six"], "before": "", "after": response}
        for i, (question, response) in enumerate([(MARKUP, MARKUP), ("When does it leave?", " six\n" + LONG)])
    ]
    learned = round(1500 * recall)
    counts = {"learned": learned, "retained": 0, "forgotten": 0, "never": 1500 - learned}
    return {
        **shares(correct=recall, f1=recall, retention=retention, replayed=0.9, consistency_all=recall / 2),
        "contains": recall,
        "mean_answer_words": 2.5,
        "train_loss": 0.2,
        "by_relation": {
            MARKUP: {**shares(correct=recall), "n": 300},
            LONG: {**shares(correct=recall), "n": 300},
        },
        "cost": {
            "train_seconds": 61.0,
            "steps": 250,
            "gradient_evaluations": 250,
            "tokens": 511500,
            "peak_memory_bytes": 1.2e9,
            "device": MARKUP,
        },
        "transitions": {"questions": {**counts, "examples": {"learned": examples, "forgotten": examples[1:]}}},
        "curve": [
            {"step": step, "loss": 4 / (1 + step), "correct": recall * step / 250} for step in range(0, 251, 50)
        ],
        "drift": {"kl": 0.3, "kl_se": 0.01, "tokens": 4000, "texts": 12},
    }


def full() -> dict[str, Any]:
    """A report with everything that a page shows, and markup wherever a user's text can occur."""
    runs = {MARKUP: figures(0.45, 0.5), "formats": figures(0.4, 0.6), LONG: figures(0.3, 0.7)}
    made = new_report(shares(correct=0.01, retention=1.0, replayed=1.0), runs, {"note": MARKUP, "path": LONG}, COUNTS)
    return made | {
        "created": "2026-01-01",
        "open_book": shares(correct=0.95),
        "contamination": {
            "n": 1,
            "rows": 7000,
            "examples": [{"row": 5, "question": MARKUP, "overlap": 0.8, "text": LONG}],
        },
        "data": {"documents": {"source": MARKUP, "sha256": "9f86d081884c7d65" * 4, "n": 300}},
        "model": {"name": MARKUP, "revision": "abc123"},
        "seeds": {name: i for i, name in enumerate(runs)},
        "retention_source": f"Retention: {MARKUP}",
        "differences": {f"formats - {MARKUP}": {"correct": {"mean": 0.1, "low": 0.05, "high": 0.15}}},
    }


def smallest() -> dict[str, Any]:
    """The smallest report: no questions were evaluated."""
    figures = {"train_loss": None, "cost": {"train_seconds": 1.0, "steps": 1, "gradient_evaluations": 1}}
    made = new_report({}, {"trained": figures}, {}, dict.fromkeys(COUNTS, 0) | {"documents": 1})
    return made | {"created": "2026-01-01"}


@cache
def page_of(make: Callable[[], dict[str, Any]]) -> str:
    return to_html(make())


class Reader(HTMLParser):
    """The elements of a page, by name with their attributes, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(page)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data


def test_no_users_text_becomes_markup():
    page = Reader(page_of(full))
    names = {name for name, _ in page.elements}
    assert not {"script", "b", "img", "iframe", "link", "object"} & names
    assert not [key for _, attributes in page.elements for key in attributes if key.startswith("on")]
    # The run name, the questions, the answers, the relation, the model, the recipe: all are there, as text.
    assert page.text.count(MARKUP) >= 12


def test_a_page_needs_no_other_file():
    page = Reader(page_of(full))
    links = [value for _, of in page.elements for key, value in of.items() if key in ("src", "href", "xlink:href")]
    assert links
    assert all(value and value.startswith("#") for value in links)
    assert not re.search(r"@import|url\((?!#)", page_of(full))
    (policy,) = [of["content"] for _, of in page.elements if of.get("http-equiv") == "Content-Security-Policy"]
    assert policy == "default-src 'none'; style-src 'unsafe-inline'"


def test_ids_are_unique_and_every_reference_has_its_target():
    page = page_of(full)
    ids = re.findall(r'\bid="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(re.findall(r'(?:href="#|url\(#)([^")]+)', page)) <= set(ids)


@pytest.mark.parametrize("make", [full, smallest])
def test_every_cell_of_every_table_is_on_the_page(make: Any):
    page = Reader(page_of(make))
    for table in tables(make()):
        for row in table.rows:
            assert not [cell for cell in row if cell not in page.text], table.title


def test_the_page_starts_with_the_findings():
    text = Reader(page_of(full)).text.replace("\u00a0", " ")
    starts = ("The model learned", "The model forgot", "The run took", "Before1.0 %", "Open book95.0 %")
    places = [text.index(start) for start in starts]
    assert places == sorted(places)
    assert "After45.0 %" in text
    assert "The model was trained on 1 document. No questions were evaluated" in Reader(page_of(smallest)).text
    assert "not evaluated" in Reader(page_of(smallest)).text


def test_charts_have_the_colour_of_the_surrounding_text():
    svgs = re.findall(r"<svg.*?</svg>", page_of(full), re.DOTALL)
    assert len(svgs) == 2
    assert all("currentColor" in svg and "#1b1f23" not in svg for svg in svgs)
    assert "<svg" not in page_of(smallest)


def test_every_chart_has_its_title_as_a_label_for_screen_readers():
    figures = [attributes for name, attributes in Reader(page_of(full)).elements if name == "figure"]
    assert [figure["aria-label"] for figure in figures] == list(charts(full()))
    assert {figure["role"] for figure in figures} == {"img"}


def test_the_page_depends_only_on_the_report_and_does_not_change_it():
    made = full()
    copied = copy.deepcopy(made)
    assert to_html(made) == to_html(made)
    assert made == copied


# In a browser

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
# The page is in a frame of a given width. The measured values are written where --dump-dom shows them.
PROBE = """<!doctype html><meta charset="utf-8"><style>body {{ margin: 0 }} iframe {{ border: 0 }}</style>
<iframe width="{width}" height="900" srcdoc="{page}" onload="
  const inside = this.contentDocument, root = inside.documentElement, wide = [];
  for (const part of inside.querySelectorAll('body *')) {{
    const right = part.getBoundingClientRect().right;
    if (right > {width} + 0.5 && !part.closest('.wide, pre, svg')) wide.push(part.tagName);
  }}
  const measured = [root.scrollWidth, inside.title, inside.querySelectorAll('svg').length, wide.join(' ')];
  document.body.dataset.measured = measured.join('|');"></iframe>"""


@pytest.fixture(scope="module")
def browser() -> str:
    found = next(filter(None, map(shutil.which, BROWSERS)), None)
    if found is None:
        pytest.skip(f"no browser is installed: none of {', '.join(BROWSERS)}")
    return found


def run(browser: str, folder: Path, file: Path, *options: str) -> subprocess.CompletedProcess[str]:
    fixed = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--enable-logging=stderr")
    command = [browser, *fixed, f"--user-data-dir={folder / 'profile'}", *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, check=True, timeout=100)


@pytest.mark.parametrize("make", [full, smallest])
@pytest.mark.parametrize("width", [1200, 360])
def test_a_browser_reports_no_error_and_nothing_is_wider_than_the_screen(
    browser: str, tmp_path: Path, width: int, make: Any
):
    page = page_of(make)
    (tmp_path / "probe.html").write_text(PROBE.format(width=width, page=escape(page)), encoding="utf-8")
    shown = run(browser, tmp_path, tmp_path / "probe.html", "--dump-dom", f"--window-size={max(width, 600)},900")
    assert "CONSOLE" not in shown.stderr
    (measured,) = re.findall(r'data-measured="([^"]*)"', shown.stdout)
    scroll_width, title, charts, wide = measured.split("|")
    assert (int(scroll_width), wide) == (width, "")
    assert title == "What was learned, and what it cost"
    assert int(charts) == page.count("<svg")


def test_a_screenshot_shows_the_colours_of_the_page(browser: str, tmp_path: Path):
    from matplotlib.image import imread

    (tmp_path / "report.html").write_text(page_of(full), encoding="utf-8")
    picture = tmp_path / "shot.png"
    shown = run(browser, tmp_path, tmp_path / "report.html", f"--screenshot={picture}", "--window-size=1000,1600")
    assert "CONSOLE" not in shown.stderr
    pixels = imread(picture)[..., :3].reshape(-1, 3)
    for colour in ("#fcfbf8", "#0072b2", "#e69f00", "#999999"):  # the background, and a bar of each measure
        wanted = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        assert (abs(pixels - wanted).max(axis=1) < 0.01).sum() > 2000, colour
