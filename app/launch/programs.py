"""Which programs make up a run, with the environment that each of them gets."""

from __future__ import annotations

import os
import secrets
import shutil
import sys
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from app.core.settings import Settings
from app.launch.child import Program
from app.launch.claims import free_port

ROOT = Path(__file__).resolve().parents[2]
API_GRACE = timedelta(seconds=5)
KILL_AFTER = timedelta(seconds=3)


def environment(settings: Settings) -> dict[str, str]:
    """What all of them get: ours, a fresh folder for metrics that several processes share, and one for passing files,
    which libraries would otherwise write where others may look."""
    metrics, passing = settings.data_dir / "metrics", settings.data_dir / "tmp"
    for folder in (metrics, passing):  # what is in them belongs to processes that are gone
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)
    return {
        **os.environ,
        "LOG_FORMAT": "json" if settings.log_format == "json" else "text",
        "PYTHONPATH": os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")])),
        "PROMETHEUS_MULTIPROC_DIR": str(metrics),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(passing),
    }


def queue(command: list[str], inherited: tuple[int, ...], variables: Mapping[str, str]) -> Program:
    """The embedded Valkey."""
    return Program(
        name="queue", command=command, environment=variables, grace=timedelta(seconds=10), inherited=inherited
    )


def demo(settings: Settings, inherited: tuple[int, ...], variables: dict[str, str]) -> Program:
    """The far side that stands in for a workflow; tells `variables`, and so API and worker, where it is."""
    port = free_port()
    token, signing = settings.n8n_webhook_token, settings.n8n_webhook_secret
    variables |= {
        "N8N_WEBHOOK_URL": f"http://127.0.0.1:{port}/webhook/demo",
        "N8N_WEBHOOK_TOKEN": token.get_secret_value() if token else secrets.token_urlsafe(32),
        "N8N_WEBHOOK_SECRET": ",".join(s.get_secret_value() for s in signing) or secrets.token_urlsafe(32),
    }
    own = {"DEMO_PORT": str(port), "DEMO_FOLDER": str(settings.data_dir / "demo"), "N8N_AUTH": settings.n8n_auth}
    command = [sys.executable, "-m", "demo.far_side"]
    return Program(name="demo", command=command, environment={**variables, **own}, inherited=inherited)


def worker(settings: Settings, inherited: tuple[int, ...], variables: Mapping[str, str]) -> Program:
    """The RQ worker; it may finish its deliveries before it ends."""
    command = [sys.executable, str(ROOT / "rq_worker.py")]
    grace = settings.drain_timeout + KILL_AFTER
    return Program(name="worker", command=command, environment=variables, grace=grace, inherited=inherited)


def api(settings: Settings, inherited: tuple[int, ...], variables: Mapping[str, str]) -> Program:
    """The web server."""
    command = [
        *(sys.executable, "-m", "uvicorn", "main:app", "--app-dir", str(ROOT)),
        *("--host", settings.host, "--port", str(settings.port)),
        *("--http", "app.api.http_protocol:BoundedHttpProtocol"),
        *("--no-access-log", "--no-server-header", "--ws", "none", "--lifespan", "on"),
        *("--timeout-graceful-shutdown", str(int(API_GRACE.total_seconds()))),
    ]
    grace = API_GRACE + KILL_AFTER
    return Program(name="api", command=command, environment=variables, grace=grace, inherited=inherited)
