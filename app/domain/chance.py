"""Random bytes of the operating system, fetched for many callers at a time: asking for them lets another thread in, and
then waits for a turn."""

from __future__ import annotations

import os
import threading

BLOCK = 4096


class Chance:
    """Call it for so many bytes, at most BLOCK. No byte is given twice, whichever thread or forked process asks."""

    def __init__(self) -> None:
        self._lock, self._block, self._given = threading.Lock(), b"", 0
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self, count: int) -> bytes:
        with self._lock:
            if len(self._block) - self._given < count:
                self._block, self._given = os.urandom(BLOCK), 0
            self._given += count
            return self._block[self._given - count : self._given]

    def _forget(self) -> None:
        # The lock, too: a thread that is not in the child may have held it.
        self._lock, self._block, self._given = threading.Lock(), b"", 0


chance = Chance()
