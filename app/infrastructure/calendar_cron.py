"""Cron lines, read by croniter in the zones of the IANA database."""

from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from app.domain.errors import FieldProblem, Invalid

FIELDS = 5
HOUR = 1
LONGEST = 200


class CronCalendar:
    def next_time(self, cron: str, timezone: str, after: datetime) -> datetime:
        # Not above: loading it runs `file` to learn of the machine's architecture, in every process that starts.
        from croniter import CroniterError, croniter  # noqa: PLC0415

        zone = _zone(timezone)
        fields = cron.split()
        if len(fields) != FIELDS or len(cron) > LONGEST or not croniter.is_valid(cron):
            raise _refused("cron", "is no line of five fields, such as 0 7 * * 1-5 (minute hour day month weekday)")
        times = croniter(cron, after.astimezone(zone))
        try:
            found: datetime = times.get_next(datetime)
            while not fields[HOUR].startswith("*") and _is_second(found):
                found = times.get_next(datetime)
        except CroniterError:
            raise _refused("cron", "never comes true") from None
        return found.astimezone(UTC)


def _is_second(at: datetime) -> bool:
    """Whether the clocks have shown this time already, before they were put back."""
    return at.utcoffset() != at.replace(fold=0).utcoffset()


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (LookupError, ValueError, OSError):
        raise _refused("timezone", "is no zone of the IANA database, such as Europe/Berlin or UTC") from None


def _refused(field: str, words: str) -> Invalid:
    return Invalid("the schedule was refused", [FieldProblem(field, words)])
