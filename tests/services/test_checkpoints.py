"""Checkpoints: what is written when, and that a file and a database which no longer fit are told apart from sound ones."""

from __future__ import annotations

import itertools
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain import audit, checkpoints, lifecycle, verification
from app.domain.audit import StoredLine
from app.domain.checkpoints import Witness
from app.domain.lifecycle import Cancelled, Noted, NoteKind
from app.domain.models import JobId
from app.domain.verification import Finding
from app.infrastructure.checkpoint_book_file import FileCheckpointBook
from app.infrastructure.ed25519_keys import authentic
from app.infrastructure.memory_timeline import MemoryTimeline
from app.infrastructure.signer_ed25519 import Ed25519Signer
from app.services.checkpoints import CheckpointKeeper
from tests.services.conftest import Bench

MINUTE = timedelta(minutes=1)


class Desk(Bench):
    """A bench whose chains are witnessed."""

    def __init__(self, folder: Path, page: int = 10_000) -> None:
        super().__init__()
        self.path, self.signer = folder / "checkpoints.jsonl", Ed25519Signer(folder / "signing.key")
        timeline, book = MemoryTimeline(self.jobs), FileCheckpointBook(self.path)
        self.keeper = CheckpointKeeper(timeline, book, self.signer, self.clock, MINUTE, page)

    def lines(self) -> list[bytes]:
        return self.path.read_bytes().splitlines()

    def heads(self) -> list[dict[str, tuple[int, str]]]:
        return [line.heads for raw in self.lines() if (line := checkpoints.parsed(raw))]

    def witness(self) -> Witness:
        return checkpoints.read(self.lines(), authentic(self.signer.keys))

    async def findings(self) -> list[str]:
        witness, found = self.witness(), []
        assert witness.problems == []
        async for job_id, job, lines, strays in self.log.walk():
            found.append(witness.confirms(job_id, lines, verification.verify(job, job_id, lines, strays)))
        return [finding.kind for finding in [*found, *witness.missing()] if finding]

    async def minute(self) -> int:
        self.clock.move(MINUTE)
        return await self.keeper.write()

    async def note(self, job_id: JobId) -> None:
        changed = lifecycle.advance(await self.log.get(job_id), Noted(kind=NoteKind.CALLBACK), self.clock())
        await self.log.record(*changed)


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path)


async def test_each_line_lists_the_chains_that_have_grown_since_the_one_before(desk: Desk) -> None:
    one, two = await desk.job(), await desk.job()
    assert await desk.keeper.write() == 1
    assert await desk.minute() == 1
    await desk.tasks.cancel(two)
    assert await desk.minute() == 1
    first, second, third = desk.heads()
    assert first == {str(job_id): (1, (await desk.log.history(job_id))[0].hash) for job_id in (one, two)}
    assert second == {}
    assert third == {str(two): (2, (await desk.get(two)).head)}
    assert await desk.findings() == []


async def test_it_is_written_when_it_is_time_or_early_when_that_is_wanted(desk: Desk) -> None:
    assert await desk.keeper.write() == 1
    assert await desk.keeper.write() == 0
    assert await desk.keeper.write(early=True) == 1
    desk.clock.move(timedelta(seconds=59))
    assert await desk.keeper.write() == 0
    desk.clock.move(timedelta(seconds=1))
    assert await desk.keeper.write() == 1
    desk.clock.move(-timedelta(hours=1))
    assert await desk.keeper.write() == 1


async def test_while_another_process_writes_nothing_is_done(desk: Desk) -> None:
    async with FileCheckpointBook(desk.path).turn():
        assert await desk.keeper.write() == 0


async def test_a_line_that_becomes_visible_late_is_still_seen(desk: Desk) -> None:
    await desk.keeper.write()
    job_id = await desk.job()
    hidden = desk.jobs.jobs.pop(job_id), desk.jobs.lines.pop(job_id)
    for _ in range(9):
        await desk.minute()
    desk.jobs.jobs[job_id], desk.jobs.lines[job_id] = hidden
    await desk.minute()
    assert [str(job_id) in heads for heads in desk.heads()].count(True) == 1
    await desk.minute()
    assert [str(job_id) in heads for heads in desk.heads()].count(True) == 1
    assert await desk.findings() == []


async def test_what_has_gathered_is_written_in_several_lines(tmp_path: Path) -> None:
    desk = Desk(tmp_path, page=3)
    jobs = [await desk.job() for _ in range(7)]
    assert await desk.keeper.write() == 3
    assert [len(heads) for heads in desk.heads()] == [3, 3, 1]
    assert set(itertools.chain(*desk.heads())) == {str(job_id) for job_id in jobs}
    await desk.minute()
    assert desk.heads()[3:] == [{}] * 3  # looked at again, because lines may be late
    assert await desk.findings() == []


async def test_a_line_that_a_crash_cut_off_is_passed_over(desk: Desk) -> None:
    job_id = await desk.job()
    await desk.keeper.write()
    await desk.tasks.cancel(job_id)
    await desk.minute()
    whole = desk.path.read_bytes()
    desk.path.write_bytes(whole[:-20])
    await desk.minute()
    witness = desk.witness()
    assert (witness.problems, witness.torn, witness.lines) == ([], [2], 2)
    assert desk.heads()[-1] == {str(job_id): (2, (await desk.get(job_id)).head)}


