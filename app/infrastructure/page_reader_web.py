"""Reads web pages: fetched with limits, redirects followed with care, the article extracted by trafilatura in a thread."""

from __future__ import annotations

import asyncio
from urllib.parse import urljoin, urlsplit

from app.domain.errors import ToolRefused
from app.domain.tools import Page
from app.infrastructure.document_text import document_text, html_text
from app.infrastructure.outside import MEBIBYTE, Outside

TOOL = "Web pages"
LARGEST = 8 * MEBIBYTE
MOST_HOPS = 5
ENDINGS = {"application/pdf": ".pdf", "text/plain": ".txt", "text/markdown": ".md"}
HTML = frozenset({"text/html", "application/xhtml+xml", ""})


class WebPageReader:
    """HTML, PDF and plain text behind http and https addresses. A redirect is a new request, under the same rules."""

    def __init__(self, outside: Outside, user_agent: str) -> None:
        self._outside = outside
        self._headers = {"User-Agent": user_agent, "Accept": "text/html, application/pdf;q=0.8, text/plain;q=0.8"}

    async def read(self, url: str) -> Page:
        here = url
        for _ in range(MOST_HOPS + 1):
            fetched = await self._outside.get(TOOL, here, headers=self._headers, longest=LARGEST)
            if fetched.status < 300:
                kind = fetched.headers.get("content-type", "").partition(";")[0].strip().lower()
                return await asyncio.to_thread(_extracted, url, kind, fetched.content)
            target = fetched.headers.get("location")
            if not target:
                raise ToolRefused(f"{_host(url)} answered {fetched.status} and nothing to read")
            here = urljoin(here, target)
        raise ToolRefused(f"{_host(url)} sends readers in circles")


def _extracted(url: str, kind: str, content: bytes) -> Page:
    if kind in HTML:
        return html_text(content, url)
    if kind not in ENDINGS:
        raise ToolRefused(f"{_host(url)} answered with {kind[:60]}, which holds no text to read")
    page = document_text(f"{_host(url)}{ENDINGS[kind]}", content)
    return Page(url=url, title=page.title, text=page.text)


def _host(url: str) -> str:
    return urlsplit(url).hostname or "the page"
