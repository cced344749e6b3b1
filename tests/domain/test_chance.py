"""Random bytes in blocks."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from app.domain.chance import BLOCK, Chance

ROOT = Path(__file__).resolve().parents[2]


def test_each_piece_is_as_long_as_asked_for_and_comes_once() -> None:
    chance = Chance()
    with ThreadPoolExecutor(4) as threads:
        pieces = list(threads.map(chance, [16] * BLOCK))
    assert {len(piece) for piece in pieces} == {16}
    assert len(set(pieces)) == BLOCK


def test_a_forked_process_gets_other_bytes_than_its_parent() -> None:
    program = "import os; from app.domain.chance import chance; chance(1); os.fork(); os.write(1, chance(16))"
    told = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True, cwd=ROOT).stdout
    assert len(told) == 32
    assert told[:16] != told[16:]


def test_a_forked_process_does_not_wait_for_a_thread_it_does_not_have() -> None:
    chance = Chance()
    with chance._lock:  # as a thread of the parent may at the moment of the fork
        chance._forget()
        assert len(chance(16)) == 16
