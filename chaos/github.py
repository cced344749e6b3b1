"""The searches of a GitHub, as `profile` makes them: each is noted, and answered with a few rows."""

from __future__ import annotations

import asyncio
import re
import time
from datetime import UTC, datetime

from aiohttp import web

from chaos.journal import Journal

PATH = "/github"
ANSWERS_AFTER = 0.1
_ASKED = re.compile(r"(?P<who>author|reviewed-by):(?P<user>\S+) .*is:(?P<kind>pr|issue) ")
KINDS = (("author", "pr"), ("reviewed-by", "pr"), ("author", "issue"))  # in the order of the workflow's steps


def add_to(app: web.Application, journal: Journal) -> None:
    """From now on the application answers searches, too."""

    async def search(request: web.Request) -> web.Response:
        query = request.query["q"]
        found = _ASKED.match(query)
        if found is None:
            raise web.HTTPUnprocessableEntity
        kind = KINDS.index((found["who"], found["kind"]))
        journal.note("search", user=found["user"], number=kind + 1, query=query, at=time.time())
        await asyncio.sleep(ANSWERS_AFTER)
        rows = [_row(number, query) for number in range(kind + 1)]
        return web.json_response({"total_count": len(rows), "incomplete_results": False, "items": rows})

    app.router.add_get(f"{PATH}/search/issues", search)


def _row(number: int, query: str) -> dict[str, object]:
    first = query.rpartition("created:")[2][:10]  # of the days that were asked for
    at = datetime.fromisoformat(first).replace(tzinfo=UTC)
    return {
        "repository_url": f"https://api.github.com/repos/chaos/r{number}",
        "number": number + 1,
        "state": "open",
        "created_at": at.isoformat(),
    }
