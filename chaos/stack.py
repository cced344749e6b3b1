"""The product's own programs in a folder of their own, each of them a part that can be killed, and a far side."""

from __future__ import annotations

import asyncio
import json
import os
import random
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from time import monotonic
from typing import Any

import aiohttp

from app.infrastructure.valkey_embedded import EmbeddedValkey
from chaos import postgres
from chaos.nursery import Nursery
from chaos.parts import Part, everyday_environment

ROOT = Path(__file__).resolve().parents[1]
# Short periods, so that what takes hours by the contract is seen in seconds; the code is the same.
QUICK: Mapping[str, str] = {
    "RETRY_SCHEDULE": "0.3s,0.5s,1s,1s,2s,2s,3s",
    "AMBIGUITY_WAIT": "1s",
    "REFUSED_FOR": "10s",
    "LEASE": "3s",
    "LEASE_RENEWAL": "0.8s",
    "SWEEP_EVERY": "0.25s",
    "FEED_EVERY": "0.3s",
    "N8N_TIMEOUT": "2s",
    "CALLBACK_TIMEOUT": "10s",
    "CALLBACK_DEADLINE": "5m",
    "ORPHAN_AGE": "12s",
    "DRAIN_TIMEOUT": "10s",
    "MIN_FREE_DISK": "1 MB",
}


def free_port() -> int:
    """A port on the loopback interface that nobody uses right now, from below those that the system gives to outgoing
    connections: one of these could take it while its owner is killed and has not come back."""
    while True:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", random.randrange(15_000, 32_000)))
            return int(probe.getsockname()[1])


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """What a row is run with. `root` is where the product's code stands, `say` prints a line for people."""

    seed: int
    full: bool
    database: str
    scale: float = 1.0
    root: Path = ROOT
    row: str = ""
    folder: Path = Path()

    def chance(self, purpose: str = "") -> random.Random:
        """Chance that the seed decides."""
        return random.Random(f"{self.seed} {self.row} {self.database} {purpose}")

    def say(self, text: str) -> None:
        """One line of what goes on."""
        print(f"  {self.row}: {text}", file=sys.stderr, flush=True)

    def much(self, short: int, full: int) -> int:
        """The size of the run."""
        return max(1, round((full if self.full else short) * self.scale))


@dataclass(slots=True)
class Stack:
    """What runs. `settings` are the product's variables, secrets among them."""

    setup: Setup
    folder: Path
    settings: dict[str, str]
    port: int
    secrets: Mapping[str, str]
    password: str = ""  # of the database's user, which the server asks nobody for
    cluster: postgres.Cluster | None = None
    parts: dict[str, Part] = field(default_factory=dict)
    valkey: EmbeddedValkey | None = None
    nursery: Nursery | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def headers(self) -> dict[str, str]:
        """What a client sends with each request."""
        return {"Authorization": f"Bearer {self.secrets['api']}"}

    @property
    def data(self) -> Path:
        return self.folder / "data"

    def workers(self) -> list[Part]:
        return [part for name, part in self.parts.items() if name.startswith("worker")]

    def part(self, name: str, command: Sequence[str], user: str | None = None, **env: str) -> Part:
        """Makes a part of a program; it is not started yet."""
        variables = {**everyday_environment(), **self.settings, **env}
        self.parts[name] = Part(name, command, variables, self.folder, user)
        return self.parts[name]

    async def until_ready(self, patience: float = 60.0) -> None:
        """Returns when uploads are taken and a worker is there."""
        began = monotonic()
        async with aiohttp.ClientSession() as session:
            while monotonic() - began < patience:
                try:
                    async with session.get(f"{self.url}/health") as answer:
                        if (await answer.json())["status"] in ("ok", "degraded"):
                            return
                except (aiohttp.ClientError, OSError, ValueError):
                    pass
                await asyncio.sleep(0.1)
        raise RuntimeError("the product did not start: " + self.last_words())

    def last_words(self) -> str:
        """The ends of all logs."""
        return "\n".join(f"{path.name}: {path.read_text()[-800:]}" for path in sorted(self.folder.glob("*.log")))

    async def stop(self) -> list[str]:
        """Ends everything in order; what was wrong with that."""
        wrong: list[str] = []
        for kind in ("api", "worker", "valkey", "postgres", "far"):
            members = [part for name, part in self.parts.items() if name.startswith(kind)]
            for said in await asyncio.gather(*(part.stop() for part in members)):
                wrong += said
        return wrong


# Asked of the product itself, in its own tree: what the launcher would run.
_PROGRAMS = """
import json
from app.core.settings import load_settings
from app.launch import programs
settings = load_settings()
print(json.dumps([list(program(settings, (), {}).command) for program in (programs.api, programs.worker)]))
"""


