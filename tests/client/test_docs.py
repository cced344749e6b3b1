"""The examples of docs/client.md run as they stand, and what it says of the command is so."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from callslip_client.cli import app
from tests.client.service import KEY, Service

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == 4


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_it_stands(service: Service, tmp_path: Path, example: str) -> None:
    (tmp_path / "receipt.txt").write_text("12 coffees")
    service.finish(service.add_job())
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            for job_id in [*service.jobs]:
                if service.jobs[job_id]["status"] == "queued":
                    service.finish(job_id)
            time.sleep(0.05)

    worker = threading.Thread(target=work)
    worker.start()
    variables = {**os.environ, "CALLSLIP_URL": service.url, "CALLSLIP_API_KEY": KEY, "PYTHONPATH": str(ROOT)}
    ran = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env=variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    over.set()
    worker.join()
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout


def test_every_command_and_option_stands_in_the_page() -> None:
    for command in ("submit", "watch", "get", "list", "retry", "cancel", "doctor"):
        told = CliRunner().invoke(app, [command, "--help"], env={"COLUMNS": "200", "TERM": "dumb"}).stdout
        assert f"callslip {command}" in PAGE
        for option in re.findall(r"--[a-z-]+", told):
            assert option in PAGE or option in ("--help", "--probe"), (command, option)
