"""Keeps each client within its quotas: before its bytes are read, while they come, and where the row is written."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from app.domain.errors import OverQuota
from app.domain.models import FilePart, Job, ParamPart
from app.domain.quotas import Allowance, Margin, Quota, Quotas, Usage, UsageMeter

SHORTLY = timedelta(seconds=30)  # when one of the unfinished jobs may have ended


class ClientQuotas:
    """Asks `meter` only where there are quotas."""

    def __init__(self, meter: UsageMeter, clock: Callable[[], datetime], quotas: Quotas) -> None:
        self._meter, self._clock, self.quotas = meter, clock, quotas

    async def admit(self, client: str, size: int = 0, key: str | None = None) -> Admission:
        """Lets one job in that announces `size` bytes; one that exists already by its idempotency `key` always.

        Raises OverQuota.
        """
        if not self.quotas:
            return Admission(self, client, None)
        usage = await self._meter.usage(client, self.quotas, self._clock())
        exceeded = self.quotas.exceeded(usage, size)
        if exceeded is None:
            return Admission(self, client, usage)
        if key is not None and await self._meter.knows(client, key):
            return Admission(self, client, None)
        raise await self._refusal(client, usage, exceeded, size)

    async def refusal(self, client: str, size: int) -> OverQuota:
        """Why a job of so many bytes does not fit in now, and when it will."""
        usage = await self._meter.usage(client, self.quotas, self._clock())
        exceeded = self.quotas.exceeded(usage, size)
        if exceeded is None:  # somebody's time ran out meanwhile
            return OverQuota("the quota was used up a moment ago", timedelta(seconds=1), self.quotas.margins(usage))
        return await self._refusal(client, usage, exceeded, size)

    async def _refusal(self, client: str, usage: Usage, exceeded: Quota, size: int) -> OverQuota:
        wait = await self._wait(client, usage, exceeded, size)
        margins = [replace(one, frees_in=wait) if one.quota == exceeded else one for one in self.quotas.margins(usage)]
        return OverQuota(_words(exceeded), wait, margins)

    async def _wait(self, client: str, usage: Usage, exceeded: Quota, size: int) -> timedelta:
        if exceeded.window is None:
            return SHORTLY
        wanted = usage.volume + size if exceeded is self.quotas.volume else usage.jobs + 1
        now = self._clock()
        last = await self._meter.last_of(client, exceeded, now, wanted - exceeded.most)
        return exceeded.window if last is None else last + exceeded.window - now


@dataclass(frozen=True, slots=True)
class Admission:
    """One job that was let in. Without `usage` nothing bounds it."""

    _by: ClientQuotas
    _client: str
    _usage: Usage | None

    def allowance(self, at: datetime) -> Allowance | None:
        """What the store has to hold it to."""
        return None if self._usage is None else Allowance(quotas=self._by.quotas, at=at)

    def margins(self, job: Job) -> tuple[Margin, ...]:
        """What is left once this job was kept."""
        if self._usage is None:
            return ()
        usage, size = self._usage, job.file.size if job.file else 0
        spent = Usage(jobs=usage.jobs + 1, volume=usage.volume + size, unfinished=usage.unfinished + 1)
        return self._by.quotas.margins(spent)

    def metered(self, parts: AsyncIterator[ParamPart | FilePart]) -> AsyncIterator[ParamPart | FilePart]:
        """The parts, of which the file's bytes raise OverQuota as soon as they are too many."""
        return parts if self._usage is None or self._by.quotas.volume is None else self._metered(parts)

    async def _metered(self, parts: AsyncIterator[ParamPart | FilePart]) -> AsyncIterator[ParamPart | FilePart]:
        async for part in parts:
            yield replace(part, chunks=self._counted(part.chunks)) if isinstance(part, FilePart) else part

    async def _counted(self, chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
        size = 0
        async for chunk in chunks:
            size += len(chunk)
            if self._usage and self._by.quotas.exceeded(replace(self._usage, jobs=0, unfinished=0), size):
                raise await self._by.refusal(self._client, size)
            yield chunk


def _words(quota: Quota) -> str:
    if quota.window is None:
        return f"{quota.most} unfinished jobs are the most for one client"
    what = "bytes" if quota.name == "bytes" else "jobs"
    return f"{quota.most} {what} within {quota.window} are the most for one client"
