"""Converted files: their text as Markdown, and errors for broken files and missing libraries."""

import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document, read_documents

Write = Callable[[Path, str | bytes], Path]
ReadError = Callable[..., str]

LINE = 'pip install ".[documents]" in a checkout of hf_knowlearn'
XML = '<?xml version="1.0" encoding="utf-8"?>'
OOXML = "http://schemas.openxmlformats.org/{}/2006"
DOCX = {
    "[Content_Types].xml": f'{XML}<Types xmlns="{OOXML.format("package")}/content-types"><Default Extension="rels" '
    'ContentType="application/vnd.openxmlformats-package.relationships+xml"/><Default Extension="xml" '
    'ContentType="application/xml"/><Override PartName="/word/document.xml" ContentType="application/'
    'vnd.openxmlformats-officedocument.wordprocessingml.document.main+xml"/></Types>',
    "_rels/.rels": f'{XML}<Relationships xmlns="{OOXML.format("package")}/relationships"><Relationship Id="r" '
    f'Type="{OOXML.format("officeDocument")}/relationships/officeDocument" Target="word/document.xml"/>'
    "</Relationships>",
    "word/document.xml": f'{XML}<w:document xmlns:w="{OOXML.format("wordprocessingml")}/main"><w:body><w:p><w:pPr>'
    '<w:pStyle w:val="Heading1"/></w:pPr><w:r><w:t>The café</w:t></w:r></w:p><w:p><w:r><w:t>It opens at six_am.'
    "</w:t></w:r></w:p></w:body></w:document>",
}
EPUB = {
    "META-INF/container.xml": f'{XML}<container xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles>'
    '<rootfile full-path="book.opf"/></rootfiles></container>',
    "book.opf": f'{XML}<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/">'
    '<metadata><dc:title>The Ferry</dc:title></metadata><manifest><item id="b" href="2.xhtml"/><item id="a" '
    'href="1.xhtml"/></manifest><spine><itemref idref="a"/><itemref idref="b"/></spine></package>',
    "1.xhtml": f'{XML}<html xmlns="http://www.w3.org/1999/xhtml"><body><h1>Chapter 1</h1><p>Cafés.</p></body></html>',
    "2.xhtml": f'{XML}<html xmlns="http://www.w3.org/1999/xhtml"><body><p>The end.</p></body></html>',
}
HTML = "<html><head><title>Site - Six</title><style>p {}</style></head><body><h1>The\n<em>café</em></h1><p>It opens at"


@pytest.fixture
def markitdown() -> None:
    pytest.importorskip("markitdown", reason=f"needs {LINE}")


def write_zip(path: Path, files: dict[str, str]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return path


def pdf(*pages: str) -> bytes:
    kids = " ".join(f"{number} 0 R" for number in range(4, 4 + 2 * len(pages), 2))
    objects = [
        "<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {len(pages)} >>",
        "<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>",
    ]
    for text in pages:
        drawn = f"BT /F 12 Tf 20 100 Td ({text}) Tj ET" if text else ""
        objects += [
            f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 300 200] /Contents {len(objects) + 2} 0 R "
            "/Resources << /Font << /F 3 0 R >> >> >>",
            f"<< /Length {len(drawn)} >>\nstream\n{drawn}\nendstream",
        ]
    written, places = "%PDF-1.4\n", []
    for number, content in enumerate(objects, 1):
        places.append(len(written))
        written += f"{number} 0 obj\n{content}\nendobj\n"
    table = "".join(f"{place:010d} 00000 n \n" for place in places)
    size = len(objects) + 1
    end = f"xref\n0 {size}\n0000000000 65535 f \n{table}trailer << /Size {size} /Root 1 0 R >>\n"
    return f"{written}{end}startxref\n{len(written)}\n%%EOF\n".encode()


@pytest.mark.usefixtures("markitdown")
@pytest.mark.parametrize(
    ("text", "title"),
    [
        ("The mill\n\nIt grinds rye for the town.", "The mill"),
        ("Die M\u00fchle\n\nSie mahlt Roggen.", "Die M\u00fchle"),
        ("1. DEFINITIONS\n\n1.1 The mill is the mill.", "a"),
        ("A. HISTORY\n==========\n\nThe mill is old.", "a"),
        ("The mill grinds rye.\n\nIt is old.", "a"),
        ("The mill", "a"),
    ],
)
def test_the_title_of_a_plain_text_is_the_heading_in_its_first_line(tmp_path: Path, text, title, write: Write):
    (document,) = read_documents(write(tmp_path / "a.txt", text))
    assert (document.title, document.text) == (title, text)


def test_a_comment_in_front_matter_is_no_title(tmp_path: Path, write: Write):
    text = "---\n# A comment\n{{ card }}\n---\n\n# The mill\n\nIt grinds rye."
    assert read_documents(write(tmp_path / "a.md", text))[0].title == "The mill"


def test_docx_is_converted_without_changing_words(tmp_path: Path):
    assert read_documents(write_zip(tmp_path / "a.docx", DOCX)) == [
        Document("a.docx", "# The café\n\nIt opens at six_am.", "The café")
    ]


