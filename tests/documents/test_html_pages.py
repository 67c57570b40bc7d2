"""HTML pages: only their content, as Markdown with headings, lists, tables and code."""

import logging
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_knowlearn.documents import read_documents

pytest.importorskip("resiliparse")

Write = Callable[[Path, str | bytes], Path]

FACT = "The ferry crosses the sound in forty minutes and carries forty-two cars."


@pytest.fixture
def text_of(tmp_path: Path, write: Write) -> Callable[[str], str]:
    def text_of(html: str) -> str:
        (document,) = read_documents(write(tmp_path / "a.html", html))
        return document.text

    return text_of


Text = Callable[[str], str]


def test_navigation_cookies_sidebars_and_footers_are_removed(text_of: Text):
    page = f"""<html><head><title>Ferry - Site</title><script>x()</script></head><body>
    <header><nav><ul><li><a href="/">Home</a></li><li><a href="/shop">Shop</a></li></ul></nav></header>
    <div class="cookie-banner"><p>We use cookies.</p><button>Accept</button></div>
    <main><h1>The ferry</h1><p>{FACT}</p><div class="share"><a href="t">Share</a></div></main>
    <aside class="sidebar"><h2>Recent posts</h2><p>A day in Kalvik.</p></aside>
    <footer>All rights reserved</footer></body></html>"""
    text = text_of(page)
    assert text.startswith(f"# The ferry\n\n{FACT}")
    for removed in ("Home", "Shop", "cookies", "Accept", "Share", "Recent", "Kalvik", "rights", "x()"):
        assert removed not in text


def test_reference_marks_and_link_targets_are_removed(text_of: Text):
    page = (
        '<p>It is a <a href="/wiki/Strait">strait</a>.<sup class="reference"><a href="#1">[12]</a></sup> It is deep '
        '<sup><a href="#2">3</a></sup>, and cold.<span class="mw-editsection">[<a href="/e">edit</a>]</span></p>'
        '<h2>History<a class="headerlink" href="#h">¶</a></h2><p>See <a class="reference external" '
        'href="https://example.org/x">the page</a> of 1990.</p>'
    )
    assert text_of(page) == "It is a strait. It is deep, and cold.\n\n## History\n\nSee the page of 1990."


def test_numbers_above_and_below_the_line_stay_numbers_of_their_own(text_of: Text):
    page = "<p>10<sup>6</sup> m<sup>2</sup> of H<sub>2</sub>O on the 1<sup>st</sup> of May, x<sup>-1</sup>.</p>"
    assert text_of(page) == "10⁶ m² of H₂O on the 1st of May, x⁻¹."


def test_formulas_are_their_tex_source(text_of: Text):
    page = (
        '<p>Energy is <span class="mwe-math-element"><span style="display: none"><math alttext="E=mc^2"><mi>E</mi>'
        '</math></span><img alt="E=mc^2"></span> here, and <span class="katex"><math><semantics><mi>x</mi>'
        '<annotation encoding="application/x-tex">x_1</annotation></semantics></math><span aria-hidden="true">x1'
        "</span></span>.</p>"
    )
    assert text_of(page) == "Energy is $E=mc^2$ here, and $x_1$."


def test_code_with_a_fence_has_a_longer_fence(text_of: Text):
    page = "<h1>Docs</h1><p>Write this:</p><pre># Docs\n\n```rust\nfn f() {}\n```\n</pre><p>It is a text.</p>"
    assert text_of(page) == "# Docs\n\nWrite this:\n\n````\n# Docs\n\n```rust\nfn f() {}\n```\n````\n\nIt is a text."


def test_headings_lists_tables_and_code_are_markdown(text_of: Text):
    page = """<h1>Queues</h1><p>Call
    <code>put(job_1)</code>
    first.</p><ul><li>One<ul><li>Nested</li></ul></li><li>Two</li></ul>
    <ol><li>Open.</li><li>Wait.</li></ol>
    <table><tr><th>option</th><th>default</th></tr><tr><td>max_size</td><td>100</td></tr></table>
    <pre class="language-python"><code>def f():

    return  1</code></pre><blockquote><p>Quoted.</p></blockquote><dl><dt>Ferry</dt><dd>A boat.</dd></dl>"""
    assert text_of(page) == (
        "# Queues\n\nCall `put(job_1)` first.\n\n- One\n  - Nested\n- Two\n\n1. Open.\n2. Wait.\n\n"
        "| option | default |\n| --- | --- |\n| max_size | 100 |\n\n```python\ndef f():\n\n    return  1\n```\n\n"
        "> Quoted.\n\nFerry\n:   A boat."
    )


def test_an_indented_list_is_no_quotation(text_of: Text):
    assert text_of("<p>Ports:</p><blockquote><ul><li>Kalvik</li></ul></blockquote>") == "Ports:\n\n- Kalvik"


def test_a_table_without_header_has_an_empty_one(text_of: Text):
    assert text_of("<table><tr><td>Power</td><td>750 W</td></tr><tr><td>Voltage</td><td>230 V</td></tr></table>") == (
        "|  |  |\n| --- | --- |\n| Power | 750 W |\n| Voltage | 230 V |"
    )


def test_a_table_of_facts_keeps_cells_of_links_and_has_a_header(text_of: Text):
    rows = (
        "<caption>Facts</caption><colgroup><col></colgroup><tr><td colspan=2><img src=x></td></tr>"
        "<tr><th>Capital</th><td><b>Kalvik</b></td></tr>"
        "<tr><th>Languages</th><td><ul><li><a href=1>English</a></li><li><a href=2>Māori</a></li></ul></td></tr>"
    )
    assert text_of(f"<h1>Country</h1><table>{rows}</table><p>{FACT} {FACT} {FACT}</p>") == (
        "# Country\n\nFacts\n\n|  |  |\n| --- | --- |\n| Capital | **Kalvik** |\n| Languages | - English - Māori |\n\n"
        f"{FACT} {FACT} {FACT}"
    )


