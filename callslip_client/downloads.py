"""A file on its way to disk: written beside its place, checked, and only then put there."""

from __future__ import annotations

import hashlib
import os
import threading
from pathlib import Path
from typing import BinaryIO

from callslip_client.errors import FileDamaged, NotUnderstood


class Saving:
    """One download. Everything but `size` works on the disk. A caller that gives up may call `discard` while another
    thread is still in one of the other methods."""

    def __init__(self, path: Path, token: str) -> None:
        self._path, self._part = path, path.with_name(f".{path.name[:100]}.{token}.part")
        self._file: BinaryIO | None = None
        self._given_up, self._lock = False, threading.Lock()
        self._hash = hashlib.sha256()
        self.size = 0

    def begin(self) -> None:
        """Raises OSError where nothing can be written, before anything is fetched."""
        if self._path.is_dir():
            raise IsADirectoryError(21, "is a folder; name the file", str(self._path))
        with self._lock:
            if not self._given_up:
                self._file = self._part.open("xb")

    def go_on(self, start: int) -> None:
        """The next bytes are those from `start` on: the ones that are missing, or all of them again."""
        if start not in (0, self.size):
            raise NotUnderstood("the answer holds another part of the file than was asked for")
        with self._lock:
            if self._file is not None and start != self.size:
                self._file.seek(0)
                self._file.truncate()
                self._hash, self.size = hashlib.sha256(), 0

    def write(self, piece: bytes) -> None:
        """Takes the next bytes."""
        with self._lock:
            if self._file is not None:
                self._file.write(piece)
                self._hash.update(piece)
                self.size += len(piece)

    def finish(self, sha256: bytes) -> None:
        """Puts the file in its place. Raises FileDamaged."""
        if self._hash.digest() != sha256:
            raise FileDamaged("the bytes that came do not have the file's digest; nothing was kept")
        with self._lock:
            if self._file is not None:
                self._file.flush()
                os.fsync(self._file.fileno())
                self._part.replace(self._path)

    def discard(self) -> None:
        """Leaves nothing behind but a finished file."""
        with self._lock:
            self._given_up = True
            if self._file is not None:
                self._file.close()
                self._file = None
                self._part.unlink(missing_ok=True)
