"""What one client may use: so many jobs and bytes in a while, so much at a time. Pure; standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Protocol


class Unit(StrEnum):
    """What a quota counts, in the words of the RateLimit header fields."""

    REQUESTS = "requests"
    BYTES = "content-bytes"
    AT_ONCE = "concurrent-requests"


@dataclass(frozen=True, slots=True, kw_only=True)
class Quota:
    """At most `most` within any `window`; without a window, at any one time."""

    name: str
    most: int
    window: timedelta | None = None
    unit: Unit = Unit.REQUESTS

    def since(self, at: datetime) -> datetime:
        """From when on what was used still counts at `at`."""
        return at - (self.window or timedelta())


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a client used of its quotas: jobs and bytes in their windows, unfinished jobs now."""

    jobs: int = 0
    volume: int = 0
    unfinished: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Margin:
    """What is left of a quota, and after which time there will be more where too little is."""

    quota: Quota
    left: int
    frees_in: timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Quotas:
    """The quotas that each client has; None where there is no bound."""

    jobs: Quota | None = None
    volume: Quota | None = None
    unfinished: Quota | None = None

    def __bool__(self) -> bool:
        return any((self.jobs, self.volume, self.unfinished))

    def margins(self, usage: Usage) -> tuple[Margin, ...]:
        """What is left of each quota that there is."""
        used = (self.jobs, usage.jobs), (self.volume, usage.volume), (self.unfinished, usage.unfinished)
        return tuple(Margin(quota=quota, left=max(0, quota.most - spent)) for quota, spent in used if quota)

    def exceeded(self, usage: Usage, size: int) -> Quota | None:
        """The first quota that one job more, with so many bytes, would exceed."""
        for quota, spent in ((self.jobs, usage.jobs), (self.unfinished, usage.unfinished)):
            if quota and spent >= quota.most:
                return quota
        return self.volume if self.volume and size > 0 and usage.volume + size > self.volume.most else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Allowance:
    """The quotas that a job must fit into, as of a time."""

    quotas: Quotas
    at: datetime


class UsageMeter(Protocol):
    """What a client has used of its quotas: the stored jobs themselves say so, whatever process took them."""

    async def usage(self, client: str, quotas: Quotas, at: datetime) -> Usage:
        """The client's figures for the quotas that there are; the others are 0."""
        ...

    async def last_of(self, client: str, quota: Quota, at: datetime, wanted: int) -> datetime | None:
        """When the newest of the oldest jobs was made that must leave the window until `wanted` of the quota's unit are
        free again; None where all that is in the window is not so much."""
        ...

    async def knows(self, client: str, idempotency_key: str) -> bool:
        """Whether there is a job of this client with this key."""
        ...