async def programs(stack: Stack) -> tuple[list[str], list[str]]:
    """The commands of API and worker."""
    asked = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", _PROGRAMS),
        cwd=stack.folder,
        env={**everyday_environment(), **stack.settings},
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await asked.communicate()
    api, worker = json.loads(said)
    return api, worker


def _secret(chance: random.Random) -> str:
    return "CHAOS" + "".join(chance.choices("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", k=40))


def prepare(setup: Setup, far_port: int, settings: Mapping[str, str]) -> Stack:
    """A stack with its settings and nothing in it."""
    chance, port = setup.chance("secrets"), free_port()
    secrets = {name: _secret(chance) for name in ("api", "key", "token", "webhook", "callback")}
    folder = setup.folder / "run"
    (folder / "data" / "metrics").mkdir(parents=True, mode=0o700)
    variables = {
        "PYTHONPATH": str(setup.root),
        "PYTHONUNBUFFERED": "1",
        "PROMETHEUS_MULTIPROC_DIR": str(folder / "data" / "metrics"),
        "LOG_FORMAT": "json",
        "PORT": str(port),
        "DATA_DIR": str(folder / "data"),
        "CALLSLIP_API_KEYS": f"chaos:{secrets['api']}",
        "SECRET_KEY": secrets["key"],
        "CALLBACK_SECRET": secrets["callback"],
        "N8N_WEBHOOK_URL": f"http://127.0.0.1:{far_port}/webhook",
        "N8N_WEBHOOK_TOKEN": secrets["token"],
        "N8N_WEBHOOK_SECRET": secrets["webhook"],
        **QUICK,
        **settings,
    }
    return Stack(setup=setup, folder=folder, settings=variables, port=port, secrets=secrets)


@asynccontextmanager
async def running(
    setup: Setup,
    *,
    workers: int = 1,
    far: Mapping[str, Any] | None = None,
    queue: bool = True,
    settings: Mapping[str, str] | None = None,
    before: Callable[[Stack], None] | None = None,
    cold: Callable[[], bool] | None = None,
) -> AsyncIterator[Stack]:
    """A stack that runs: database, queue, API, workers and far side. Stopped at the end, if the row has not.
    `before` sees it before anything runs. Where `cold` is given, API and workers start from a nursery unless it says that
    this start is to be from nothing."""
    far_port = free_port()
    stack = prepare(setup, far_port, settings or {})
    if before:
        before(stack)
    try:
        await _begin(stack, far_port, far or {}, queue=queue)
        api, worker = await programs(stack)
        for name, command in [("api", api), *((f"worker-{number}", worker) for number in range(workers))]:
            part = stack.part(name, command)
            if cold is not None:
                stack.nursery = stack.nursery or await _nursery(stack, part.env)
                part.nursery, part.cold = stack.nursery, cold
            part.start()
        await stack.until_ready()
        yield stack
    finally:
        await stack.stop()
        if stack.nursery:
            await stack.nursery.close()
        if stack.cluster:
            stack.cluster.remove()


async def _nursery(stack: Stack, env: Mapping[str, str]) -> Nursery:
    # The product from where the row has it, which may be a copy, and this package from here.
    return await Nursery.open({**env, "PYTHONPATH": f"{stack.setup.root}{os.pathsep}{ROOT}"}, stack.folder)


async def _begin(stack: Stack, far_port: int, far: Mapping[str, Any], *, queue: bool) -> None:
    plan = {"token": stack.secrets["token"], "secret": stack.secrets["webhook"], "seed": stack.setup.seed, **far}
    journal = str(stack.folder / "far.jsonl")
    stack.part("far", [sys.executable, "-m", "chaos.far_side", journal, str(far_port), json.dumps(plan)]).start()
    stack.parts["far"].env["PYTHONPATH"] = str(ROOT)
    if stack.setup.database == "postgresql":
        stack.cluster = await asyncio.to_thread(postgres.make_cluster)
        stack.settings["DATABASE_URL"] = stack.cluster.url(password=stack.password)
        stack.part("postgres", stack.cluster.command, stack.cluster.user).start()
        stack.parts["postgres"].cwd = stack.folder
        await _until_accepts(stack.cluster)
    if queue:
        stack.valkey = EmbeddedValkey(stack.data / "valkey")
        stack.settings["REDIS_URL"] = stack.valkey.url
        stack.part("valkey", stack.valkey.command()).start()


async def _until_accepts(cluster: postgres.Cluster, patience: float = 30.0) -> None:
    until = monotonic() + patience
    while monotonic() < until:
        ready = await asyncio.create_subprocess_exec(
            str(cluster.binaries / "pg_isready"), "-q", "-h", str(cluster.folder / "s"), "-U", "postgres"
        )
        if await ready.wait() == 0:
            return
        await asyncio.sleep(0.1)
    raise RuntimeError("PostgreSQL did not start")
