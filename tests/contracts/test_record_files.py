"""What every CheckpointBook and every Signer promises."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from app.domain.errors import Misconfigured, StoreUnavailable
from app.domain.statements import key_id
from app.infrastructure.checkpoint_book_file import FileCheckpointBook
from app.infrastructure.ed25519_keys import authentic
from app.infrastructure.signer_ed25519 import Ed25519Signer
from tests.contracts.sql_fixtures import refusal

LONG = b"x" * 100_000


def never(_: bytes) -> bool:
    return False


async def written(book: FileCheckpointBook, *lines: bytes) -> None:
    async with book.turn() as page:
        assert page
        for line in lines:
            await page.append(line)


async def test_lines_come_back_from_the_newest_that_is_far_enough(tmp_path: Path) -> None:
    book = FileCheckpointBook(tmp_path / "checkpoints")
    await written(book, b"one", LONG, b"three", LONG + b"4")
    async with book.turn() as page:
        assert page
        assert await page.tail(never) == [b"one", LONG, b"three", LONG + b"4"]
        assert await page.tail(lambda line: line == b"three") == [b"three", LONG + b"4"]
        assert await page.tail(lambda _: True) == [LONG + b"4"]
    assert (tmp_path / "checkpoints").read_bytes() == b"one\n" + LONG + b"\nthree\n" + LONG + b"4\n"


async def test_a_file_that_is_not_there_is_made_and_empty(tmp_path: Path) -> None:
    async with FileCheckpointBook(tmp_path / "checkpoints").turn() as page:
        assert page
        assert await page.tail(never) == []


async def test_a_line_that_a_crash_cut_off_is_told_and_the_next_one_stands_by_itself(tmp_path: Path) -> None:
    path = tmp_path / "checkpoints"
    path.write_bytes(b"whole\nhal")
    await written(FileCheckpointBook(path), b"next")
    assert path.read_bytes() == b"whole\nhal\nnext\n"


async def test_while_one_has_it_nobody_else_gets_it(tmp_path: Path) -> None:
    book, other = FileCheckpointBook(tmp_path / "checkpoints"), FileCheckpointBook(tmp_path / "checkpoints")
    async with book.turn() as page, other.turn() as second:
        assert page
        assert second is None
    async with other.turn() as third:
        assert third


async def test_a_place_that_cannot_be_written_is_unavailable(tmp_path: Path) -> None:
    error = await refusal(written(FileCheckpointBook(tmp_path / "nowhere" / "checkpoints"), b"x"))
    assert isinstance(error, StoreUnavailable)


def test_a_signature_fits_its_statement_and_key_and_nothing_else(tmp_path: Path) -> None:
    signer, other = Ed25519Signer(tmp_path / "one"), Ed25519Signer(tmp_path / "other")
    signature, name = signer.sign(b"statement"), key_id(signer.keys[0])
    ours = authentic(signer.keys)
    assert ours(name, b"statement", signature)
    assert not ours(name, b"Statement", signature)
    assert not ours(name, b"statement", other.sign(b"statement"))
    assert not ours(key_id(other.keys[0]), b"statement", other.sign(b"statement"))
    assert not authentic(other.keys)(name, b"statement", signature)


def test_the_key_is_its_owners_only_and_stays(tmp_path: Path) -> None:
    path = tmp_path / "new" / "signing.key"
    keys = Ed25519Signer(path).keys
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Ed25519Signer(path).keys == keys
    assert [one.name for one in path.parent.iterdir()] == ["signing.key"]


def test_processes_that_start_at_once_agree_on_one_key(tmp_path: Path) -> None:
    signers = [Ed25519Signer(tmp_path / "signing.key") for _ in range(8)]
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(lambda signer: tuple(signer.keys), signers))) == 1


def test_a_new_key_signs_and_the_old_one_is_still_known(tmp_path: Path) -> None:
    signer = Ed25519Signer(tmp_path / "signing.key")
    (old,), before = signer.keys, signer.sign(b"x")
    signer.renew()
    keys = Ed25519Signer(tmp_path / "signing.key").keys
    assert keys[1:] == (old,)
    assert signer.keys == keys
    assert authentic(keys)(key_id(old), b"x", before)
    assert authentic(keys[:1])(key_id(keys[0]), b"x", signer.sign(b"x"))


@pytest.mark.parametrize("text", ["", "no key", "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"])
def test_a_file_that_holds_no_key_is_said_and_not_replaced(tmp_path: Path, text: str) -> None:
    (tmp_path / "signing.key").write_text(text)
    with pytest.raises(Misconfigured, match="SIGNING_KEY_FILE"):
        Ed25519Signer(tmp_path / "signing.key").sign(b"x")
    assert (tmp_path / "signing.key").read_text() == text
