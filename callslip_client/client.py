"""The two clients, one a colour. They say what is asked for; the flows know how that goes.

`patience` is for how many seconds a call is tried again when the service is away or busy (0: never), `timeout` how
many seconds one answer may take. Address and key come from CALLSLIP_URL and CALLSLIP_API_KEY where they are not given.
"""

from __future__ import annotations

import os
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Iterator, Mapping
from contextlib import aclosing, closing
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from callslip_client.errors import ConnectionFailed
from callslip_client.flows import Effect, Emit, Flow, told
from callslip_client.models import Health, HistoryEvent, JobCreationResponse, JobInfo, QueueInfo, WorkflowInfo
from callslip_client.performing import AsyncHands, Connection, Hands
from callslip_client.uploads import FileSource, OnProgress

T = TypeVar("T")


class Callslip(Connection):
    """A service, called in the ordinary way. Close it, or use it in a `with`."""

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, patience: float = 30.0, timeout: float = 30.0
    ) -> None:
        super().__init__(url, api_key, patience=patience, timeout=timeout)
        self._http = httpx.Client(**self.options)

    def submit(
        self,
        file: FileSource | None = None,
        *,
        workflow: str | None = None,
        params: Mapping[str, Any] | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> JobCreationResponse:
        """Hands in a file (a path, or bytes with a `filename`), or nothing but parameters.

        Safe to repeat: without an `idempotency_key` a random one keeps this call's own tries from making two jobs.
        `on_progress` is told (bytes sent, bytes in all).
        """
        return self._run(
            self.flows.submit(
                file,
                workflow=workflow,
                params=params or {},
                filename=filename,
                idempotency_key=idempotency_key,
                on_progress=on_progress,
            )
        )

    def get(self, job_id: str) -> JobInfo:
        """The job as it stands."""
        return self._run(self.flows.get(job_id))

    def wait(self, job_id: str, timeout: float | None = None) -> JobInfo:
        """The job once it has ended, well or not. Raises NotInTime after `timeout` seconds."""
        return self._run(self.flows.wait(job_id, timeout))

    def events(self, job_id: str, after: int = 0) -> Iterator[HistoryEvent]:
        """Each line of the history behind line `after`, once and in order, as it is written; ends with the job."""
        return self._stream(self.flows.events(job_id, after))

    def history(self, job_id: str) -> tuple[HistoryEvent, ...]:
        """Every line so far."""
        return self._run(self.flows.history(job_id))

    def list(
        self, *, status: str | None = None, workflow: str | None = None, limit: int | None = None
    ) -> Iterator[JobInfo]:
        """At most `limit` jobs, newest first; fetched page by page."""
        return self._stream(self.flows.list(status, workflow, limit))

    def download(self, job_id: str, path: str | os.PathLike[str]) -> Path:
        """The job's file, saved under this path: whole and with the right digest, or not at all."""
        return self._run(self.flows.download(job_id, Path(path)))

    def cancel(self, job_id: str) -> JobInfo:
        """Ends an unfinished job. Raises Conflict when it has ended already."""
        return self._run(self.flows.cancel(job_id))

    def retry(self, job_id: str) -> JobCreationResponse:
        """A new job of one that failed or was cancelled, with the same content."""
        return self._run(self.flows.retry(job_id))

    def workflows(self) -> tuple[WorkflowInfo, ...]:
        """What can be asked for."""
        return self._run(self.flows.workflows())

    def queue(self) -> QueueInfo:
        """How much there is to do."""
        return self._run(self.flows.queue())

    def health(self) -> Health:
        """The service's word on its state. Needs no key."""
        return self._run(self.flows.health())

    def close(self) -> None:
        """Closes the connections."""
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, flow: Flow[T]) -> T:
        with closing(self._stream(told(flow))) as items:
            result: T = next(items)
            return result

    def _stream(self, flow: Flow[None]) -> Generator[Any]:
        performed: object = None
        with closing(flow), closing(Hands(self, self._http)) as hands:
            while True:
                try:
                    effect = _next(flow, performed)
                except StopIteration:
                    return
                if isinstance(effect, Emit):
                    performed = yield effect.item
                else:
                    performed = hands.perform(effect)


class AsyncCallslip(Connection):
    """A service, called from asyncio. Close it, or use it in an `async with`. Each method is `Callslip`'s."""

    def __init__(
        self, url: str | None = None, api_key: str | None = None, *, patience: float = 30.0, timeout: float = 30.0
    ) -> None:
        super().__init__(url, api_key, patience=patience, timeout=timeout)
        self._http = httpx.AsyncClient(**self.options)

    async def submit(
        self,
        file: FileSource | None = None,
        *,
        workflow: str | None = None,
        params: Mapping[str, Any] | None = None,
        filename: str | None = None,
        idempotency_key: str | None = None,
        on_progress: OnProgress | None = None,
    ) -> JobCreationResponse:
        return await self._run(
            self.flows.submit(
                file,
                workflow=workflow,
                params=params or {},
                filename=filename,
                idempotency_key=idempotency_key,
                on_progress=on_progress,
            )
        )

    async def get(self, job_id: str) -> JobInfo:
        return await self._run(self.flows.get(job_id))

    async def wait(self, job_id: str, timeout: float | None = None) -> JobInfo:  # noqa: ASYNC109 - the service keeps it
        return await self._run(self.flows.wait(job_id, timeout))

    def events(self, job_id: str, after: int = 0) -> AsyncIterator[HistoryEvent]:
        return self._stream(self.flows.events(job_id, after))

    async def history(self, job_id: str) -> tuple[HistoryEvent, ...]:
        return await self._run(self.flows.history(job_id))

    def list(
        self, *, status: str | None = None, workflow: str | None = None, limit: int | None = None
    ) -> AsyncIterator[JobInfo]:
        return self._stream(self.flows.list(status, workflow, limit))

    async def download(self, job_id: str, path: str | os.PathLike[str]) -> Path:
        return await self._run(self.flows.download(job_id, Path(path)))

    async def cancel(self, job_id: str) -> JobInfo:
        return await self._run(self.flows.cancel(job_id))

    async def retry(self, job_id: str) -> JobCreationResponse:
        return await self._run(self.flows.retry(job_id))

    async def workflows(self) -> tuple[WorkflowInfo, ...]:
        return await self._run(self.flows.workflows())

    async def queue(self) -> QueueInfo:
        return await self._run(self.flows.queue())

    async def health(self) -> Health:
        return await self._run(self.flows.health())

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._http.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        await self.aclose()

    async def _run(self, flow: Flow[T]) -> T:
        async with aclosing(self._stream(told(flow))) as items:
            result: T = await anext(items)
            return result

    async def _stream(self, flow: Flow[None]) -> AsyncGenerator[Any]:
        performed: object = None
        with closing(flow):
            async with aclosing(AsyncHands(self, self._http)) as hands:
                while True:
                    try:
                        effect = _next(flow, performed)
                    except StopIteration:
                        return
                    if isinstance(effect, Emit):
                        performed = yield effect.item
                    else:
                        performed = await hands.perform(effect)


def _next(flow: Flow[None], performed: object) -> Effect:
    """What is to be done after that. Raises StopIteration at the end."""
    return flow.throw(performed) if isinstance(performed, ConnectionFailed) else flow.send(performed)
