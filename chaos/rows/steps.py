"""Workers killed at every boundary of local workflows' steps and inside every step: no finished step runs again.

Three ways to die. By plan: a step ends its own worker at its begin, in its middle and at its end, once each. Between
steps: strace kills the worker at the first call by which its database thread would store what a step made, and when that
is stored and nobody has been told. By chance: any worker, while `noted`, `report` and `profile` jobs are worked on and
schedules, put back to times that are over, come due for all workers at once.
"""

from __future__ import annotations

import asyncio
import itertools
import random
import re
import shutil
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from chaos import checker, github, step_checker
from chaos.clients import TROUBLES
from chaos.collect import query, stop_and_collect, uneasy, until_ended
from chaos.evidence import Evidence, Violation
from chaos.journal import Journal, read
from chaos.report import Outcome, RowProgram, in_words
from chaos.rows.crash_points import WRITES, detach, traced
from chaos.stack import ROOT, Setup, Stack, running
from chaos.step_checker import Search, Steps
from chaos.step_collect import FIRST, overdue, place, put_back, runs_of, stored_of, ticks_of

WORKFLOW = ROOT / "chaos" / "workflows" / "noted.py"
STEPS = ("gather", "compute", "write", "finish")
POINTS = ("begin", "middle", "end")
LEASE = {"LEASE": "2s", "LEASE_RENEWAL": "0.7s", "STEP_RETRY": "0.3s,0.5s"}
START_TAKES = 2.5  # seconds in which a worker that was started is left in peace
GAP = (0.0, 0.8)
KILLS = 5  # a round
SCHEDULES = tuple(f"schedule-{number}" for number in range(12))
# What the database thread does once a step has returned: the first call that writes to the database or to its server;
# and, when all of it is committed there, the first that wakes the loop.
TRAPS = {"before": "pwrite64,sendto:signal=KILL:when=1", "after": "write:signal=KILL:when=1"}
TRIES = 3  # a lease that is renewed in that very moment springs a trap, too
DEEPEST = 60
FIRED = "after a schedule's job was stored"
PLACES = (
    FIRST,
    *(f"{side} {step} was stored" for step in STEPS for side in ("before", "after")),
    FIRED,
)
_CALL_AT = re.compile(r"^(?:\d+ +)?(\d+\.\d+) \w+\(", re.MULTILINE)
OVER = datetime(2026, 1, 1, tzinfo=UTC)  # schedules are put back to minutes before this
DOCUMENT = (
    "{name} keep the night. An owl hears a mouse under the snow. {name} were counted in {year}. Owls fly silently."
)
TOPIC = "owls at night"


@dataclass(slots=True)
class Tried:
    """What was done, and to whom."""

    planned: int = 0
    places: Counter[str] = field(default_factory=Counter)
    random: int = 0
    users: dict[str, str] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        return self.planned + self.places.total() + self.random


