"""The `Work` that a running step holds."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import TypeVar

from app.domain.errors import ToolRefused
from app.domain.models import Job, Json
from app.domain.protocols import FileStore, StoredContent
from app.domain.tools import Usage
from app.infrastructure.off_loop import OffLoop

Made = TypeVar("Made")
Tell = Callable[[float, str | None], Awaitable[None]]


class StepWork:
    """One step of one job. `tell` takes the step's own fraction and words."""

    def __init__(
        self, job: Job, outputs: Mapping[str, Json], *, files: FileStore, off_loop: OffLoop, tell: Tell
    ) -> None:
        self.job_id, self.params, self.file, self.outputs = job.job_id, job.params, job.file, outputs
        self.usage = Usage()
        self._files, self._off_loop, self._tell = files, off_loop, tell
        self._until = time.monotonic()

    def begin(self, soft_limit: timedelta) -> None:
        """The step is tried from now on."""
        self._until = time.monotonic() + soft_limit.total_seconds()

    @property
    def time_left(self) -> timedelta:
        return timedelta(seconds=self._until - time.monotonic())

    def open(self) -> AbstractAsyncContextManager[StoredContent]:
        return self._files.open(self.job_id)

    async def text(self) -> str:
        async with self.open() as content:
            data = b"".join([chunk async for chunk in content.chunks()])
        try:
            return data.decode("utf-8-sig")
        except UnicodeDecodeError:
            raise ToolRefused("the file is not text in UTF-8") from None

    async def progress(self, fraction: float, message: str | None = None) -> None:
        await self._tell(min(max(fraction, 0.0), 1.0), message)

    async def off_loop(self, func: Callable[..., Made], *args: object) -> Made:
        return await self._off_loop.run(func, *args)

    def used(self, usage: Usage) -> None:
        known = [cost for cost in (self.usage.cost, usage.cost) if cost is not None]
        self.usage = Usage(
            tokens_in=self.usage.tokens_in + usage.tokens_in,
            tokens_out=self.usage.tokens_out + usage.tokens_out,
            cost=sum(known) if known else None,
        )
