"""Local workflows in the real product: found in a folder, handed in like any other, and not stopped by killed workers."""

from __future__ import annotations

import asyncio
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from tests.e2e.stack import ROOT, Stack, free_port, running, until
from tests.far_side import Call, far_side
from tests.github import TOKEN, GitHub, item

ASKERS = 60
GITHUB_PORT = free_port()

SURVEY = '''
"""Three steps that write down each of their runs and can be told to take their worker with them, once at each place."""

import asyncio, os, signal, sqlite3, threading, time
from pathlib import Path

from pydantic import BaseModel

from app.workflows.declaration import local_workflow, step

HERE = Path(__file__).parent


class Params(BaseModel):
    name: str
    deadly: list[str] = []
    wait: float = 0.0


def once(work, place):
    try:
        (HERE / f"{work.params['name']}-{place}").touch(exist_ok=False)
    except FileExistsError:
        return False
    return place in work.params["deadly"]


def die():
    os.kill(os.getpid(), signal.SIGKILL)


def die_when_kept(job_id, number):
    """As soon as the step's output is durable, and nothing more has been done."""
    with sqlite3.connect(os.environ["SURVEY_DATABASE"]) as database:
        while not database.execute("SELECT 1 FROM step_output WHERE job_id = ? AND step = ?", (job_id, number)).fetchall():
            time.sleep(0.0005)
    die()


def made(number):
    async def run(work):
        with (HERE / f"{work.params['name']}.runs").open("a") as journal:
            journal.write(f"{number}\\n")
        if once(work, f"inside-{number}"):
            die()
        await asyncio.sleep(work.params["wait"])
        if once(work, f"kept-{number}"):
            threading.Thread(target=die_when_kept, args=(str(work.job_id), number), daemon=True).start()
        return [*work.outputs.get(f"s{number - 1}", []), number]

    return step(f"Step {number}", run, name=f"s{number}")


WORKFLOW = local_workflow("survey", "Survey", Params, [made(1), made(2), made(3)])
'''


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("workflows")
    (folder / "survey.py").write_text(SURVEY)
    shutil.copy(ROOT / "examples" / "csv_summary.py", folder)
    return folder


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory, folder: Path) -> Iterator[Stack]:
    home = tmp_path_factory.mktemp("local")
    database = home / ".data" / "callslip.db"
    documents = tmp_path_factory.mktemp("documents")
    (documents / "owls.txt").write_text(
        "Barn owls are birds that hunt at night, and they live in old barns all over Europe."
    )
    with running(
        home,
        WORKFLOWS_DIR=str(folder),
        DOCUMENTS_DIR=str(documents),
        WIKIPEDIA_URL="",
        GITHUB_API_URL=f"http://127.0.0.1:{GITHUB_PORT}",
        GITHUB_TOKEN=TOKEN,
        SURVEY_DATABASE=str(database),
        LEASE="1s",
        LEASE_RENEWAL="0.3s",
    ) as stack:
        yield stack


EVERY_PLACE = [f"{place}-{number}" for number in (1, 2, 3) for place in ("inside", "kept")]
DEADLY = EVERY_PLACE if os.environ.get("EVERY_PLACE") else ["inside-1", "kept-1", "inside-3"]


def survey(stack: Stack, **params: object) -> str:
    body = {"workflow": "survey", "params": params}
    answer = stack.client.post("/api/v1/jobs", json=body, headers={"Idempotency-Key": f"survey {params['name']}"})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["job_id"])


def test_workflows_from_a_folder_are_listed_with_what_they_take(stack: Stack) -> None:
    listed = {one["name"]: one for one in stack.client.get("/api/v1/workflows").json()["workflows"]}
    assert listed["survey"]["file"] is None
    assert listed["survey"]["parameters"]["required"] == ["name"]
    assert listed["csv_summary"]["file"]["max_size"] == 10_000_000
    refused = stack.client.post("/api/v1/jobs", json={"workflow": "survey", "params": {"wait": "long", "x": 1}})
    assert refused.status_code == 422
    assert {one["field"] for one in refused.json()["errors"]} == {"name", "wait", "x"}


def test_the_example_sums_up_a_table(stack: Stack) -> None:
    created = stack.upload("costs.csv", b"what;cost\ncoffee;3\ntea;2\n", workflow="csv_summary", delimiter=";")
    job = stack.ended(created["job_id"])
    assert (job["status"], job["result_message"]) == ("success", "2 columns")
    assert job["result"]["cost"] == {"filled": 2, "least": 2.0, "most": 3.0, "mean": 2.5}
    assert job["result"]["what"] == {"filled": 2, "different": 2}


