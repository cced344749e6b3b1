"""The promises of Renderer, against every form; what was made is opened by other hands."""

import asyncio
import io
import re
import shutil
import subprocess
import zipfile

import pytest
from docx import Document
from lxml import html as lxml_html
from pypdf import PdfReader

from app.infrastructure.renderer_docx import DocxRenderer
from app.infrastructure.renderer_html import HtmlRenderer
from app.infrastructure.renderer_markdown import MarkdownRenderer
from app.infrastructure.renderer_pdf import PdfRenderer

HOSTILE = '<script>alert(1)</script> #panic() #read("/etc/passwd") $x$ @cite \\ "quoted" \u202e \x07 end.'
MARKDOWN = f"""# Tides

> Quoted from 2 sources.

## Overview

The tide comes twice a day.[^1] Öl, λόγος, Привет. {HOSTILE}[^2]

- one *item*, **strong**
  - nested, `code`

1. first [page](https://example.org/?a=1&b=2), [bad](javascript:alert(1)), ![picture](file:///etc/passwd)

### Details

| Port | Tonnes |
|---|---|
| Rotterdam | 436.7 |

```
code
```

---

## Findings

{"Harbours and the sea. " * 400}[^1]

[^1]: [Tides and ports](https://a.test/1)
[^2]: notes.md
"""
FORMS = {"html": HtmlRenderer(), "pdf": PdfRenderer(), "docx": DocxRenderer()}


def text_of(form, content):
    if form == "html":
        return lxml_html.fromstring(content).text_content()
    if form == "pdf":
        return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    document = Document(io.BytesIO(content))
    cells = [cell.text for table in document.tables for row in table.rows for cell in row.cells]
    return "\n".join([*(paragraph.text for paragraph in document.paragraphs), *cells])


def links_in(form, content):
    if form == "html":
        return [found for _, _, found, _ in lxml_html.fromstring(content).iterlinks()]
    if form == "pdf":
        annotations = [
            note.get_object() for page in PdfReader(io.BytesIO(content)).pages for note in page.get("/Annots", [])
        ]
        return [note["/A"]["/URI"] for note in annotations if "/URI" in note.get("/A", {})]
    return [
        relation.target_ref for relation in Document(io.BytesIO(content)).part.rels.values() if relation.is_external
    ]


@pytest.fixture(params=FORMS)
def form(request):
    return request.param


@pytest.fixture
async def made(form):
    return await FORMS[form].render('Tides: a "brief" & more', MARKDOWN)


async def test_everything_that_is_said_stands_in_it(form, made):
    text = " ".join(text_of(form, made).split())
    for words in (
        "Overview",
        "Details",
        "Findings",
        "Rotterdam",
        "436.7",
        "λόγος",
        "Привет",
        "nested",
        "Tides and ports",
        "notes.md",
    ):
        assert words in text
    assert "<script>alert(1)</script>" in text
    assert "#panic() #read(" in text
    assert "one item" in text


async def test_it_links_to_web_addresses_only(form, made):
    links = links_in(form, made)
    assert "https://example.org/?a=1&b=2" in links
    assert "https://a.test/1" in links
    assert not [link for link in links if link.startswith(("javascript:", "file:"))]


async def test_the_same_input_gives_the_same_bytes(form, made):
    assert await FORMS[form].render('Tides: a "brief" & more', MARKDOWN) == made


async def test_a_table_of_contents_names_the_chapters_and_leads_to_them(form, made):
    if form == "pdf":
        reader = PdfReader(io.BytesIO(made))
        assert [entry["/Title"] for entry in reader.outline if not isinstance(entry, list)][-3:] == [
            "Overview",
            "Findings",
            "Sources",
        ]
        assert "Contents" in reader.pages[0].extract_text()
        assert "1 / " in reader.pages[0].extract_text()
    elif form == "docx":
        xml = zipfile.ZipFile(io.BytesIO(made)).read("word/document.xml").decode()
        assert xml.index("TOC") < xml.index('w:anchor="section-1"') < xml.index('w:name="section-1"')
        leads, marks = (set(re.findall(rf'w:{kind}="([^"]+)"', xml)) for kind in ("anchor", "bookmarkStart[^>]*w:name"))
        assert {"section-1", "section-2", "section-3", "source-1"} <= leads <= marks
        assert "NUMPAGES" in zipfile.ZipFile(io.BytesIO(made)).read("word/footer1.xml").decode()
    else:
        page = lxml_html.fromstring(made)
        assert [a.text for a in page.findall(".//nav//a")] == ["Overview", "Findings"]
        assert {a.get("href")[1:] for a in page.findall(".//nav//a")} <= {h.get("id") for h in page.iter("h2")}


@pytest.mark.skipif(shutil.which("pdfinfo") is None, reason="there is no poppler here")
async def test_poppler_opens_a_pdf_and_complains_of_nothing(tmp_path):
    (tmp_path / "tides.pdf").write_bytes(await FORMS["pdf"].render("Tides", MARKDOWN))
    command = ["pdfinfo", str(tmp_path / "tides.pdf")]
    told = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)
    assert (told.returncode, told.stderr) == (0, "")
    assert re.search(r"Title: +Tides\n(.*\n)*Tagged: +yes", told.stdout)


@pytest.mark.parametrize(
    "markdown", ["", "Just a line.", "# Only a title", "[^9] and [link]()", "|a|\n|-|\n", "> - x\n>\n>   1. y"]
)
async def test_any_text_becomes_a_document(form, markdown):
    assert len(await FORMS[form].render("", markdown)) > 100


async def test_a_page_of_html_fetches_and_runs_nothing():
    page = lxml_html.fromstring(await FORMS["html"].render("Tides", MARKDOWN, "de"))
    assert not [node for tag in ("script", "img", "link", "iframe") for node in page.iter(tag)]
    assert page.get("lang") == "de"
    assert "default-src 'none'" in page.find(".//meta[@http-equiv]").get("content")


async def test_markdown_is_had_as_it_is_kept():
    assert (await MarkdownRenderer().render("Tides", MARKDOWN)).decode() == MARKDOWN
