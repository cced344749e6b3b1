"""Every operation once, without doing any I/O: a flow yields what is to be done and is sent how that went.

The two clients differ only in how they perform these effects. A connection that fails is thrown into the flow.
"""

from __future__ import annotations

import random
import secrets
import time
import uuid
from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from callslip_client import models, uploads, wire
from callslip_client.downloads import Saving
from callslip_client.errors import ConnectionFailed, NotFound, NotInTime, Unavailable
from callslip_client.models import Health, HistoryEvent, JobCreationResponse, JobInfo, QueueInfo, WorkflowInfo
from callslip_client.sse import EventParser
from callslip_client.uploads import FileSource, OnProgress
from callslip_client.wire import Answer, Request

T = TypeVar("T")

LONGEST_LOOK = 20.0  # seconds that the service is asked to hold one look
FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
RECONNECT_PAUSE = 0.5
MOST_PER_PAGE = 200


@dataclass(frozen=True, slots=True)
class Send:
    """Send it and read the whole answer."""

    request: Request


@dataclass(frozen=True, slots=True)
class Open:
    """Send it and read the answer's head; of an answer other than 2xx the body too. Closes what was open before."""

    request: Request


@dataclass(frozen=True, slots=True)
class Read:
    """The next bytes of what is open; none at its end."""


@dataclass(frozen=True, slots=True)
class Pause:
    """Let so many seconds pass."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Do:
    """Work on the local disk."""

    work: Callable[[], object]


@dataclass(frozen=True, slots=True)
class Emit:
    """Something for the caller of a stream."""

    item: Any


Effect: TypeAlias = Send | Open | Read | Pause | Do | Emit
Flow: TypeAlias = Generator[Effect, Any, T]


def told(flow: Flow[Any]) -> Flow[None]:
    """A flow that emits its result."""
    yield Emit((yield from flow))


class Again:
    """How long to go on trying: `patience` seconds from the first failure in a row."""

    def __init__(self, patience: float) -> None:
        self._patience, self._failures, self._until = patience, 0, 0.0

    def reset(self) -> None:
        """It works again."""
        self._failures = 0

    def pause(self, wish: float | None = None) -> float | None:
        """Seconds to the next try, at least the service's wish; None when that is beyond our patience."""
        now = time.monotonic()
        if self._failures == 0:
            self._until = now + self._patience
        pause = min(FIRST_PAUSE * 2**self._failures, LONGEST_PAUSE) * random.uniform(0.8, 1.2)  # noqa: S311 - spreads tries
        self._failures = min(self._failures + 1, 10)
        pause = max(pause, wish or 0.0)
        return pause if now + pause <= self._until else None


