"""Libraries that reduce web pages to their content, compared on ten pages of common templates.

The pages are in html_pages/, with strings that the Markdown of each page must have, and strings that it must not have.
Each library runs with its own output, and as the finder of the content in hf_knowlearn's reader of HTML. Libraries
that are not installed are omitted: `pip install trafilatura readability-lxml`.

`--readability` names the folder test/test-pages in a checkout of mozilla/readability. It has 130 pages, each with the
content that the project expects. On these pages, the words of each reader are compared with the expected words.
"""

import importlib.util
import io
import re
import statistics
import sys
from argparse import Namespace
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import measuring
import yaml
from measuring import log, rates, rounds, timed

PAGES = Path(__file__).with_name("html_pages")
PACKAGES = ("resiliparse", "trafilatura", "readability-lxml", "markitdown", "markdownify", "lxml")

Reader = Callable[[str], str]


def trafilatura(html: str) -> str:
    import trafilatura as library

    return library.extract(html, output_format="markdown", include_links=False, favor_recall=True) or ""


def trafilatura_text(html: str) -> str:
    import trafilatura as library

    return library.extract(html, favor_recall=True, fast=True) or ""


def readability(html: str) -> str:
    from markdownify import ATX, markdownify
    from readability import Document

    return markdownify(Document(html).summary(html_partial=True), heading_style=ATX, bullets="-", strip=["a", "img"])


def readability_text(html: str) -> str:
    from lxml.html import fromstring
    from readability import Document

    return fromstring(Document(html).summary(html_partial=True)).text_content()


def resiliparse(html: str) -> str:
    from resiliparse.extract.html2text import extract_plain_text

    return extract_plain_text(html, main_content=True)


def markitdown(html: str) -> str:
    from markitdown import StreamInfo
    from markitdown.converters import HtmlConverter

    info = StreamInfo(extension=".html", charset="utf-8")
    return HtmlConverter().convert(io.BytesIO(html.encode()), info).markdown


def ours(find_text: Reader | None = None) -> Reader:
    """hf_knowlearn's reader of HTML, with a library that finds the content."""
    from hf_knowlearn.documents.html_pages import read_page

    return lambda html: read_page(html, find_text).markdown


def readers() -> dict[str, Reader]:
    """Reader by name, of the libraries that are installed."""
    found = {
        "trafilatura": trafilatura,
        "readability": readability,
        "resiliparse": resiliparse,
        "markitdown": markitdown,
        "hf_knowlearn": ours(),
        "hf_knowlearn with trafilatura": ours(trafilatura_text),
        "hf_knowlearn with readability": ours(readability_text),
    }
    return {name: reader for name, reader in found.items() if importlib.util.find_spec(name.split()[-1])}


def check(markdown: str, expected: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """The expected strings that are missing, and the strings of the navigation that are there."""
    text = " ".join(markdown.split())
    return {
        "content": [one for one in expected["content"] if " ".join(one.split()) not in text],
        "structure": [one for one in expected["structure"] if one not in markdown],
        "navigation": [one for one in expected["navigation"] if one in markdown],
    }


def compare(options: Namespace) -> list[dict[str, Any]]:
    """For each reader: counts of expected strings, the faults on each page, and the speed."""
    expected = yaml.safe_load((PAGES / "expected.yaml").read_text(encoding="utf-8"))
    pages = {name: (PAGES / f"{name}.html").read_text(encoding="utf-8") for name in expected}
    size = sum(len(html.encode()) for html in pages.values())
    found = readers()

    def work(reader: Reader) -> Callable[[], Any]:
        return lambda: timed(lambda: [reader(html) for html in pages.values()])

    rows = []
    repeats = rounds({name: work(reader) for name, reader in found.items()}, options.repeats)
    for name, reader in found.items():
        faults = {page: check(reader(html), expected[page]) for page, html in pages.items()}
        counts = {}
        for kind in ("content", "structure", "navigation"):
            total = sum(len(strings[kind]) for strings in expected.values())
            counts[kind] = [total - sum(len(fault[kind]) for fault in faults.values()), total]
        rows.append(
            {
                "reader": name,
                **counts,
                "faults": {page: fault for page, fault in faults.items() if any(fault.values())},
                **rates(size, repeats[name]),
            }
        )
        log(f"{name}: {counts}")
    return rows


def words(text: str) -> Counter[str]:
    return Counter(re.findall(r"\w+", text.lower()))


def compare_sites(options: Namespace) -> list[dict[str, Any]]:
    """For each reader: mean recall and precision of the words on the pages of mozilla/readability, and the speed."""
    from lxml.html import fromstring

    from hf_knowlearn.documents.html_files import decode_html

    folders = sorted(folder for folder in options.readability.iterdir() if (folder / "expected.html").exists())
    if not folders:
        raise ValueError(f"{options.readability} has no pages. Name test/test-pages of mozilla/readability.")
    pages = [decode_html((folder / "source.html").read_bytes()) for folder in folders]
    texts = [fromstring((folder / "expected.html").read_text(encoding="utf-8")).text_content() for folder in folders]
    expected = list(map(words, texts))
    rows = []
    for name, reader in readers().items():
        found: list[str] = []
        reader(pages[0])  # loads the library
        time = timed(lambda reader=reader, found=found: found.extend(map(reader, pages)))
        common = [
            ((right & words(text)).total(), right.total(), words(text).total())
            for right, text in zip(expected, found, strict=True)
        ]
        recalls = [shared / max(right, 1) for shared, right, _ in common]
        precisions = [shared / max(read, 1) for shared, _, read in common]
        rows.append(
            {
                "reader": name,
                "pages": len(pages),
                "recall": statistics.mean(recalls),
                "pages_below_90_percent": sum(recall < 0.9 for recall in recalls),
                "precision": statistics.mean(precisions),
                "median_precision": statistics.median(precisions),
                **rates(sum(len(page.encode()) for page in pages), [time]),
            }
        )
        log(f"{name}: recall {statistics.mean(recalls):.3f}, precision {statistics.mean(precisions):.3f}")
    return rows


if __name__ == "__main__":
    given = measuring.parser(__doc__, "html_readers", repeats=5)
    given.add_argument("--readability", type=Path, help="folder of the pages of mozilla/readability")
    options = given.parse_args()
    parts = {"pages": compare, **({"sites": compare_sites} if options.readability else {})}
    sys.exit(measuring.measure("html_readers.py", options, PACKAGES, parts))
