"""What `pip install .` brings is enough for the command and the client: nothing of the server's is needed."""

from __future__ import annotations

import re
import subprocess
import sys
from importlib import metadata

# As in an environment where the named packages are not installed.
WITHOUT = """
import sys

class Absent:
    @staticmethod
    def find_spec(name, *_):
        if name.partition(".")[0] in {absent!r}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Absent)
from callslip_client import AsyncCallslip, Callslip
from callslip_client.cli import app

app(["doctor", "--help"])
"""


def brought(names: set[str]) -> set[str]:
    """These distributions and all that they require without an extra, by their normal names."""
    known: set[str] = set()
    while names:
        name = names.pop()
        known.add(name)
        for line in metadata.requires(name) or ():
            wanted, _, marker = line.partition(";")
            if "extra" not in marker and (found := re.match(r"[\w.-]+", wanted)):
                names |= {required for required in _normal([found[0]]) - known if _is_here(required)}
    return known


def _normal(names: list[str]) -> set[str]:
    return {re.sub(r"[-_.]+", "-", name).lower() for name in names}


def _is_here(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:  # for another system or Python
        return False
    return True


def test_the_command_runs_where_nothing_of_the_server_is_installed() -> None:
    there = brought({"httpx", "rich", "typer"})
    owners = metadata.packages_distributions()
    absent = {name for name, owned_by in owners.items() if not there & _normal(owned_by)} | {"app"}
    absent -= {"callslip_client"}
    assert {"fastapi", "redis", "sqlmodel", "click"} <= absent
    run = subprocess.run(
        [sys.executable, "-c", WITHOUT.format(absent=absent)], capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    assert "probe" in run.stdout
