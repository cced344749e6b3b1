"""Several searches asked at once, as one."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.tools import Found, Hit, Search

NOTHING_TO_SEARCH = (
    "No search is configured: set DOCUMENTS_DIR, SEARXNG_URL, WIKIPEDIA_URL, NEWSAPI_KEY or SERPAPI_KEY."
)


class CombinedSearch:
    """The hits of all places in turn, the best of each first, an address once. A place that fails is named as missing."""

    def __init__(self, places: Sequence[Search]) -> None:
        self._places = tuple(places)

    async def find(self, query: str, limit: int) -> Found:
        if not self._places:
            return Found(missing=(NOTHING_TO_SEARCH,))
        answers = await asyncio.gather(*(_asked(place, query, limit) for place in self._places))
        found = [answer for answer in answers if isinstance(answer, Found)]
        failed = [answer for answer in answers if not isinstance(answer, Found)]
        if not found:
            raise next((error for error in failed if isinstance(error, ToolTrouble)), failed[0])
        missing = [*(words for answer in found for words in answer.missing), *(f"{error}." for error in failed)]
        return Found(hits=tuple(_in_turn((answer.hits for answer in found), limit)), missing=tuple(missing))


async def _asked(place: Search, query: str, limit: int) -> Found | ToolTrouble | ToolRefused:
    try:
        return await place.find(query, limit)
    except (ToolTrouble, ToolRefused) as error:
        return error


def _in_turn(lists: Iterable[Sequence[Hit]], limit: int) -> list[Hit]:
    by_address: dict[str, Hit] = {}
    for hit in chain.from_iterable(zip_longest(*lists)):
        if hit is not None:
            by_address.setdefault(hit.url.rstrip("/"), hit)
    return list(by_address.values())[:limit]
