"""Plain functions in processes of their own, for what would keep the event loop from its other jobs."""

from __future__ import annotations

import os
import pickle
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

from anyio import BrokenWorkerProcess, CapacityLimiter, to_process

from app.domain.errors import ToolTrouble
from app.infrastructure import workflow_folder

Made = TypeVar("Made")
LOOK_EVERY = 1.0


class OffLoop:
    """At most `processes` at a time, kept for the next call; the one that a cancelled caller waits for is killed."""

    def __init__(self, processes: int, folder: Path | None = None) -> None:
        self._processes, self._folder = processes, folder
        self._limiter: CapacityLimiter | None = None

    async def run(self, func: Callable[..., Made], *args: object) -> Made:
        """What `func` gives back, or raises. Raises ToolTrouble when its process ended."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._processes)
        # Packed by ourselves: the child must know the folder before it meets anything that is defined there.
        call = pickle.dumps((func, args))
        try:
            made = await to_process.run_sync(
                _called, os.getpid(), self._folder, call, cancellable=True, limiter=self._limiter
            )
        except BrokenWorkerProcess:
            raise ToolTrouble("the process that computed it was ended") from None
        return cast("Made", made)


_watching = threading.Lock()


def _called(parent: int, folder: Path | None, call: bytes) -> object:
    """In the child."""
    if _watching.acquire(blocking=False):
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    if folder is not None:
        workflow_folder.mount(folder)
    func, args = pickle.loads(call)  # noqa: S301 - from the parent, over a pipe that nobody else has
    return func(*args)


def _end_with(parent: int) -> None:
    while os.getppid() == parent:
        time.sleep(LOOK_EVERY)
    os._exit(1)
