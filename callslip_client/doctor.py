"""Finds out what is wrong between here, the service and its workflow, and says it in words."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum

from callslip_client.client import Callslip
from callslip_client.errors import (
    CallslipError,
    ConnectionFailed,
    Invalid,
    NotAuthentic,
    NotInTime,
    Unavailable,
    UnsupportedMediaType,
)
from callslip_client.models import (
    Health,
    HealthPart,
    HistoryEvent,
    JobCreationResponse,
    JobInfo,
    JobStatus,
    WorkflowInfo,
)
from callslip_client.words import clean, duration, now, size

FILENAME = "callslip-doctor.txt"
FEW_BYTES = 1_000_000_000
CLOCK_TOLERANCE = timedelta(minutes=1)
DEFAULT_WORKFLOW = "n8n_notion"
REFUSES_US = (
    "the workflow refuses our credentials: its token differs from {token} (or its signing secret from {secret})"
)
WRONG_ADDRESS = "the workflow's address is unknown there (404): is the workflow active, and is this its production URL (not the test URL)?"


TEST_ADDRESS = (
    "the service calls the workflow's test URL ({url}), which works only while somebody listens in n8n's editor: "
    "give it the production URL"
)


class Verdict(StrEnum):
    """How a check ended."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"
    SKIPPED = "skipped"


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    verdict: Verdict
    words: str


def exit_status(checks: Sequence[Check]) -> int:
    """0 when all is well, 1 when the probe did not come back well, 2 when something else is wrong."""
    wrong = {check.name for check in checks if check.verdict is Verdict.PROBLEM}
    return 0 if not wrong else 1 if wrong == {"probe"} else 2


def examine(callslip: Callslip, workflow: str | None, within: float, *, probe: bool) -> Iterator[Check]:
    """Looks at one thing after the other; where one makes the rest pointless, the rest is left out."""
    try:
        health = callslip.health()
    except CallslipError as error:
        yield Check("address", Verdict.PROBLEM, _unreachable(callslip, error))
        return
    yield Check("address", Verdict.OK, f"{callslip.url} answers")
    yield _clock(health, now())
    key = _key(callslip)
    yield key
    parts = list(_parts(health))
    yield from parts
    if key.verdict is Verdict.PROBLEM or not probe:
        yield Check("probe", Verdict.SKIPPED, "not wanted" if not probe else "no job can be handed in without a key")
    elif any(part.verdict is Verdict.PROBLEM and part.name in ("database", "file store", "workers") for part in parts):
        yield Check("probe", Verdict.SKIPPED, "no job would come through")
    else:
        yield _probe(callslip, workflow, within)


def _unreachable(callslip: Callslip, error: CallslipError) -> str:
    hint = "is the service running there, and is CALLSLIP_URL right?" if isinstance(error, ConnectionFailed) else ""
    return f"{error}; {hint}" if hint else f"{callslip.url}: {error}"


def _clock(health: Health, here: datetime) -> Check:
    if health.answered_at is None:
        return Check("clock", Verdict.SKIPPED, "the service does not tell its time")
    off = here - health.answered_at
    if abs(off) < CLOCK_TOLERANCE:
        return Check("clock", Verdict.OK, "agrees with the service's")
    minutes, way = round(abs(off) / timedelta(minutes=1)), "ahead of" if off > timedelta() else "behind"
    text = (
        f"this machine's clock is {minutes} min {way} the service's; signatures are refused when clocks differ by 5 min"
    )
    return Check("clock", Verdict.PROBLEM, text)


def _key(callslip: Callslip) -> Check:
    try:
        callslip.queue()
    except NotAuthentic:
        text = (
            "the service does not accept the key in CALLSLIP_API_KEY; of an entry name:key it is the part behind the colon"
            if callslip.has_key
            else "there is no key: set CALLSLIP_API_KEY to one of the service's CALLSLIP_API_KEYS (the part behind the colon)"
        )
        return Check("key", Verdict.PROBLEM, text)
    except Unavailable as error:
        return Check("key", Verdict.WARNING, f"accepted, but the service cannot look at its jobs: {clean(error)}")
    except CallslipError as error:
        return Check("key", Verdict.PROBLEM, clean(error))
    return Check("key", Verdict.OK, "accepted")


def _parts(health: Health) -> Iterator[Check]:
    for name, part in health.parts.items():
        yield _part(name.replace("_", " "), part)


def _part(name: str, part: HealthPart) -> Check:
    if name == "workers" and part.count == 0:
        text = (
            "no worker is running: start one with python rq_worker.py beside the service (make run starts one itself)"
        )
        return Check(name, Verdict.PROBLEM, text)
    if part.status != "ok":
        why = f": {clean(part.detail)}" if part.detail else ""
        late = "; jobs are taken all the same, but start later" if name == "queue" else ""
        return Check(
            name, Verdict.PROBLEM if name != "workers" else Verdict.WARNING, f"{clean(part.status)}{why}{late}"
        )
    if part.free_bytes is not None:
        few = part.free_bytes < FEW_BYTES
        text = f"{'the disk is nearly full: ' if few else ''}{size(part.free_bytes)} free"
        return Check(name, Verdict.PROBLEM if few else Verdict.OK, text)
    return Check(name, Verdict.OK, "fine" if part.count is None else f"{part.count} running")


