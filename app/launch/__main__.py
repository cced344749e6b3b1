"""`python -m app.launch`: the embedded queue, the demo workflow, a worker and the API, as one thing to start and stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from app.bootstrap.queue import embedded_queue
from app.bootstrap.workflows import check_workflows_or_exit
from app.core.settings import ENV_FILE, Settings, settings_or_exit
from app.domain.errors import CallslipError
from app.launch import programs
from app.launch.child import CannotStart, end_with_parent
from app.launch.claims import CannotLaunch, check_demo, check_port, claim_children, claim_data_dir
from app.launch.env_file import ensure_env_file
from app.launch.fleet import Fleet
from app.launch.greeting import greeting, wait_until_ready, without_path

READY_PATIENCE = timedelta(seconds=20)
BESIDE_THE_WORKER = timedelta(seconds=12)  # what all the others together may take to end


class Output:
    """One stream for everybody's lines, each behind the name of who said it; bare where JSON was asked for."""

    def __init__(self, *, named: bool = True) -> None:
        self.named = named
        self._broken = False

    def __call__(self, name: str, line: str) -> None:
        if self._broken:
            return
        try:
            sys.stdout.write(f"{name:<8} | {line}\n" if self.named and name else f"{line}\n")
            sys.stdout.flush()
        except OSError:  # the reader of our output has gone; that must not stop the service
            self._broken = True


def main() -> int:
    """Prepares, runs until told to stop, and leaves nothing running. The exit status."""
    if "--with-parent" in sys.argv[1:]:
        end_with_parent()
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until something runs, Ctrl-C ends without a traceback
    say = Output()
    if ensure_env_file(ENV_FILE):
        say("callslip", f"made {ENV_FILE.absolute()} with fresh secrets")
    settings = settings_or_exit(ENV_FILE)
    check_workflows_or_exit(settings)
    say.named = settings.log_format != "json"
    try:
        check_demo(settings)
        mine = claim_data_dir(settings.data_dir)
        ours = claim_children(settings.data_dir, settings.drain_timeout + timedelta(seconds=10), say)
        check_port(settings.host, settings.port)
        status = asyncio.run(_run(settings, say, ours))
        os.close(mine)
    except CannotLaunch as problem:
        sys.stderr.write(f"Callslip cannot start. {problem}\n")
        status = 1
    return status


async def _run(settings: Settings, say: Output, lock: int) -> int:
    fleet, stop = Fleet(say), asyncio.Event()
    _listen(stop, fleet)
    serving = asyncio.create_task(_serve(settings, fleet, say, lock))
    stopping = asyncio.create_task(stop.wait())
    ends: set[asyncio.Future[Any]] = {serving, stopping, fleet.failed}
    try:
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if stop.is_set():
            say("callslip", "stopping")
            return 0
        if fleet.failed.done():
            raise fleet.failed.result()
        await serving
    except CannotStart as problem:
        lines = [f"{problem}. Its last words:", *(f"  {line}" for line in problem.lines)]
    except CallslipError as problem:
        lines = ["cannot start:", *(f"  {line}" for line in str(problem).splitlines())]
    finally:
        serving.cancel()
        stopping.cancel()
        await fleet.stop(settings.drain_timeout + BESIDE_THE_WORKER)
    for line in lines:
        say("callslip", line)
    return 1


async def _serve(settings: Settings, fleet: Fleet, say: Output, lock: int) -> None:
    variables = programs.environment(settings)
    workflow = without_path(settings.n8n_webhook_url or "")
    if settings.n8n_webhook_url is None:
        fleet.start(programs.demo(settings, (lock,), variables))
        workflow = "the demo in demo/; set N8N_WEBHOOK_URL for your own"
    command, url = await asyncio.to_thread(_embedded_queue, settings)
    if command:
        fleet.start(programs.queue(command, (lock,), variables))
        variables["REDIS_URL"] = url
    # Nobody waits for anybody: API and worker bring the database up to date under a lock, and live without the queue.
    fleet.start(programs.worker(settings, (lock,), variables))
    fleet.start(programs.api(settings, (lock,), variables))
    state = await wait_until_ready(settings.host, settings.port, READY_PATIENCE)
    fleet.settle()
    for line in greeting(settings, ENV_FILE, programs.ROOT, workflow, state):
        say("", line)
    await asyncio.Event().wait()


def _embedded_queue(settings: Settings) -> tuple[list[str], str]:
    queue = embedded_queue(settings)
    return (queue.command(), queue.url) if queue is not None else ([], "")


def _listen(stop: asyncio.Event, fleet: Fleet) -> None:
    """The first signal asks for an orderly end, the second for a quick one."""

    def heard() -> None:
        (fleet.hurry if stop.is_set() else stop).set()

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:  # nohup, or a shell's background
            asyncio.get_running_loop().add_signal_handler(number, heard)


if __name__ == "__main__":
    sys.exit(main())
