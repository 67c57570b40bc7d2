"""Workbooks, books and messages."""

import logging
import zipfile
from collections.abc import Callable
from datetime import date
from email.message import EmailMessage
from pathlib import Path

import pytest

from hf_knowlearn.documents import Document, read_documents

Write = Callable[[Path, str | bytes], Path]
ReadError = Callable[..., str]


def test_each_sheet_of_a_workbook_is_a_table(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    sheet = book.active
    sheet.title = "Fares"
    for row in (["Fares of 2024"], [], [None, "Route", "Fare", "Share"], [None, "A|B", 20.5, 0.05], [None, "C\nD", 7]):
        sheet.append(row)
    sheet["D4"].number_format = "0%"
    other = book.create_sheet("Dates")
    other.append(["Day", "Open"])
    other.append([date(2024, 5, 1), True])
    book.create_sheet("Empty")
    book.save(tmp_path / "a.xlsx")
    assert read_documents(tmp_path) == [
        Document(
            "a.xlsx",
            "## Fares\n\nFares of 2024\n\n| Route | Fare | Share |\n| --- | --- | --- |\n| A\\|B | 20.5 | 5% |\n"
            "| C D | 7 |  |\n\n## Dates\n\n| Day | Open |\n| --- | --- |\n| 2024-05-01 | True |",
            "a",
        )
    ]
    assert not caplog.records


def test_formulas_without_a_saved_value_are_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    openpyxl = pytest.importorskip("openpyxl")
    book = openpyxl.Workbook()
    for row in (["Item", "Price"], ["Boat", 3], ["Sum", "=SUM(B2:B2)"]):
        book.active.append(row)
    book.save(tmp_path / "a.xlsx")
    with caplog.at_level(logging.WARNING):
        (document,) = read_documents(tmp_path)
    assert document.text.endswith("| Boat | 3 |\n| Sum |  |")
    assert "a.xlsx: 1 formula without a saved value; their cells are read as empty." in caplog.text


def test_a_book_has_its_authors_and_chapters_without_contents_and_marks(tmp_path: Path):
    pytest.importorskip("lxml")
    package = (
        '<package xmlns="http://www.idpf.org/2007/opf" xmlns:dc="http://purl.org/dc/elements/1.1/"><metadata>'
        "<dc:title>The Ferry</dc:title><dc:creator>Ann Roe</dc:creator><dc:creator>Bo Ek</dc:creator></metadata>"
        '<manifest><item id="n" href="nav.xhtml" properties="nav"/><item id="a" href="text/1%20one.xhtml"/></manifest>'
        '<spine><itemref idref="n"/><itemref idref="a"/></spine></package>'
    )
    chapter = (
        '<?xml version="1.0"?><html xmlns="http://www.w3.org/1999/xhtml" xmlns:epub="http://www.idpf.org/2007/ops">'
        '<body><h1>Chapter 1</h1><p><a id="p"/>It leaves at six.<sup><a epub:type="noteref" href="#f">1</a></sup></p>'
        '<aside epub:type="footnote"><p>In winter at seven.</p></aside></body></html>'
    )
    with zipfile.ZipFile(tmp_path / "a.epub", "w") as archive:
        container = '<container><rootfiles><rootfile full-path="OEBPS/book.opf"/></rootfiles></container>'
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("OEBPS/book.opf", package)
        archive.writestr("OEBPS/nav.xhtml", "<html><body><nav><ol><li>Chapter 1</li></ol></nav></body></html>")
        archive.writestr("OEBPS/text/1 one.xhtml", chapter)
    assert read_documents(tmp_path) == [
        Document(
            "a.epub",
            "**Authors:** Ann Roe, Bo Ek\n\n# Chapter 1\n\nIt leaves at six.\n\nIn winter at seven.",
            "The Ferry",
        )
    ]


def message() -> EmailMessage:
    mail = EmailMessage()
    mail["From"], mail["To"] = "Dana Réyes <dana@example.com>", "staff@example.com"
    mail["Date"], mail["Subject"] = "Mon, 04 Mar 2024 10:11:00 +0100", "Umzug am 1. März"
    mail["Received"] = "from server"
    return mail


HEADERS = (
    "From: Dana Réyes <dana@example.com>\nTo: staff@example.com\nDate: Mon, 04 Mar 2024 10:11:00 +0100\n"
    "Subject: Umzug am 1. März\n\n"
)


def test_a_message_has_its_headers_and_text_and_a_notice_about_attachments(
    tmp_path: Path, write: Write, caplog: pytest.LogCaptureFixture
):
    mail = message()
    mail.set_content("Hi all,\n\nboxes are in hall 2.14 – é.\n")
    mail.add_alternative("<p>Other</p>", subtype="html")
    mail.add_attachment(b"%PDF", maintype="application", subtype="pdf", filename="plan.pdf")
    with caplog.at_level(logging.WARNING):
        documents = read_documents(write(tmp_path / "a.eml", mail.as_bytes()))
    assert documents == [Document("a.eml", HEADERS + "Hi all,\n\nboxes are in hall 2.14 – é.", "Umzug am 1. März")]
    assert "a.eml: attachments are not read: plan.pdf." in caplog.text


def test_a_message_in_html_is_markdown(tmp_path: Path, write: Write):
    pytest.importorskip("lxml")
    mail = message()
    html = '<html><body><style>p {}</style><h2>Hi</h2><p>See <a href="https://x.org">the plan</a>.</p></body></html>'
    mail.set_content(html, subtype="html")
    (document,) = read_documents(write(tmp_path / "a.eml", mail.as_bytes()))
    assert document.text == HEADERS + "## Hi\n\nSee the plan."


def test_a_file_without_headers_is_no_message(tmp_path: Path, write: Write, read_error: ReadError):
    path = write(tmp_path / "a.eml", "Just text.")
    assert "a.eml: no message: it has none of the headers From, To" in read_error(read_documents, path)