async def test_the_first_line_and_each_with_another_key_carry_the_key(desk: Desk) -> None:
    await desk.keeper.write()
    await desk.minute()
    desk.signer.renew()
    await desk.minute()
    assert ["public_key" in json.loads(line) for line in desk.lines()] == [True, False, True]
    assert await desk.findings() == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda lines: lines[:1] + lines[2:], [(2, "follow")]),
        (lambda lines: [lines[1], lines[0], lines[2]], [(1, "follow"), (2, "follow"), (3, "follow")]),
        (
            lambda lines: [lines[0], lines[1].replace(b"T12:01:", b"T12:02:"), lines[2]],
            [(2, "signature"), (3, "follow")],
        ),
        (lambda lines: [lines[0], lines[1].replace(b",1,", b",2,"), lines[2]], [(2, "list"), (3, "follow")]),
        (
            lambda lines: [lines[0], lines[1].replace(b'"signature"', b'"signatur"'), lines[2]],
            [(2, "sign"), (3, "follow")],
        ),
        (
            lambda lines: [lines[0], lines[1].replace(b'"signature":"', b'"signature":"?'), lines[2]],
            [(2, "sign"), (3, "follow")],
        ),
        (lambda lines: [lines[0], b"[]", lines[2]], [(3, "follow")]),
    ],
)
async def test_a_file_that_was_changed_is_found_where_it_was_changed(desk: Desk, damage, words) -> None:
    await desk.keeper.write()
    await desk.job()
    await desk.minute()
    await desk.minute()
    found = checkpoints.read(damage(desk.lines()), authentic(desk.signer.keys)).problems
    assert [number for number, _ in found] == [number for number, _ in words]
    assert all(word in said for (_, said), (_, word) in zip(found, words, strict=True))


async def test_a_key_that_is_not_trusted_says_nothing(desk: Desk, tmp_path: Path) -> None:
    await desk.job()
    await desk.keeper.write()
    stranger = Ed25519Signer(tmp_path / "stranger")
    witness = checkpoints.read(desk.lines(), authentic(stranger.keys))
    assert (witness.heads, witness.until, len(witness.problems)) == ({}, None, 1)


async def test_a_job_that_is_gone_without_a_trace_is_found(desk: Desk) -> None:
    job_id, _ = await desk.job(), await desk.job()
    await desk.keeper.write()
    del desk.jobs.jobs[job_id], desk.jobs.lines[job_id]
    assert await desk.findings() == ["job missing"]


async def test_a_chain_that_was_cut_together_with_its_row_is_found(desk: Desk) -> None:
    job_id = await desk.job()
    before = desk.jobs.jobs[job_id], list(desk.jobs.lines[job_id])
    await desk.tasks.cancel(job_id)
    await desk.keeper.write()
    desk.jobs.jobs[job_id], desk.jobs.lines[job_id] = before
    assert await desk.findings() == ["truncated"]


async def test_a_chain_that_was_written_anew_with_fresh_hashes_is_found(desk: Desk) -> None:
    job_id = await desk.job()
    await desk.tasks.cancel(job_id)
    await desk.keeper.write()
    draft = replace(desk.jobs.jobs[job_id], client="eve", status="queued", completed_at=None, due_at=desk.clock())
    job, first = lifecycle.accept(draft, desk.clock())
    job, second = lifecycle.advance(job, Cancelled(), desk.clock())
    desk.jobs.jobs[job_id], desk.jobs.lines[job_id] = job, [first, second]
    assert await desk.findings() == ["rewritten"]


async def test_a_past_that_no_checkpoint_has_seen_is_found(desk: Desk) -> None:
    await desk.keeper.write()
    forged = await desk.job()
    kept = desk.jobs.jobs.pop(forged), desk.jobs.lines.pop(forged)
    for _ in range(12):
        await desk.minute()
    desk.jobs.jobs[forged], desk.jobs.lines[forged] = kept
    assert await desk.findings() == ["unwitnessed"]


async def test_what_is_newer_than_the_last_checkpoint_is_no_finding_but_is_counted(desk: Desk) -> None:
    one = await desk.job()
    await desk.keeper.write()
    desk.clock.move(timedelta(hours=1))
    await desk.note(one)
    await desk.job()
    assert await desk.findings() == []
    witness = desk.witness()
    for job_id in (one, JobId(one)):
        witness.confirms(job_id, [audit.stored(line) for line in await desk.log.history(one)], None)
    assert witness.newer == 1 + 2


async def test_a_row_that_was_set_back_is_told_from_a_line_that_was_put_in(desk: Desk) -> None:
    job_id = await desk.job()
    older = desk.jobs.jobs[job_id]
    await desk.tasks.cancel(job_id)
    newer = desk.jobs.jobs[job_id]
    await desk.keeper.write()
    desk.jobs.jobs[job_id] = older
    assert await desk.findings() == ["row changed"]
    desk.jobs.jobs[job_id] = newer
    await desk.note(job_id)
    desk.jobs.jobs[job_id] = newer
    assert await desk.findings() == ["inserted"]


async def test_where_the_chain_itself_is_broken_that_is_said(desk: Desk) -> None:
    job_id = await desk.job()
    await desk.keeper.write()
    lines = [audit.stored(line) for line in await desk.log.history(job_id)]
    broken = Finding(job_id, 1, "changed", "")
    assert desk.witness().confirms(job_id, lines, broken) is broken
    nothing: list[StoredLine] = []
    assert Witness().confirms(job_id, nothing, None) is None
