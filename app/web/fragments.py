"""What was rendered a moment ago, for everybody who watches the same job: a hundred open pages cost one rendering."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from datetime import datetime, timedelta

FRESH_FOR = timedelta(milliseconds=500)
MOST_KEPT = 256


@dataclass(slots=True)
class Fragments:
    """HTML by what it shows. It holds times of the moment, so it is not kept for long."""

    _kept: dict[Hashable, tuple[datetime, str]] = field(default_factory=dict)

    def get(self, key: Hashable, now: datetime) -> str | None:
        """What was kept under this key just now."""
        at, html = self._kept.get(key, (None, None))
        return html if at is not None and abs(now - at) < FRESH_FOR else None

    def keep(self, key: Hashable, html: str, now: datetime) -> None:
        """Keeps it; the oldest goes when there are too many."""
        self._kept.pop(key, None)
        self._kept[key] = now, html
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