class Row:
    """The row while it runs."""

    def __init__(self, setup: Setup, stack: Stack, session: aiohttp.ClientSession) -> None:
        self.setup, self.stack, self._session = setup, stack, session
        self._journal, self._numbers = Journal(stack.folder / "clients.jsonl"), itertools.count()
        self.tried, self.due = Tried(), Counter[str]()
        self._trace, self._put_back_before = setup.folder / "trace", itertools.count()

    async def hand_in(self, workflow: str, **params: Any) -> str:
        """A job, handed in until it is acknowledged: its id."""
        key = f"{workflow}-{next(self._numbers)}"
        body, headers = {"workflow": workflow, "params": params}, {"Idempotency-Key": key}
        while True:
            with suppress(*TROUBLES):
                async with self._session.post("/api/v1/jobs", json=body, headers=headers) as answer:
                    if answer.status == 202:
                        job_id = str((await answer.json())["job_id"])
                        self._journal.note("ack", key=key, job_id=job_id, sha256=None, size=None)
                        return job_id
                    if answer.status < 500:
                        raise RuntimeError(f"{workflow} was refused: {answer.status} {await answer.text()}")
            await asyncio.sleep(0.2)

    async def ended(self, *jobs: str, patience: float = 120) -> None:
        """Returns when these have ended, or says which have not."""
        until = monotonic() + patience
        while monotonic() < until:
            rows = await asyncio.to_thread(query, self.stack, "SELECT job_id, status FROM job_log")
            left = set(jobs) - {str(row["job_id"]) for row in rows if row["status"] in ("success", "failure")}
            if not left:
                return
            await asyncio.sleep(0.1)
        self.tried.problems += [f"{job_id} did not end within {patience:g} s" for job_id in sorted(left)]

    async def die_as_planned(self, jobs: int) -> None:
        """Each job ends its worker in every step, at one kind of point, and comes to its end all the same."""
        plans = list(itertools.islice(itertools.cycle(POINTS), jobs))
        ids = [await self.hand_in("noted", dies=[f"{step} {point}" for step in STEPS]) for point in plans]
        await self.ended(*ids)
        self.tried.planned += len(list((self.stack.folder / "fuses").iterdir()))
        if self.tried.planned < len(plans) * len(STEPS):
            self.tried.problems.append(f"only {self.tried.planned} workers died as planned")

    async def die_at_boundaries(self) -> None:
        """One worker, which dies between two steps: at the first call that would store what a step made, and when that is
        stored and nobody has been told. FULL: at every writing call there. And one that has stored what a schedule hands in,
        but not that it did."""
        for part in self.stack.workers()[1:]:
            part.take_away()
        await self.ended(await self.hand_in("tick", name="probe"))  # so the one that is left is up
        every = max(1, round(1 / self.setup.scale))
        for number in range(1, DEEPEST if self.setup.full else 1, every):
            await self._boundaries(f"{WRITES}:signal=KILL:when={number}", STEPS, first=True)
        for _ in range(TRIES):
            for side, trap in TRAPS.items():
                left = [step for step in STEPS if f"{side} {step} was stored" not in self.tried.places]
                await self._boundaries(trap, left, first=FIRST not in self.tried.places)
            if FIRED not in self.tried.places:
                await self._between_job_and_calendar()
        self.tried.problems += [f"no worker was killed {name}" for name in PLACES if name not in self.tried.places]
        for part in self.stack.workers()[1:]:
            part.bring_back()

    async def _boundaries(self, trap: str, steps: Sequence[str], *, first: bool) -> None:
        """One job whose worker dies after each of these steps, and another whose worker dies before the first of all."""
        sprung: list[tuple[str, float]] = []
        if first:
            sprung += await self._springs(trap, None, None)
        if steps:
            job_id = await self.hand_in("noted", pace=0.01, waits=[f"{step} end" for step in steps])
            for step in steps:
                sprung += await self._springs(trap, job_id, step)
            await self.ended(job_id)
        runs = runs_of(self.stack)
        self.tried.places.update(place([run for run in runs if run.job_id == job], at) for job, at in sprung)

    async def _springs(self, trap: str, job_id: str | None, step: str | None) -> list[tuple[str, float]]:
        """Sets the trap for the worker's database thread and lets a waiting step return, or a job begin. The job and the
        time when its worker died, if it did."""
        part, trace = self.stack.workers()[0], self._trace
        fuse = self.stack.folder / "fuses" / f"{job_id} {step} end"
        await until(lambda: job_id is None or fuse.exists())
        await self.stack.until_ready()
        probing = await traced(part, trace, "-s", "48")
        if job_id is None:
            await self.ended(await self.hand_in("tick", name="probe"))
        await until(lambda: bool(writers(trace)), 10)  # a lease is renewed soon
        await detach(probing)
        threads, deaths = writers(trace), part.deaths
        trapping = await traced(part, trace, "-ttt", "-e", f"inject={trap}", threads=threads) if threads else None
        job_id = job_id or await self.hand_in("noted", pace=0.01)
        fuse.with_suffix(".go").touch()
        await until(lambda: part.deaths > deaths or self._went_on(job_id, step))
        if trapping:
            await detach(trapping)
        calls = [float(at) for at in _CALL_AT.findall(trace.read_text(errors="replace"))]
        if step is None:
            await self.ended(job_id)
        return [(job_id, calls[-1])] if part.deaths > deaths and calls else []

    async def _between_job_and_calendar(self) -> None:
        part = self.stack.workers()[0]
        await self.stack.until_ready()
        probing = await traced(part, self._trace, "-s", "48")
        await self.ended(await self.hand_in("tick", name="probe"))
        await until(lambda: bool(writers(self._trace)), 10)
        await detach(probing)
        threads, deaths = writers(self._trace), part.deaths
        trapping = (
            await traced(part, self._trace, "-e", f"inject={TRAPS['after']}", threads=threads) if threads else None
        )
        await self._put_back()
        await until(lambda: part.deaths > deaths or not overdue(self.stack))
        if trapping:
            await detach(trapping)
        self.tried.places.update([FIRED] if part.deaths > deaths else [])
        await self._until_fired()

    def _went_on(self, job_id: str, step: str | None) -> bool:
        """Whether the job has begun a later step, or ended."""
        later = STEPS[STEPS.index(step) + 1 :] if step else STEPS[:1]
        if any(run.job_id == job_id and run.step in later for run in runs_of(self.stack)):
            return True
        return bool(query(self.stack, f"SELECT 1 FROM job_log WHERE job_id = '{job_id}' AND status = 'success'"))

    async def die_by_chance(self, rounds: int) -> None:
        """All kinds of work at once, and schedules that are due, while workers are killed; then all must come to its end."""
        chance = self.setup.chance("kills")
        for number in range(rounds):
            jobs = [await self.hand_in("noted", pace=0.1) for _ in range(3)]
            jobs.append(await self.hand_in("report", topic=f"{TOPIC} {number}", sources=["documents"]))
            user = f"user-{number}"
            self.tried.users[user] = await self.hand_in("profile", username=user)
            await self._put_back()
            for _ in range(KILLS):
                await asyncio.sleep(chance.uniform(*GAP))
                await self._kill_one(chance)
            await self._until_fired()
            await self.ended(*jobs, self.tried.users[user])

    async def _kill_one(self, chance: random.Random) -> None:
        """Once somebody is there who may be killed."""
        while True:
            awake = [part for part in self.stack.workers() if part.alive and monotonic() - part.began > START_TAKES]
            if awake and not await uneasy(self.stack):
                self.tried.random += chance.choice(awake).kill()
                return
            await asyncio.sleep(0.05)

    async def schedule(self) -> None:
        """Schedules that are not due while the row runs, unless they are put back."""
        far_away = (datetime.now(UTC) + timedelta(days=180)).month
        for name in SCHEDULES:
            body = {"cron": f"0 0 1 {far_away} *", "workflow": "tick", "params": {"name": name}}
            async with self._session.post("/api/v1/schedules", json=body) as answer:
                answer.raise_for_status()

    async def _put_back(self) -> None:
        """All schedules are due at a time that was not theirs before; yearly ones have missed one, or several."""
        number = next(self._put_back_before)
        at = OVER - timedelta(minutes=number) - (number % 3) * timedelta(days=365)
        await asyncio.to_thread(put_back, self.stack, at)
        self.due.update(SCHEDULES)

    async def _until_fired(self) -> None:
        for _ in range(300):
            if not await asyncio.to_thread(overdue, self.stack):
                return
            await asyncio.sleep(0.1)
        self.tried.problems.append("schedules that were due did not fire within 30 s")


