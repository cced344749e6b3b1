"""Search in a folder of documents, without any network."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.tools import Found, Page
from app.infrastructure.document_text import READABLE, document_text
from app.infrastructure.ranked_pages import ranked

LARGEST = 50 * 1024 * 1024
MOST_FILES = 2000
MOST_REMEMBERED = 64 * 1024 * 1024  # characters of text that are kept between searches
MOST_NAMED = 5  # unreadable documents that are named
Stamp = tuple[int, int]


class DocumentsSearch:
    """Ranks the documents below a folder. A hit's address is the path inside it; links out of it are not followed.

    Texts are kept by time and size of their file, so a changed document is read again. Documents that cannot be read
    are named as missing.
    """

    def __init__(self, folder: Path) -> None:
        self._folder, self._texts = folder, dict[str, tuple[Stamp, Page | None]]()
        self._reading = asyncio.Lock()

    async def find(self, query: str, limit: int) -> Found:
        async with self._reading:
            return await asyncio.to_thread(self._find, query, limit)

    def _find(self, query: str, limit: int) -> Found:
        files = list(self._files())
        pages = {name: self._page(name, path) for name, path in files}
        self._forget(set(pages))
        readable = [page for page in pages.values() if page is not None]
        return Found(hits=ranked(query, readable, limit), missing=tuple(self._missing(pages, files)))

    def _files(self) -> Iterator[tuple[str, Path]]:
        """Name and path of each readable document, in the order of their names, at most MOST_FILES."""
        if not self._folder.is_dir():
            raise ToolTrouble("the folder of documents is not there")
        found = sorted(
            Path(folder) / name
            for folder, _, names in os.walk(self._folder)
            for name in names
            if Path(name).suffix.lower() in READABLE and not name.startswith(".")
        )
        root = self._folder.resolve()
        for path in found[:MOST_FILES]:
            if path.resolve().is_relative_to(root):
                yield path.relative_to(self._folder).as_posix(), path

    def _page(self, name: str, path: Path) -> Page | None:
        try:
            status = path.stat()
            stamp = (status.st_mtime_ns, status.st_size)
            if (known := self._texts.get(name)) is not None and known[0] == stamp:
                return known[1]
            page = _dated(document_text(name, path.read_bytes()), stamp[0]) if status.st_size <= LARGEST else None
        except (OSError, ToolRefused):
            page, stamp = None, (0, 0)
        self._texts[name] = (stamp, page)
        return page

    def _forget(self, there: set[str]) -> None:
        """Texts of documents that are gone, and the oldest once there are too many."""
        for name in self._texts.keys() - there:
            del self._texts[name]
        while sum(len(page.text) for _, page in self._texts.values() if page is not None) > MOST_REMEMBERED:
            del self._texts[next(iter(self._texts))]

    def _missing(self, pages: dict[str, Page | None], files: list[tuple[str, Path]]) -> Iterator[str]:
        unreadable = [name for name, page in pages.items() if page is None]
        if unreadable:
            more = f" and {len(unreadable) - MOST_NAMED} more" if len(unreadable) > MOST_NAMED else ""
            yield f"Of the documents, {', '.join(unreadable[:MOST_NAMED])}{more} could not be read."
        if len(files) >= MOST_FILES:
            yield f"Only the first {MOST_FILES} documents were searched."


def _dated(page: Page, changed_ns: int) -> Page:
    return replace(page, published_at=datetime.fromtimestamp(changed_ns / 1e9, UTC))