class Flows:
    """What can be asked of a service, as flows. `patience`: how many seconds a call is tried again."""

    def __init__(self, patience: float) -> None:
        self._patience = patience

    def submit(
        self,
        file: FileSource | None,
        *,
        workflow: str | None,
        params: Mapping[str, Any],
        filename: str | None,
        idempotency_key: str | None,
        on_progress: OnProgress | None,
    ) -> Flow[JobCreationResponse]:
        """Hands in. The key makes a repeated upload the same job."""
        if file is None:
            upload = uploads.document(workflow, params)
        else:
            upload = uploads.form(workflow, params, file, filename, on_progress)
        answer = yield from self._call(wire.submission(upload, idempotency_key or str(uuid.uuid4())))
        return _created(answer)

    def get(self, job_id: str) -> Flow[JobInfo]:
        """The job as it stands."""
        return wire.read((yield from self._call(wire.job(job_id))), models.job)

    def wait(self, job_id: str, timeout: float | None) -> Flow[JobInfo]:
        """The job once it has ended. Raises NotInTime."""
        until = None if timeout is None else time.monotonic() + timeout
        job: JobInfo | None = None
        etag: str | None = None
        while True:
            began = time.monotonic()
            left = LONGEST_LOOK if until is None else max(until - began, 0.0)
            request = wire.look(job_id, etag, min(left, LONGEST_LOOK))
            patience = self._patience if until is None else min(left, self._patience)
            answer = yield from self._call(request, Again(patience))
            if job is None or answer.status != 304:
                job, etag = wire.read(answer, models.job), answer.headers.get("etag")
            if job.status.ended:
                return job
            now = time.monotonic()
            if until is not None and now >= until:
                raise NotInTime(f"job {job_id} is still {job.status} after {timeout:g} seconds", job)
            if etag is None or (answer.status == 304 and now - began < RECONNECT_PAUSE):
                yield Pause(RECONNECT_PAUSE)  # something in between does not hold the answer back

    def events(self, job_id: str, after: int) -> Flow[None]:
        """Emits each line of the history once, in order, until the job has ended. Where the stream breaks, whatever
        it did not bring comes from the history, and then the stream goes on."""
        while True:
            try:
                after, ended = yield from self._streamed(job_id, after)
            except _Broken as broken:
                after, ended = broken.after, False
            if ended:
                return
            yield Pause(RECONNECT_PAUSE)
            lines = yield from self.history(job_id)
            for line in lines:
                if line.version > after:
                    after = line.version
                    yield Emit(line)
            if lines and lines[-1].after.ended:
                return

    def _streamed(self, job_id: str, after: int) -> Flow[tuple[int, bool]]:
        """Emits what the stream brings. Returns the last line's number and whether the job ended with it."""
        parser, ended = EventParser(), False
        try:
            answer: Answer = yield Open(wire.events(job_id, after))
            wire.judged(answer)
            while piece := (yield Read()):
                for event in parser.feed(piece):
                    line = wire.understood(event.data, models.history_event)
                    if line.version > after + 1:
                        raise _Broken(after)
                    if line.version == after + 1:
                        after, ended = line.version, line.after.ended
                        yield Emit(line)
        except (ConnectionFailed, Unavailable) as error:
            if not ended:
                raise _Broken(after) from error
        return after, ended

    def history(self, job_id: str) -> Flow[tuple[HistoryEvent, ...]]:
        """Every line, oldest first."""
        answer = yield from self._call(wire.job(job_id, "/history"))
        return wire.read(answer, lambda raw: tuple(models.history_event(line) for line in raw["events"]))

    def list(self, status: str | None, workflow: str | None, limit: int | None) -> Flow[None]:
        """Emits jobs, newest first, page by page."""
        asked = {key: value for key, value in (("status", status), ("workflow", workflow)) if value}
        cursor, left = None, limit
        while left is None or left > 0:
            size = MOST_PER_PAGE if left is None else min(left, MOST_PER_PAGE)
            query = {**asked, "limit": str(size), **({"cursor": cursor} if cursor else {})}
            answer = yield from self._call(Request(path="/api/v1/jobs", query=query))
            jobs, cursor = wire.read(answer, lambda raw: ([models.job(one) for one in raw["jobs"]], raw["next"]))
            for job in jobs[:left]:
                yield Emit(job)
            left = None if left is None else left - len(jobs)
            if not cursor:
                return

    def download(self, job_id: str, path: Path) -> Flow[Path]:
        """The file under this path, whole and checked, or nothing."""
        saving, again = Saving(path, secrets.token_hex(8)), Again(self._patience)
        try:
            yield Do(saving.begin)
            answer = yield from self._fetch(job_id, saving, again)
            sha256 = wire.sha256_of(answer) or (yield from self._sha256(job_id))
            yield Do(partial(saving.finish, sha256))
        finally:
            saving.discard()
        return path

    def _fetch(self, job_id: str, saving: Saving, again: Again) -> Flow[Answer]:
        """All bytes of the file; after a break those that are missing, if it is still the same file."""
        etag: str | None = None
        while True:
            try:
                answer = yield from self._call(wire.file(job_id, saving.size, etag), again, Open)
                if answer.status == 416 and etag:  # there is nothing behind what we have: once more, and whole
                    etag = None
                    continue
                etag = wire.judged(answer).headers.get("etag")
                yield Do(partial(saving.go_on, wire.start_of(answer)))
                while piece := (yield Read()):
                    again.reset()
                    yield Do(partial(saving.write, piece))
            except ConnectionFailed:
                pause = again.pause()
                if pause is None:
                    raise
                yield Pause(pause)
            else:
                return answer

    def _sha256(self, job_id: str) -> Flow[bytes]:
        job = yield from self.get(job_id)
        if job.file is None:
            raise NotFound(404, detail="this job has no file")
        return bytes.fromhex(job.file.sha256)

    def cancel(self, job_id: str) -> Flow[JobInfo]:
        """Ends an unfinished job."""
        return wire.read((yield from self._call(wire.act(job_id, "cancel"))), models.job)

    def retry(self, job_id: str) -> Flow[JobCreationResponse]:
        """A new job with the same content."""
        return _created((yield from self._call(wire.act(job_id, "retry"))))

    def workflows(self) -> Flow[tuple[WorkflowInfo, ...]]:
        """What can be asked for."""
        answer = yield from self._call(Request(path="/api/v1/workflows"))
        return wire.read(answer, lambda raw: tuple(models.workflow(one) for one in raw["workflows"]))

    def queue(self) -> Flow[QueueInfo]:
        """How much there is to do."""
        return wire.read((yield from self._call(Request(path="/api/v1/queue"))), models.queue)

    def health(self) -> Flow[Health]:
        """The service's word on its state; 503 is one too."""
        answer = yield from self._call(Request(path="/health", busy=frozenset()))
        told = wire.judged(answer) if answer.status != 503 else answer
        return wire.understood(told.body, lambda raw: models.health(raw, wire.date_of(answer)))

    def _call(self, request: Request, again: Again | None = None, effect: type[Send | Open] = Send) -> Flow[Answer]:
        """Sends until it is answered with something else than "busy", as long as patience lasts."""
        again = again or Again(self._patience)
        while True:
            try:
                answer: Answer = yield effect(request)
                if answer.status not in request.busy:
                    return answer
                pause = again.pause(wire.retry_after(answer))
                if pause is None:
                    return answer
            except ConnectionFailed as error:
                pause = again.pause() if request.repeatable or not error.may_have_arrived else None
                if pause is None:
                    raise
            yield Pause(pause)


class _Broken(Exception):
    """The stream ended before the job did; `after` is the last line that came."""

    def __init__(self, after: int) -> None:
        super().__init__(after)
        self.after = after


def _created(answer: Answer) -> JobCreationResponse:
    replayed = answer.headers.get("idempotent-replayed", "").lower() == "true"
    return wire.read(answer, lambda raw: models.created(raw, replayed=replayed))
