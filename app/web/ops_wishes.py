"""What an operator wants to see of all jobs, as it stands in the address. Pure."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

from app.domain.models import JobStatus
from app.domain.protocols import Between

LONGEST = 200
WITHIN = {
    "hour": ("the last hour", timedelta(hours=1)),
    "day": ("the last day", timedelta(days=1)),
    "week": ("the last week", timedelta(days=7)),
    "month": ("the last 30 days", timedelta(days=30)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """The chosen filters; what makes no sense is taken as not chosen. `since` and `before` are written by people, or
    come from a chart's hour."""

    status: str = ""
    workflow: str = ""
    text: str = ""
    within: str = ""
    since: str = ""
    before: str = ""

    @property
    def wanted_status(self) -> JobStatus | None:
        """The status, if one is wanted."""
        return JobStatus(self.status) if self.status in list(JobStatus) else None

    def between(self, now: datetime) -> Between:
        """When a wanted job was handed in: within, and between, if both were chosen."""
        since, before = _time(self.since), _time(self.before)
        if self.within in WITHIN:
            recent = now - WITHIN[self.within][1]
            since = recent if since is None else max(since, recent)
        return Between(since=since, before=before)

    @property
    def since_field(self) -> str:
        """What stands in the form's field, which knows neither seconds nor zones: minutes in UTC."""
        return _field(self.since)

    @property
    def before_field(self) -> str:
        """As `since_field`."""
        return _field(self.before)

    def known(self, workflows: Collection[str]) -> Wishes:
        """The same without what nobody can have chosen."""
        return Wishes(
            status=self.wanted_status or "",
            workflow=self.workflow if self.workflow in workflows else "",
            text=self.text.strip().replace("\x00", "")[:LONGEST],
            within=self.within if self.within in WITHIN else "",
            since=self.since if _time(self.since) else "",
            before=self.before if _time(self.before) else "",
        )

    def query(self, **more: str) -> str:
        """As it stands in an address."""
        names = ("status", "workflow", "text", "within", "since", "before")
        chosen = {name: getattr(self, name) for name in names} | more
        return urlencode({name: str(value) for name, value in chosen.items() if value})

    def __bool__(self) -> bool:
        return bool(self.query())


def _time(text: str) -> datetime | None:
    """A time with its zone, or one of UTC, as a form's field gives it."""
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        return None
    if not 1970 < at.year < 9999:  # beyond lie times that a zone moves out of the calendar
        return None
    return at.astimezone(UTC) if at.tzinfo else at.replace(tzinfo=UTC)


def _field(text: str) -> str:
    at = _time(text)
    return f"{at:%Y-%m-%dT%H:%M}" if at else ""