def _probe(callslip: Callslip, workflow: str | None, within: float) -> Check:
    try:
        chosen = _chosen(callslip.workflows(), workflow)
        if chosen is None:
            return Check("probe", Verdict.PROBLEM, f"there is no workflow {clean(workflow or '')}".rstrip())
        return _sent_round(callslip, chosen, within)
    except CallslipError as error:
        return Check("probe", Verdict.PROBLEM, clean(error))


def _sent_round(callslip: Callslip, workflow: WorkflowInfo, within: float) -> Check:
    name, began = clean(workflow.name), time.monotonic()
    try:
        ticket = _hand_in(callslip, workflow)
    except UnsupportedMediaType:
        return Check("probe", Verdict.WARNING, f"{name} takes no text files; name another workflow with --workflow")
    except Invalid as error:
        return Check("probe", Verdict.WARNING, f"{name} wants parameters, name another workflow: {clean(error)}")
    job = _followed(callslip, ticket.job_id, began + within)
    if job.status is JobStatus.SUCCESS:
        took = duration(timedelta(seconds=time.monotonic() - began))
        return Check("probe", Verdict.OK, f"went round through {name} in {took}")
    lines = callslip.history(job.job_id)
    if not job.status.ended:
        with suppress(CallslipError):
            callslip.cancel(job.job_id)
    return Check("probe", Verdict.PROBLEM, f"{diagnosis(job, lines, within)} (job {job.job_id})")


def _chosen(workflows: Sequence[WorkflowInfo], wanted: str | None) -> WorkflowInfo | None:
    by_name = {one.name: one for one in workflows}
    if wanted is not None:
        return by_name.get(wanted)
    return by_name.get(DEFAULT_WORKFLOW) or next(iter(workflows), None)


def _hand_in(callslip: Callslip, workflow: WorkflowInfo) -> JobCreationResponse:
    if workflow.file is None:
        return callslip.submit(workflow=workflow.name)
    content = f"A probe by callslip doctor, {now():%Y-%m-%d %H:%M:%S} UTC. It may be deleted.\n"
    return callslip.submit(content.encode(), filename=FILENAME, workflow=workflow.name)


def _followed(callslip: Callslip, job_id: str, until: float) -> JobInfo:
    """The job once it has ended, or is in trouble that time alone does not heal, or time is up."""
    while True:
        try:
            return callslip.wait(job_id, timeout=min(1.0, max(until - time.monotonic(), 0.0)))
        except NotInTime as still:
            trouble = still.job.trouble
            hopeless = trouble and (trouble.kind != "unavailable" or trouble.count > 1)
            if hopeless or time.monotonic() >= until:
                return still.job


def diagnosis(job: JobInfo, lines: Sequence[HistoryEvent], within: float) -> str:
    """Why a probe did not come back, in words."""
    kind = job.trouble.kind if job.trouble else (job.error.type.removeprefix("delivery_") if job.error else "")
    answers = [clean(line.detail["answer"]) for line in lines if line.detail and line.detail.get("answer")]
    said = clean(job.error.detail) if job.error else (answers[-1] if answers else "")
    if called := _test_address(lines):
        return TEST_ADDRESS.format(url=called)
    if kind == "refused":
        return _refusal(job, said)
    if kind == "unavailable":
        return f"the far side cannot be reached: {said or 'no details'}"
    if kind == "server_error":
        return f"the workflow answers with an error of its own: {said}"
    if kind == "no_answer":
        return f"the workflow took the delivery but did not answer it ({said}); does it respond at once?"
    if job.status is JobStatus.FAILURE:
        return f"the workflow was reached, but the job failed: {said or clean(job.result_message or '')}"
    return _silence(job, within)


def _test_address(lines: Sequence[HistoryEvent]) -> str:
    """The test URL that was called, as far as the history tells it; nothing where it was another."""
    requests = (line.detail["request"] for line in lines if line.detail and line.detail.get("request"))
    urls = (clean(str(request.get("url", ""))) for request in requests if isinstance(request, dict))
    return next((url for url in urls if "/webhook-test/" in url), "")


def _refusal(job: JobInfo, said: str) -> str:
    if "404" in said and "credentials" not in said:
        return WRONG_ADDRESS
    token, secret = "N8N_WEBHOOK_TOKEN", "N8N_WEBHOOK_SECRET"
    if job.workflow != DEFAULT_WORKFLOW:
        token, secret = "its token in workflows.toml", "the secret there"
    words = REFUSES_US.format(token=token, secret=secret)
    return words if said else f"{words}, or {WRONG_ADDRESS}"


def _silence(job: JobInfo, within: float) -> str:
    if job.status is JobStatus.QUEUED:
        return f"no worker took the job within {within:g} s: is one running, and is it not too busy?"
    if job.status is JobStatus.PROCESSING:
        return f"the workflow did not answer the delivery within {within:g} s; does it respond at once?"
    if job.status is JobStatus.CANCELLED:
        return "somebody cancelled the job"
    if job.progress.fraction is not None:
        return f"the workflow calls back, but was not done within {within:g} s; give it longer with --within"
    return (
        f"delivered, but nothing came back within {within:g} s: the callback address (the service's PUBLIC_URL) is not "
        "reachable from the workflow, the workflow has no callback node, or it calls back with another token or secret"
    )
