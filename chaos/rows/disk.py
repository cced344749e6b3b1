"""The disk is full in the middle of uploads, and under the database: refused in order, nothing half-kept, and on it goes."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

from chaos import checker
from chaos.clients import TROUBLES, Clients, Upload, form_of, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.postgres import superuser
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

FILES, DATABASE = 24, 12  # MiB
ORDERLY = {507, 503, 202}


@contextmanager
def small_disk(place: Path, size: int) -> Iterator[None]:
    """A file system of its own, of so many MiB."""
    place.mkdir(parents=True, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}m", "tmpfs", str(place)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@asynccontextmanager
async def filled(place: Path) -> AsyncIterator[None]:
    """Takes all the room that is left, to the last byte, until the end."""
    ballast = place / "ballast"

    def fill() -> None:
        with ballast.open("wb", buffering=0) as file:
            for size in (65536, 4096, 1):
                try:
                    while file.write(bytes(size)):
                        pass
                except OSError:
                    continue

    await asyncio.to_thread(fill)
    try:
        yield
    finally:
        ballast.unlink()


async def attempts(clients: Clients, uploads: list[Upload]) -> Counter[int]:
    """Each is handed in once, all at once; the answers' statuses, 0 for none."""

    async def one(upload: Upload) -> int:
        url = f"{clients.stack.url}/api/v1/jobs"
        try:
            async with clients.session.post(
                url, data=form_of(upload), headers={"Idempotency-Key": upload.key}
            ) as answer:
                await answer.read()
                return answer.status
        except TROUBLES:
            return 0

    return Counter(await asyncio.gather(*(one(upload) for upload in uploads)))


async def run(setup: Setup) -> Outcome:
    """The row."""
    if not superuser():
        return Outcome(skipped="mounting a small disk needs root")
    place = setup.folder / "disks"
    try:
        with small_disk(place / "files", FILES), small_disk(place / "database", DATABASE):
            return await _run(setup, place)
    except subprocess.CalledProcessError as error:
        return Outcome(skipped=f"this machine mounts no tmpfs: {error}")


async def _run(setup: Setup, place: Path) -> Outcome:
    def onto_small_disks(stack: Stack) -> None:
        (stack.data / "files").symlink_to(place / "files")

    settings = {
        "DATABASE_URL": f"sqlite:///{place / 'database' / 'callslip.db'}",
        "MIN_FREE_DISK": "1",  # so that it is the write itself that fails
        "ORPHAN_AGE": "8s",
    }
    chance, figures, problems = setup.chance(), list[str](), list[str]()
    async with running(setup, settings=settings, before=onto_small_disks) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        problems += await _full(clients, setup, place / "database", "the database", figures)
        larger = [upload(chance, f"large-{setup.seed}-{index}", 4_000_000) for index in range(24)]
        overflow = [Upload(one.key, one.content + chance.randbytes(1_500_000)) for one in larger]
        told = await attempts(clients, overflow)
        figures.append(f"24 uploads, 40 MiB for {FILES} MiB: {_told(told)}")
        problems += _orderly(told, "a full file store")
        problems += await _full(clients, setup, place / "files", "the file store", figures)
        small = [upload(chance, f"again-{setup.seed}-{index}", 2000) for index in range(20)]
        after = [await clients.hand_in(one) for one in small]
        problems += ["uploads are not taken although there is room again"] if None in after else []
        seconds = await until_ended(stack, 60)
        figures.append(f"with room again: {len(after)} uploads taken, all jobs ended {seconds:.1f} s later")
        await clients.close()
        evidence = await stop_and_collect(stack)
    return Outcome(
        measured="; ".join(figures), figures=figures, problems=[*problems, *in_words(checker.check(evidence))]
    )


async def _full(clients: Clients, setup: Setup, place: Path, name: str, figures: list[str]) -> list[str]:
    """Jobs are in flight; the disk has no byte left for some seconds; then there is room again."""
    chance = setup.chance(name)
    before = [upload(chance, f"{place.name}-before-{setup.seed}-{index}", 2000) for index in range(10)]
    await asyncio.gather(*(clients.hand_in(one) for one in before))
    during = [upload(chance, f"{place.name}-during-{setup.seed}-{index}", 20_000) for index in range(60)]
    async with filled(place):
        told = await attempts(clients, during)
        await asyncio.sleep(3)
    figures.append(f"no byte left for {name}: {_told(told)}")
    return _orderly(told, name)


def _told(told: Counter[int]) -> str:
    return ", ".join(f"{count} answered {status or 'not at all'}" for status, count in sorted(told.items()))


def _orderly(told: Counter[int], name: str) -> list[str]:
    problems = [f"{name}: answered {status}" for status in told if status not in ORDERLY]
    if told[202] == told.total():
        problems.append(f"{name}: nothing was refused, so nothing was tried")
    return problems


ROW = RowProgram(
    name="disk",
    promise="disk full, file store or database: 507 or 503, nothing half-kept, goes on after space returns",
    goal="only 507 or 503; nothing half-kept; goes on once there is room",
    run=run,
    takes=45,
)
