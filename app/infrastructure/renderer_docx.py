"""Markdown to DOCX, by python-docx and the few elements of the format that it has no words for."""

from __future__ import annotations

import asyncio
import io
import zipfile
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from docx import Document
from docx.enum.text import WD_ALIGN_PARAGRAPH
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml import OxmlElement
from docx.oxml.ns import qn
from docx.shared import Cm, Pt, RGBColor
from markdown_it.tree import SyntaxTreeNode

from app.infrastructure.markdown_document import headings, number, plain, printable, target, tree, wording

CLOSE = Pt(2)  # between the lines of a list
_BLUE = RGBColor(0x0B, 0x53, 0x94)
_NO_TIME = datetime(2000, 1, 1, tzinfo=UTC)  # the same bytes for the same report


class DocxRenderer:
    """Headings, a table of contents that links, links, page numbers; A4. Word asks for nothing when it opens one."""

    media_type = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

    async def render(self, title: str, markdown: str, language: str = "en") -> bytes:
        return await asyncio.to_thread(lambda: _Writer(title, language).written(tree(markdown)))


class _Writer:
    """Fills one document."""

    def __init__(self, title: str, language: str) -> None:
        self.document = Document()
        self.contents, self.sources = wording(language)
        self.title = printable(title)
        self._bookmarks = self._chapters = 0
        properties = self.document.core_properties
        properties.title, properties.author, properties.language = self.title[:255], "Callslip", language
        properties.created = properties.modified = _NO_TIME
        _lay_out(self.document)

    def written(self, root: SyntaxTreeNode) -> bytes:
        self.document.add_heading(self.title, 0)
        chapters = [entry.text for entry in headings(root) if entry.level == 2]
        if len(chapters) > 1:
            sources = [self.sources] if any(node.type == "footnote_block" for node in root.children) else []
            self._table_of_contents([*chapters, *sources])
        for node in root.children:
            if not (node.type == "heading" and node.tag == "h1"):
                self._block(node)
        out = io.BytesIO()
        self.document.save(out)
        return _timeless(out)

    def _table_of_contents(self, chapters: list[str]) -> None:
        """A field that Word can renew, filled already, so that every reader shows it."""
        self.document.add_paragraph().add_run(self.contents).bold = True
        for at, text in enumerate(chapters, 1):
            paragraph = self.document.add_paragraph()
            paragraph.paragraph_format.space_after = CLOSE
            if at == 1:
                _field_char(paragraph, "begin")
                _instruction(paragraph, 'TOC \\o "1-2" \\h \\z \\u')
                _field_char(paragraph, "separate")
            link = _inner_link(paragraph, f"section-{at}")
            _run_in(link, text)
            if at == len(chapters):
                _field_char(paragraph, "end")

    def _block(self, node: SyntaxTreeNode, style: str | None = None) -> None:
        match node.type:
            case "heading":
                self._heading(node)
            case "paragraph":
                self._inlines(self.document.add_paragraph(style=style), node.children)
            case "bullet_list" | "ordered_list":
                self._list(node)
            case "blockquote":
                for child in node.children:
                    self._block(child, "Intense Quote")
            case "table":
                self._table(node)
            case "footnote_block":
                self._chapter(self.document.add_heading(self.sources, 1))
                for note in node.children:
                    self._note(note)
            case "hr":
                self.document.add_paragraph()
            case _:
                self.document.add_paragraph(plain(node), style=style)

    def _heading(self, node: SyntaxTreeNode) -> None:
        paragraph = self.document.add_heading("", max(int(node.tag[1:]) - 1, 1))
        if node.tag == "h2":
            self._chapter(paragraph)
        self._inlines(paragraph, node.children)

    def _chapter(self, paragraph: Any) -> None:
        self._chapters += 1
        self._bookmark(paragraph, f"section-{self._chapters}")

    def _list(self, node: SyntaxTreeNode) -> None:
        style = "List Bullet" if node.type == "bullet_list" else "List Number"
        for item in node.children:
            for child in item.children:
                self._block(child, style)

    def _table(self, node: SyntaxTreeNode) -> None:
        rows = [row for part in node.children for row in part.children]
        table = self.document.add_table(len(rows), len(rows[0].children), style="Table Grid")
        for at, row in enumerate(rows):
            for cell, found in zip(table.rows[at].cells, row.children, strict=True):
                self._inlines(cell.paragraphs[0], found.children)

    def _note(self, note: SyntaxTreeNode) -> None:
        paragraph = self.document.add_paragraph()
        paragraph.paragraph_format.space_after = CLOSE
        self._bookmark(paragraph, f"source-{number(note)}")
        paragraph.add_run(f"{number(note)}. ")
        for child in note.children:
            self._inlines(paragraph, child.children)

    def _bookmark(self, paragraph: Any, name: str) -> None:
        self._bookmarks += 1
        for kind, attributes in (("w:bookmarkStart", {"w:name": name}), ("w:bookmarkEnd", {})):
            paragraph._p.append(_element(kind, {"w:id": str(self._bookmarks)} | attributes))  # noqa: SLF001

    def _inlines(
        self, paragraph: Any, nodes: Iterable[SyntaxTreeNode], *, bold: bool = False, italic: bool = False
    ) -> None:
        for node in nodes:
            match node.type:
                case "inline":
                    self._inlines(paragraph, node.children, bold=bold, italic=italic)
                case "strong":
                    self._inlines(paragraph, node.children, bold=True, italic=italic)
                case "em":
                    self._inlines(paragraph, node.children, bold=bold, italic=True)
                case "link" if (address := target(node)) is not None:
                    _run_in(_outer_link(paragraph, address), plain(node))
                case "footnote_ref":
                    _run_in(_inner_link(paragraph, f"source-{number(node)}"), f"[{number(node)}]", raised=True)
                case "footnote_anchor":
                    pass
                case _:
                    run = paragraph.add_run(" " if node.type == "softbreak" else node.content or plain(node))
                    run.bold, run.italic = bold or None, italic or None


