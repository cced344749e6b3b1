"""What is seen while something goes on: bars where a person looks on, plain lines where nobody does. On stderr."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
    TransferSpeedColumn,
)
from rich.text import Text

from callslip_client import words
from callslip_client.client import Callslip
from callslip_client.models import HistoryEvent, JobInfo
from callslip_client.uploads import OnProgress


class View(Protocol):
    """Shows a job as it goes on."""

    def show(self, job: JobInfo, event: HistoryEvent) -> None:
        """`event` is new; `job` is at least as new."""
        ...


class Lines:
    """One line for each event."""

    def __init__(self, console: Console) -> None:
        self._console = console

    def show(self, job: JobInfo, event: HistoryEvent) -> None:  # noqa: ARG002 - the Protocol's
        """Prints it."""
        self._console.print(Text(words.line_of(event)), soft_wrap=True)


class Bar:
    """One line that moves."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, status="", step="")

    def show(self, job: JobInfo, event: HistoryEvent) -> None:  # noqa: ARG002 - the Protocol's
        """Moves it."""
        fraction = job.progress.fraction
        self._progress.update(
            self._task,
            total=None if fraction is None else 1.0,
            completed=fraction or 0.0,
            status=job.status,
            step=words.standing(job),
        )


@contextmanager
def live_view(console: Console) -> Iterator[View]:
    """A bar on a terminal, gone at its end; lines elsewhere."""
    if not console.is_terminal:
        yield Lines(console)
        return
    columns = (
        SpinnerColumn(),
        TextColumn("{task.fields[status]}", markup=False),
        BarColumn(bar_width=30),
        TextColumn("{task.fields[step]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console, transient=True) as progress:
        yield Bar(progress)


@contextmanager
def upload_view(console: Console, name: str) -> Iterator[OnProgress]:
    """A bar on a terminal, gone at its end; one line elsewhere."""
    if not console.is_terminal:
        console.print(Text(f"handing in {words.clean(name)}"), soft_wrap=True)
        yield lambda sent, total: None  # noqa: ARG005 - nobody looks on
        return
    columns = (TextColumn("handing in"), BarColumn(bar_width=30), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None)
        yield lambda sent, total: progress.update(task, completed=sent, total=total)


def watch(callslip: Callslip, job_id: str, view: View) -> JobInfo:
    """Shows the job until it has ended, and returns it as it is then."""
    job = callslip.get(job_id)
    for event in callslip.events(job_id):
        if event.version > job.version:
            job = callslip.get(job_id)
        view.show(job, event)
    return callslip.get(job_id)
