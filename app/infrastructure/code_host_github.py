"""Who did what on GitHub, by its REST API, with as few calls as can be: what was read once serves every period.

Searches are not made for the days that are asked for but for *shelves*: the month that is going on with the twelve
months before it as one, and any month before those by itself. A shelf's address is the same for whoever asks on any day
of a month, so all rolling periods of a user (7d, 30d, 90d, 1y) and all months of the last year read the same pages, the
oldest rows first. Nothing joins a full page of past months any more; only states change there, so it is asked for again
after a day, by its ETag.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx

from app.domain.answers import AnswerCache, KeptAnswer
from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.tools import Contribution, ContributionKind, Contributions
from app.infrastructure.http_client import BROKEN
from app.infrastructure.outside import MEBIBYTE, PASSING, Outside
from app.infrastructure.webhook_answer import retry_after

TOOL = "GitHub"
PER_PAGE = 100
MOST = 1000  # what GitHub gives of one search, however much it found
LONGEST = 8 * MEBIBYTE
DAY = timedelta(days=1)
LONGEST_WAIT = timedelta(hours=1)  # GitHub's windows are no longer, whatever a header says
UNNAMED_WAIT = timedelta(minutes=1)  # for a secondary limit, as GitHub's documentation has it
SOMETHING_ELSE = f"{TOOL} answered with something other than search results"
SEARCHES = {
    ContributionKind.PULL_REQUEST: "author:{user} is:pr",
    ContributionKind.REVIEW: "reviewed-by:{user} -author:{user} is:pr",
    ContributionKind.ISSUE: "author:{user} is:issue",
}


@dataclass(frozen=True, slots=True)
class Shelf:
    """Days that are always read together."""

    since: date
    until: date

    def halves(self) -> tuple[Shelf, Shelf]:
        """The two parts of a shelf that is too full to be read at once."""
        middle = self.since + (self.until - self.since) // 2
        return replace(self, until=middle), replace(self, since=middle + DAY)


def shelves(since: date, until: date, today: date) -> Iterator[Shelf]:
    """The shelves that together hold these days, the oldest first."""
    this_month = today.replace(day=1)
    last_year = this_month.replace(year=this_month.year - 1)
    month = since.replace(day=1)
    while month < last_year and month <= until:
        following = _next_month(month)
        yield Shelf(month, following - DAY)
        month = following
    if until >= last_year:
        yield Shelf(last_year, _next_month(this_month) - DAY)


class GithubCodeHost:
    """`url` is the API's address. A page of past months is taken to hold for `past_holds`, one that the month going on may
    still change for `month_holds`."""

    def __init__(
        self,
        outside: Outside,
        client: httpx.AsyncClient,
        cache: AnswerCache,
        clock: Callable[[], datetime],
        *,
        url: str = "https://api.github.com",
        token: str | None = None,
    ) -> None:
        self._outside, self._client, self._cache, self._clock = outside, client, cache, clock
        self._url = url.rstrip("/")
        self._host = urlsplit(self._url).netloc
        self._headers = {
            "Accept": "application/vnd.github+json",
            "User-Agent": "callslip",
            "X-GitHub-Api-Version": "2022-11-28",
        } | ({"Authorization": f"Bearer {token}"} if token else {})
        self.past_holds, self.month_holds = DAY, timedelta(minutes=10)

    async def contributions(self, username: str, kind: ContributionKind, since: date, until: date) -> Contributions:
        found: list[Contribution] = []
        complete = True
        for shelf in shelves(since, until, self._clock().date()):
            part = await self._shelf(SEARCHES[kind].format(user=username), shelf)
            found.extend(part.items)
            complete = complete and part.complete
        wanted = (one for one in found if since <= one.created_at.date() <= until)
        return Contributions(items=tuple(sorted(wanted, key=lambda one: one.created_at)), complete=complete)

    async def _shelf(self, terms: str, shelf: Shelf) -> Contributions:
        # `is:public`: a token may see private repositories, which a report that others read must not name.
        query = f"{terms} is:public created:{shelf.since}..{shelf.until}"
        order = {"sort": "created", "order": "asc", "per_page": PER_PAGE}  # what is new stands on the last page
        url = f"{self._url}/search/issues?{urlencode({'q': query, **order})}"
        first = await self._page(url, shelf)
        total = json.loads(first.body)["total"]
        if total > MOST and shelf.since < shelf.until:
            early, late = [await self._shelf(terms, half) for half in shelf.halves()]
            return Contributions(items=(*early.items, *late.items), complete=early.complete and late.complete)
        pages, page = [first], first
        while page.next and len(pages) < MOST // PER_PAGE:
            page = await self._page(self._ours(page.next), shelf)
            pages.append(page)
        items = tuple(_contribution(row) for page in pages for row in json.loads(page.body)["items"])
        return Contributions(items=items, complete=json.loads(page.body)["total"] <= MOST)

    def _ours(self, url: str) -> str:
        """The next page's address, if it is one of this search: the token must go nowhere else."""
        if urlsplit(url)[:3] != urlsplit(f"{self._url}/search/issues")[:3]:
            raise ToolTrouble(f"{TOOL} sent us to another address for the next page")
        return url

    async def _page(self, url: str, shelf: Shelf) -> KeptAnswer:
        kept = await self._cache.get(url)
        if kept and self._clock() - kept.at < self._holds(kept, shelf):
            return kept
        answer = await self._outside.call(TOOL, self._host, lambda: self._asked(url, kept))
        await self._cache.put(url, answer)
        return answer

    def _holds(self, kept: KeptAnswer, shelf: Shelf) -> timedelta:
        month = self._clock().date().replace(day=1)
        rows = json.loads(kept.body)["items"] if kept.next else ()  # the last page is the one that grows
        past = shelf.until < month or (rows and _contribution(rows[-1]).created_at.date() < month)
        return self.past_holds if past else self.month_holds

    async def _asked(self, url: str, kept: KeptAnswer | None) -> KeptAnswer:
        headers = self._headers | ({"If-None-Match": kept.etag} if kept and kept.etag else {})
        try:
            async with self._client.stream("GET", url, headers=headers, timeout=None) as response:
                content = bytearray()
                async for piece in response.aiter_bytes():
                    content += piece
                    if len(content) > LONGEST:
                        raise ToolRefused(f"{TOOL} answered with more than {LONGEST // MEBIBYTE} MiB")
        except BROKEN as error:
            raise ToolTrouble(f"{TOOL} could not be reached ({type(error).__name__})") from error
        now = self._clock()
        if response.status_code == 304 and kept:
            return replace(kept, at=now)
        _judge(response.status_code, response.headers, bytes(content), now)
        following = response.links.get("next", {}).get("url")
        return KeptAnswer(body=_read(bytes(content)), etag=response.headers.get("etag"), next=following, at=now)


