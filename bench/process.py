"""One process that is measured: started, bound to a core, stopped and let go on, its CPU and memory read, ended."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import psutil

from app.launch.child import end_with_parent

ROOT = Path(__file__).resolve().parents[1]
CORES = sorted(os.sched_getaffinity(0)) if sys.platform == "linux" else []
# What is measured has one core to itself; the load, the far side, the queue and the database share the other.
MEASURED, BESIDE = (CORES[0], CORES[1]) if len(CORES) > 1 else (None, None)


def bind(core: int | None) -> None:
    """Binds this process, and what it starts, to a core."""
    if core is not None:
        os.sched_setaffinity(0, {core})


def free_port() -> int:
    """A port on the loopback interface that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Running:
    """A program and all that it starts. Ends with the harness, whatever happens to that."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        folder: Path,
        *,
        core: int | None = None,
        user: str | None = None,
    ) -> None:
        def prepare() -> None:
            end_with_parent()
            bind(core)

        self.name, self.log = name, folder / f"{name}.log"
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                command,
                cwd=folder,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                preexec_fn=prepare,  # noqa: PLW1509 - the harness has one thread
                user=user,
            )

    def family(self) -> list[psutil.Process]:
        """The process and all below it."""
        with suppress(psutil.NoSuchProcess):
            own = psutil.Process(self._process.pid)
            return [own, *own.children(recursive=True)]
        return []

    def cpu(self) -> float:
        """Seconds of processor time so far, of the whole family, those who have ended included."""
        seconds = 0.0
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
        return seconds

    def memory(self) -> tuple[float, float]:
        """What the family holds now, in MiB: resident, and with shared pages counted once (PSS)."""
        resident = shared_once = 0.0
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                figures = one.memory_full_info()
                resident += figures.rss
                shared_once += figures.pss
        return resident / 2**20, shared_once / 2**20

    def forget_peak(self) -> None:
        """From now on `peak` counts anew."""
        for one in self.family():
            with suppress(OSError):
                Path(f"/proc/{one.pid}/clear_refs").write_text("5")

    def peak(self) -> float:
        """The family's largest resident memory, in MiB."""
        return sum(self._peaks()) / 1024

    def _peaks(self) -> Iterator[int]:
        for one in self.family():
            with suppress(OSError):
                lines = Path(f"/proc/{one.pid}/status").read_text().splitlines()
                yield from (int(line.split()[1]) for line in lines if line.startswith("VmHWM"))

    def pause(self) -> None:
        """It gets no time until `go_on`."""
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                one.suspend()

    def go_on(self) -> None:
        for one in self.family():
            with suppress(psutil.NoSuchProcess):
                one.resume()

    def until_listens(self, port: int, patience: float = 20.0) -> None:
        """Returns when the port answers. Raises RuntimeError with the program's last words."""
        until = time.monotonic() + patience
        while time.monotonic() < until and self._process.poll() is None:
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), 0.5):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not listen: {self.last_words()}")

    def until_says(self, words: str, patience: float = 20.0) -> None:
        """Returns when these words stand in its log."""
        until = time.monotonic() + patience
        while time.monotonic() < until and self._process.poll() is None:
            if words in self.log.read_text(errors="replace"):
                return
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} did not say `{words}`: {self.last_words()}")

    def last_words(self) -> str:
        return self.log.read_text(errors="replace")[-600:]

    def stop(self, patience: float = 5.0, number: signal.Signals = signal.SIGTERM) -> None:
        """Asks it to end, then ends it and all that it started."""
        family = self.family()
        self.go_on()
        with suppress(ProcessLookupError):
            self._process.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(patience)
        for one in family:
            with suppress(psutil.NoSuchProcess):
                one.kill()
        self._process.wait()