def test_a_table_that_arranges_the_page_is_no_table(text_of: Text):
    menu = "<td><a href=1>Home</a><br><a href=2>Links</a></td>"
    assert text_of(f"<table><tr>{menu}<td><h1>Ferry</h1><p>{FACT}</p></td></tr></table>") == f"# Ferry\n\n{FACT}"


def test_a_table_in_a_term_is_text_and_a_table_of_one_column_is_blocks(text_of: Text):
    assert text_of("<dl><dt><table><tr><td><b>get</b>(</td><td>key)</td></tr></table></dt><dd>Reads.</dd></dl>") == (
        "**get**( key)\n:   Reads."
    )
    assert text_of(f"<table><tr><td><p>{FACT}</p><p>It is old.</p></td></tr></table>") == f"{FACT}\n\nIt is old."


def test_content_in_a_row_of_a_table_is_blocks(text_of: Text):
    inner = "<table><tr><td>Route</td><td>Fare</td></tr><tr><td>Kalvik</td><td>20 kr</td></tr></table>"
    row = f"<td><p>{FACT * 5}</p>{inner}</td><td><p>It is old.</p></td>"
    page = f"<table><tr><td><a href=1>Home</a> <a href=2>Links</a></td></tr><tr>{row}</tr></table>"
    table = "|  |  |\n| --- | --- |\n| Route | Fare |\n| Kalvik | 20 kr |"
    assert text_of(page) == f"{FACT * 5}\n\n{table}\n\nIt is old."


def test_pages_of_tables_and_definitions_are_complete(text_of: Text):
    rows = "".join(
        f"<tr><td><a href=/{n}>Port {n}</a></td><td><a>{n}</a> <a href=k>kr</a></td></tr>" for n in range(40)
    )
    terms = "".join(f"<dt>term{n}</dt><dd>It is number {n}.</dd>" for n in range(40))
    text = text_of(f"<h1>Reference</h1><table>{rows}</table><dl>{terms}</dl>")
    for number in range(40):
        assert f"| Port {number} | {number} kr |" in text
        assert f"term{number}\n:   It is number {number}." in text


def test_a_page_that_is_all_links_is_read_as_a_whole_with_a_notice(text_of: Text, caplog: pytest.LogCaptureFixture):
    links = "".join(f'<li><a href="/{n}">Chapter {n}: harbour {n}</a></li>' for n in range(20))
    with caplog.at_level(logging.WARNING):
        text = text_of(f"<nav><ul>{links}</ul></nav>")
    assert text == "\n".join(f"- Chapter {n}: harbour {n}" for n in range(20))
    assert "a.html: hardly any text is outside of the navigation, so the whole page is read." in caplog.text


def test_an_article_of_an_encyclopedia_is_the_article(text_of: Text, caplog: pytest.LogCaptureFixture):
    menu = "".join(f'<li><a href="/wiki/Page_{n}" title="Page {n}">Page {n} of the menu</a></li>' for n in range(600))
    mark = '<sup id="c" class="reference"><a href="#n">[{}]</a></sup>'
    edit = '<span class="mw-editsection">[<a href="/e">edit</a>]</span>'
    body = "".join(
        f'<h2><span class="mw-headline">Part {n}</span>{edit}</h2>'
        f'<p>Fact {n} is that <a href="/wiki/Harbour_{n}" title="Harbour {n}">harbour {n}</a> has {n} boats.'
        f"{mark.format(n)} {FACT}</p>"
        for n in range(400)
    )
    page = (
        f'<html><body class="mediawiki"><div id="mw-navigation"><ul>{menu}</ul></div><main><h1>Harbours</h1>'
        f'<div id="toc" class="toc"><ul>{menu}</ul></div>{body}<div class="navbox"><ul>{menu}</ul></div></main>'
        "<footer>Text is available under a licence.</footer></body></html>"
    )
    assert len(page) > 190_000
    facts = "".join(f"\n\n## Part {n}\n\nFact {n} is that harbour {n} has {n} boats. {FACT}" for n in range(400))
    assert text_of(page) == f"# Harbours{facts}"
    assert not caplog.records


def test_the_heading_above_the_content_is_its_title(text_of: Text):
    paragraphs = "".join(f"<p>{FACT} It has {n} seats.</p>" for n in range(5))
    text = text_of(f"<body><div><h1>Ferries</h1></div><div id=text>{paragraphs}</div></body>")
    assert text.startswith("# Ferries\n\nThe ferry")


def test_hidden_text_is_removed_unless_it_is_most_of_the_page(text_of: Text):
    dialog = f'<div style="display: none"><p>{FACT}</p></div>'
    assert text_of(f"<h1>Ferries</h1><p>They are old. {FACT * 3}</p>{dialog}") == (
        f"# Ferries\n\nThey are old. {FACT * 3}"
    )
    answer = f'<div style="display:none"><p>{FACT} {FACT}</p></div><p hidden>Loading</p>'
    assert text_of(f"<h2>When?</h2>{answer}") == f"## When?\n\n{FACT} {FACT}"


def test_xhtml_with_empty_elements_is_read(text_of: Text):
    page = '<?xml version="1.0" encoding="utf-8"?><html><body><p><a id="x"/>One.</p><p>Two.</p></body></html>'
    assert text_of(page) == "One.\n\nTwo."
