"""Conditional requests (RFC 9110): entity tags and byte ranges."""

from __future__ import annotations

import re
from dataclasses import dataclass

_TAG = re.compile(r'(?:W/)?("[^"]*")')
_RANGE = re.compile(r"bytes=[ \t]*(\d{0,18})-(\d{0,18})[ \t]*")


def matches(header: str, etag: str) -> bool:
    """Whether an If-None-Match header names this entity tag. Weak and strong ones compare equal there."""
    return header.strip() == "*" or etag in _TAG.findall(header)


@dataclass(frozen=True, slots=True)
class Span:
    """The bytes from `start` up to, not including, `stop`."""

    start: int
    stop: int


class NotSatisfiable(ValueError):
    """The range begins behind the end."""


def requested_span(header: str | None, if_range: str | None, etag: str, size: int) -> Span | None:
    """The one range that is asked for, or None for all of it: no range, several, a broken one, or of another version.

    Raises NotSatisfiable.
    """
    found = _RANGE.fullmatch(header.strip()) if header else None
    if found is None or (if_range is not None and if_range.strip() != etag):
        return None
    first, last = found.groups()
    if first:
        start, stop = int(first), min(int(last) + 1, size) if last else size
        if last and int(last) < start:
            return None
    elif last:
        start, stop = max(size - int(last), 0), size
    else:
        return None
    if start >= size or (not first and int(last) == 0):
        raise NotSatisfiable
    return Span(start, stop)
