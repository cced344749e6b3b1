"""A GitHub on a real socket: the search of its REST API with paging, entity tags and limits, as its documentation has it."""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from urllib.parse import parse_qs, urlencode, urlsplit

from tests.far_side import Behaviour, Call, answer

TOKEN = "github-token-0123456789"
QUERY = re.compile(
    r"(?P<who>author|reviewed-by):(?P<user>\S+) .*is:(?P<kind>pr|issue) is:public created:(\S+)\.\.(\S+)"
)


def item(
    repository: str, number: int, created_at: datetime, state: str = "open", kind: str = "pr"
) -> dict[str, object]:
    """One row of a search's answer, with some of what GitHub tells that we do not need."""
    merged = created_at.isoformat() if state == "merged" else None
    return {
        "repository_url": f"https://api.github.com/repos/{repository}",
        "number": number,
        "title": f"Change {number}",
        "state": "closed" if state == "merged" else state,
        "created_at": created_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "closed_at": merged,
        "body": "words " * 50,
    } | ({"pull_request": {"merged_at": merged}} if kind == "pr" else {})


@dataclass
class GitHub:
    """Answers searches about what `did` holds by (author or reviewed-by, user, pr or issue). `limit`: calls until it
    says that the limit is reached; a 304 counts for nothing there, as with the real one."""

    did: dict[tuple[str, str, str], list[dict[str, object]]] = field(default_factory=dict)
    calls: int = 0
    unchanged: int = 0
    limit: int = 5000
    override: Behaviour | None = None

    async def __call__(self, call: Call) -> None:
        await call.read_body()
        self.calls += 1
        if self.override is not None:
            await self.override(call)
            return
        await call.send(self._answer(call))

    def _answer(self, call: Call) -> bytes:
        limits = {"X-RateLimit-Remaining": str(max(self.limit, 0)), "X-RateLimit-Reset": str(int(time.time()) + 30)}
        if call.receipt.header("authorization") != f"Bearer {TOKEN}" or not call.receipt.header("user-agent"):
            return answer(401, '{"message": "Bad credentials"}')
        if self.limit <= 0:
            return answer(403, '{"message": "API rate limit exceeded"}', headers=limits)
        parts = urlsplit(call.receipt.path)
        asked = {name: values[0] for name, values in parse_qs(parts.query).items()}
        found = QUERY.search(asked.get("q", ""))
        if parts.path != "/search/issues" or found is None or "is:public" not in asked["q"]:
            return answer(422, '{"message": "Validation Failed"}')
        rows = self.did.get((found["who"], found["user"], found["kind"]))
        if rows is None and not any(user == found["user"] for _, user, _ in self.did):
            return answer(422, '{"message": "The listed users cannot be searched"}')
        return self._page(call, asked, _created_between(rows or [], found[4], found[5]), limits)

    def _page(self, call: Call, asked: dict[str, str], rows: list[dict[str, object]], limits: dict[str, str]) -> bytes:
        page, size = int(asked.get("page", "1")), int(asked["per_page"])
        if page * size > 1000:
            return answer(422, '{"message": "Only the first 1000 search results are available"}')
        body = json.dumps(
            {"total_count": len(rows), "incomplete_results": False, "items": rows[(page - 1) * size : page * size]}
        )
        etag = f'W/"{hashlib.sha256(body.encode()).hexdigest()}"'
        headers = limits | {"ETag": etag}
        if page * size < min(len(rows), 1000):
            here = f"http://{call.receipt.header('host')}/search/issues?"
            link = here + urlencode(asked | {"page": str(page + 1)})
            headers["Link"] = f'<{link}>; rel="next", <{link}>; rel="last"'
        if call.receipt.header("if-none-match") == etag:
            self.unchanged += 1
            return answer(304, headers=headers)
        self.limit -= 1
        return answer(200, body, headers=headers)


def _created_between(rows: list[dict[str, object]], first: str, last: str) -> list[dict[str, object]]:
    begin, end = date.fromisoformat(first), date.fromisoformat(last) + timedelta(days=1)
    wanted = [row for row in rows if begin.isoformat() <= str(row["created_at"]) < end.isoformat()]
    return sorted(wanted, key=lambda row: str(row["created_at"]))
