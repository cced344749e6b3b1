"""The command `callslip`. Results go to stdout, everything else to stderr.

Exit status: 0 success, 1 the job failed, 2 usage or connection, 130 interrupted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from callslip_client import doctor as doctoring
from callslip_client import watching, words
from callslip_client.client import Callslip
from callslip_client.errors import CallslipError, ConnectionFailed, NotAuthentic
from callslip_client.models import HistoryEvent, JobInfo, JobStatus

PATIENCE = 3.0  # seconds, for a look
LONG_PATIENCE = 120.0  # for what a person does not want to do again
FAILED, UNUSABLE, INTERRUPTED = 1, 2, 130

app = typer.Typer(
    name="callslip",
    help="Hand in work, watch it, get its result. Address and key come from CALLSLIP_URL and CALLSLIP_API_KEY.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they show local variables, and one of those is the key
)

Job = Annotated[str, typer.Argument(metavar="JOB", help="The job's id.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Answer in JSON.")]
WorkflowName = Annotated[str | None, typer.Option("--workflow", help="The workflow's name.", show_default=False)]


@app.command()
def submit(
    file: Annotated[Path | None, typer.Argument(metavar="FILE", help="What to hand in.", show_default=False)] = None,
    workflow: WorkflowName = None,
    param: Annotated[list[str] | None, typer.Option(metavar="K=V", help="A parameter; may be repeated.")] = None,
    wait: Annotated[bool, typer.Option("--wait", help="Watch it until it has ended.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hand in a file; for a workflow without one, only parameters."""
    params = _params(param or [])
    if file is None and workflow is None:
        raise typer.BadParameter("name a file, or a workflow that needs none", param_hint="FILE")
    errors = _stderr()
    with (
        _told("interrupted before the service confirmed it; as far as is known nothing was handed in"),
        _callslip(LONG_PATIENCE) as callslip,
    ):
        with watching.upload_view(errors, file.name if file else "parameters") as on_progress:
            ticket = callslip.submit(file, workflow=workflow, params=params, on_progress=on_progress)
        if wait:
            _say(f"handed in as {ticket.job_id}")
            _watched(callslip, ticket.job_id, as_json=as_json)
        elif as_json:
            _print_json(ticket.raw)
        else:
            _print(Text(ticket.job_id), Text(f"page {callslip.url}{ticket.links.page}"))


@app.command()
def watch(job: Job, as_json: AsJson = False) -> None:
    """Watch a job until it has ended. With --json: each line of its history, as it is written."""
    with _told(_goes_on(job)), _callslip(LONG_PATIENCE) as callslip:
        if not as_json:
            _watched(callslip, job, as_json=False)
            return
        _exit_with(watching.watch(callslip, job, _JsonLines()))


