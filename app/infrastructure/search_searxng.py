"""Search by a SearXNG instance, whose JSON format must be switched on (`search.formats` in its settings)."""

from __future__ import annotations

from app.domain.tools import Found
from app.infrastructure.outside import Outside
from app.infrastructure.search_answer import LONGEST_QUERY, hits, json_object, plain, rows

TOOL = "SearXNG"


class SearxngSearch:
    """One page of a SearXNG's results. Engines that it says did not answer are named as missing."""

    def __init__(self, outside: Outside, url: str) -> None:
        self._outside, self._url = outside, url.rstrip("/")

    async def find(self, query: str, limit: int) -> Found:
        params = {"q": query[:LONGEST_QUERY], "format": "json"}
        answer = json_object(TOOL, await self._outside.get(TOOL, f"{self._url}/search", params=params))
        found = (
            (row.get("url"), row.get("title"), row.get("content"), row.get("publishedDate"))
            for row in rows(TOOL, answer, "results")
        )
        silent = answer.get("unresponsive_engines")
        engines = (
            [plain(entry[0])[:40] for entry in silent if isinstance(entry, list) and entry]
            if isinstance(silent, list)
            else []
        )
        return Found(
            hits=tuple(hits(found, limit)), missing=tuple(f"{TOOL} had no answer from {name}." for name in engines)
        )
