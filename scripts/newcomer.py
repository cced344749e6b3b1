"""Times what a newcomer sees: a clone into an empty folder with an empty HOME, `make run` to ready, and again.

`make newcomer` prints a table. The package cache is warm only if PIP_CACHE_DIR names one.
"""

from __future__ import annotations

import os
import platform
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PATIENCE = 300.0
AGAIN = 3
Spoken = dict[str, str]


def main() -> int:
    """Exit status 1 when the service was not ready in time."""
    with tempfile.TemporaryDirectory(prefix="newcomer-") as folder:
        clone, home = Path(folder) / "callslip", Path(folder) / "home"
        home.mkdir()
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(clone)], check=True)  # noqa: S603, S607 - our own
        spoken = {name: os.environ[name] for name in ("PATH", "LANG", "PIP_CACHE_DIR") if name in os.environ}
        times = [_seconds_to_ready(clone, {**spoken, "HOME": str(home), "PORT": str(_free_port())})]
        times += [
            _seconds_to_ready(clone, {**spoken, "HOME": str(home), "PORT": str(_free_port())}) for _ in range(AGAIN)
        ]
    cores = os.cpu_count()
    sys.stdout.write(f"Python {platform.python_version()}, {cores} cores, load {os.getloadavg()[0]:.1f}\n")
    sys.stdout.write(f"first run, from a clone to ready: {times[0]:.1f} s\n")
    sys.stdout.write(f"later runs to ready: {', '.join(f'{one:.1f} s' for one in times[1:])}\n")
    return 0 if max(times) < PATIENCE else 1


def _seconds_to_ready(clone: Path, environment: Spoken) -> float:
    began = time.monotonic()
    with (clone.parent / "run.log").open("w+b") as log:
        running = subprocess.Popen(
            ["make", "run"],  # noqa: S607 - as a person types it
            cwd=clone,
            env=environment,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        try:
            while b"Callslip is ready" not in (clone.parent / "run.log").read_bytes():
                if running.poll() is not None or time.monotonic() - began > PATIENCE:
                    sys.stderr.write((clone.parent / "run.log").read_text()[-2000:])
                    return PATIENCE
                time.sleep(0.02)
            return time.monotonic() - began
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(60)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


if __name__ == "__main__":
    sys.exit(main())
