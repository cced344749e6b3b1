"""The prose of a document: text, Markdown, HTML, PDF or DOCX in; title and paragraphs out. Blocking: run it in a thread."""

from __future__ import annotations

import io
import zipfile
from datetime import UTC, datetime
from pathlib import PurePath
from typing import Any

from app.domain.errors import ToolRefused
from app.domain.tools import Page

READABLE = frozenset({".txt", ".text", ".md", ".markdown", ".rst", ".html", ".htm", ".pdf", ".docx"})
LONGEST_TEXT = 1_000_000
MOST_PAGES = 500
LONGEST_TITLE = 200
UNPACKED = 200 * 1024 * 1024  # what a DOCX may be once unpacked


def document_text(name: str, content: bytes) -> Page:
    """What people read in the document called `name`, whose ending says what it is. Raises ToolRefused, in words, where
    it cannot be read or holds no text."""
    ending = PurePath(name).suffix.lower()
    readers = {".pdf": _pdf, ".docx": _docx, ".html": _html, ".htm": _html, ".md": _markdown, ".markdown": _markdown}
    if ending not in READABLE:
        raise ToolRefused(f"{name} is not a document that can be read (text, Markdown, HTML, PDF, DOCX)")
    try:
        title, text = readers.get(ending, _plain)(content)
    except ToolRefused:
        raise
    except Exception as error:
        # The parsers of these formats raise whatever a broken file makes of them.
        raise ToolRefused(f"{name} cannot be read ({type(error).__name__})") from error
    if not text.strip():
        raise ToolRefused(f"{name} holds no text")
    return Page(url=name, title=(title or PurePath(name).stem)[:LONGEST_TITLE], text=text[:LONGEST_TEXT])


def _plain(content: bytes) -> tuple[str, str]:
    text = _decoded(content)
    first = text.strip().partition("\n")[0].strip()
    return (first if 0 < len(first) <= 100 and not first.endswith(".") else ""), text


def _decoded(content: bytes) -> str:
    if b"\0" in content[:4096]:
        raise ToolRefused("the file is not text")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def _markdown(content: bytes) -> tuple[str, str]:
    """Paragraphs and list items without their markup; headings count as titles, code and tables are no prose."""
    from markdown_it import MarkdownIt  # noqa: PLC0415 - only who reads Markdown pays for it

    title, paragraphs, before, in_table = "", [], "", False
    for token in MarkdownIt("commonmark", {"html": False}).enable("table").parse(_decoded(content)):
        in_table = token.type == "table_open" or (in_table and token.type != "table_close")
        if token.type == "inline":
            words = "".join(_words(child.type, child.content) for child in token.children or ()).strip()
            if before == "heading_open":
                title = title or words
            elif words and not in_table:
                paragraphs.append(words)
        before = token.type
    return title, "\n\n".join(paragraphs)


def _words(kind: str, content: str) -> str:
    return " " if kind in {"softbreak", "hardbreak"} else content if kind in {"text", "code_inline"} else ""


def _html(content: bytes) -> tuple[str, str]:
    page = html_text(content, "")
    return page.title, page.text


def html_text(content: bytes, url: str) -> Page:
    """The article in a web page, without what stands around it. Raises ToolRefused where there is none."""
    from trafilatura import bare_extraction  # noqa: PLC0415 - 60 MiB that only who reads pages pays for
    from trafilatura.settings import Document  # noqa: PLC0415

    found = bare_extraction(content, url=url or None, include_comments=False, include_tables=False, with_metadata=True)
    text = found.text or "" if isinstance(found, Document) else ""
    if not isinstance(found, Document) or not text.strip():
        raise ToolRefused(f"{url or 'the page'} holds no readable text")
    paragraphs = "\n\n".join(line for line in text[:LONGEST_TEXT].splitlines() if line.strip())
    return Page(url=url, title=(found.title or url)[:LONGEST_TITLE], text=paragraphs, published_at=_date(found.date))


def _date(text: str | None) -> datetime | None:
    try:
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None
    except ValueError:
        return None


def _pdf(content: bytes) -> tuple[str, str]:
    from pypdf import PdfReader  # noqa: PLC0415

    reader = PdfReader(io.BytesIO(content))
    if reader.is_encrypted and not reader.decrypt(""):
        raise ToolRefused("the PDF wants a password")
    title = str(reader.metadata.title or "") if reader.metadata else ""
    return title.strip(), "\n\n".join(page.extract_text() for page in reader.pages[:MOST_PAGES])


def _docx(content: bytes) -> tuple[str, str]:
    from docx import Document  # noqa: PLC0415

    with zipfile.ZipFile(io.BytesIO(content)) as packed:
        if sum(entry.file_size for entry in packed.infolist()) > UNPACKED:
            raise ToolRefused("the DOCX is too large once unpacked")
    document = Document(io.BytesIO(content))
    prose = [p.text for p in document.paragraphs if p.text.strip() and not _is_heading(p.style)]
    headings = [p.text for p in document.paragraphs if p.text.strip() and _is_heading(p.style)]
    return document.core_properties.title or next(iter(headings), ""), "\n\n".join(prose)


def _is_heading(style: Any) -> bool:
    return style is not None and str(style.name).startswith(("Heading", "Title"))
