"""The commands beside the database, where there is none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from app.launch import programs
from app.launch.env_file import ensure_env_file


@pytest.mark.parametrize("url", ["", "sqlite:///elsewhere.db"])
def test_where_no_database_is_the_audit_cannot_tell_and_makes_none(tmp_path: Path, url: str) -> None:
    ensure_env_file(tmp_path / ".env")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(programs.ROOT)} | (
        {"DATABASE_URL": url} if url else {}
    )
    command = [sys.executable, "-m", "app.admin", "audit", "verify"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("there is no database at ")
    assert [path.name for path in tmp_path.iterdir()] == [".env"]
