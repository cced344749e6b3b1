"""Reads documents in a thread."""

from __future__ import annotations

import asyncio

from app.domain.tools import Page
from app.infrastructure.document_text import document_text


class ThreadedDocumentReader:
    """By the libraries of `document_text`."""

    async def extract(self, name: str, content: bytes) -> Page:
        return await asyncio.to_thread(document_text, name, content)
