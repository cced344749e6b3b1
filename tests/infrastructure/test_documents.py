"""Documents of every kind, and the search in a folder of them."""

import io
import os

import pytest
from docx import Document

from app.domain.errors import ToolRefused, ToolTrouble
from app.infrastructure.document_text import document_text
from app.infrastructure.renderer_pdf import PdfRenderer
from app.infrastructure.search_documents import DocumentsSearch

MARKDOWN = "# The *harbour*\n\nShips [came](https://x.test) in **spring**.\n\n- A crane\n\n```\ncode()\n```\n\n|a|b|\n|-|-|\n|1|2|\n"


def a_docx():
    document, out = Document(), io.BytesIO()
    document.add_heading("The harbour", 1)
    document.add_paragraph("Ships came in spring.")
    document.save(out)
    return out.getvalue()


def test_markdown_is_read_as_prose_without_markup_code_and_tables():
    page = document_text("a.md", MARKDOWN.encode())
    assert (page.title, page.text) == ("The harbour", "Ships came in spring.\n\nA crane")


def test_a_docx_is_read_with_its_heading_as_the_title():
    page = document_text("a.docx", a_docx())
    assert (page.title, page.text) == ("The harbour", "Ships came in spring.")


async def test_a_pdf_is_read():
    page = document_text("a.pdf", await PdfRenderer().render("The harbour", "Ships came in spring."))
    assert page.title == "The harbour"
    assert "Ships came in spring." in page.text


def test_plain_text_takes_a_short_first_line_as_its_title_in_utf_8_and_in_the_older_code():
    assert document_text("notes.txt", "Häfen\n\nShips.".encode()).title == "Häfen"
    assert document_text("notes.txt", "Häfen\n\nShips.".encode("cp1252")).title == "Häfen"
    assert document_text("notes.txt", b"Ships came in spring.").title == "notes"


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
def test_what_cannot_be_read_is_refused_in_words(name, content):
    with pytest.raises(ToolRefused):
        document_text(name, content)


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "documents"
    (folder / "deep").mkdir(parents=True)
    (folder / "tides.md").write_text("# Tides\n\nThe tide comes twice a day. The moon pulls it.\n\nTide tables help.")
    (folder / "deep" / "cranes.txt").write_text("Cranes lift cargo. One crane works at every tide.")
    (folder / "cooking.txt").write_text("Boil the pasta for nine minutes.")
    (folder / "broken.pdf").write_bytes(b"%PDF-1.7 broken")
    (folder / "picture.png").write_bytes(b"\x89PNG")
    return folder


async def test_a_folder_is_ranked_and_what_cannot_be_read_is_named(folder):
    found = await DocumentsSearch(folder).find("tide", 5)
    assert [(hit.url, hit.title) for hit in found.hits] == [("tides.md", "Tides"), ("deep/cranes.txt", "cranes")]
    assert found.hits[0].snippet == "Tide tables help."
    assert "The moon pulls it." in (found.hits[0].text or "")
    assert found.missing == ("Of the documents, broken.pdf could not be read.",)


async def test_a_changed_document_is_read_again_and_a_removed_one_forgotten(folder):
    search = DocumentsSearch(folder)
    assert (await search.find("zebra", 5)).hits == ()
    (folder / "tides.md").write_text("Zebras have stripes, and no tide.")
    os.utime(folder / "tides.md", (1, 1))
    (folder / "deep" / "cranes.txt").unlink()
    assert [hit.url for hit in (await search.find("zebra tide", 5)).hits] == ["tides.md"]


async def test_links_out_of_the_folder_are_not_followed(folder, tmp_path):
    (tmp_path / "secret.txt").write_text("The tide of secrets.")
    (folder / "link.txt").symlink_to(tmp_path / "secret.txt")
    assert "link.txt" not in [hit.url for hit in (await DocumentsSearch(folder).find("tide secrets", 5)).hits]


async def test_a_folder_that_is_not_there_is_trouble(tmp_path):
    with pytest.raises(ToolTrouble):
        await DocumentsSearch(tmp_path / "none").find("tide", 5)