def _timeless(packed: io.BytesIO) -> bytes:
    """The same archive without the time of its making, which python-docx gives each of its files."""
    out = io.BytesIO()
    with zipfile.ZipFile(packed) as made, zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as timeless:
        for name in made.namelist():
            timeless.writestr(zipfile.ZipInfo(name), made.read(name), zipfile.ZIP_DEFLATED)
    return out.getvalue()


def _lay_out(document: Any) -> None:
    section = document.sections[0]
    section.page_width, section.page_height = Cm(21), Cm(29.7)
    section.left_margin = section.right_margin = Cm(2.6)
    section.top_margin = section.bottom_margin = Cm(2.5)
    normal = document.styles["Normal"]
    normal.font.name, normal.font.size = "Georgia", Pt(11)
    normal.paragraph_format.space_after, normal.paragraph_format.line_spacing = Pt(8), 1.15
    for name in ("Title", "Heading 1", "Heading 2", "Heading 3"):
        document.styles[name].font.name = "Georgia"
        document.styles[name].font.color.rgb = RGBColor(0x1D, 0x1D, 0x1B)
        fonts = document.styles[name].element.rPr.rFonts  # the theme's font would win over the name
        for theme in ("asciiTheme", "hAnsiTheme", "eastAsiaTheme", "cstheme"):
            fonts.attrib.pop(qn(f"w:{theme}"), None)
    footer = section.footer.paragraphs[0]
    footer.alignment = WD_ALIGN_PARAGRAPH.CENTER
    for word in ("PAGE", " / ", "NUMPAGES"):
        if word.isalpha():
            _field_char(footer, "begin")
            _instruction(footer, word)
            _field_char(footer, "end")
        else:
            footer.add_run(word)


def _element(kind: str, attributes: dict[str, str]) -> Any:
    element = OxmlElement(kind)
    for name, value in attributes.items():
        element.set(qn(name), value)
    return element


def _field_char(paragraph: Any, kind: str) -> None:
    paragraph.add_run()._r.append(_element("w:fldChar", {"w:fldCharType": kind}))  # noqa: SLF001


def _instruction(paragraph: Any, words: str) -> None:
    element = _element("w:instrText", {"xml:space": "preserve"})
    element.text = f" {words} "
    paragraph.add_run()._r.append(element)  # noqa: SLF001


def _inner_link(paragraph: Any, bookmark: str) -> Any:
    return _appended(paragraph, _element("w:hyperlink", {"w:anchor": bookmark, "w:history": "1"}))


def _outer_link(paragraph: Any, address: str) -> Any:
    known = paragraph.part.relate_to(address, RELATIONSHIP_TYPE.HYPERLINK, is_external=True)
    return _appended(paragraph, _element("w:hyperlink", {"r:id": known, "w:history": "1"}))


def _appended(paragraph: Any, element: Any) -> Any:
    paragraph._p.append(element)  # noqa: SLF001
    return element


def _run_in(link: Any, text: str, *, raised: bool = False) -> None:
    run = OxmlElement("w:r")
    look = OxmlElement("w:rPr")
    look.append(_element("w:color", {"w:val": str(_BLUE)}))
    if raised:
        look.append(_element("w:vertAlign", {"w:val": "superscript"}))
    words = _element("w:t", {"xml:space": "preserve"})
    words.text = text
    run.append(look)
    run.append(words)
    link.append(run)
