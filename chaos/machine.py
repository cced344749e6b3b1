"""Where a run took place, in words, for the page that it writes."""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import psutil  # type: ignore[import-untyped]  # has no types of its own


def machine(place: Path) -> str:
    """Cores, memory, system, the file system that holds this folder, Python, and how busy it is now."""
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{len(os.sched_getaffinity(0))} cores, {memory:.0f} GiB, {_system()} (Linux {platform.release().partition('-')[0]}), "
        f"{_file_system(place)}, Python {platform.python_version()}; load average at the start {os.getloadavg()[0]:.1f}"
    )


def commit(root: Path) -> str:
    """What was run: the commit, `-dirty` where files differ from it. Pages of documentation are not run, and a run writes one."""
    found = _git(root, "describe", "--always", "--abbrev=10")
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".", ":(exclude)docs")
    return f"{found}-dirty" if found and changed else found or "unknown"


def _git(root: Path, *arguments: str) -> str:
    said = subprocess.run(["git", "-C", str(root), *arguments], check=False, capture_output=True, text=True)
    return said.stdout.strip()


def _system() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return platform.system()


def _file_system(place: Path) -> str:
    above = {place.resolve(), *place.resolve().parents}
    mounts = [part for part in psutil.disk_partitions(all=True) if Path(part.mountpoint) in above]
    return max(mounts, key=lambda part: len(part.mountpoint)).fstype if mounts else "an unknown file system"
