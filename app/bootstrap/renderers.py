"""The forms a report can be had in. What makes one is loaded when the first is asked for: most processes never do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping

from app.domain.tools import Renderer
from app.infrastructure.renderer_markdown import MarkdownRenderer

AT_A_TIME = 2  # each takes a processor


def renderers() -> Mapping[str, Renderer]:
    """By the name of the form, which is also how a file of it ends."""
    slots = asyncio.Semaphore(AT_A_TIME)
    docx = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    return {
        "md": MarkdownRenderer(),
        "html": _Late("text/html; charset=utf-8", _html, slots),
        "pdf": _Late("application/pdf", _pdf, slots),
        "docx": _Late(docx, _docx, slots),
    }


class _Late:
    """A renderer that is loaded when it is first used."""

    def __init__(self, media_type: str, load: Callable[[], Renderer], slots: asyncio.Semaphore) -> None:
        self.media_type, self._load, self._slots = media_type, load, slots

    async def render(self, title: str, markdown: str, language: str = "en") -> bytes:
        async with self._slots:
            renderer = await asyncio.to_thread(self._load)
            return await renderer.render(title, markdown, language)


def _html() -> Renderer:
    from app.infrastructure.renderer_html import HtmlRenderer  # noqa: PLC0415

    return HtmlRenderer()


def _pdf() -> Renderer:
    from app.infrastructure.renderer_pdf import PdfRenderer  # noqa: PLC0415

    return PdfRenderer()


def _docx() -> Renderer:
    from app.infrastructure.renderer_docx import DocxRenderer  # noqa: PLC0415

    return DocxRenderer()
