"""PDF files: whole paragraphs, without hyphenation, running lines and page numbers; tables, code, lists and scans."""

import logging
from pathlib import Path

import pytest
from pdf_writer import PdfPage, pdf_of

from hf_knowlearn.documents import Document, read_documents

pytest.importorskip("pdfplumber")

LINES = (
    "The ferry crosses the sound in forty minutes. It carries",
    "forty-two cars and two hundred passengers. In winter the",
    "crossing takes place on foot.",
)
PARAGRAPH = " ".join(LINES)


def read(tmp_path: Path, *pages: PdfPage) -> Document:
    (tmp_path / "a.pdf").write_bytes(pdf_of(pages))
    (document,) = read_documents(tmp_path / "a.pdf")
    return document


def test_wrapped_lines_become_one_line_per_paragraph(tmp_path: Path):
    page = PdfPage().text(50, 100, *LINES).text(50, 160, *LINES)
    assert read(tmp_path, page).text == f"{PARAGRAPH}\n\n{PARAGRAPH}"


def test_an_indented_line_begins_a_paragraph(tmp_path: Path):
    page = PdfPage().text(50, 100, *LINES).text(64, 136, "The lighthouse was built of granite from the quarry")
    assert read(tmp_path, page).text == f"{PARAGRAPH}\n\nThe lighthouse was built of granite from the quarry"


def test_short_lines_stay_lines(tmp_path: Path):
    verse = ("The ferry leaves", "before the light,", "The harbour sleeps", "beyond the night.")
    page = PdfPage().text(50, 100, *LINES).text(50, 160, *verse)
    assert read(tmp_path, page).text == f"{PARAGRAPH}\n\n" + "\n".join(verse)


@pytest.mark.parametrize(
    ("above", "below", "joined"),
    [
        ("It is the largest of all the ves-", "sels in the harbour of the town.", "the vessels in"),
        ("The captain is known for his well-", "known songs about the sea.", "his well-known songs"),
        ("It was painted by the young Jean-", "Paul Lind in the year of the war.", "young Jean-Paul Lind"),
        ("The pump has the number of the P-", "200 that was sold before it.", "the P-200 that"),
    ],
)
def test_a_hyphen_at_the_end_of_a_line_is_removed_unless_the_word_has_it(
    tmp_path: Path, above: str, below: str, joined: str
):
    page = PdfPage().text(50, 100, "A well-known ferry crosses the sound.").text(50, 130, above, below)
    assert joined in read(tmp_path, page).text


def test_a_word_that_also_occurs_without_its_hyphen_loses_the_hyphen(tmp_path: Path):
    page = PdfPage().text(50, 100, "The data-base or database is large.")
    page.text(50, 130, "All the routes of the ship are in a data-", "base that the office publishes.")
    assert read(tmp_path, page).text.endswith("in a database that the office publishes.")


def test_running_headers_footers_and_page_numbers_are_removed(tmp_path: Path):
    pages = [
        PdfPage()
        .text(50, 20, "Sound Ferries Ltd - Handbook")
        .text(50, 100, f"Chapter {number} is about harbour {number}.")
        .text(190, 570, f"Page {number} of 4")
        for number in range(1, 5)
    ]
    expected = "\n\n".join(f"Chapter {number} is about harbour {number}." for number in range(1, 5))
    assert read(tmp_path, *pages).text == expected


def test_the_number_of_a_single_page_is_removed(tmp_path: Path):
    page = PdfPage().text(50, 100, "1", "2 boats").text(190, 570, "- 1 -")
    assert read(tmp_path, page).text == "1\n2 boats"


def test_titles_of_chapters_next_to_page_numbers_are_removed(tmp_path: Path):
    titles = ["1 Ferries", "1 Ferries", "2 Boats", "2 Boats"]
    pages = [
        PdfPage().text(50, 20, title).text(340, 20, str(number)).text(50, 100, f"It has {number + 10} seats.")
        for number, title in enumerate(titles, 7)
    ]
    assert read(tmp_path, *pages).text == "\n\n".join(f"It has {number} seats." for number in range(17, 21))


def test_a_repeated_line_in_the_middle_of_the_pages_stays(tmp_path: Path):
    pages = [PdfPage().text(50, 250, "Answer the question.").text(50, 300, f"Question {n}?") for n in (1, 2, 3)]
    assert read(tmp_path, *pages).text.count("Answer the question.") == 3


def test_a_paragraph_continues_on_the_next_page(tmp_path: Path):
    first = PdfPage().text(50, 500, "The lamp of the lighthouse burned rape oil until the keeper")
    second = PdfPage().text(50, 100, "bought an engine. It is in the museum.")
    assert read(tmp_path, first, second).text == (
        "The lamp of the lighthouse burned rape oil until the keeper bought an engine. It is in the museum."
    )


def test_two_columns_are_read_one_after_the_other(tmp_path: Path):
    left = ("The ferry crosses the sound", "in forty minutes and carries", "many cars.")
    right = ("The lighthouse was built of", "granite from the quarry that", "is closed.")
    page = PdfPage().text(40, 100, *left).text(210, 100, *right)
    assert read(tmp_path, page).text == f"{' '.join(left)}\n\n{' '.join(right)}"


