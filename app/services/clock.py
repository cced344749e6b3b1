"""The database's time, without asking it each time: local monotonic time plus an offset that is measured."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from app.domain.protocols import JobAgenda


class DatabaseClock:
    """Call it for the time. Hosts that share a database agree, however wrong their own clocks are."""

    def __init__(self) -> None:
        self._base = datetime.now(UTC)
        self._at = time.monotonic()

    def __call__(self) -> datetime:
        return self._base + timedelta(seconds=time.monotonic() - self._at)

    async def measure(self, agenda: JobAgenda) -> None:
        """Asks the database once; the answer is taken to be from the middle of the question's round trip.

        Raises Unavailable; the old offset then stays.
        """
        before = time.monotonic()
        base = await agenda.now()
        self._base, self._at = base, (before + time.monotonic()) / 2
