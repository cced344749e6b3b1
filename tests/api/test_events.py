"""Server-Sent Events: each line once, in order, resumable, and nothing left behind when the client goes."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from datetime import timedelta

import pytest

from app.api.v1.events import EventStream, resume_point
from app.domain.errors import StoreUnavailable
from app.domain.lifecycle import Completed, Failed, Progressed
from app.domain.models import JobError, JobResult, Progress
from app.domain.signing import Scope
from tests.api.test_submit import is_problem

JOBS = "/api/v1/jobs"
DONE = Completed(result=JobResult(message="done\nand done"))


def read(text):
    """Each event's fields, as the standard has it."""
    frames = [frame for frame in text.split("\n\n") if frame and not frame.startswith(":")]
    return [dict(line.split(": ", 1) for line in frame.split("\n")) for frame in frames]


@pytest.fixture
def path(job_id):
    return f"{JOBS}/{job_id}/events"


async def test_each_line_comes_once_and_the_stream_ends_with_the_job(api, world, job_id, path):
    stream = asyncio.create_task(api.get(path))
    await asyncio.sleep(0.05)
    await world.deliver(job_id)
    await asyncio.sleep(0.05)
    for step in (1, 2):
        await world.advance(job_id, Progressed(progress=Progress(step=step, steps=2), due_in=timedelta(minutes=1)))
    assert not stream.done()
    await world.advance(job_id, DONE)
    answer = await asyncio.wait_for(stream, 5)
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    assert answer.headers["x-accel-buffering"] == "no"
    events = read(answer.text)
    assert [event["id"] for event in events] == ["1", "2", "3", "4", "5", "6"]
    assert [event["event"] for event in events][-2:] == ["Progressed", "Completed"]
    history = (await api.get(f"{JOBS}/{job_id}/history")).json()["events"]
    assert [json.loads(event["data"]) for event in events] == history


async def test_a_stream_goes_on_behind_the_last_event_that_was_seen(api, world, job_id, path):
    await world.deliver(job_id)
    await world.advance(job_id, DONE)

    async def ids(headers=None, params=None):
        answer = await asyncio.wait_for(api.get(path, headers=headers, params=params), 5)
        return [event["id"] for event in read(answer.text)]

    assert await ids() == ["1", "2", "3", "4"]
    assert await ids({"Last-Event-ID": "2"}) == ["3", "4"]
    assert await ids(params={"last_event_id": "2"}) == ["3", "4"]
    for over in ("4", "5", "999999999"):
        assert await ids({"Last-Event-ID": over}) == []
    for garbage in ("", "x", "-1", "1.5", "²".encode("latin-1"), "9" * 5000):
        assert await ids({"Last-Event-ID": garbage}) == ["1", "2", "3", "4"]


async def test_an_unfinished_job_is_followed_from_its_newest_line_on(api, world, job_id, path):
    assert resume_point("999", await world.services.log.get(job_id)) == 1
    stream = asyncio.create_task(api.get(path, headers={"Last-Event-ID": "999"}))
    await asyncio.sleep(0.05)
    await world.advance(job_id, DONE)
    assert [event["id"] for event in read((await asyncio.wait_for(stream, 5)).text)] == ["2"]


async def test_a_success_behind_a_failure_is_told_too(api, world, job_id, path):
    await world.advance(job_id, Failed(error=JobError(type="workflow", detail="no")))
    await world.advance(job_id, DONE)
    answer = await asyncio.wait_for(api.get(path), 5)
    assert [event["event"] for event in read(answer.text)] == ["Accepted", "Failed", "Completed"]


class Listener:
    """A client in process: notes what it is sent, stays until told to go."""

    def __init__(self):
        self.messages, self.leaves = [], asyncio.Event()

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)

    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages).decode()


async def test_a_quiet_stream_says_that_it_is_still_there_and_ends_with_its_client(world, job_id):
    listener, before = Listener(), asyncio.all_tasks()
    job = await world.services.log.get(job_id)
    stream = EventStream(replace(world.services, sse_heartbeat=timedelta(milliseconds=50)), job, 1)
    running = asyncio.create_task(stream({"type": "http"}, listener.receive, listener.send))
    await asyncio.sleep(0.18)
    assert listener.text().startswith(": ")
    assert listener.text().count("\n\n") in (2, 3)
    listener.leaves.set()
    await asyncio.wait_for(running, 5)
    await asyncio.sleep(0)
    assert asyncio.all_tasks() == before


class ForgetfulLog:
    """A database that goes away after the job was found."""

    def __init__(self, log):
        self.get = log.get

    async def history(self, job_id, after=0):
        raise StoreUnavailable("the database does not answer")


async def test_a_database_that_goes_away_ends_the_stream_so_that_the_client_comes_back(api, world, path, caplog):
    object.__setattr__(world.services, "log", ForgetfulLog(world.services.log))
    answer = await asyncio.wait_for(api.get(path), 5)
    assert (answer.status_code, answer.text) == (200, "")
    assert "Traceback" not in caplog.text


async def test_a_page_link_opens_the_events(api, world, job_id, path):
    await world.advance(job_id, DONE)
    del api.headers["Authorization"]
    assert (await api.get(path, params={"token": world.token(Scope.PAGE, job_id)})).status_code == 200
    for token in (world.token(Scope.FILE, job_id), "x", ""):
        is_problem(await api.get(path, params={"token": token}), 401)
    is_problem(await api.get(path), 401)