def _next_month(month: date) -> date:
    return (month + timedelta(days=31)).replace(day=1)


def _judge(status: int, headers: Mapping[str, str], content: bytes, now: datetime) -> None:
    if status == 200:
        return
    if status in {403, 429} and (wait := _wait(status, headers, content, now)) is not None:
        raise ToolTrouble(f"{TOOL} wants us to wait: its limit for calls is reached", wait)
    if status in PASSING:
        raise ToolTrouble(f"{TOOL} answered {status}", retry_after(headers, now))
    if status == 401:
        raise ToolRefused(f"{TOOL} does not accept GITHUB_TOKEN")
    if status == 422:
        raise ToolRefused(f"{TOOL} knows no user of this name, or does not show them")
    raise ToolRefused(f"{TOOL} answered {status}")


def _wait(status: int, headers: Mapping[str, str], content: bytes, now: datetime) -> timedelta | None:
    """How long GitHub wants us to wait; None where it is not a limit that keeps us out."""
    wait = retry_after(headers, now)
    reset = headers.get("x-ratelimit-reset", "")
    if wait is None and headers.get("x-ratelimit-remaining") == "0" and reset.isdecimal() and len(reset) < 12:
        wait = timedelta(seconds=int(reset) - now.timestamp() + 1)
    if wait is None and (status == 429 or b"rate limit" in content.lower()):
        wait = UNNAMED_WAIT
    return None if wait is None else min(max(wait, timedelta(seconds=1)), LONGEST_WAIT)


def _read(content: bytes) -> str:
    """What is kept of a page: how many there are, and of each what a report needs. Raises ToolTrouble."""
    try:
        answer: Any = json.loads(content)
        if answer["incomplete_results"] is not False:
            raise ToolTrouble(f"{TOOL} ran out of time with this search")
        rows = [_row(item) for item in answer["items"]]
        total = int(answer["total_count"])
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise ToolTrouble(SOMETHING_ELSE) from None
    return json.dumps({"total": total, "items": rows}, separators=(",", ":"))


def _row(item: Any) -> list[Any]:
    repository = "/".join(item["repository_url"].rsplit("/", 2)[1:])
    merged = (item.get("pull_request") or {}).get("merged_at")
    created_at = datetime.fromisoformat(item["created_at"])
    if created_at.tzinfo is None or repository.count("/") != 1:
        raise ValueError
    return [repository, int(item["number"]), created_at.isoformat(), "merged" if merged else str(item["state"])]


def _contribution(row: list[Any]) -> Contribution:
    repository, number, created_at, state = row
    moment = datetime.fromisoformat(created_at)
    return Contribution(repository=repository, number=number, created_at=moment, state=state)
