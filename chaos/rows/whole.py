"""Whole installations: stopped in the middle of everything, their secrets rotated, their workers killed by a job."""

from __future__ import annotations

import asyncio
import re
import sys

from chaos.parts import everyday_environment
from chaos.report import Outcome, RowProgram
from chaos.stack import Setup


async def run(setup: Setup) -> Outcome:
    """The row: the tests of `tests/whole`, with the periods of an installation."""
    process = await asyncio.create_subprocess_exec(
        *(
            sys.executable,
            "-m",
            "pytest",
            "-v",
            "-p",
            "no:cacheprovider",
            f"--basetemp={setup.folder / 'run'}",
            "tests/whole",
        ),
        cwd=setup.root,
        env={**everyday_environment(), "AS_INSTALLED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said = (await process.communicate())[0].decode("utf-8", "replace")
    passed = re.findall(r"::test_(\w+) PASSED", said)
    problems = [line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))]
    if process.returncode and not problems:
        problems = [said[-2000:]]
    return Outcome(figures=[f"{len(passed)} kept", *(name.replace("_", " ") for name in passed)], problems=problems)


ROW = RowProgram(
    name="whole",
    promise="a stop in the middle of everything, the rotation of every secret, a job that kills its worker: nothing lost",
    goal="the stop within 25 s; no call lost by a rotation; 100 of 100 jobs beside the poison succeed",
    run=run,
    takes=70,
)
