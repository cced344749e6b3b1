"""The service as a user runs it: the programs that `make run` starts, with the settings that a user writes."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Sequence
from pathlib import Path

from app.core.settings import Settings
from app.launch import programs
from bench.load import Plan
from bench.process import MEASURED, Running, free_port
from bench.stage import FORM, Stage, everyday

KEY = "bench-api-key-0123456789abcdef"
SECRET = "bench-secret-0123456789abcdefgh"
FINISHED = 60.0
REGISTRIES = {"started": "wip", "finished": "finished", "failed": "failed"}


class Callslip:
    """One installation of its own on a stage. `settings` are variables as they stand in `.env`."""

    def __init__(self, stage: Stage, name: str = "callslip", number: int = 1, **settings: str) -> None:
        self.stage, self.name = stage, name
        self.queue = stage.queue(number)
        self.queue_name = name
        self.data = stage.folder / name
        self.data.mkdir()
        self.port = free_port()
        own = {
            "CALLSLIP_API_KEYS": f"bench:{KEY}",
            "SECRET_KEY": SECRET,
            "DATA_DIR": str(self.data),
            "REDIS_URL": f"redis://127.0.0.1:{stage.queue_port}/{number}",
            "QUEUE_NAME": name,
            "PORT": str(self.port),
            "N8N_WEBHOOK_URL": stage.far_url,
            "N8N_WEBHOOK_TOKEN": SECRET,
            "N8N_WEBHOOK_SECRET": SECRET,
            **settings,
        }
        values = {key.lower(): value for key, value in own.items()}
        self.settings = Settings(_env_file=None, **values)  # type: ignore[call-arg, arg-type]  # read as the environment is
        shared = programs.environment(self.settings)
        wanted = ("LOG_FORMAT", "PYTHONPATH", "PROMETHEUS_MULTIPROC_DIR", "PYTHONUNBUFFERED")
        self.env = {**everyday(), **{key: shared[key] for key in wanted}, **own}
        self.apis: list[Running] = []
        self.workers: list[Running] = []
        self._profiler: list[str] = []

    def profile_into(self, figures: Path) -> None:
        """What is started from now on runs under cProfile."""
        self._profiler = ["-m", "cProfile", "-o", str(figures)]

    def unprofiled(self) -> None:
        """Ends `profile_into`."""
        self._profiler = []

    def start_api(self, *, core: int | None = MEASURED, port: int | None = None) -> Running:
        """The web server, ready."""
        settings = self.settings.model_copy(update={"port": port or self.port})
        command = self._with_profiler(programs.api(settings, (), {}).command)
        env = {**self.env, "PORT": str(settings.port), "PUBLIC_URL": f"http://127.0.0.1:{settings.port}"}
        self.apis.append(self.stage.run(f"{self.name}-api-{len(self.apis)}", command, env, core=core))
        self.apis[-1].until_listens(settings.port)
        return self.apis[-1]

    def start_worker(self, *, core: int | None = MEASURED) -> Running:
        """A worker that has shown itself to the queue."""
        command = self._with_profiler(programs.worker(self.settings, (), {}).command)
        before = self._known_workers()
        self.workers.append(self.stage.run(f"{self.name}-worker-{len(self.workers)}", command, self.env, core=core))
        until = time.monotonic() + 20
        while self._known_workers() == before:
            if time.monotonic() > until:
                raise RuntimeError(f"no worker: {self.workers[-1].last_words()}")
            time.sleep(0.05)
        return self.workers[-1]

    def _with_profiler(self, command: Sequence[str]) -> list[str]:
        return [command[0], *self._profiler, *command[1:]]

    def _known_workers(self) -> int:
        return int(self.queue.scard(f"rq:workers:{self.queue_name}"))  # type: ignore[arg-type]  # redis-py's union

    @property
    def headers(self) -> dict[str, str]:
        """What a client sends with each request."""
        return {"Authorization": f"Bearer {KEY}"}

    def uploads(self, *, form: Path | None = None, ports: Sequence[int] = (), **plan: float) -> Plan:
        """A plan of uploads, each with an idempotency key of its own."""
        return Plan(
            ports=list(ports) or [self.port],
            method="POST",
            path="/api/v1/jobs",
            headers={**self.headers, "Content-Type": FORM},
            body=str(form or self.stage.form),
            unique="Idempotency-Key",
            expect=202,
            **plan,  # type: ignore[arg-type]  # the plan's own figures
        )

    @property
    def files(self) -> Path:
        return self.data / "files" / "stored"

    def counts(self) -> dict[str, int]:
        """Jobs by status, straight from the database."""
        with sqlite3.connect(f"file:{self.data / 'callslip.db'}?mode=ro", uri=True) as connection:
            return dict(connection.execute("SELECT status, count(*) FROM job_log GROUP BY status").fetchall())

    def lines(self) -> int:
        """How many audit lines there are."""
        with sqlite3.connect(f"file:{self.data / 'callslip.db'}?mode=ro", uri=True) as connection:
            return int(connection.execute("SELECT count(*) FROM audit_event").fetchone()[0])

    def until_counts(self, status: str, count: int, patience: float = FINISHED) -> None:
        """Returns when so many jobs have this status."""
        until = time.monotonic() + patience
        while (found := self.counts()).get(status, 0) < count:
            if time.monotonic() > until:
                words = "; ".join(one.last_words()[-200:] for one in self.workers)
                raise RuntimeError(f"{found} instead of {count} {status}: {words}")
            time.sleep(0.05)

    def registries(self) -> dict[str, int]:
        """What RQ's registries hold."""
        name, queue = self.queue_name, self.queue
        return {
            "queued": int(queue.llen(f"rq:queue:{name}")),  # type: ignore[arg-type]  # redis-py's union
            "intermediate": int(queue.llen(f"rq:queue:{name}:intermediate")),  # type: ignore[arg-type]
            **{kind: int(queue.zcard(f"rq:{key}:{name}")) for kind, key in REGISTRIES.items()},  # type: ignore[arg-type]
        }