@pytest.mark.usefixtures("markitdown")
def test_docx_has_no_link_targets_and_keeps_tables(tmp_path: Path):
    cells = "".join(f"<w:tc><w:p><w:r><w:t>{cell}</w:t></w:r></w:p></w:tc>" for cell in ("Route", "Fare"))
    link = '<w:p><w:hyperlink w:anchor="x"><w:r><w:t>See below</w:t></w:r></w:hyperlink></w:p>'
    body = DOCX["word/document.xml"].replace("</w:body>", f"{link}<w:tbl><w:tr>{cells}</w:tr></w:tbl></w:body>")
    (document,) = read_documents(write_zip(tmp_path / "a.docx", {**DOCX, "word/document.xml": body}))
    assert document.text == ("# The café\n\nIt opens at six_am.\n\nSee below\n\n| Route | Fare |\n| --- | --- |")


@pytest.mark.usefixtures("markitdown")
def test_docx_has_its_title_and_the_first_row_of_a_table_as_header(tmp_path: Path):
    pytest.importorskip("mammoth")
    word = f'xmlns:w="{OOXML.format("wordprocessingml")}/main"'
    styles = '<w:style w:type="paragraph" w:styleId="T"><w:name w:val="Title"/></w:style>'
    style_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.styles+xml"
    cell = "<w:tc><w:p><w:r><w:t>{}</w:t></w:r></w:p></w:tc>"
    rows = [[cell.format(text) for text in texts] for texts in (("Part", "Price"), ("Seal", "2.40"))]
    table = "".join(f"<w:tr>{''.join(row)}</w:tr>" for row in rows)
    title = '<w:p><w:pPr><w:pStyle w:val="T"/></w:pPr><w:r><w:t>Prices</w:t></w:r></w:p>'
    parts = DOCX | {
        "[Content_Types].xml": DOCX["[Content_Types].xml"].replace(
            "</Types>", f'<Override PartName="/word/styles.xml" ContentType="{style_type}"/></Types>'
        ),
        "word/_rels/document.xml.rels": f'{XML}<Relationships xmlns="{OOXML.format("package")}/relationships">'
        f'<Relationship Id="s" Type="{OOXML.format("officeDocument")}/relationships/styles" Target="styles.xml"/>'
        "</Relationships>",
        "word/styles.xml": f"{XML}<w:styles {word}>{styles}</w:styles>",
        "word/document.xml": f"{XML}<w:document {word}><w:body>{title}<w:tbl>{table}</w:tbl></w:body></w:document>",
    }
    with zipfile.ZipFile(tmp_path / "a.docx", "w") as archive:
        for name, content in parts.items():
            archive.writestr(name, content)
    (document,) = read_documents(tmp_path)
    assert document.title == "Prices"
    assert document.text == "# Prices\n\n| Part | Price |\n| --- | --- |\n| Seal | 2.40 |"


def test_an_epub_has_its_chapters_in_order_and_the_title_of_the_book(tmp_path: Path):
    assert read_documents(write_zip(tmp_path / "a.epub", EPUB)) == [
        Document("a.epub", "# Chapter 1\n\nCafés.\n\nThe end.", "The Ferry")
    ]


@pytest.mark.usefixtures("markitdown")
def test_a_pdf_has_its_text_and_the_name_of_the_file_as_title(tmp_path: Path, write: Write):
    (document,) = read_documents(write(tmp_path / "a.PDF", pdf("The ferry leaves", "at six.")))
    assert (document.id, document.title) == ("a.PDF", "a")
    assert document.text.split() == "The ferry leaves at six.".split()
    assert "\f" not in document.text  # between the pages


@pytest.mark.usefixtures("markitdown")
def test_slides_have_their_texts_tables_charts_and_notes(tmp_path: Path):
    pptx = pytest.importorskip("pptx")
    from pptx.chart.data import CategoryChartData
    from pptx.enum.chart import XL_CHART_TYPE

    slides = pptx.Presentation()
    slide = slides.slides.add_slide(slides.slide_layouts[1])
    slide.shapes.title.text, slide.placeholders[1].text = "The ferry", "It carries forty_two cars\nIt is old"
    slide.placeholders[1].text_frame.paragraphs[1].level = 1
    slide.shapes.add_table(2, 1, 0, 0, 9, 9).table.cell(0, 0).text = "a_cell"
    slide.shapes[-1].table.cell(1, 0).text = "7"
    data = CategoryChartData()
    data.categories = ["1990", "2010"]
    data.add_series("Cars", (12, 31.5))
    slide.shapes.add_chart(XL_CHART_TYPE.COLUMN_CLUSTERED, 0, 0, 9, 9, data)
    slide.notes_slide.notes_text_frame.text = "Say hello."
    slides.save(tmp_path / "a.pptx")
    (document,) = read_documents(tmp_path)
    assert document.title == "The ferry"
    assert document.text == (
        "# The ferry\n\n- It carries forty_two cars\n  - It is old\n\n| a_cell |\n| --- |\n| 7 |\n\n"
        "|  | 1990 | 2010 |\n| --- | --- | --- |\n| Cars | 12 | 31.5 |\n\nSay hello."
    )


