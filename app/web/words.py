"""Figures, times and states in plain words. Pure."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from app.domain.lifecycle import TroubleKind
from app.domain.models import Job, JobError, JobStatus, Json
from app.services.estimates import Estimate

STATUS = {
    JobStatus.QUEUED: "In line",
    JobStatus.PROCESSING: "Being handed over",
    JobStatus.WAITING: "At work",
    JobStatus.SUCCESS: "Done",
    JobStatus.FAILURE: "Failed",
    JobStatus.CANCELLED: "Cancelled",
}
TROUBLE = {
    TroubleKind.UNAVAILABLE: "The workflow could not be reached.",
    TroubleKind.NO_ANSWER: "The workflow did not answer; it may have begun all the same.",
    TroubleKind.SERVER_ERROR: "The workflow answered with an error of its own.",
    TroubleKind.REFUSED: "The workflow refused the delivery.",
    TroubleKind.STEP: "A step could not be done this time.",
}
_REASONS = {
    "workflow": "The workflow reports that it failed.",
    "worker_lost": "The work ended its worker three times, so it is not tried again.",
    "callback_deadline": "The workflow took the work, but never reported a result.",
    "step_failed": "A step of the work failed.",
    "step_trouble": "A step of the work could not be done, however often it was tried.",
    "delivery_unavailable": "The workflow could not be reached.",
    "delivery_no_answer": "The workflow never answered.",
    "delivery_server_error": "The workflow kept answering with an error of its own.",
    "delivery_refused": "The workflow refused the delivery for too long.",
}
_KINDS = {
    "application/pdf": "PDF",
    "application/zip": "ZIP",
    "application/json": "JSON",
    "image/png": "PNG",
    "image/jpeg": "JPEG",
    "text/plain": "plain text",
    "text/csv": "CSV",
    "text/html": "HTML",
}
_FAMILIES = {"image/*": "images", "text/*": "texts", "audio/*": "sound", "video/*": "video"}
_SPANS = ((1.0, 90.0, "s"), (60.0, 5400.0, "min"), (3600.0, math.inf, "h"))
_UNITS = ("B", "kB", "MB", "GB", "TB")


def size(count: int) -> str:
    """`17 B`, `102 kB`, `4.2 MB`."""
    amount, unit = float(count), 0
    while amount >= 999.5 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1000, unit + 1
    return f"{amount:.1f} {_UNITS[unit]}" if unit and amount < 9.95 else f"{amount:.0f} {_UNITS[unit]}"


def kinds(media_types: Iterable[str]) -> str:
    """`PDF, images, plain text`: which files are taken."""
    return ", ".join(_KINDS.get(each) or _FAMILIES.get(each, each) for each in media_types)


def span(time: timedelta) -> str:
    """`4 s`, `2 min 5 s`, `1 h 3 min`, `2 d 4 h`."""
    seconds = max(int(time.total_seconds()), 0)
    steps = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    for number, (length, unit) in enumerate(steps):
        if seconds >= length or length == 1:
            whole, rest = divmod(seconds, length)
            below, name = steps[number + 1] if number + 1 < len(steps) else (1, "")
            more = f" {rest // below} {name}" if rest // below and name else ""
            return f"{whole} {unit}{more}"
    return "0 s"


def time_left(estimate: Estimate) -> str:
    """`2 to 4 min, from 31 runs like this`."""
    low, high = estimate.low.total_seconds(), estimate.high.total_seconds()
    length, unit = next((length, unit) for length, most, unit in _SPANS if high < most)
    least, most = math.floor(low / length), max(math.ceil(high / length), 1)
    figures = f"{least} to {most}" if 0 < least < most else f"up to {most}" if least < most else f"about {most}"
    return f"{figures} {unit}, from {estimate.runs} runs like this"


def clock(at: datetime) -> str:
    """`23 Nov 2026, 06:20:31 UTC`; the page's script turns it into the reader's own time."""
    return at.astimezone(UTC).strftime("%-d %b %Y, %H:%M:%S UTC")


def iso(at: datetime) -> str:
    """For machines, and for the page's script."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f")[:-3] + "Z"


def pretty(value: Json) -> str:
    """JSON for reading."""
    return json.dumps(value, indent=2, ensure_ascii=False, default=str)


def short(digest: str) -> str:
    """The first characters of a hash or an id, enough to tell it from others."""
    return digest[:12]


def times(count: int) -> str:
    """`once`, `twice`, `3 times`."""
    return {1: "once", 2: "twice"}.get(count, f"{count} times")


def status(job: Job, *, overdue: bool, here: bool = False) -> str:
    """The state in a word or two; `here`: our own worker does the work, so that it is handed over to nobody."""
    if overdue:
        return "Overdue"
    if job.trouble and job.status in (JobStatus.QUEUED, JobStatus.WAITING):
        return "Trying again" if job.status is JobStatus.QUEUED else "In doubt"
    return STATUS[JobStatus.WAITING if here and job.status is JobStatus.PROCESSING else job.status]


def tone(job: Job, *, overdue: bool) -> str:
    """Which colour goes with the state; never the only sign of it."""
    if overdue or (job.trouble and not job.status.ended):
        return "care"
    return {JobStatus.SUCCESS: "good", JobStatus.FAILURE: "bad", JobStatus.CANCELLED: "still"}.get(job.status, "live")


def trouble(kind: str) -> str:
    """What kept the delivery from working."""
    return TROUBLE[TroubleKind(kind)] if kind in TroubleKind.__members__.values() else "The delivery did not work."


def reason(error: JobError) -> str:
    """Why the job failed."""
    if error.type.startswith("delivery_http_"):
        return f"The workflow turned the delivery down with status {error.type.removeprefix('delivery_http_')}."
    if error.type.startswith("execution_"):
        return "The workflow's execution ended without reporting a result."
    return _REASONS.get(error.type, "The work could not be done.")


def sentence(words: str) -> str:
    """With a capital letter in front and a full stop behind."""
    words = words[:1].upper() + words[1:]
    return words if not words or words[-1] in ".?!" else words + "."
