"""What is kept of the answers of far sides, so that they are asked less often."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Protocol


@dataclass(frozen=True, slots=True, kw_only=True)
class KeptAnswer:
    """What was kept of a far side's answer: its text, the entity tag by which to ask whether it still holds, the address
    of the page behind it, and when it was last known to hold."""

    body: str
    etag: str | None
    next: str | None
    at: datetime


class AnswerCache(Protocol):
    """Answers of far sides, shared by all processes. It may forget anything at any time."""

    async def get(self, key: str) -> KeptAnswer | None:
        """What was kept under this key, however old."""
        ...

    async def put(self, key: str, answer: KeptAnswer) -> None:
        """Keeps an answer in place of an older one. What has not been known to hold for longest goes, where there would
        be more than the cache is to hold; an answer that alone is larger is not kept."""
        ...
