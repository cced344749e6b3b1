"""Turns the ranges in pyproject.toml into pins: `python scripts/pins.py`, run by `make requirements`.

Asks pip for the newest set that fits, wheels only. Markers written in pyproject.toml are kept on their lines.
"""

from __future__ import annotations

import json
import platform
import re
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REPORT = (
    "-m pip --quiet --disable-pip-version-check install --dry-run --ignore-installed --only-binary :all: --report -"
)


def main() -> None:
    """Writes requirements.txt and, on top of it, requirements-llm.txt and, on top of both, requirements-dev.txt."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    groups, client = settings["dependency-groups"], settings["project"]["dependencies"]
    server = _resolved([*groups["server"], *client])  # who runs the service can use the command beside it
    _write("requirements.txt", "run-time pins", server, groups["server"])
    known = {**server}
    for group, title, below in (
        ("llm", "what LLM_MODEL needs in addition", "requirements.txt"),
        ("dev", "tools and tests in addition", "requirements-llm.txt"),
    ):
        both = _resolved([*groups[group], *(f"{name}=={version}" for name, version in known.items())])
        more = {name: version for name, version in both.items() if name not in known}
        _write(f"requirements-{group}.txt", title, more, groups[group], f"-r {below}\n")
        known |= more


def _resolved(ranges: list[str]) -> dict[str, str]:
    """Name and version of everything that pip would install."""
    command = [sys.executable, *REPORT.split(), *ranges]
    report = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603 - our own command line
    found = [entry["metadata"] for entry in json.loads(report.stdout)["install"]]
    return {entry["name"]: entry["version"] for entry in sorted(found, key=lambda entry: entry["name"].lower())}


def _write(name: str, title: str, pins: dict[str, str], ranges: list[str], head: str = "") -> None:
    markers = {_plain(text): marker.strip() for text, _, marker in (line.partition(";") for line in ranges) if marker}
    lines = [
        f"{pin}=={version}" + (f" ; {markers[_plain(pin)]}" if _plain(pin) in markers else "")
        for pin, version in pins.items()
    ]
    made = f"# {title}; made by `make requirements` from pyproject.toml with Python {platform.python_version()}\n"
    (ROOT / name).write_text(made + head + "\n".join(lines) + "\n")


def _plain(name: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", name)
    return re.sub(r"[-_.]+", "-", match[0]).lower() if match else ""


if __name__ == "__main__":
    main()
