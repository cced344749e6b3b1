"""Search in the news, by NewsAPI."""

from __future__ import annotations

from app.domain.errors import ToolRefused
from app.domain.tools import Found
from app.infrastructure.outside import Outside
from app.infrastructure.search_answer import LONGEST_QUERY, hits, json_object, plain, rows

TOOL = "NewsAPI"
URL = "https://newsapi.org"


class NewsApiSearch:
    """Articles by relevance."""

    def __init__(self, outside: Outside, key: str, url: str = URL) -> None:
        self._outside, self._key, self._url = outside, key, url

    async def find(self, query: str, limit: int) -> Found:
        params: dict[str, str | int] = {"q": query[:LONGEST_QUERY], "pageSize": min(limit, 100), "sortBy": "relevancy"}
        headers = {"X-Api-Key": self._key}
        answer = json_object(
            TOOL, await self._outside.get(TOOL, f"{self._url}/v2/everything", params=params, headers=headers)
        )
        if answer.get("status") == "error":
            raise ToolRefused(f"{TOOL} said: {plain(answer.get('message'))[:200].replace(self._key, '***')}")
        found = (
            (row.get("url"), row.get("title"), row.get("description"), row.get("publishedAt"))
            for row in rows(TOOL, answer, "articles")
        )
        return Found(hits=tuple(hits(found, limit)))
