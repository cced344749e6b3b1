"""What was kept of far sides' answers in the process's memory."""

from __future__ import annotations

from datetime import timedelta

from app.domain.answers import KeptAnswer


class MemoryAnswerCache:
    """Holds at most `most` characters, and nothing that has not been known to hold for `keep_for`."""

    def __init__(self, *, most: int = 64 * 1024 * 1024, keep_for: timedelta = timedelta(days=60)) -> None:
        self._kept: dict[str, KeptAnswer] = {}
        self._most, self._keep_for = most, keep_for

    async def get(self, key: str) -> KeptAnswer | None:
        return self._kept.get(key)

    async def put(self, key: str, answer: KeptAnswer) -> None:
        if len(answer.body) > self._most:
            return
        oldest, total = answer.at - self._keep_for, 0
        newest_first = sorted((self._kept | {key: answer}).items(), key=lambda one: (-one[1].at.timestamp(), one[0]))
        self._kept = {}
        for name, kept in newest_first:
            total += len(kept.body)
            if total <= self._most and kept.at >= oldest:
                self._kept[name] = kept
