"""The promises of DocumentReader, with documents of every kind."""

import io

import pytest
from docx import Document

from app.domain.errors import ToolRefused
from app.infrastructure.document_reader import ThreadedDocumentReader
from app.infrastructure.renderer_pdf import PdfRenderer

MARKDOWN = "# The *harbour*\n\nShips [came](https://x.test) in **spring**.\n\n- A crane\n\n```\ncode()\n```\n\n|a|b|\n|-|-|\n|1|2|\n"
READER = ThreadedDocumentReader()


def a_docx():
    document, out = Document(), io.BytesIO()
    document.add_heading("The harbour", 1)
    document.add_paragraph("Ships came in spring.")
    document.save(out)
    return out.getvalue()


async def test_markdown_is_read_as_prose_without_markup_code_and_tables():
    page = await READER.extract("a.md", MARKDOWN.encode())
    assert (page.title, page.text) == ("The harbour", "Ships came in spring.\n\nA crane")


async def test_a_docx_is_read_with_its_heading_as_the_title():
    page = await READER.extract("a.docx", a_docx())
    assert (page.title, page.text) == ("The harbour", "Ships came in spring.")


async def test_a_pdf_is_read():
    page = await READER.extract("a.pdf", await PdfRenderer().render("The harbour", "Ships came in spring."))
    assert page.title == "The harbour"
    assert "Ships came in spring." in page.text


async def test_plain_text_takes_a_short_first_line_as_its_title_in_utf_8_and_in_the_older_code():
    assert (await READER.extract("notes.txt", "Häfen\n\nShips.".encode())).title == "Häfen"
    assert (await READER.extract("notes.txt", "Häfen\n\nShips.".encode("cp1252"))).title == "Häfen"
    assert (await READER.extract("notes.txt", b"Ships came in spring.")).title == "notes"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.png", b"x"),
        ("a.pdf", b"%PDF-1.7 broken"),
        ("a.docx", b"PK no"),
        ("a.txt", b"\0\1"),
        ("a.txt", b" \n"),
        ("a.html", b"<p>"),
    ],
)
async def test_what_cannot_be_read_is_refused_in_words(name, content):
    with pytest.raises(ToolRefused):
        await READER.extract(name, content)
