"""What the search adapters share: reading a far side's JSON with distrust, and making hits of it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from html import unescape
from typing import Any
from urllib.parse import urlsplit

from app.domain.errors import ToolTrouble
from app.domain.tools import Hit
from app.infrastructure.outside import Fetched

LONGEST_QUERY = 400
LONGEST_TITLE = 300
LONGEST_SNIPPET = 2000
_TAG = re.compile(r"<[^>]{0,200}>")


def json_object(tool: str, fetched: Fetched) -> dict[str, Any]:
    """The object that was answered. Raises ToolTrouble for anything else: proxies answer 200 with a page of their own."""
    try:
        answer = json.loads(fetched.content)
    except (ValueError, RecursionError):
        answer = None
    if not isinstance(answer, dict):
        raise ToolTrouble(f"{tool} answered with something other than search results")
    return answer


def rows(tool: str, answer: dict[str, Any], name: str) -> list[dict[str, Any]]:
    """The objects in the list `name`. Raises ToolTrouble where there is no such list."""
    found = answer.get(name)
    if not isinstance(found, list):
        raise ToolTrouble(f"{tool} answered with something other than search results")
    return [row for row in found if isinstance(row, dict)]


def hits(found: Iterable[tuple[object, object, object, object]], limit: int) -> Iterator[Hit]:
    """Hits of (address, title, snippet, date), without those that have no web address, and each address once."""
    seen: set[str] = set()
    for url, title, snippet, date in found:
        if len(seen) == limit:
            return
        if not isinstance(url, str) or url in seen or not _is_web_address(url):
            continue
        seen.add(url)
        yield Hit(
            url=url,
            title=plain(title)[:LONGEST_TITLE] or url,
            snippet=plain(snippet)[:LONGEST_SNIPPET],
            published_at=moment(date),
        )


def plain(text: object) -> str:
    """Text without markup, on one line; nothing where it is no text."""
    return " ".join(unescape(_TAG.sub("", text)).split()) if isinstance(text, str) else ""


def moment(text: object) -> datetime | None:
    """A time in ISO 8601 or as mail has it; None for "3 days ago" and other prose."""
    if not isinstance(text, str):
        return None
    for parse in (datetime.fromisoformat, parsedate_to_datetime):
        try:
            at = parse(text)
        except ValueError:
            continue
        return at if at.tzinfo else at.replace(tzinfo=UTC)
    return None


def _is_web_address(url: str) -> bool:
    try:
        parts = urlsplit(url)
    except ValueError:
        return False
    return parts.scheme in {"http", "https"} and bool(parts.hostname) and len(url) <= 2000
