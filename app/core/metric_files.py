"""The files through which processes count together, made so that a full disk ends nobody."""

from __future__ import annotations

import mmap
import os
from pathlib import Path
from typing import Any, Final

from prometheus_client import values
from prometheus_client.mmap_dict import MmapedDict

FIRST_SIZE: Final = 1 << 16
ENTRY: Final = 32  # bytes that an entry takes at most beside its key


class RoomyFile(MmapedDict):
    """One process's figures of one kind, with the room for them taken on the disk before they are written.

    The library's own files have holes, and whoever writes into a mapped hole of a full disk is ended by SIGBUS. Where
    there is no room, the figures go on in memory, and others see them once there is.
    """

    _f: Any
    _m: Any
    _positions: dict[str, int]

    def __init__(self, filename: str) -> None:
        self._adrift = not _has_room(filename, FIRST_SIZE)
        if self._adrift:
            self._f, self._fname, self._positions, self._used = None, filename, {}, 8
            self._capacity = FIRST_SIZE
            self._m = mmap.mmap(-1, FIRST_SIZE)
        else:
            super().__init__(filename)  # type: ignore[no-untyped-call]

    def _init_value(self, key: str) -> None:
        """Called for each new key; the library's `_capacity` is kept large enough that it never makes a hole itself."""
        fits = self._used + len(key.encode()) + ENTRY <= self._capacity
        if self._adrift or not fits:
            self._move(self._capacity if fits else self._capacity * 2)
        super()._init_value(key)  # type: ignore[no-untyped-call]

    def _move(self, capacity: int) -> None:
        """To a mapping of that size: of the file if there is room for it, else of memory."""
        written, self._adrift = self._m[: self._used], not _has_room(self._fname, capacity)
        if self._adrift:
            self._m = mmap.mmap(-1, capacity)
        else:
            with Path(self._fname).open("r+b") as file:
                self._m = mmap.mmap(file.fileno(), capacity)
        self._m[: self._used] = written
        self._capacity = capacity


def _has_room(filename: str, size: int) -> bool:
    """Makes the file that large on the disk itself; says whether that could be done."""
    path = Path(filename)
    try:
        with path.open("ab") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    except OSError:
        if path.exists() and path.stat().st_size == 0:
            path.unlink()  # nothing that can be read
        return False
    return True


if hasattr(os, "posix_fallocate"):  # not on macOS
    vars(values)["MmapedDict"] = RoomyFile  # the class by which the library makes its files
