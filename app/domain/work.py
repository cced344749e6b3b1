"""What a step of a local workflow holds in its hands while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Protocol, TypeVar

from app.domain.models import FileUploadInfo, JobId, Json
from app.domain.protocols import StoredContent
from app.domain.tools import Usage

Made = TypeVar("Made")


class Work(Protocol):
    """A step's first argument: the job that it works for.

    `params` are the accepted parameters, `file` is what was handed in (None without a file), `outputs` is what the
    earlier steps made, by name.
    """

    job_id: JobId
    params: Mapping[str, Json]
    file: FileUploadInfo | None
    outputs: Mapping[str, Json]

    @property
    def time_left(self) -> timedelta:
        """Until the step's soft limit. Once it is zero or less, the step should end with what it has; at the hard
        limit it is cancelled, and what it had is lost."""
        ...

    def open(self) -> AbstractAsyncContextManager[StoredContent]:
        """The bytes that were handed in. Raises FileGone where there are none (any more)."""
        ...

    async def text(self) -> str:
        """The whole file as UTF-8 text, with and without a byte order mark. Raises ToolRefused for anything else."""
        ...

    async def progress(self, fraction: float, message: str | None = None) -> None:
        """Says how far the step is, from 0.0 to 1.0. May be called often: at most one call a second is written down."""
        ...

    async def off_loop(self, func: Callable[..., Made], *args: object) -> Made:
        """Runs a plain function in a process of its own, so that other jobs go on meanwhile; that process is killed
        when the step is cancelled. `func` stands at the top of its module; arguments and result can be pickled."""
        ...

    def used(self, usage: Usage) -> None:
        """Adds to what the step took of a language model."""
        ...
