"""One kept process: started in a session of its own, restarted when it dies, its output passed on, ended with its group."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from time import monotonic

FIRST_PAUSE, LONGEST_PAUSE = 0.2, 5.0
SETTLED_AFTER = 20.0  # seconds; on a busy machine a start alone can take ten
MOST_EARLY_ENDS = 3
LONGEST_LINE = 65536
_PR_SET_PDEATHSIG = 1

Say = Callable[[str, str], None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """What to run; `grace` is how long it may take to end by itself once it was asked to."""

    name: str
    command: Sequence[str]
    environment: Mapping[str, str]
    grace: timedelta = timedelta(seconds=5)
    inherited: Collection[int] = ()


class CannotStart(Exception):
    """A program ended by itself again and again before it ever ran; `lines` are the last that it said."""

    def __init__(self, name: str, status: int, lines: Sequence[str]) -> None:
        super().__init__(f"{name} cannot start: it ended with status {status}, {MOST_EARLY_ENDS} times")
        self.lines = tuple(lines)


def end_with_parent() -> None:
    """Asks Linux for a SIGTERM when the parent dies, so that nobody is left behind even by `kill -9`. Elsewhere: nothing.

    The request survives exec. It is bound to the thread that forked, here the main thread.
    """
    if _libc is not None:
        _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


class Child:
    """Keeps one program running until `stop`."""

    def __init__(self, program: Program, say: Say) -> None:
        self.program = program
        self._say = say
        self._last_lines: deque[str] = deque(maxlen=12)
        self._stopping = asyncio.Event()
        self._process: asyncio.subprocess.Process | None = None
        self.settled = False
        self.kept = asyncio.create_task(self._keep())

    async def stop(self, hurry: asyncio.Event) -> None:
        """Asks the program to end, then, after its grace or on `hurry`, ends it and all that it started."""
        self._stopping.set()
        if self._process is not None and self._process.returncode is None:
            self._process.terminate()
        hurried = asyncio.create_task(hurry.wait())
        grace = self.program.grace.total_seconds()
        await asyncio.wait({self.kept, hurried}, timeout=grace, return_when=asyncio.FIRST_COMPLETED)
        hurried.cancel()
        while not self.kept.done():
            if self._process is not None and self._process.returncode is None:
                self._end_group(self._process.pid)
            await asyncio.wait({self.kept}, timeout=0.5)

    async def _keep(self) -> None:
        early_ends, pause = 0, FIRST_PAUSE
        while not self._stopping.is_set():
            began = monotonic()
            status = await self._run()
            if self._stopping.is_set():
                return
            lived = monotonic() - began
            self.settled = self.settled or lived > SETTLED_AFTER
            # Whoever ends it by a signal means no harm to its settings: that is no failed start.
            early_ends = early_ends + 1 if status > 0 and not self.settled else 0
            if early_ends == MOST_EARLY_ENDS:
                raise CannotStart(self.program.name, status, self._last_lines)
            pause = FIRST_PAUSE if lived > SETTLED_AFTER else pause
            self._say("callslip", f"{self.program.name} ended ({_reason(status)}); starting it again in {pause:.1f} s")
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _run(self) -> int:
        """One life of the program; its exit status, negative for a signal."""
        # A pipe of our own: asyncio's would make wait() last until every grandchild has closed it.
        reading, writing = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                *self.program.command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                env=dict(self.program.environment),
                start_new_session=True,  # Ctrl-C in the terminal reaches the launcher only
                preexec_fn=end_with_parent,  # one prctl call: no locks, no imports
                pass_fds=tuple(self.program.inherited),
            )
        except OSError as error:
            os.close(reading)
            self._hear(f"{self.program.command[0]}: {error.strerror}")
            return 127
        finally:
            os.close(writing)
        self._process = process
        if self._stopping.is_set():  # stop() came while the process was being made and could not see it
            process.terminate()
        copying = asyncio.create_task(self._copy(reading))
        status = await process.wait()
        await asyncio.wait({copying}, timeout=0.5)
        copying.cancel()
        self._end_group(process.pid)
        return status

    async def _copy(self, pipe: int) -> None:
        reader = asyncio.StreamReader()
        with os.fdopen(pipe, "rb", buffering=0) as file:
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda: asyncio.StreamReaderProtocol(reader), file
            )
            try:
                rest = b""
                while chunk := await reader.read(LONGEST_LINE):
                    *lines, rest = (rest + chunk).split(b"\n")
                    if len(rest) > LONGEST_LINE:
                        lines, rest = [*lines, rest], b""
                    for line in lines:
                        self._hear(line.decode("utf-8", "replace"))
                if rest:
                    self._hear(rest.decode("utf-8", "replace"))
            finally:
                transport.close()

    def _hear(self, line: str) -> None:
        self._last_lines.append(line)
        self._say(self.program.name, line)

    @staticmethod
    def _end_group(pid: int) -> None:
        with suppress(ProcessLookupError, PermissionError):  # nobody left, which macOS calls a permission
            os.killpg(pid, signal.SIGKILL)


def _reason(status: int) -> str:
    return f"status {status}" if status >= 0 else signal.Signals(-status).name