def test_larger_and_bold_lines_are_headings(tmp_path: Path):
    page = PdfPage().text(50, 60, "The ferry", size=18).text(50, 100, "History", size=14).text(50, 130, *LINES)
    page.text(50, 190, "Fares", font="B").text(50, 210, *LINES)
    document = read(tmp_path, page)
    assert document.text == f"# The ferry\n\n## History\n\n{PARAGRAPH}\n\n### Fares\n\n{PARAGRAPH}"
    assert document.title == "The ferry"


def test_lists_keep_their_items(tmp_path: Path):
    page = PdfPage().text(50, 100, *LINES)
    page.text(50, 150, "- Bring a warm coat, because the wind on the ferry is").text(58, 162, "cold in winter.")
    page.text(50, 174, "- Bring coins.").text(50, 200, "1. Open the valve.", "2. Wait.")
    assert read(tmp_path, page).text == (
        f"{PARAGRAPH}\n\n- Bring a warm coat, because the wind on the ferry is cold in winter.\n- Bring coins.\n\n"
        "1. Open the valve.\n2. Wait."
    )


def test_numbers_apart_from_their_items_are_no_table(tmp_path: Path):
    page = PdfPage().text(50, 100, "1.", "2.", "3.").text(75, 100, "Open the valve.", "Wait.", "Close the valve.")
    assert read(tmp_path, page).text == "1. Open the valve.\n2. Wait.\n3. Close the valve."


def test_a_word_divided_between_two_pages_is_joined(tmp_path: Path):
    first = PdfPage().text(50, 20, "Handbook").text(50, 520, "It is the largest of all the ves-").text(190, 570, "1")
    second = PdfPage().text(50, 20, "Handbook").text(50, 100, "sels in the harbour.").text(190, 570, "2")
    assert read(tmp_path, first, second).text == "It is the largest of all the vessels in the harbour."


def test_a_table_with_rules_is_a_table(tmp_path: Path):
    page = PdfPage().text(50, 100, *LINES).grid((50, 150, 250), (160, 180, 200, 220))
    for row, cells in enumerate([("Route", "Fare"), ("Kalvik", "20 kr"), ("Port", "25 kr")]):
        page.text(55, 164 + 20 * row, cells[0]).text(155, 164 + 20 * row, cells[1])
    page.text(50, 240, "Children pay half of it.")
    assert read(tmp_path, page).text == (
        f"{PARAGRAPH}\n\n| Route | Fare |\n| --- | --- |\n| Kalvik | 20 kr |\n| Port | 25 kr |\n\n"
        "Children pay half of it."
    )


def test_a_table_without_rules_is_a_table(tmp_path: Path):
    page = PdfPage().text(50, 100, *LINES)
    for row, cells in enumerate(
        [("Route", "Adult", "Child"), ("Kalvik", "20 kr", "10 kr"), ("Port", "25 kr", "12 kr")]
    ):
        for column, cell in enumerate(cells):
            page.text(50 + 100 * column, 160 + 14 * row, cell)
    assert read(tmp_path, page).text == (
        f"{PARAGRAPH}\n\n| Route | Adult | Child |\n| --- | --- | --- |\n| Kalvik | 20 kr | 10 kr |\n"
        "| Port | 25 kr | 12 kr |"
    )


def test_lines_in_a_monospaced_font_are_code(tmp_path: Path):
    page = PdfPage().text(50, 100, *LINES).text(50, 160, "def main():", font="C").text(74, 172, "return 1", font="C")
    assert read(tmp_path, page).text == f"{PARAGRAPH}\n\n```\ndef main():\n    return 1\n```"


def test_a_scan_is_an_error_with_its_pages_that_names_ocr(tmp_path: Path):
    text = PdfPage().text(50, 100, "A cover.")
    with pytest.raises(
        ValueError, match=r"a\.pdf: no text on pages 2, 3; if these pages are scans, run OCR on the file"
    ):
        read(tmp_path, text, PdfPage().image(), PdfPage().image())


def test_text_outside_of_the_page_is_not_read(tmp_path: Path):
    with pytest.raises(ValueError, match="no text on page 1"):
        read(tmp_path, PdfPage().image().text(0, -40, "Background"))


def test_a_file_without_pages_is_an_error(tmp_path: Path):
    with pytest.raises(ValueError, match=r"a\.pdf: contains no pages; check that another program can open it"):
        read(tmp_path)


def test_one_image_in_a_document_with_text_is_a_notice(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with caplog.at_level(logging.WARNING):
        document = read(
            tmp_path, PdfPage().image(), *(PdfPage().text(50, 100, f"Text {n}.") for n in "abc"), PdfPage()
        )
    assert document.text == "Text a.\n\nText b.\n\nText c."
    assert "a.pdf: only images and no text on page 1. If they are scans, run OCR" in caplog.text