async def until(condition: Callable[[], bool], patience: float = 120) -> None:
    """Returns when it is so, or patience has ended."""
    end = monotonic() + patience
    while not condition() and monotonic() < end:  # noqa: ASYNC110 - it comes true in another process
        await asyncio.sleep(0.02)


def writers(trace: Path) -> list[int]:
    """The threads that wrote to SQLite's files, or sent PostgreSQL what changes a row: the first five times in words."""
    lines = trace.read_text(errors="replace").splitlines() if trace.exists() else []
    return sorted({int(line.split(" ", 1)[0]) for line in lines if "callslip.db" in line or "0UPDATE job_log" in line})


def furnish(stack: Stack) -> None:
    """The workflow's file in a folder of its own, documents for reports, and a GitHub."""
    for name in ("workflows", "documents", "fuses"):
        (stack.folder / name).mkdir()
    shutil.copy(WORKFLOW, stack.folder / "workflows")
    for number, name in enumerate(("Tawny owls", "Barn owls", "Eagle owls", "Snowy owls")):
        (stack.folder / "documents" / f"{number}.txt").write_text(DOCUMENT.format(name=name, year=2020 + number))
    far = stack.settings["N8N_WEBHOOK_URL"].removesuffix("/webhook")
    stack.settings |= {
        "WORKFLOWS_DIR": str(stack.folder / "workflows"),
        "DOCUMENTS_DIR": str(stack.folder / "documents"),
        "GITHUB_API_URL": f"{far}{github.PATH}",
    }


