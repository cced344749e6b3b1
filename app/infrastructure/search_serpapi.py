"""Search by SerpAPI, which asks Google."""

from __future__ import annotations

from app.domain.errors import ToolRefused
from app.domain.tools import Found
from app.infrastructure.outside import Outside
from app.infrastructure.search_answer import LONGEST_QUERY, hits, json_object, plain, rows

TOOL = "SerpAPI"
URL = "https://serpapi.com"
NOTHING_FOUND = "hasn't returned any results"  # said as an error, with status 200


class SerpApiSearch:
    """The organic results. The key can only be sent in the address, which no error shows."""

    def __init__(self, outside: Outside, key: str, url: str = URL) -> None:
        self._outside, self._key, self._url = outside, key, url

    async def find(self, query: str, limit: int) -> Found:
        params: dict[str, str | int] = {
            "engine": "google",
            "q": query[:LONGEST_QUERY],
            "num": min(limit, 100),
            "api_key": self._key,
        }
        answer = json_object(TOOL, await self._outside.get(TOOL, f"{self._url}/search.json", params=params))
        if problem := plain(answer.get("error")):
            if NOTHING_FOUND in problem:
                return Found()
            raise ToolRefused(f"{TOOL} said: {problem[:200].replace(self._key, '***')}")
        found = (
            (row.get("link"), row.get("title"), row.get("snippet"), row.get("date"))
            for row in rows(TOOL, answer, "organic_results")
        )
        return Found(hits=tuple(hits(found, limit)))
