"""The model of a disk in a power cut: what was forced stays, what was not is lost, and luck lies in between."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from chaos.disk_model import Disk, content, steps

A, B, FOLDER = "/data/incoming/a", "/data/stored/b", "/data/stored"


def hexed(text: str) -> str:
    return "".join(f"\\x{byte:02x}" for byte in text.encode())


def written() -> list[str]:
    return [
        f'7  openat(AT_FDCWD, "{hexed(A)}", O_WRONLY|O_CREAT|O_EXCL, 0600) = 5',
        f'7  write(5, "{hexed("hello")}", 5) = 5',
    ]


FSYNC_FILE = "7  fsync(5)  = 0"
CLOSE = "7  close(5) = 0"
RENAME = f'7  rename("{hexed(A)}", "{hexed(B)}") = 0'
FSYNC_FOLDER = [
    f'7  openat(AT_FDCWD, "{hexed(FOLDER)}", O_RDONLY|O_DIRECTORY) = 6',
    "7  fsync(6) = 0",
    "7  close(6) = 0",
]


def survivors(tmp_path: Path, lines: list[str], luck: random.Random | None = None) -> dict[str, bytes]:
    (tmp_path / "trace").write_text("\n".join(lines) + "\n")
    disk = Disk(tmp_path)
    disk.names, disk.safe_names, disk.root = {}, {}, "/data"
    for step in steps(tmp_path / "trace"):
        disk.take(step)
    return disk.survivors(luck)


def test_a_file_that_was_written_forced_renamed_and_whose_folder_was_forced_stays(tmp_path: Path) -> None:
    assert survivors(tmp_path, [*written(), FSYNC_FILE, CLOSE, RENAME, *FSYNC_FOLDER]) == {B: b"hello"}


@pytest.mark.parametrize(
    "lines",
    [
        [*written(), CLOSE, RENAME],
        [*written(), FSYNC_FILE, CLOSE, RENAME],
        [*written(), FSYNC_FILE, CLOSE],
    ],
)
def test_a_name_whose_folder_was_not_forced_is_lost(tmp_path: Path, lines: list[str]) -> None:
    assert survivors(tmp_path, lines) == {}


def test_a_file_that_was_not_forced_is_empty_although_its_name_stays(tmp_path: Path) -> None:
    assert survivors(tmp_path, [*written(), CLOSE, RENAME, *FSYNC_FOLDER]) == {B: b""}


def test_what_was_written_after_the_forcing_began_is_not_forced_by_it(tmp_path: Path) -> None:
    later = [
        "7  fsync(5 <unfinished ...>",
        f'8  pwrite64(5, "{hexed("J")}", 1, 0) = 1',
        "7  <... fsync resumed>) = 0",
    ]
    assert survivors(tmp_path, [*written(), *later, RENAME, *FSYNC_FOLDER]) == {B: b"hello"}


def test_an_fsync_that_failed_forces_nothing(tmp_path: Path) -> None:
    failed = "7  fsync(5) = -1 EIO (Input/output error)"
    assert survivors(tmp_path, [*written(), failed, CLOSE, RENAME, *FSYNC_FOLDER]) == {B: b""}


def test_a_number_that_another_thread_got_before_close_returned_is_the_other_threads(tmp_path: Path) -> None:
    raced = [
        "7  close(5 <unfinished ...>",
        f'8  openat(AT_FDCWD, "{hexed(FOLDER)}", O_RDONLY|O_DIRECTORY) = 5',
        "7  <... close resumed>) = 0",
        "8  fsync(5) = 0",
    ]
    assert survivors(tmp_path, [*written(), FSYNC_FILE, RENAME, *raced]) == {B: b"hello"}


def test_a_folder_forced_by_two_threads_keeps_what_the_later_one_saw_though_it_returned_first(tmp_path: Path) -> None:
    opened = [f'{thread}  openat(AT_FDCWD, "{hexed(FOLDER)}", O_RDONLY|O_DIRECTORY) = {thread}' for thread in (8, 9)]
    raced = ["8  fsync(8 <unfinished ...>", RENAME, "9  fsync(9) = 0", "8  <... fsync resumed>) = 0"]
    assert survivors(tmp_path, [*written(), FSYNC_FILE, CLOSE, *opened, *raced]) == {B: b"hello"}


def test_an_fsync_that_began_before_a_write_does_not_make_it_safe_though_another_returned_meanwhile(
    tmp_path: Path,
) -> None:
    raced = [
        "8  fsync(5 <unfinished ...>",
        FSYNC_FILE,
        f'7  write(5, "{hexed("!")}", 1) = 1',
        "8  <... fsync resumed>) = 0",
    ]
    assert survivors(tmp_path, [*written(), *raced, CLOSE, RENAME, *FSYNC_FOLDER]) == {B: b"hello"}


def test_with_luck_more_survives_than_was_forced(tmp_path: Path) -> None:
    lines = [*written(), CLOSE, RENAME, *FSYNC_FOLDER]
    seen = {survivors(tmp_path, lines, random.Random(seed))[B] for seed in range(20)}
    assert seen == {b"", b"hello"}


def test_a_file_cut_off_is_cut_off_once_it_is_forced(tmp_path: Path) -> None:
    lines = [*written(), "7  ftruncate(5, 2) = 0", FSYNC_FILE, CLOSE, RENAME, *FSYNC_FOLDER]
    assert survivors(tmp_path, lines) == {B: b"he"}


def test_a_file_in_a_folder_whose_own_name_was_not_forced_is_lost_with_it(tmp_path: Path) -> None:
    made = f'7  mkdir("{hexed(FOLDER)}", 0700) = 0'
    lines = [made, *written(), FSYNC_FILE, CLOSE, RENAME, *FSYNC_FOLDER]
    assert survivors(tmp_path, lines) == {}
    above = [line.replace(hexed(FOLDER), hexed("/data")) for line in FSYNC_FOLDER]
    assert survivors(tmp_path, [*lines, *above]) == {B: b"hello"}


def test_the_strings_of_a_call_are_read_as_bytes() -> None:
    assert content('7, [{iov_base="\\x48\\x54", iov_len=2}, {iov_base="\\x50", iov_len=1}], 2') == b"HTP"
