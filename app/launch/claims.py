"""What one run needs for itself alone: the data folder, the port, and the end of an earlier run's processes."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import time
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from app.core.settings import Settings


class CannotLaunch(Exception):
    """Why this machine cannot run the service now, in a sentence or two."""


def claim_data_dir(data_dir: Path) -> int:
    """Makes the folder (its owner's only) and locks it for as long as this process lives. The lock's descriptor."""
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        lock = os.open(data_dir / "launch.lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise CannotLaunch(f"DATA_DIR={data_dir} cannot be used: {error.strerror}") from None
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        os.close(lock)
        raise CannotLaunch(
            f"Callslip already runs with this DATA_DIR ({data_dir}), as process {holder}.\n"
            "Stop it first, or give this one a DATA_DIR and a PORT of its own."
        ) from None
    os.truncate(lock, 0)
    os.pwrite(lock, f"{os.getpid()}\n".encode(), 0)
    return lock


def claim_children(data_dir: Path, patience: timedelta, say: Callable[[str, str], None]) -> int:
    """Locks out an earlier run's processes and returns the descriptor, which ours are to inherit.

    A launcher that was killed leaves its processes ending in order; two queues on one folder would damage it.
    """
    lock = os.open(data_dir / "children.lock", os.O_RDWR | os.O_CREAT, 0o600)
    until, told = time.monotonic() + patience.total_seconds(), False
    while True:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                os.close(lock)
                raise CannotLaunch(
                    "Processes of an earlier run are still working in this DATA_DIR; end them first."
                ) from None
            if not told:
                say("callslip", "waiting for the processes of an earlier run to end")
                told = True
            time.sleep(0.1)
        else:
            return lock


def check_demo(settings: Settings) -> None:
    """Says so at once when the workflow that stands in for one could not be reached."""
    if settings.n8n_webhook_url is None and not settings.n8n_allow_private:
        raise CannotLaunch("N8N_ALLOW_PRIVATE=false, and the demo is on this machine: set N8N_WEBHOOK_URL.")


def check_port(host: str, port: int) -> None:
    """Says so at once when somebody else listens there."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror:
        raise CannotLaunch(f"HOST={host} is not an address of this machine.") from None
    family, kind, protocol, _, address = found[0]
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(address)
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                raise CannotLaunch(
                    f"PORT={port} on {host} is in use. Choose another: PORT={port + 1} make run"
                ) from None
            raise CannotLaunch(f"HOST={host} PORT={port} cannot be used: {error.strerror}") from None


def free_port() -> int:
    """A port on the loopback interface that nobody uses right now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
