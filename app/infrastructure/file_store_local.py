"""Files in a local folder, durable when saved: written, fsynced, renamed, and the folder fsynced, in this order.

A rename is durable only when its folder is synced, and a synced folder is worth nothing without the synced file.
An fsync that fails is final: the kernel may have dropped the pages, and a second fsync would say yes to nothing.
A large file is forced out while it comes, too: at its end only the last of it is waited for.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import itertools
import os
import secrets
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import TypeVar
from uuid import UUID

from app.domain.errors import DiskFull, FileGone, Malformed, TooLarge, Unavailable
from app.domain.filenames import clean_filename
from app.domain.models import FileUploadInfo, JobId
from app.domain.protocols import StoredContent
from app.infrastructure.media_type import HEAD, media_type
from app.infrastructure.threads import Threads

T = TypeVar("T")
ROOM_EVERY = 0.5  # seconds
PIECE = 256 * 1024  # bytes that go to the writing thread at a time
AHEAD = 32 * 1024 * 1024  # bytes that gather before they are forced out while the rest comes
FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


class LocalFileStore:
    """Keeps files under `root`: `incoming/` for what is being received, `stored/xx/<job id>` for the rest.

    `min_free` bytes are always left to the disk's other users.
    """

    def __init__(self, root: Path, min_free: int, threads: int = 8) -> None:
        self._incoming, self._stored, self._min_free = root / "incoming", root / "stored", min_free
        self._places = f"{self._incoming}/", f"{self._stored}/"
        self._threads = Threads(threads, "files")
        self._tries = itertools.count()
        self._looked_at = -ROOM_EVERY
        for folder in (self._incoming, self._stored, *(self._stored / f"{number:02x}" for number in range(256))):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        # Once for all uploads: of two into a folder that one of them just made, the other would not know of it.
        for folder in (self._stored, root, root.parent):
            _sync_folder(folder)

    async def save(self, job_id: JobId, filename: str, chunks: AsyncIterator[bytes], max_size: int) -> FileUploadInfo:
        self._enough_room()
        # Named by the job and a try's number: asking the system for chance would let another thread in, and wait.
        name, (incoming, stored) = str(job_id), self._places
        upload = _Upload(f"{incoming}{name}-{next(self._tries)}")
        forcing = _Forcing(lambda: self._call(upload.force))
        last = b""
        try:
            async for piece in _pieces(chunks, max_size):
                if len(piece) < PIECE:
                    last = piece  # written together with the fsync: one thread hop for a small file
                else:
                    await self._call(upload.write, piece)
                    await forcing.follow(upload.size)
            await forcing.over()
            if not (upload.size or last):
                raise Malformed("the file is empty")  # noqa: TRY301 - what was begun is discarded below
            await self._call(upload.publish, f"{stored}{name[-2:]}", name, last)
        except BaseException:
            try:
                await forcing.settled()
            finally:
                upload.discard()
            raise
        return FileUploadInfo(
            filename=clean_filename(filename),
            size=upload.size,
            sha256=upload.digest.hexdigest(),
            media_type=media_type(upload.head),
        )

    async def link(self, job_id: JobId, of: JobId) -> None:
        def link() -> None:
            source, target = self._path(of), self._path(job_id)
            os.link(source, target)
            _sync_folder(target.parent)

        await self._call(link)

    @asynccontextmanager
    async def open(self, job_id: JobId) -> AsyncIterator[StoredContent]:
        descriptor = await self._call(os.open, self._path(job_id), os.O_RDONLY)
        try:
            yield _Content(descriptor, os.fstat(descriptor).st_size, self)
        finally:
            os.close(descriptor)

    async def remove(self, job_id: JobId) -> None:
        path = self._path(job_id)

        def remove() -> None:
            try:
                path.unlink()
            except FileNotFoundError:
                path.parent.stat()  # where the whole disk is away, nothing was removed
            else:
                _sync_folder(path.parent)

        await self._call(remove)

    async def orphans(self, older_than: timedelta) -> list[JobId]:
        return await self._call(lambda: list(self._old(time.time() - older_than.total_seconds())))

    async def check(self) -> int:
        def probe() -> None:
            upload = _Upload(f"{self._places[0]}{secrets.token_hex(16)}")
            try:
                upload.write(b"probe")
            finally:
                upload.discard()

        await self._call(probe)
        return self._room()

    def close(self) -> None:
        """Waits for writes that were begun."""
        self._threads.close()

    def _old(self, before: float) -> Iterator[JobId]:
        for path in self._incoming.iterdir():
            with suppress(FileNotFoundError):
                if path.stat().st_mtime < before:
                    path.unlink()
        for path in self._stored.glob("*/*"):
            with suppress(FileNotFoundError, ValueError):
                if path.stat().st_ctime < before:  # ctime: a link made for a retry is young, its bytes are old
                    yield JobId(UUID(path.name))

    def _enough_room(self) -> None:
        """Looks once in a while. A disk that fills up meanwhile says so itself, and nothing is kept then either."""
        if time.monotonic() - self._looked_at >= ROOM_EVERY:
            self._room()  # where it raises, the next one looks again
            self._looked_at = time.monotonic()

    def _room(self) -> int:
        try:
            usage = os.statvfs(self._stored)
        except OSError as error:
            raise _failed(error) from error
        free = usage.f_bavail * usage.f_frsize
        if free < self._min_free:
            raise DiskFull("there is too little room left to take files", timedelta(minutes=1))
        return free

    def _path(self, job_id: JobId) -> Path:
        return self._stored / job_id.hex[-2:] / str(job_id)

    async def _call(self, work: Callable[..., T], *args: object) -> T:
        """Runs blocking work in a thread, to its end even when the caller is cancelled, and translates its errors."""
        try:
            return await self._threads.run(lambda: work(*args))
        except FileNotFoundError as error:
            if not self._stored.is_dir():  # a disk that is not mounted has lost nothing
                raise _failed(error) from error
            raise FileGone("the file is no longer kept") from error
        except OSError as error:
            if error.errno in FULL:
                raise DiskFull("the disk is full", timedelta(minutes=1)) from error
            raise _failed(error) from error


class _Upload:
    """One file being received. `write`, `force` and `publish` block."""

    def __init__(self, path: str) -> None:
        self.path, self.size, self.head, self.digest = path, 0, b"", hashlib.sha256()
        self._descriptor = -1

    def write(self, piece: bytes) -> None:
        if self._descriptor < 0:
            self._descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.size += len(piece)
        if len(self.head) < HEAD:
            self.head += piece[: HEAD - len(self.head)]
        self.digest.update(piece)
        view = memoryview(piece)
        while view:
            view = view[os.write(self._descriptor, view) :]

    def force(self) -> None:
        os.fdatasync(self._descriptor)

    def publish(self, folder: str, name: str, last: bytes) -> None:
        if last:
            self.write(last)
        os.fsync(self._descriptor)
        self._close()
        target = f"{folder}/{name}"
        os.rename(self.path, target)  # noqa: PTH104 - a Path costs more than the call
        self.path = target
        _sync_folder(folder)

    def discard(self) -> None:
        self._close()
        Path(self.path).unlink(missing_ok=True)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1


class _Forcing:
    """Forces out what came of a large file, once at a time, beside the writing of the rest."""

    def __init__(self, force: Callable[[], Coroutine[None, None, None]]) -> None:
        self._force, self._forced = force, 0
        self._task: asyncio.Task[None] | None = None

    async def follow(self, size: int) -> None:
        """Begins if enough has gathered. Raises what went wrong the last time."""
        if size - self._forced >= AHEAD and (self._task is None or self._task.done()):
            await self.over()
            self._task, self._forced = asyncio.create_task(self._force()), size

    async def over(self) -> None:
        """Waits for what was begun, and raises what went wrong: a later fsync would not tell."""
        if self._task is not None:
            await self._task

    async def settled(self) -> None:
        """Waits for what was begun, for which nobody cares any more."""
        if self._task is not None:
            await asyncio.gather(self._task, return_exceptions=True)


class _Content:
    """An open file; reads by position, so several readers may share it."""

    def __init__(self, descriptor: int, size: int, store: LocalFileStore) -> None:
        self._descriptor, self.size, self._store = descriptor, size, store

    async def chunks(self, start: int = 0, stop: int | None = None) -> AsyncIterator[bytes]:
        end = self.size if stop is None else min(stop, self.size)
        while start < end:
            size = min(PIECE, end - start)
            piece = _at_hand(self._descriptor, size, start) or await self._store._call(  # noqa: SLF001
                os.pread, self._descriptor, size, start
            )
            if not piece:
                raise FileGone("the stored file is shorter than it was")
            start += len(piece)
            yield piece


def _at_hand(descriptor: int, size: int, start: int) -> bytes:
    """The bytes if they are in memory, where reading them costs less than a change of thread; else none."""
    if not hasattr(os, "RWF_NOWAIT"):
        return b""
    buffer = bytearray(size)
    try:
        count = os.preadv(descriptor, [buffer], start, os.RWF_NOWAIT)
    except OSError:  # on the disk only, or a file system that cannot tell
        return b""
    return bytes(buffer[:count])


async def _pieces(chunks: AsyncIterator[bytes], max_size: int) -> AsyncIterator[bytes]:
    """The same bytes in pieces of at least PIECE, but for the last. Raises TooLarge at the byte that is too many."""
    waiting: list[bytes] = []
    size = total = 0
    async for chunk in chunks:
        waiting.append(chunk)
        size += len(chunk)
        total += len(chunk)
        if total > max_size:
            raise TooLarge(f"the file is larger than {max_size} bytes")
        if size >= PIECE:
            yield b"".join(waiting)
            waiting, size = [], 0
    if size:
        yield b"".join(waiting)


def _failed(error: OSError) -> Unavailable:
    return Unavailable(f"the file store failed: {os.strerror(error.errno or 0)}")


def _sync_folder(folder: Path | str) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
