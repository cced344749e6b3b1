"""Markdown as it is kept."""

from __future__ import annotations


class MarkdownRenderer:
    media_type = "text/markdown; charset=utf-8"

    async def render(self, title: str, markdown: str, language: str = "en") -> bytes:  # noqa: ARG002 - the port's
        return markdown.encode()
