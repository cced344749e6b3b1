"""Search in one Wikipedia, by the MediaWiki API."""

from __future__ import annotations

from app.domain.errors import ToolTrouble
from app.domain.tools import Found
from app.infrastructure.outside import Outside
from app.infrastructure.search_answer import hits, json_object, plain, rows

TOOL = "Wikipedia"
MOST = 20  # introductions that the API gives at a time


class WikipediaSearch:
    """Articles with their introductions; `url` is the wiki's, such as https://en.wikipedia.org."""

    def __init__(self, outside: Outside, url: str, user_agent: str) -> None:
        self._outside, self._url = outside, url.rstrip("/")
        self._headers = {"User-Agent": user_agent}  # Wikimedia turns away who does not say who they are

    async def find(self, query: str, limit: int) -> Found:
        params: dict[str, str | int] = {
            "action": "query",
            "format": "json",
            "formatversion": 2,
            "generator": "search",
            "gsrsearch": query[:300],
            "gsrlimit": min(limit, MOST),
            "prop": "extracts|info",
            "inprop": "url",
            "exintro": 1,
            "explaintext": 1,
            "exlimit": "max",
        }
        fetched = await self._outside.get(TOOL, f"{self._url}/w/api.php", params=params, headers=self._headers)
        answer = json_object(TOOL, fetched)
        if isinstance(answer.get("error"), dict):  # with status 200
            raise ToolTrouble(f"{TOOL} said: {plain(answer['error'].get('info'))[:200]}")
        if not isinstance(answer.get("query"), dict):  # nothing found
            return Found()
        pages = sorted(rows(TOOL, answer["query"], "pages"), key=_rank)
        found = ((page.get("fullurl"), page.get("title"), page.get("extract"), None) for page in pages)
        return Found(hits=tuple(hits(found, limit)))


def _rank(page: dict[str, object]) -> int:
    index = page.get("index")
    return index if isinstance(index, int) else MOST