def test_the_example_says_why_it_cannot(stack: Stack) -> None:
    job = stack.ended(stack.upload("empty.csv", b"what,cost\n", workflow="csv_summary")["job_id"])
    assert job["error"] == {"type": "step_failed", "detail": "step 1 (Reading the table): the table has no rows"}


def test_a_worker_killed_inside_and_after_its_steps_repeats_no_finished_step(stack: Stack, folder: Path) -> None:
    job_id = survey(stack, name="deadly", deadly=DEADLY)
    job = stack.ended(job_id, patience=90)
    assert (job["status"], job["result"]) == ("success", [1, 2, 3])
    # Killed inside, a step runs once more; killed when it was kept, it does not.
    again = [place[-1] for place in DEADLY if place.startswith("inside")]
    assert (folder / "deadly.runs").read_text().split() == sorted(["1", "2", "3", *again])
    assert job["attempt"] == 1 + len(DEADLY)
    verified = stack.admin("audit", "verify", "--job", job_id)
    assert verified.returncode == 0, verified.stdout


def test_a_cancelled_job_stops_in_the_middle_of_its_step_and_a_retry_is_a_new_job(stack: Stack, folder: Path) -> None:
    job_id = survey(stack, name="long", wait=0.5)
    assert survey(stack, name="long", wait=0.5) == job_id
    until((folder / "long-inside-2").exists)
    assert stack.client.post(f"/api/v1/jobs/{job_id}/cancel").json()["status"] == "cancelled"
    again = stack.client.post(f"/api/v1/jobs/{job_id}/retry").json()["job_id"]
    assert stack.ended(again)["result"] == [1, 2, 3]
    assert (folder / "long.runs").read_text().split() == ["1", "2", "1", "2", "3"]


def test_research_runs_on_a_folder_of_documents_without_any_account(stack: Stack) -> None:
    begun = stack.client.post("/research", json={"topic": "What barn owls hunt"}).json()
    job = stack.ended(begun["research_id"], patience=60)
    assert job["status"] == "success", job["error"]
    whole = stack.client.get(f"/research/{begun['research_id']}").json()
    assert {step["status"] for step in whole["workflow_steps"]} == {"COMPLETED"}
    assert [article["url"] for article in whole["results"]["processed_articles"]] == ["owls.txt"]
    assert any("owls" in keyword for keyword in whole["results"]["top_keywords"])


async def test_a_report_that_many_ask_for_at_once_is_made_once_and_all_get_it_live(stack: Stack) -> None:
    at, following, all_follow = datetime.now(UTC), list[str](), asyncio.Event()
    github = GitHub()
    github.did["author", "ada", "pr"] = [item("ada/engine", n, at - timedelta(days=n)) for n in range(40)]

    async def held(call: Call) -> None:
        await all_follow.wait()
        await github(call)

    async def watched(client: httpx.AsyncClient) -> tuple[str, int]:
        job = (await client.get("/api/v1/profiles/ada?period=30d")).json()["job"]
        async with client.stream("GET", job["links"]["events"]) as events:
            following.append(job["job_id"])
            if len(following) == ASKERS:
                all_follow.set()
            async for line in events.aiter_lines():
                if line == "event: Completed":
                    break
        report = await client.get("/api/v1/profiles/ada?period=30d")
        return job["job_id"], report.json()["report"]["totals"]["pull_request"]

    limits = httpx.Limits(max_connections=ASKERS)
    address, headers = stack.client.base_url, stack.client.headers
    async with (
        far_side(port=GITHUB_PORT) as far,
        httpx.AsyncClient(base_url=address, headers=headers, timeout=30, limits=limits) as client,
        asyncio.timeout(40),
    ):
        far.will(held)
        told = await asyncio.gather(*(watched(client) for _ in range(ASKERS)))
        assert len(set(following)) == 1
        assert set(told) == {(following[0], 30)}
        calls = github.calls
        week = (await client.get("/api/v1/profiles/ada?period=7d")).json()["job"]
        done = await asyncio.to_thread(stack.ended, week["job_id"])
        assert done["result"]["totals"]["pull_request"] == 7
        assert github.calls == calls  # the second period cost nothing
