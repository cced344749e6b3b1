"""Starts the product's programs by forking a process that has imported what they import and done nothing else: a start
costs a tenth of the processor time, so that thousands of kills are dealt in an hour instead of a day.

What a program does from its first own line on is the same. `python -m chaos.nursery FD MODULE...` is that process; it is
spoken to over the socket FD, a line of JSON a message.
"""

from __future__ import annotations

import asyncio
import gc
import importlib
import itertools
import json
import os
import runpy
import selectors
import signal
import socket
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from app.launch.child import end_with_parent

KNOWN = ("app.bootstrap.asgi", "app.worker", "app.api.http_protocol", "uvicorn.main", "uvloop", "httptools", "psycopg")


class Born:
    """A process of the nursery's. As much of asyncio's `Process` as a `Part` uses."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self.ended = asyncio.Event()

    async def wait(self) -> int:
        """Its exit status, negative for a signal."""
        await self.ended.wait()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, number: int) -> None:
        """Nothing where it has ended."""
        if self.returncode is None:
            os.kill(self.pid, number)


class Nursery:
    """The harness's end of it."""

    def __init__(
        self, process: asyncio.subprocess.Process, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._process, self._reader, self._writer = process, reader, writer
        self._numbers = itertools.count()
        self._expected: dict[int, asyncio.Future[Born]] = {}
        self._living: dict[int, Born] = {}
        self._hearing = asyncio.create_task(self._hear())

    @classmethod
    async def open(cls, env: Mapping[str, str], cwd: Path, known: Sequence[str] = KNOWN) -> Nursery:
        """Returns when the modules `known` are imported. `env` is what they look at on the way: where metrics go, say."""
        ours, theirs = socket.socketpair()
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "chaos.nursery", str(theirs.fileno()), *known),
                cwd=cwd,
                env=dict(env),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                preexec_fn=end_with_parent,
            )
        reader, writer = await asyncio.open_connection(sock=ours)
        if await reader.readline() != b"ready\n":
            raise RuntimeError("the nursery did not start")
        return cls(process, reader, writer)

    async def start(self, command: Sequence[str], env: Mapping[str, str], cwd: Path, log: Path) -> Born:
        """A process that does what `command` says, with its words in `log`. Raises RuntimeError where the nursery has ended."""
        if self._hearing.done():
            raise RuntimeError("the nursery has ended")
        number = next(self._numbers)
        self._expected[number] = asyncio.get_running_loop().create_future()
        wish = {"number": number, "command": list(command), "env": dict(env), "cwd": str(cwd), "log": str(log)}
        self._writer.write(json.dumps(wish).encode() + b"\n")
        return await self._expected[number]

    async def _hear(self) -> None:
        with suppress(ConnectionError):  # as good as the end of what it says
            while line := await self._reader.readline():
                self._heard(json.loads(line))
        for expected in self._expected.values():
            expected.set_exception(RuntimeError("the nursery has ended"))

    def _heard(self, told: Mapping[str, int]) -> None:
        if "status" in told:
            born = self._living.pop(told["pid"])
            born.returncode = told["status"]
            born.ended.set()
        else:
            born = self._living[told["pid"]] = Born(told["pid"])
            self._expected.pop(told["number"]).set_result(born)

    async def close(self) -> None:
        """Ends it, and with it all that it started."""
        self._hearing.cancel()
        self._writer.close()
        await self._process.wait()


def serve(wishes: socket.socket) -> dict[str, Any] | None:
    """Forks for each wish. Returns None when nobody wishes any more, and in a child what the wish was."""
    woken, waking = os.pipe()
    os.set_blocking(waking, False)
    signal.set_wakeup_fd(waking)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    waiting = b""
    with selectors.DefaultSelector() as selector:
        selector.register(wishes, selectors.EVENT_READ)
        selector.register(woken, selectors.EVENT_READ)
        while True:
            ready = {key.fd for key, _ in selector.select()}
            if woken in ready:
                os.read(woken, 4096)
                _tell_of_the_dead(wishes)
            if wishes.fileno() in ready:
                read = wishes.recv(1 << 16)
                if not read:
                    return None
                *lines, waiting = (waiting + read).split(b"\n")
                for line in lines:
                    wish: dict[str, Any] = json.loads(line)
                    if not (pid := os.fork()):
                        signal.set_wakeup_fd(-1)
                        os.close(woken)
                        os.close(waking)
                        return wish
                    _say(wishes, {"number": wish["number"], "pid": pid})


def _tell_of_the_dead(wishes: socket.socket) -> None:
    with suppress(ChildProcessError):
        while (found := os.waitpid(-1, os.WNOHANG))[0]:
            _say(wishes, {"pid": found[0], "status": os.waitstatus_to_exitcode(found[1])})


def _say(wishes: socket.socket, told: Mapping[str, int]) -> None:
    wishes.sendall(json.dumps(told).encode() + b"\n")


def become(wish: Mapping[str, Any]) -> None:
    """Turns this forked process into the program: its own session, words, environment and folder, then its first line."""
    for number in (signal.SIGCHLD, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.setsid()
    end_with_parent()
    log = os.open(wish["log"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.environ.clear()
    os.environ.update(wish["env"])
    os.chdir(wish["cwd"])
    _, *rest = wish["command"]
    if rest[0] == "-m":
        sys.argv = rest[1:]
        runpy.run_module(rest[1], run_name="__main__", alter_sys=True)
    else:
        sys.argv = rest
        runpy.run_path(rest[0], run_name="__main__")


def main() -> None:
    """Imports, says so, and serves."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the harness says when
    for name in sys.argv[2:]:
        importlib.import_module(name)
    gc.freeze()
    wishes = socket.socket(fileno=int(sys.argv[1]))
    wishes.sendall(b"ready\n")
    wish = serve(wishes)
    if wish is not None:
        wishes.close()
        become(wish)


if __name__ == "__main__":
    main()
