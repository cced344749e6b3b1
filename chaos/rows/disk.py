"""The disk is full in the middle of uploads, under the database, and under all that the product writes: refused in order,
nothing half-kept, nobody dies of it, and on it goes at once when there is room."""

from __future__ import annotations

import asyncio
import subprocess
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import replace
from pathlib import Path

from chaos import checker
from chaos.clients import TROUBLES, Clients, Upload, form_of, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.postgres import superuser
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

FILES, DATABASE, ALL = 24, 12, 12  # MiB
AT_ONCE = 10.0  # seconds after which all must have ended once there is room; sweeps come every 0.25 s
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
            apart = await _run(setup, place)
        together = await _on_one_disk(replace(setup, folder=setup.folder / "one"))
    except subprocess.CalledProcessError as error:
        return Outcome(skipped=f"this machine mounts no tmpfs: {error}")
    figures = [*apart.figures, *together.figures]
    return Outcome(measured="; ".join(figures), figures=figures, problems=[*apart.problems, *together.problems])


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
        # First, as it keeps the loop busy: the server closes connections that are idle for 5 s, and that must be seen.
        larger = [upload(chance, f"large-{setup.seed}-{index}", 4_000_000) for index in range(24)]
        overflow = [Upload(one.key, one.content + chance.randbytes(1_500_000)) for one in larger]
        problems += await _full(clients, setup, place / "database", "the database", figures)
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
    return Outcome(figures=figures, problems=[*problems, *in_words(checker.check(evidence))])


async def _on_one_disk(setup: Setup) -> Outcome:
    """Files, database, queue and figures share a disk, as they do after `make run`, and it fills up to its last byte."""
    figures, problems = list[str](), list[str]()
    with ExitStack() as disks:

        def onto_it(stack: Stack) -> None:
            disks.enter_context(small_disk(stack.data, ALL))
            (stack.data / "metrics").mkdir()

        settings = {"MIN_FREE_DISK": "1", "ORPHAN_AGE": "8s"}
        async with running(setup, settings=settings, far={"manners": {"prompt": 1}}, before=onto_it) as stack:
            clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
            problems += await _full(clients, setup, stack.data, "all that is written", figures)
            seconds = await until_ended(stack, 60)
            dead = sorted(name for name, part in stack.parts.items() if part.deaths)
            figures.append(
                f"with room again: all jobs ended {seconds:.1f} s later, {len(dead)} of the programs had died"
            )
            problems += [f"{name} died of the full disk" for name in dead]
            if seconds > AT_ONCE:
                problems.append(f"jobs went on only {seconds:.1f} s after there was room again")
            await clients.close()
            evidence = await stop_and_collect(stack)
    return Outcome(figures=figures, problems=[*problems, *in_words(checker.check(evidence))])


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
    promise="disk full, file store, database or all: 507 or 503, nothing half-kept, nobody dies, goes on after space returns",
    goal="only 507 or 503; nothing half-kept; nobody dies; goes on once there is room",
    run=run,
    takes=75,
)
