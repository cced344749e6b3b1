"""A job that kills its worker, and a hundred others that are in flight beside it."""

from __future__ import annotations

from pathlib import Path

from tests.e2e.stack import Stack, running

INNOCENTS = 100
POISON = f'''
"""One of these jobs kills its worker, whenever it runs; the others are at work until it has done so twice."""

import asyncio, os, signal
from pathlib import Path

from pydantic import BaseModel

from app.workflows.declaration import local_workflow, step

DEATHS = Path(__file__).parent / "deaths"
at_work = set()


class Params(BaseModel):
    name: str


def deaths():
    return DEATHS.stat().st_size if DEATHS.exists() else 0


async def run(work):
    if work.params["name"] == "poison":
        while deaths() < 2 and len(at_work) < {INNOCENTS}:
            await asyncio.sleep(0.02)
        with DEATHS.open("a") as file:
            file.write("x" if len(at_work) in (0, {INNOCENTS}) else "?")
        os.kill(os.getpid(), signal.SIGKILL)
    at_work.add(work.params["name"])
    while deaths() < 2:
        await asyncio.sleep(0.2)
    at_work.discard(work.params["name"])
    return "innocent"


WORKFLOW = local_workflow("poison", "Poison", Params, [step("Work", run)], in_flight={INNOCENTS + 10})
'''


def test_a_hundred_jobs_in_flight_beside_one_that_kills_their_worker_all_succeed_and_it_fails(
    tmp_path: Path,
) -> None:
    folder = tmp_path / "workflows"
    folder.mkdir()
    (folder / "poison.py").write_text(POISON)
    settings = {"WORKFLOWS_DIR": str(folder), "WORKER_CONCURRENCY": "130", "LEASE": "1s", "LEASE_RENEWAL": "0.3s"}
    with running(tmp_path, **settings) as stack:
        all_succeed_but_the_poison(stack, folder)


def all_succeed_but_the_poison(stack: Stack, folder: Path) -> None:
    def hand_in(name: str) -> str:
        body = {"workflow": "poison", "params": {"name": name}}
        return str(stack.client.post("/api/v1/jobs", json=body).json()["job_id"])

    innocents = [hand_in(f"innocent-{number}") for number in range(INNOCENTS)]
    poison = stack.ended(hand_in("poison"), patience=60)
    assert poison["status"] == "failure"
    assert poison["error"]["detail"] == "the job ended its worker three times"
    assert (folder / "deaths").read_text() == "xxx"  # twice beside all hundred of them, and once alone
    jobs = [stack.ended(job_id, patience=60) for job_id in innocents]
    assert {(job["status"], job["result"]) for job in jobs} == {("success", "innocent")}
    assert {job["attempt"] for job in jobs} == {3}