@app.command()
def get(
    job: Job,
    file: Annotated[Path | None, typer.Option("--file", metavar="OUT", help="Save the job's file there.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show a job, or save its file."""
    with _told(), _callslip(LONG_PATIENCE if file else PATIENCE) as callslip:
        found = callslip.get(job)
        if file is not None:
            callslip.download(job, file)
        if as_json:
            _print_json(found.raw)
        elif file is not None:
            _print(Text(str(file)))
        else:
            rows = Table(box=None, show_header=False, pad_edge=False)
            for name, value in words.facts(found, callslip.url):
                rows.add_row(Text(name, style="dim"), Text(value, overflow="fold"))
            _print(rows)


@app.command(name="list")
def list_(
    status: Annotated[JobStatus | None, typer.Option(help="Only these.", show_default=False)] = None,
    workflow: WorkflowName = None,
    limit: Annotated[int, typer.Option(min=1, help="At most so many.")] = 20,
    as_json: AsJson = False,
) -> None:
    """List jobs, newest first."""
    with _told(), _callslip(PATIENCE) as callslip:
        jobs = [*callslip.list(status=status, workflow=workflow, limit=limit)]
        if as_json:
            _print_json([job.raw for job in jobs])
        elif jobs:
            console = _stdout()
            console.print(words.table(jobs, words.now(), console.width))
        else:
            _say("there are no such jobs")


@app.command()
def retry(job: Job, as_json: AsJson = False) -> None:
    """Do a job again that failed or was cancelled."""
    with _told(), _callslip(PATIENCE) as callslip:
        ticket = callslip.retry(job)
        if as_json:
            _print_json(ticket.raw)
        else:
            _print(Text(ticket.job_id), Text(f"page {callslip.url}{ticket.links.page}"))


@app.command()
def cancel(job: Job, as_json: AsJson = False) -> None:
    """End an unfinished job."""
    with _told(), _callslip(PATIENCE) as callslip:
        found = callslip.cancel(job)
        if as_json:
            _print_json(found.raw)
        else:
            _print(*words.outcome(found))


@app.command()
def doctor(
    workflow: WorkflowName = None,
    within: Annotated[float, typer.Option(min=1, help="Seconds that the probe may take.")] = 60.0,
    probe: Annotated[bool, typer.Option(help="Send a small job through the workflow, really.")] = True,
    as_json: AsJson = False,
) -> None:
    """Find out what is wrong: address, key, clock, service, and a probe job round the whole loop."""
    checks: list[doctoring.Check] = []
    with _told("the probe job, if there is one, goes on"), _callslip(PATIENCE) as callslip:
        for check in doctoring.examine(callslip, workflow, within, probe=probe):
            checks.append(check)
            if not as_json:
                style = {"ok": "green", "problem": "bold red", "warning": "yellow"}.get(check.verdict, "dim")
                _print(Text.assemble((f"{check.verdict:<8}", style), f" {check.name:<11} {check.words}"))
    status = doctoring.exit_status(checks)
    if as_json:
        found = [{"name": check.name, "verdict": check.verdict, "detail": check.words} for check in checks]
        _print_json({"ok": status == 0, "checks": found})
    raise typer.Exit(status)


class _JsonLines:
    """Each event as a line of JSON on stdout."""

    def show(self, job: JobInfo, event: HistoryEvent) -> None:  # noqa: ARG002 - the Protocol's
        """Prints it at once."""
        typer.echo(json.dumps(event.raw))


def _callslip(patience: float) -> Callslip:
    return Callslip(patience=patience)


@contextmanager
def _told(interrupted: str = "interrupted") -> Iterator[None]:
    """What goes wrong inside becomes one sentence and an exit status."""
    try:
        yield
    except KeyboardInterrupt:
        _say(interrupted)
        raise typer.Exit(INTERRUPTED) from None
    except NotAuthentic as error:
        _say(f"{error}. Is CALLSLIP_API_KEY set to a key of this service? callslip doctor tells more")
        raise typer.Exit(UNUSABLE) from None
    except ConnectionFailed as error:
        _say(f"{error}; is the service running there, and is CALLSLIP_URL right?")
        raise typer.Exit(UNUSABLE) from None
    except CallslipError as error:
        _say(str(error))
        raise typer.Exit(UNUSABLE) from None
    except BrokenPipeError:
        raise  # whoever read our output has had enough
    except OSError as error:
        _say(f"{error.filename}: {error.strerror}" if error.filename else str(error))
        raise typer.Exit(UNUSABLE) from None


def _goes_on(job_id: str) -> str:
    return f"stopped watching; the job goes on. To see it again: callslip watch {words.clean(job_id)}"


def _watched(callslip: Callslip, job_id: str, *, as_json: bool) -> None:
    with _told(_goes_on(job_id)):
        with watching.live_view(_stderr()) as view:
            job = watching.watch(callslip, job_id, view)
        if as_json:
            _print_json(job.raw)
        else:
            _print(*words.outcome(job))
        _exit_with(job)


def _exit_with(job: JobInfo) -> None:
    raise typer.Exit(0 if job.status is JobStatus.SUCCESS else FAILED)


def _params(pairs: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals or not name:
            raise typer.BadParameter("must look like name=value", param_hint="--param")
        if name in found:
            raise typer.BadParameter(f"{name} is given twice", param_hint="--param")
        found[name] = value
    return found


def _stderr() -> Console:
    return Console(stderr=True, highlight=False)


def _say(sentence: str) -> None:
    _stderr().print(Text(f"callslip: {words.clean(sentence)}"), soft_wrap=True)


def _stdout() -> Console:
    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=200)  # a program gets whole lines


def _print(*things: Text | Table) -> None:
    console = _stdout()
    for thing in things:
        console.print(thing, soft_wrap=isinstance(thing, Text))


def _print_json(content: Any) -> None:
    typer.echo(json.dumps(content, indent=2))
