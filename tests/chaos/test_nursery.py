"""Processes that are forked instead of started from nothing."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chaos.nursery import Nursery

PROGRAM = """
import os, sys, time
if __name__ == "__main__":
    print(sys.argv[1:], os.environ["WORD"], os.getcwd(), os.getsid(0) == os.getpid(), flush=True)
    time.sleep(float(sys.argv[1]))
    sys.exit(3)
"""


async def opened(folder: Path) -> Nursery:
    return await Nursery.open({**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}, folder, known=())


@pytest.fixture
async def nursery(tmp_path: Path) -> AsyncIterator[Nursery]:
    nursery = await opened(tmp_path)
    yield nursery
    await nursery.close()


async def test_a_forked_process_is_the_program_that_was_asked_for(nursery: Nursery, tmp_path: Path) -> None:
    program, log = tmp_path / "program.py", tmp_path / "words.log"
    program.write_text(PROGRAM)
    command = [sys.executable, str(program), "0"]
    born = await nursery.start(command, {"WORD": "here"}, tmp_path, log)
    assert await asyncio.wait_for(born.wait(), 20) == 3
    assert log.read_text() == f"['0'] here {tmp_path} True\n"


async def test_a_forked_process_can_be_killed_and_its_brothers_live_on(nursery: Nursery, tmp_path: Path) -> None:
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    one, other = [
        await nursery.start([sys.executable, str(program), "60"], {"WORD": ""}, tmp_path, tmp_path / "words.log")
        for _ in range(2)
    ]
    one.send_signal(signal.SIGKILL)
    assert await asyncio.wait_for(one.wait(), 20) == -signal.SIGKILL
    assert other.returncode is None
    other.send_signal(signal.SIGTERM)
    assert await asyncio.wait_for(other.wait(), 20) == -signal.SIGTERM


async def test_nobody_is_left_when_the_nursery_ends(tmp_path: Path) -> None:
    nursery = await opened(tmp_path)
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    born = await nursery.start([sys.executable, str(program), "60"], {"WORD": ""}, tmp_path, tmp_path / "words.log")
    await nursery.close()
    for _ in range(100):
        try:
            os.kill(born.pid, 0)
        except ProcessLookupError:
            return
        await asyncio.sleep(0.05)
    pytest.fail("it is still there")


async def test_who_asks_a_nursery_that_was_killed_is_told_so(nursery: Nursery, tmp_path: Path) -> None:
    nursery._process.kill()
    for _ in range(2):  # the first may be on its way when it dies
        with pytest.raises((RuntimeError, ConnectionError)):
            await asyncio.wait_for(nursery.start([sys.executable, "-"], {}, tmp_path, tmp_path / "words.log"), 20)
