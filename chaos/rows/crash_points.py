"""Killed at the n-th system call that changes something, in the upload, the start, the delivery and the callbacks.

Threads are told apart by what they do: each role's calls are counted by themselves, so that a point is the same in every
life of the process. Points are tried until the role's calls of one job are used up.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic

from chaos import checker
from chaos.clients import Clients, upload
from chaos.collect import query, stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.parts import Part
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

WRITES = "write,pwrite64,writev,sendto,sendmsg,fsync,fdatasync,ftruncate,rename,unlink,mkdir,link"
ROLES = {"api": ("loop", "database", "files", "others"), "worker-0": ("loop", "database", "others")}
MOST = 400
_LINE = re.compile(r"^(\d+) +(\w+)\((.*)")
_PEER = re.compile(r"UNIX(?:-\w+)?:\[\d+->(\d+)")
_CALL = re.compile(r"^(?:\d+ +)?(\w+)\(", re.MULTILINE)


@dataclass(slots=True)
class Tries:
    """What was tried. `calls` are the system calls at which a process died."""

    calls: Counter[str] = field(default_factory=Counter)
    points: Counter[str] = field(default_factory=Counter)
    problems: list[str] = field(default_factory=list)


async def traced(part: Part, out: Path, *options: str, threads: Sequence[int] = ()) -> asyncio.subprocess.Process:
    """strace, attached to a process with all its threads, or to some of them."""
    aims = [f"-p{thread}" for thread in threads] or ["-f", f"-p{part.pid}"]
    process = await asyncio.create_subprocess_exec(
        *("strace", "-yy", "-s", "0", "-o", str(out), "-e", f"trace={WRITES}", *options, *aims),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stderr is not None
    with suppress(TimeoutError):
        async with asyncio.timeout(3):
            for _ in range(max(1, len(threads))):
                await process.stderr.readline()  # "Process N attached"
    return process


async def detach(process: asyncio.subprocess.Process) -> None:
    """Ends a trace; what was traced goes on."""
    with suppress(ProcessLookupError):
        process.terminate()
    await process.communicate()


def postgres_sockets() -> set[str]:
    """The inodes of this machine's sockets that end at a PostgreSQL."""
    lines = (line.split() for line in Path("/proc/net/unix").read_text().splitlines())
    return {words[6] for words in lines if len(words) == 8 and ".s.PGSQL." in words[7]}


def roles(trace: Path, part: Part) -> dict[str, list[int]]:
    """Which thread does what, by the files, or by the server, that it wrote to."""
    found, servers = {part.pid: "loop"}, postgres_sockets()
    for line in trace.read_text(errors="replace").splitlines():
        if match := _LINE.match(line):
            thread, text = int(match[1]), match[3]
            peer = _PEER.search(text)
            if "callslip.db" in text or (peer and peer[1] in servers):
                found.setdefault(thread, "database")
            elif "/files/" in text:
                found.setdefault(thread, "files")
    threads = [int(path.name) for path in Path(f"/proc/{part.pid}/task").iterdir()]
    by_role: dict[str, list[int]] = {}
    for thread in sorted(threads):
        by_role.setdefault(found.get(thread, "others"), []).append(thread)
    return by_role


class Row:
    """The row while it runs."""

    def __init__(self, setup: Setup, stack: Stack, clients: Clients) -> None:
        self.setup, self.stack, self.clients = setup, stack, clients
        self.chance, self.numbers, self.tries = setup.chance(), itertools.count(), Tries()

    async def job(self, patience: float = 30) -> None:
        """One job, from the upload to its end."""
        one = upload(self.chance, f"point-{self.setup.seed}-{next(self.numbers)}", 2000)
        job_id = await self.clients.hand_in(one)
        until = monotonic() + patience
        while monotonic() < until:
            rows = await asyncio.to_thread(query, self.stack, f"SELECT status FROM job_log WHERE job_id = '{job_id}'")
            if rows and rows[0]["status"] == "success":
                return
            await asyncio.sleep(0.05)
        self.tries.problems.append(f"{job_id} did not end within {patience:g} s of a kill")

    async def point(self, name: str, role: str, number: int) -> bool:
        """Kills the process at this call of this role; False when one job has fewer calls."""
        part, trace = self.stack.parts[name], self.setup.folder / "trace"
        await self.stack.until_ready()
        await self.job(60)  # a process that is traced while it still starts takes very long to
        probing = await traced(part, trace)
        await asyncio.gather(*(self.job() for _ in range(2)))
        await detach(probing)
        threads = roles(trace, part).get(role, [])
        if not threads:
            return False
        deaths, kill = part.deaths, f"inject={WRITES}:signal=KILL:when={number}"
        killing = await traced(part, trace, "-e", kill, threads=threads)
        await self.job()
        await detach(killing)
        if part.deaths == deaths:
            return False
        calls = _CALL.findall(trace.read_text(errors="replace"))
        self.tries.calls[calls[-1] if calls else "a call that strace did not note"] += 1
        self.tries.points[f"{name.partition('-')[0]} {role}"] += 1
        return True


async def run(setup: Setup) -> Outcome:
    """The row."""
    if not shutil.which("strace"):
        return Outcome(skipped="there is no strace (Debian: apt install strace)")
    step = setup.much(5, 1) if setup.scale >= 1 else round(5 / setup.scale)
    async with running(setup, far={"manners": {"prompt": 1}, "pace": 0.03}, settings={"LEASE": "2s"}) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        row = Row(setup, stack, clients)
        for name, members in ROLES.items():
            for role in members:
                for number in range(row.chance.randint(1, step), MOST, step):
                    if not await row.point(name, role, number):
                        break
                setup.say(f"{name} {role}: {row.tries.points.total()} points so far")
        await until_ended(stack, 60)
        await clients.close()
        evidence = await stop_and_collect(stack)
    points = ", ".join(f"{name} {count}" for name, count in row.tries.points.items())
    calls = ", ".join(f"{count} at {name}" for name, count in row.tries.calls.most_common())
    figures = [f"{row.tries.points.total()} kills, at every {f'{step}th ' if step > 1 else ''}call: {points}", calls]
    return Outcome(figures=figures, problems=[*row.tries.problems, *in_words(checker.check(evidence))])


ROW = RowProgram(
    name="crash-points",
    promise="killed at every 5th (FULL: every) changing system call of upload, start, delivery, callback",
    goal="every 5th point recovered, on both databases",
    goal_full="every point recovered, on both databases",
    run=run,
    databases=("sqlite", "postgresql"),
    takes=90,
)
