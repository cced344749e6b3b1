"""A report's Markdown as a tree that the renderers walk, and what they share of it. Raw HTML is text, not markup."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from markdown_it import MarkdownIt
from markdown_it.tree import SyntaxTreeNode
from mdit_py_plugins.footnote import footnote_plugin

LINKED = frozenset({"http", "https", "mailto"})
# What XML, and so DOCX, cannot hold; and characters that turn the reading direction, which sources may not do here.
_UNPRINTABLE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff\u202a-\u202e\u2066-\u2069]")
_WORDS = {"de": ("Inhalt", "Quellen"), "fr": ("Sommaire", "Sources"), "es": ("Índice", "Fuentes")}


def parser() -> MarkdownIt:
    """CommonMark with tables and footnotes, and without HTML."""
    return MarkdownIt("commonmark", {"html": False}).enable("table").use(footnote_plugin, inline=False)


def tree(markdown: str) -> SyntaxTreeNode:
    """The document; footnotes stand in a `footnote_block` at its end."""
    return SyntaxTreeNode(parser().parse(printable(markdown)))


def printable(text: str) -> str:
    """Without the characters that a document cannot hold."""
    return _UNPRINTABLE.sub("", text)


@dataclass(frozen=True, slots=True)
class Heading:
    """One entry of the table of contents."""

    level: int
    text: str
    node: SyntaxTreeNode


def headings(root: SyntaxTreeNode) -> list[Heading]:
    """The headings of level 2 and 3: the first is the title's."""
    found = (node for node in root.children if node.type == "heading")
    return [Heading(level, plain(node), node) for node in found if (level := int(node.tag[1:])) in (2, 3)]


def plain(node: SyntaxTreeNode) -> str:
    """The words in a node, without footnote references."""
    return "".join(_words(node)).strip()


def _words(node: SyntaxTreeNode) -> Iterator[str]:
    if node.type in {"text", "code_inline", "code_block", "fence"}:
        yield node.content
    elif node.type in {"softbreak", "hardbreak"}:
        yield " "
    for child in node.children:
        yield from _words(child)


def target(node: SyntaxTreeNode) -> str | None:
    """Where a link goes, if it goes to where a document may link."""
    href = str(node.attrs.get("href", ""))
    return href if urlsplit(href).scheme in LINKED else None


def number(node: SyntaxTreeNode) -> int:
    """The number of a footnote or of a reference to one, from 1."""
    return int(node.meta["id"]) + 1


def wording(language: str) -> tuple[str, str]:
    """The headings of the table of contents and of the sources."""
    return _WORDS.get(language.partition("-")[0].lower(), ("Contents", "Sources"))
