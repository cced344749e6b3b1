"""Writes down outside the database, every minute and signed, where each chain stands."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from app.domain import checkpoints
from app.domain.checkpoints import LATE, Checkpoint, checkpoint
from app.domain.record_ports import CheckpointBook, CheckpointPage, Signer, Timeline, Written

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
PAGE = 10_000  # lines of history in one checkpoint at most: what has gathered is written in several


class CheckpointKeeper:
    """Any number of processes may do this: whoever finds the last line older than `every` writes the next one.

    What a line must hold is told by the file and the database alone, so each file is whole in itself, whoever wrote it.
    """

    def __init__(
        self,
        timeline: Timeline,
        book: CheckpointBook,
        signer: Signer,
        clock: Callable[[], datetime],
        every: timedelta,
        page: int = PAGE,
    ) -> None:
        self._timeline, self._book, self._signer, self._clock = timeline, book, signer, clock
        self.every, self._page = every, page

    async def write(self, *, early: bool = False) -> int:
        """Writes what is due; with `early`, also before its time. How many lines that made.

        Raises Unavailable and Misconfigured.
        """
        async with self._book.turn() as page:
            if page is None:
                return 0
            last, known = await self._stand(page)
            if last and not early and timedelta(0) <= self._clock() - last.at < self.every:
                return 0
            return await self._append(page, last, known)

    async def _stand(self, page: CheckpointPage) -> tuple[Checkpoint | None, dict[str, int]]:
        """The last whole line, and the newest version that the lines since it may be late have of each job."""
        last: Checkpoint | None = None

        def far_enough(raw: bytes) -> bool:
            nonlocal last
            line = checkpoints.parsed(raw)
            last = last or line
            return line is not None and last is not None and line.until < self._since(last)

        known: dict[str, int] = {}
        for raw in await page.tail(far_enough):
            line = checkpoints.parsed(raw)
            for job_id, (version, _) in line.heads.items() if line else ():
                known[job_id] = max(version, known.get(job_id, 0))
        return last, known

    def _since(self, last: Checkpoint | None) -> datetime:
        return min(last.until, self._clock()) - LATE if last else EPOCH

    async def _append(self, page: CheckpointPage, last: Checkpoint | None, known: dict[str, int]) -> int:
        since, after, made = self._since(last), None, 0
        while True:
            now = self._clock()
            written = await self._timeline.written(since, self._page, after)
            more = len(written) == self._page
            after = written[-1] if more else None
            heads = _newest(written, known)
            line = checkpoint(heads, at=now, until=after.at if after else now, before=last, signer=self._signer)
            await page.append(line)
            made, last = made + 1, checkpoints.parsed(line)
            if not more:
                return made


def _newest(written: list[Written], known: dict[str, int]) -> dict[str, tuple[int, str]]:
    """The newest line of each job that is not known yet; makes it known."""
    heads: dict[str, tuple[int, str]] = {}
    for line in written:
        if line.version > known.get(line.job_id, 0):
            known[line.job_id], heads[line.job_id] = line.version, (line.version, line.hash)
    return heads