def judge(row: Row, evidence: Evidence, stored: Mapping[str, Mapping[str, Any]]) -> list[Violation]:
    """The checker of all rows, and that of steps."""
    steps = Steps(
        order=STEPS,
        rows=evidence.rows,
        lines=evidence.lines,
        runs=runs_of(row.stack),
        stored=stored,
        due=row.due,
        ticks=ticks_of(row.stack),
        searches=[Search(**record) for record in read(row.stack.folder / "far.jsonl", "search")],
        users=row.tried.users,
    )
    return [*checker.check(evidence), *step_checker.check(steps)]


async def run(setup: Setup) -> Outcome:
    """The row."""
    async with (
        running(setup, workers=3, settings=LEASE, before=furnish) as stack,
        aiohttp.ClientSession(stack.url, headers=stack.headers, timeout=aiohttp.ClientTimeout(total=10)) as session,
    ):
        row = Row(setup, stack, session)
        await row.schedule()
        await row.die_as_planned(setup.much(3, 12))
        setup.say(f"{row.tried.planned} workers ended by their steps")
        if shutil.which("strace"):
            await row.die_at_boundaries()
            setup.say(f"{row.tried.places.total()} more between steps")
        await row.die_by_chance(setup.much(2, 60))
        setup.say(f"{row.tried.random} more by chance")
        await until_ended(stack, 60)
        stored = stored_of(stack)
        evidence = await stop_and_collect(stack)
    violations = judge(row, evidence, stored)
    return Outcome(
        measured=measured(row, evidence, violations),
        figures=figures(row, evidence),
        problems=[*in_words(violations), *row.tried.problems],
    )


def measured(row: Row, evidence: Evidence, violations: Sequence[Violation]) -> str:
    """The figure for the goal."""
    good = sum(one.status == "success" for one in evidence.rows)
    again = sum(violation.invariant == "S1" for violation in violations)
    return (
        f"{row.tried.kills} workers killed; {good} of {len(evidence.rows)} jobs right, {again} finished steps run again"
    )


def figures(row: Row, evidence: Evidence) -> list[str]:
    """What was done, and what came of it."""
    tried, runs = row.tried, runs_of(row.stack)
    places = ", ".join(f"{count} {where}" for where, count in tried.places.items()) or "there is no strace"
    kinds = Counter(line.facts["workflow"] for line in evidence.lines if line.version == 1)
    return [
        f"killed: {tried.planned} by their own steps, {tried.random} by chance, {tried.places.total()} between steps ({places})",
        f"jobs: {', '.join(f'{count} {name}' for name, count in sorted(kinds.items()))}",
        f"{len(runs)} runs of noted steps, {len(runs) - len({(run.job_id, run.step) for run in runs})} repeated",
        f"{len(row.due)} schedules, {row.due.total()} times due: {fired(row)} jobs",
    ]


def fired(row: Row) -> int:
    """How many jobs schedules have handed in that ran."""
    return sum(len(set(ticks_of(row.stack)[name])) for name in row.due)


ROW = RowProgram(
    name="steps",
    promise="workers killed at every boundary and inside every step of local work: no finished step runs again",
    goal="every job ends right, 0 finished steps run again, 0 schedules fire twice or not at all",
    run=run,
    databases=("sqlite", "postgresql"),
    takes=70,
)
