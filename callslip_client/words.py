"""Jobs in words for a terminal. What others wrote (file names, messages) loses whatever a terminal would obey."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta

from rich.table import Table
from rich.text import Text

from callslip_client.models import HistoryEvent, JobInfo, JobStatus

COLOURS = {
    JobStatus.QUEUED: "cyan",
    JobStatus.PROCESSING: "blue",
    JobStatus.WAITING: "yellow",
    JobStatus.SUCCESS: "green",
    JobStatus.FAILURE: "red",
    JobStatus.CANCELLED: "dim",
}
_EVENTS = {
    "Accepted": "accepted",
    "Started": "a worker has it",
    "Delivered": "handed to the workflow",
    "Progressed": "progress",
    "Postponed": "to be tried again",
    "Completed": "done",
    "Failed": "failed",
    "Cancelled": "cancelled",
    "Noted": "noted",
}
_SAID = ("progress_message", "answer", "error_detail", "result_message")


def clean(text: object) -> str:
    """One line without control, escape and bidi characters."""
    return " ".join("".join(char if char.isprintable() else " " for char in str(text)).split())


def styled(status: JobStatus) -> Text:
    """The status in its colour."""
    return Text(status, style=COLOURS[status])


def step(job: JobInfo) -> str:
    """How far the work is: `step 2 of 5: Creating the page`."""
    progress = job.progress
    if progress.step is not None and progress.steps is not None:
        where = f"step {progress.step} of {progress.steps}"
    else:
        where = "" if progress.fraction is None else f"{progress.fraction:.0%}"
    return ": ".join(filter(None, (where, clean(progress.message or ""))))


def standing(job: JobInfo) -> str:
    """What can be said beside the status."""
    if job.error and job.status is JobStatus.FAILURE:
        return clean(job.result_message or job.error.detail)
    if job.status.ended:
        return clean(job.result_message or "")
    if job.trouble:
        return f"in trouble ({clean(job.trouble.kind)}, {times(job.trouble.count)})"
    return step(job) or ("overdue" if job.overdue else "")


def line_of(event: HistoryEvent) -> str:
    """One line of the history: `12:00:03  waiting  progress: Creating the page`."""
    detail = event.detail or {}
    said = next((clean(detail[name]) for name in _SAID if detail.get(name)), "")
    what = _EVENTS.get(event.type, clean(event.type))
    at = event.at.astimezone().strftime("%H:%M:%S")
    return f"{at}  {event.after:<10}  {what}{': ' + said if said else ''}"


def outcome(job: JobInfo) -> Iterator[Text]:
    """How a job ended, in a few lines."""
    took = job.completed_at - job.created_at if job.completed_at else None
    after = f" after {duration(took)}" if took is not None else ""
    yield Text.assemble(styled(job.status), f"  {job.job_id}{after}")
    if job.result_message:
        yield Text(clean(job.result_message))
    if job.error and clean(job.error.detail) != clean(job.result_message or ""):
        yield Text(clean(job.error.detail))
    if job.notion_page_url:
        yield Text(clean(job.notion_page_url))


def facts(job: JobInfo, address: str) -> Iterator[tuple[str, str]]:
    """A job as names and values; what is not known is left out."""
    yield "job", job.job_id
    yield "status", f"{job.status}{', overdue' if job.overdue else ''}"
    yield "workflow", clean(job.workflow)
    if job.file:
        yield "file", f"{clean(job.file.filename)}, {size(job.file.size)}, {clean(job.file.media_type)}"
    for name, value in job.params.items():
        yield clean(name), clean(value)
    yield "handed in", f"{job.created_at.astimezone():%Y-%m-%d %H:%M:%S}"
    if job.completed_at:
        yield "ended", f"{job.completed_at.astimezone():%Y-%m-%d %H:%M:%S}"
    for name, value in (("progress", step(job)), ("message", job.result_message), ("result", job.notion_page_url)):
        if value:
            yield name, clean(value)
    if job.trouble:
        yield (
            "trouble",
            f"{clean(job.trouble.kind)}, {times(job.trouble.count)} since {job.trouble.since.astimezone():%H:%M:%S}",
        )
    if job.error:
        yield "error", clean(job.error.detail)
    if job.retry_of:
        yield "retry of", job.retry_of
    yield "page", address + job.links.page


def table(jobs: Sequence[JobInfo], now: datetime, width: int) -> Table:
    """Jobs, one a line of at most `width` characters. Ids and statuses are always whole."""
    found = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    workflow = min(max(len(job.workflow) for job in jobs), 20)
    left = max(width - (36 + 2 + 10 + 2 + max(workflow, 8) + 2 + 7 + 2), 10)
    file = min(max(len(job.file.filename) if job.file else 0 for job in jobs), 40, left)
    for name, room in (("JOB", 36), ("STATUS", 10), ("WORKFLOW", workflow), ("AGE", 7), ("FILE", file)):
        found.add_column(
            name, no_wrap=True, min_width=min(room, 36), max_width=max(room, len(name)), overflow="ellipsis"
        )
    if left - file > 12:
        found.add_column("", no_wrap=True, max_width=left - file - 4, overflow="ellipsis")
    for job in jobs:
        age = Text(duration(now - job.created_at))
        filename = Text(clean(job.file.filename) if job.file else "")
        cells = [Text(job.job_id), styled(job.status), Text(clean(job.workflow)), age, filename]
        found.add_row(*cells, *([Text(standing(job))] if left - file > 12 else []))
    return found


def times(count: int) -> str:
    """`once`, `3 times`."""
    return "once" if count == 1 else f"{count} times"


def duration(length: timedelta) -> str:
    """`0.4 s`, `12 s`, `3 min`, `5 h`, `8 d`."""
    seconds = max(length.total_seconds(), 0.0)
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, size_of, most in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172800)):
        if seconds < most:
            return f"{seconds / size_of:.0f} {unit}"
    return f"{seconds / 86400:.0f} d"


def size(count: int) -> str:
    """`812 bytes`, `102 kB`, `1.5 GB`."""
    if count < 1000:
        return f"{count} bytes"
    amount = float(count)
    for unit in ("kB", "MB", "GB"):
        amount /= 1000
        if amount < 999.5:
            return f"{amount:.3g} {unit}"
    return f"{amount / 1000:.3g} TB"


def now() -> datetime:
    """This machine's clock."""
    return datetime.now(UTC)