@pytest.mark.usefixtures("markitdown")
@pytest.mark.parametrize("suffix", [".html", ".htm"])
def test_the_title_of_a_page_is_its_heading_its_title_or_its_file_name(tmp_path: Path, suffix: str, write: Write):
    path = tmp_path / f"a{suffix}"
    write(path, f"{HTML} six_am * 2.<script>no()</script></p></body></html>")
    (document,) = read_documents(path)
    assert (document.text, document.title) == ("# The *café*\n\nIt opens at six_am * 2.", "The *café*")
    assert read_documents(write(path, "<title>Site\n- Six</title><p>Text.</p>"))[0].title == "Site - Six"
    assert read_documents(write(path, "<p>Text.</p>"))[0].title == "a"


@pytest.mark.usefixtures("markitdown")
@pytest.mark.parametrize(
    "content",
    [
        "<p>café</p>".encode(),
        "\ufeff<p>café</p>".encode(),
        '<meta charset="latin-1"><p>café</p>'.encode("latin-1"),
        "<p>café</p>".encode("utf-16"),
        '<meta charset="latin-1"><p>café</p>'.encode(),  # what it is in goes before what it expected
    ],
)
def test_a_page_is_decoded_as_utf8_or_with_its_declared_encoding(tmp_path: Path, content: bytes, write: Write):
    assert read_documents(write(tmp_path / "a.html", content))[0].text == "café"


@pytest.mark.usefixtures("markitdown")
@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        (
            "a.pdf",
            b"no pdf at all",
            "cannot be converted (PDFSyntaxError: No /Root object! - Is this really a PDF?); check that another",
        ),
        ("a.pdf", b"", "cannot be converted ("),
        ("a.docx", b"no zip", "cannot be converted (BadZipFile: File is not a zip file); check that another program"),
        ("a.pptx", b"PK\x03\x04", "cannot be converted (PackageNotFoundError: Package not found at "),
        ("a.pptx", b"no zip", "cannot be converted (PackageNotFoundError: Package not found at "),
        ("a.epub", b"no zip", "cannot be converted (BadZipFile: File is not a zip file); check that another"),
        ("a.xlsx", b"no zip", "cannot be converted (BadZipFile: File is not a zip file)"),
        ("a.html", "<p>café</p>".encode("latin-1"), "not UTF-8 at byte 6 (the byte is 0xe9)"),
        ("a.html", b'<meta charset="ascii"><p>caf\xe9', "or correct the encoding that the page declares: ascii."),
        ("a.html", b'<meta charset="none"><p>caf\xe9', "or correct the encoding that the page declares: none."),
        ("a.html", b"<script>no()</script>", "text is empty; it needs at least one word."),
        (
            "a.html",
            "<b>" * 5000 + "deep",
            "the page nests more than 200 elements inside of each other; check that all tags are closed.",
        ),
        (
            "a.pdf",
            pdf(""),
            "no text on page 1; if these pages are scans, run OCR on the file first, for example with ocrmypdf.",
        ),
    ],
)
def test_a_broken_or_empty_file_is_an_error_with_its_name(
    tmp_path: Path, name: str, content: str | bytes, expected: str, write: Write, read_error: ReadError
):
    write(tmp_path / "good.txt", "Text.")
    message = read_error(read_documents, write(tmp_path / name, content).parent)
    assert "1 problem." in message
    assert f"{tmp_path / name}: " in message
    assert expected in message


@pytest.mark.usefixtures("markitdown")
def test_another_zip_file_is_not_converted(tmp_path: Path, read_error: ReadError):
    write_zip(tmp_path / "a.docx", {"note.txt": "A converter that guesses would read this."})
    write_zip(tmp_path / "b.epub", {"note.txt": "And this."})
    assert "2 problems." in read_error(read_documents, tmp_path)


def test_without_the_extra_the_error_has_the_install_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Write, read_error: ReadError
):
    packages = {
        "docx": "markitdown", "epub": "lxml", "htm": "resiliparse", "html": "resiliparse", "pdf": "pdfplumber",
        "pptx": "pptx", "rst": "docutils", "tex": "pylatexenc", "xlsx": "openpyxl",
    }  # fmt: skip
    for package in packages.values():
        monkeypatch.setitem(sys.modules, package, None)
    write(tmp_path / "a.txt", "Text.")
    assert len(read_documents(tmp_path)) == 1
    for suffix in packages:
        write(tmp_path / f"z.{suffix}", "x")
    write(tmp_path / "e.txt", "")
    message = read_error(read_documents, tmp_path)
    for suffix, package in packages.items():
        assert f"{tmp_path / f'z.{suffix}'}: this format requires {package}; install it: {LINE}." in message
    assert f"{tmp_path / 'e.txt'}: text is empty" in message  # the rest is checked all the same
