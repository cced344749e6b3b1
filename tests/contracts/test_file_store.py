"""What every FileStore promises."""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import threading
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.errors import DiskFull, FileGone, Malformed, TooLarge, Unavailable
from app.domain.models import JobId, new_job_id
from app.domain.protocols import FileStore
from app.infrastructure.file_store_local import AHEAD, PIECE, LocalFileStore
from app.infrastructure.memory_file_store import MemoryFileStore

PNG = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\1\0\0\0\1\x08\2\0\0\0\x90wS\xde"
LIMIT = 1 << 30


@pytest.fixture(params=[LocalFileStore, MemoryFileStore])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileStore]:
    if request.param is MemoryFileStore:
        yield MemoryFileStore()
        return
    local = LocalFileStore(tmp_path, min_free=0)
    yield local
    local.close()


def job_id() -> JobId:
    return new_job_id(datetime.now(UTC))


async def stream(*chunks: bytes) -> AsyncIterator[bytes]:
    for chunk in chunks:
        yield chunk


async def content(store: FileStore, of: JobId, start: int = 0, stop: int | None = None) -> bytes:
    async with store.open(of) as stored:
        return b"".join([chunk async for chunk in stored.chunks(start, stop)])


def left(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize("size", [1, PIECE - 1, PIECE, PIECE + 1, 3 * PIECE + 17])
async def test_the_bytes_come_back_as_they_were_with_size_and_digest(store: FileStore, size: int) -> None:
    data, mine = os.urandom(size), job_id()
    info = await store.save(mine, "a.bin", stream(data[: size // 3], data[size // 3 :]), LIMIT)
    assert (info.size, info.sha256) == (size, hashlib.sha256(data).hexdigest())
    assert await content(store, mine) == data


async def test_the_media_type_is_found_from_the_content_not_from_the_name(store: FileStore) -> None:
    info = await store.save(job_id(), "notes.txt", stream(PNG), LIMIT)
    assert info.media_type == "image/png"


async def test_the_file_name_is_data_and_never_a_path(store: FileStore, tmp_path: Path) -> None:
    mine = job_id()
    info = await store.save(mine, "../../etc/pass\0wd\u202e.txt", stream(b"x"), LIMIT)
    assert info.filename == "passwd.txt"
    assert all(path.name == str(mine) for path in left(tmp_path))


async def test_one_byte_more_than_the_limit_is_too_large_and_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    mine = job_id()
    await store.save(job_id(), "a", stream(b"12345"), 5)
    with pytest.raises(TooLarge):
        await store.save(mine, "a", stream(b"123", b"456"), 5)
    with pytest.raises(FileGone):
        await content(store, mine)
    assert len(left(tmp_path)) <= 1


async def test_the_limit_ends_the_reading_early(store: FileStore) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1000
            yield b"x" * 1000

    with pytest.raises(TooLarge):
        await store.save(job_id(), "a", endless(), 10_000)
    assert read <= 11_000


async def test_an_empty_file_is_refused_and_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    with pytest.raises(Malformed):
        await store.save(job_id(), "a", stream(b""), LIMIT)
    assert left(tmp_path) == []


async def test_whatever_the_sender_raises_comes_out_and_nothing_is_left(store: FileStore, tmp_path: Path) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield b"x" * (PIECE + 1)
        raise ConnectionResetError

    mine = job_id()
    with pytest.raises(ConnectionResetError):
        await store.save(mine, "a", broken(), LIMIT)
    with pytest.raises(FileGone):
        await content(store, mine)
    assert left(tmp_path) == []


@pytest.mark.parametrize(
    ("start", "stop", "expected"), [(0, None, b"abcdef"), (2, 4, b"cd"), (4, 99, b"ef"), (6, None, b"")]
)
async def test_a_part_can_be_read(store: FileStore, start: int, stop: int | None, expected: bytes) -> None:
    mine = job_id()
    await store.save(mine, "a", stream(b"abcdef"), LIMIT)
    assert await content(store, mine, start, stop) == expected


async def test_an_open_reader_survives_a_removal(store: FileStore) -> None:
    mine = job_id()
    await store.save(mine, "a", stream(b"abcdef"), LIMIT)
    async with store.open(mine) as stored:
        await store.remove(mine)
        assert b"".join([chunk async for chunk in stored.chunks()]) == b"abcdef"
        assert stored.size == 6
    with pytest.raises(FileGone):
        await content(store, mine)


async def test_removing_what_is_not_there_is_no_error(store: FileStore) -> None:
    await store.remove(job_id())


async def test_a_link_has_the_same_bytes_and_outlives_the_original(store: FileStore) -> None:
    first, second = job_id(), job_id()
    await store.save(first, "a", stream(b"abc"), LIMIT)
    await store.link(second, of=first)
    await store.remove(first)
    assert await content(store, second) == b"abc"


async def test_what_was_removed_cannot_be_linked(store: FileStore) -> None:
    with pytest.raises(FileGone):
        await store.link(job_id(), of=job_id())


async def test_orphans_are_told_by_age(store: FileStore) -> None:
    mine = job_id()
    await store.save(mine, "a", stream(b"abc"), LIMIT)
    assert await store.orphans(timedelta(hours=1)) == []
    assert await store.orphans(timedelta(seconds=-1)) == [mine]


async def test_a_check_gives_the_free_bytes_and_leaves_nothing(store: FileStore, tmp_path: Path) -> None:
    assert await store.check() > 0
    assert left(tmp_path) == []


async def test_unfinished_uploads_of_that_age_are_removed(tmp_path: Path) -> None:
    store = LocalFileStore(tmp_path, min_free=0)
    (tmp_path / "incoming" / "left-by-a-killed-process").write_bytes(b"half")
    await store.orphans(timedelta(hours=1))
    assert len(left(tmp_path)) == 1
    await store.orphans(timedelta(seconds=-1))
    assert left(tmp_path) == []
    store.close()


BLOCK = bytes(PIECE)
LARGE = 2 * AHEAD + 5


async def large() -> AsyncIterator[bytes]:
    for _ in range(LARGE // PIECE):
        yield BLOCK
    yield b"x" * (LARGE % PIECE)


async def test_a_large_file_is_forced_out_while_it_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    forced = []
    monkeypatch.setattr("os.fdatasync", lambda descriptor: forced.append(os.fstat(descriptor).st_size))
    store, mine = LocalFileStore(tmp_path, min_free=0), job_id()
    info = await store.save(mine, "a", large(), LIMIT)
    store.close()
    assert (info.size, info.sha256) == (LARGE, hashlib.sha256(bytes(2 * AHEAD) + b"x" * 5).hexdigest())
    assert forced
    assert AHEAD <= forced[0] < LARGE


@pytest.mark.parametrize(("number", "expected"), [(errno.EIO, Unavailable), (errno.ENOSPC, DiskFull)])
async def test_what_could_not_be_forced_out_is_not_kept_though_a_later_fsync_says_yes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, expected: type[Exception]
) -> None:
    def fail(_: int) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("os.fdatasync", fail)
    store = LocalFileStore(tmp_path, min_free=0)
    with pytest.raises(expected):
        await store.save(job_id(), "a", large(), LIMIT)
    store.close()
    assert left(tmp_path) == []


async def test_a_sender_who_leaves_while_a_file_is_forced_out_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, go_on = threading.Event(), threading.Event()
    open_yet = []

    def slow(descriptor: int) -> None:
        begun.set()
        go_on.wait(10)
        open_yet.append(os.fstat(descriptor).st_size)  # a descriptor that is closed meanwhile may be another file's

    async def then_nothing() -> AsyncIterator[bytes]:
        async for chunk in large():
            yield chunk
        await asyncio.Event().wait()

    monkeypatch.setattr("os.fdatasync", slow)
    store = LocalFileStore(tmp_path, min_free=0)
    saving = asyncio.create_task(store.save(job_id(), "a", then_nothing(), LIMIT))
    assert await asyncio.to_thread(begun.wait, 10)
    saving.cancel()
    await asyncio.sleep(0.05)
    assert not saving.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await saving
    store.close()
    assert open_yet
    assert left(tmp_path) == []


async def test_below_the_floor_of_free_space_nothing_is_taken(tmp_path: Path) -> None:
    store = LocalFileStore(tmp_path, min_free=1 << 60)
    with pytest.raises(DiskFull) as caught:
        await store.save(job_id(), "a", stream(b"abc"), LIMIT)
    assert caught.value.retry_after > timedelta()
    with pytest.raises(DiskFull):
        await store.check()
    store.close()


async def test_while_the_disk_is_away_the_store_is_unavailable_and_no_file_counts_as_removed(tmp_path: Path) -> None:
    store, kept = LocalFileStore(tmp_path / "disk", min_free=0), job_id()
    await store.save(kept, "a", stream(b"abc"), LIMIT)
    (tmp_path / "disk").rename(tmp_path / "away")
    with pytest.raises(Unavailable):
        await store.save(job_id(), "b", stream(b"abc"), LIMIT)
    with pytest.raises(Unavailable):
        await store.link(job_id(), kept)
    with pytest.raises(Unavailable):
        await store.check()
    with pytest.raises(Unavailable):
        await store.remove(kept)
    with pytest.raises(Unavailable):
        async with store.open(kept):
            pass
    (tmp_path / "away").rename(tmp_path / "disk")
    async with store.open(kept) as content:
        assert b"".join([piece async for piece in content.chunks()]) == b"abc"
    store.close()


def folders(below: Path) -> set[Path]:
    return {path for path in below.rglob("*") if path.is_dir()}


async def test_a_local_upload_makes_no_folder_so_no_name_above_the_file_is_ever_in_doubt(tmp_path: Path) -> None:
    local = LocalFileStore(tmp_path, min_free=0)
    before = folders(tmp_path)
    for _ in range(20):
        await local.save(job_id(), "a.bin", stream(b"x"), LIMIT)
    local.close()
    assert folders(tmp_path) == before
