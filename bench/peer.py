"""A peer as its documentation has it: the web server, and its worker where one is wanted."""

from __future__ import annotations

import os
import sys
import urllib.request
from pathlib import Path

from bench.load import Plan
from bench.process import MEASURED, ROOT, Running, free_port
from bench.stage import FORM, PLACE, Stage, everyday

ENVIRONMENTS = {"arq": "arq"}  # the others live together
NUMBERS = {
    name: number for number, name in enumerate(("celery", "dramatiq", "arq", "taskiq", "rq", "background", "naive"), 2)
}
WORKERS = {
    "rq worker": ("rq", ["rq", "worker", "--quiet", "peer", "--url"]),
    "rq SimpleWorker": ("rq", ["rq", "worker", "--quiet", "--worker-class", "rq.SimpleWorker", "peer", "--url"]),
    "celery prefork 2": (
        "celery",
        ["celery", "-A", "bench.peers.celery:tasks", "worker", "-l", "ERROR", "-P", "prefork", "-c", "2"],
    ),
    "celery gevent 100": (
        "celery",
        ["celery", "-A", "bench.peers.celery:tasks", "worker", "-l", "ERROR", "-P", "gevent", "-c", "100"],
    ),
    "dramatiq 2 x 16": ("dramatiq", ["dramatiq", "bench.peers.dramatiq", "-p", "2", "-t", "16"]),
    "dramatiq 1 x 100": ("dramatiq", ["dramatiq", "bench.peers.dramatiq", "-p", "1", "-t", "100"]),
    "arq 100": ("arq", ["arq", "bench.peers.arq.WorkerSettings"]),
    "taskiq 100": (
        "taskiq",
        ["taskiq", "worker", "bench.peers.taskiq:broker", "--workers", "1", "--max-async-tasks", "100"],
    ),
}


class Peer:
    """One peer on a stage. `number` is its database in the queue server, `database` where its rows are, SQLite unless said."""

    def __init__(
        self, stage: Stage, name: str, *, number: int | None = None, database: str = "", label: str = ""
    ) -> None:
        self.stage, self.name, self.label = stage, name, label or name
        self.number = NUMBERS[name] if number is None else number
        folder = stage.folder / f"peer-{self.label.replace(' ', '-')}"
        self.store = folder / "files"
        self.store.mkdir(parents=True)
        self.port = free_port()
        self.queue = stage.queue(self.number)
        self._bin = PLACE / ENVIRONMENTS.get(name, "peers") / "bin"
        self.env = {
            **everyday(),
            "PYTHONPATH": str(ROOT),
            "PYTHONUNBUFFERED": "1",
            "PEER_REDIS": f"redis://127.0.0.1:{stage.queue_port}/{self.number}",
            "PEER_DATABASE": database or str(folder / "peer.db"),
            "PEER_STORE": str(self.store),
            "PEER_FAR_SIDE": stage.far_url,
            "PEER_URL": f"http://127.0.0.1:{self.port}",
            "PEER_SAMPLE": str(stage.file("sample", stage.png)),
        }

    def start_web(self, *, core: int | None = MEASURED) -> Running:
        """The web server, ready."""
        return web(self.stage, self.label, self._bin, f"bench.peers.{self.name}:web", self.port, self.env, core)

    def start_worker(self, kind: str, *, core: int | None = MEASURED) -> Running:
        """A worker of one kind; it is ready when it has taken its first job."""
        program, *arguments = WORKERS[kind][1]
        address = [self.env["PEER_REDIS"]] if arguments[-1] == "--url" else []
        command = [str(self._bin / program), *arguments, *address]
        return self.stage.run(
            f"worker-{kind.replace(' ', '-')}",
            command,
            {**self.env, "PATH": f"{self._bin}:{os.environ['PATH']}"},
            core=core,
        )

    def stock(self, count: int) -> None:
        """Puts so many jobs into the queue, without uploads."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}/stock/{count}", method="POST")
        with urllib.request.urlopen(request):
            pass

    def uploads(self, **plan: float) -> Plan:
        """A plan of uploads."""
        return Plan(
            ports=[self.port],
            method="POST",
            path="/jobs",
            headers={"Content-Type": FORM},
            body=str(self.stage.form),
            expect=202,
            **plan,  # type: ignore[arg-type]  # the plan's own figures
        )


def web(
    stage: Stage,
    name: str,
    binaries: Path,
    app: str,
    port: int,
    env: dict[str, str],
    core: int | None = MEASURED,
) -> Running:
    """An ASGI application on uvicorn with its fastest loop and parser, without a log of requests."""
    command = [
        *(str(binaries / "python"), "-m", "uvicorn", app, "--port", str(port)),
        *("--loop", "uvloop", "--http", "httptools", "--no-access-log", "--log-level", "warning"),
    ]
    running = stage.run(f"web-{name.replace(' ', '-')}", command, env, core=core)
    running.until_listens(port)
    return running


def limit(stage: Stage, app: str, folder: str = "limit") -> tuple[Running, int]:
    """A bare application of `bench.limits`, and its port."""
    port, store = free_port(), stage.folder / folder
    store.mkdir(exist_ok=True)
    env = {**everyday(), "PYTHONPATH": str(ROOT), "LIMIT_STORE": str(store)}
    return web(stage, f"limit-{app}", Path(sys.executable).parent, f"bench.limits:{app}", port, env), port
