"""Markdown to PDF, set by Typst, which comes as one wheel with its fonts.

The text reaches Typst inside string literals only, so nothing in it is markup or code there; its world has no files.
"""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Iterable

from markdown_it.tree import SyntaxTreeNode

from app.infrastructure.markdown_document import number, plain, printable, target, tree, wording

_PAGE = """
#set document(title: {title}, date: none)
#set page(paper: "a4", margin: (x: 26mm, top: 26mm, bottom: 28mm), numbering: "1 / 1")
#set text(font: ("Libertinus Serif", "New Computer Modern"), size: 11pt, lang: {language})
#set par(justify: true, leading: 0.68em, spacing: 1.1em)
#set heading(numbering: none)
#show heading: set par(justify: false)
#show heading: set block(above: 1.5em, below: 0.8em)
#show heading.where(level: 1): set text(size: 15pt)
#show link: set text(fill: rgb("#0b5394"))
#show outline.entry: set text(fill: black)
#set table(stroke: 0.5pt + luma(190), inset: 6pt)
#set quote(block: true)
"""
WORD_JOINER = "\u2060"
_INLINE = {"strong": "strong", "em": "emph"}


class PdfRenderer:
    """Headings, bookmarks, a table of contents, links and page numbers; A4."""

    media_type = "application/pdf"

    async def render(self, title: str, markdown: str, language: str = "en") -> bytes:
        return await asyncio.to_thread(_set, title, markdown, language)


def _set(title: str, markdown: str, language: str) -> bytes:
    import typst  # noqa: PLC0415 - only who makes a PDF loads it

    with tempfile.TemporaryDirectory() as nothing:  # the world that the document could read from
        source = _document(title, markdown, language).encode()
        made = bytes(typst.compile(source, root=nothing))  # type: ignore[type-var]  # its stubs want one type for both
    # Poppler complains of "Suspects false", which says the same as nothing: spaces, so that all offsets hold.
    return made.replace(b"/Marked true/Suspects false", b"/Marked true".ljust(27))


def _document(title: str, markdown: str, language: str) -> str:
    contents, sources = wording(language)
    root, code = tree(markdown), language.partition("-")[0].lower()
    head = _PAGE.format(title=_text(title), language=_text(code if code.isalpha() and len(code) < 4 else "en"))
    lead = f"#par(justify: false, text(size: 22pt, weight: {_text('bold')}, hyphenate: false, {_text(printable(title))}))\n\n"
    body = [node for node in root.children if not (node.type == "heading" and node.tag == "h1")]
    chapters = [node for node in body if node.type == "heading"]
    outline = f"#outline(title: {_text(contents)}, depth: 2, indent: 1.2em)\n" if len(chapters) > 1 else ""
    return head + lead + outline + "".join(_block(node, sources) for node in body)


def _text(text: str) -> str:
    """A string literal. Only backslash and quote mean something in one."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _block(node: SyntaxTreeNode, sources: str) -> str:
    match node.type:
        case "heading":
            return f"#heading(level: {max(int(node.tag[1:]) - 1, 1)})[{_inlines(node.children)}]\n\n"
        case "paragraph":
            return f"#par[{_inlines(node.children)}]\n\n"
        case "bullet_list":
            return f"#list({_items(node.children, sources)})\n\n"
        case "ordered_list":
            return f"#enum({_items(node.children, sources)})\n\n"
        case "blockquote":
            return f"#quote[{_blocks(node.children, sources)}]\n\n"
        case "fence" | "code_block":
            return f"#raw({_text(node.content)}, block: true)\n\n"
        case "hr":
            return "#line(length: 100%, stroke: 0.5pt + luma(190))\n\n"
        case "table":
            return _table(node)
        case "footnote_block":
            notes = "".join(_note(note) for note in node.children)
            return f"#heading(level: 1)[#{_text(sources)}]\n\n#set par(justify: false)\n{notes}"
        case _:
            return f"#par[#{_text(plain(node))}]\n\n"


def _blocks(nodes: Iterable[SyntaxTreeNode], sources: str) -> str:
    return "".join(_block(node, sources) for node in nodes)


def _items(nodes: Iterable[SyntaxTreeNode], sources: str) -> str:
    return ", ".join(f"[{_blocks(node.children, sources)}]" for node in nodes)


def _note(note: SyntaxTreeNode) -> str:
    at = number(note)
    words = " ".join(_inlines(child.children) for child in note.children if child.type == "paragraph")
    return f"#grid(columns: (2em, 1fr), [{at}.], [{words}]) <source-{at}>\n#v(-0.4em)\n"


def _table(node: SyntaxTreeNode) -> str:
    lines = [row for part in node.children for row in part.children]
    columns = len(lines[0].children)
    head, *rest = ([f"[{_inlines(cell.children)}]" for cell in row.children] for row in lines)
    cells = "".join(f", {cell}" for row in rest for cell in row)
    return f"#table(columns: {columns}, table.header({', '.join(head)}){cells})\n\n"


def _inlines(nodes: Iterable[SyntaxTreeNode]) -> str:
    return "".join(_inline(node) for node in nodes)


def _inline(node: SyntaxTreeNode) -> str:
    match node.type:
        case "inline":
            return _inlines(node.children)
        case "text":
            return f"#{_text(node.content)}"
        case "softbreak":
            return f"#{_text(' ')}"
        case "hardbreak":
            return "#linebreak()"
        case "strong" | "em":
            return f"#{_INLINE[node.type]}[{_inlines(node.children)}]"
        case "code_inline":
            return f"#raw({_text(node.content)})"
        case "link":
            address = target(node)
            return f"#link({_text(address)})[{_inlines(node.children)}]" if address else _inlines(node.children)
        case "footnote_ref":
            # The joiner keeps it on the line of the sentence that it belongs to.
            return f"#{_text(WORD_JOINER)}#super[#link(<source-{number(node)}>)[\\[{number(node)}\\]]]"
        case "footnote_anchor":
            return ""
        case _:
            return f"#{_text(plain(node) or node.content)}"
