"""One process of a run: started in a session of its own, started again when it dies, killed and paused on demand."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from time import monotonic

import psutil  # type: ignore[import-untyped]  # has no types of its own

from app.launch.child import end_with_parent
from chaos.nursery import Born, Nursery

RESTART_AFTER = 0.1
HALT = 0.2  # seconds
HALTED = (psutil.STATUS_STOPPED, psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)


class Part:
    """Keeps one program running from `start` to `stop`. `deaths` counts what it was not asked for.

    With a `nursery`, it is started there, unless `cold` says that this start is to be from nothing.
    """

    def __init__(self, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path, user: str | None) -> None:
        self.name, self.command, self.env, self.cwd, self._user = name, list(command), dict(env), cwd, user
        self.deaths = self.kills = 0
        self.status: int | None = None
        self.nursery: Nursery | None = None
        self.cold: Callable[[], bool] = lambda: True
        self._process: asyncio.subprocess.Process | Born | None = None
        self._keeper: asyncio.Task[None] | None = None
        self._away = asyncio.Event()
        self._away.set()
        self.began = monotonic()

    def start(self) -> None:
        """From now on it runs."""
        self._keeper = asyncio.create_task(self._keep())

    async def _keep(self) -> None:
        while True:
            await self._away.wait()
            self._process = await self._begin()
            self.began = monotonic()
            await self._process.wait()
            self.deaths += 1
            await asyncio.sleep(RESTART_AFTER)

    async def _begin(self) -> asyncio.subprocess.Process | Born:
        log = self.cwd / f"{self.name}.log"
        if self.nursery is not None and not self.cold():
            return await self.nursery.start(self.command, self.env, self.cwd, log)
        with log.open("ab") as words:
            return await asyncio.create_subprocess_exec(
                *self.command,
                cwd=self.cwd,
                env=self.env,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=words,
                stderr=words,
                start_new_session=True,
                preexec_fn=end_with_parent,  # a harness that is killed leaves nothing running
                **({"user": self._user} if self._user else {}),  # type: ignore[arg-type]  # passed on to Popen
            )

    @property
    def pid(self) -> int:
        """Of the process that runs now."""
        assert self._process is not None
        return self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs now, paused or not."""
        return self._process is not None and self._process.returncode is None

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self.pid)
            return [own, *own.children(recursive=True)]
        return []

    def kill(self) -> bool:
        """SIGKILL to all of it at once, as when power goes; says whether there was something to kill."""
        if not self.alive:
            return False
        with suppress(psutil.NoSuchProcess):
            _halt(psutil.Process(self.pid))
        for process in self.family():
            with suppress(psutil.NoSuchProcess):
                process.kill()
        self.kills += 1
        return True

    async def pause(self, seconds: float) -> None:
        """SIGSTOP, and SIGCONT after a while."""
        family = self.family() if self.alive else []
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        await asyncio.sleep(seconds)
        for process in family:
            with suppress(psutil.NoSuchProcess):
                process.resume()

    def take_away(self) -> None:
        """Kills it and keeps it away until `bring_back`."""
        self._away.clear()
        self.kill()

    def bring_back(self) -> None:
        """Ends `take_away`."""
        self._away.set()

    async def stop(self, patience: float = 30.0) -> list[str]:
        """As an operator stops it; what is wrong with how it ended."""
        if self._keeper is None:
            return []
        self._keeper.cancel()
        await asyncio.gather(self._keeper, return_exceptions=True)
        if not self.alive or self._process is None:
            return []
        family = self.family()
        self._process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(patience):
                self.status = await self._process.wait()
        except TimeoutError:
            self.kill()
            await self._process.wait()
            return [f"{self.name} did not end within {patience:g} s"]
        _, left = await asyncio.to_thread(psutil.wait_procs, family, timeout=3)
        for process in left:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        wrong = [f"{self.name} left the process {process.pid}" for process in left]
        if self.status not in (0, -signal.SIGTERM):
            wrong.append(f"{self.name} ended with status {self.status}")
        return wrong


def _halt(process: psutil.Process) -> None:
    """A process that stands still has no child that is not known yet: one that PostgreSQL forked in the meantime would
    live on, wait for a lock of the dead, and keep the server from starting again."""
    process.suspend()
    until = monotonic() + HALT
    while process.status() not in HALTED and monotonic() < until:
        time.sleep(0.001)


def everyday_environment() -> dict[str, str]:
    """What any program needs, and none of the settings that may stand in this shell."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}
