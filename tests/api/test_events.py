"""Server-Sent Events: each line once, in order, resumable, and nothing left behind when the client goes."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from datetime import timedelta

import pytest

from app.api.http_protocol import PUSH
from app.api.v1.channels import KEPT, Channels, Watcher
from app.api.v1.events import EventStream, resume_point
from app.domain.errors import StoreUnavailable
from app.domain.lifecycle import Completed, Delivered, Failed, Progressed, Started
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


async def test_an_event_is_described_as_the_fields_that_it_has(api, world, job_id, path):
    await world.deliver(job_id)
    await world.advance(job_id, DONE)
    events = read((await asyncio.wait_for(api.get(path), 5)).text)
    operation = (await api.get("/openapi.json")).json()["paths"][f"{JOBS}/{{job_id}}/events"]["get"]
    described = operation["responses"]["200"]["content"]["text/event-stream"]["schema"]
    assert described["type"] == "object"
    assert {field["type"] for field in described["properties"].values()} == {"string"}
    assert all(event.keys() == described["properties"].keys() == set(described["required"]) for event in events)


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
    """A client in process: notes what it is sent, stays until told to go. Its server has the way to push, unless it is
    `plain`; a `slow` one takes every third push only."""

    def __init__(self, *, plain=False, slow=False):
        self.messages, self.leaves, self.pushes = [], asyncio.Event(), 0
        self.scope, self._slow = {"type": "http"}, slow
        if not plain:
            self.scope["extensions"] = {PUSH: self.push}

    def push(self, words):
        self.pushes += 1
        taken = not (self._slow and self.pushes % 3)
        if taken:
            size, _, rest = words.partition(b"\r\n")
            assert len(rest) == int(size, 16) + 2
            assert rest.endswith(b"\r\n")
            self.messages.append({"body": rest[:-2]})
        return taken

    async def receive(self):
        await self.leaves.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.messages.append(message)

    def text(self):
        return b"".join(message.get("body", b"") for message in self.messages).decode()


@pytest.mark.parametrize("plain", [False, True])
async def test_a_quiet_stream_says_that_it_is_still_there_and_ends_with_its_client(world, job_id, plain):
    listener, before = Listener(plain=plain), asyncio.all_tasks()
    job = await world.services.log.get(job_id)
    stream = EventStream(Channels(replace(world.services, sse_heartbeat=timedelta(milliseconds=50))), job, 1)
    began = time.monotonic()
    running = asyncio.create_task(stream(listener.scope, listener.receive, listener.send))
    for _ in range(500):
        if listener.text().count("\n\n") >= 2:
            break
        await asyncio.sleep(0.01)
    assert listener.text().startswith(": ")
    assert 2 <= listener.text().count("\n\n") <= (time.monotonic() - began) / 0.05
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


async def test_the_holder_of_a_link_is_not_told_what_went_over_the_wire(api, world, job_id, path):
    words = {"answer": "taken", "request": {"url": "https://n8n.internal/webhook/***"}, "response": {"status": 200}}
    await world.advance(job_id, Started(lease=timedelta(seconds=10)))
    await world.advance(job_id, Delivered(due_in=timedelta(minutes=15), words=words))
    await world.advance(job_id, DONE)
    with_key = await api.get(path)
    history = (await api.get(f"{JOBS}/{job_id}/history")).json()["events"]
    assert [json.loads(event["data"]) for event in read(with_key.text)] == history
    assert history[2]["detail"] == words
    del api.headers["Authorization"]
    by_link = await api.get(path, params={"token": world.token(Scope.PAGE, job_id)})
    assert json.loads(read(by_link.text)[2]["data"])["detail"] == {"answer": "taken"}
    assert "n8n.internal" not in by_link.text


class CountingLog:
    """A log that says how often a history was read."""

    def __init__(self, log):
        self.get, self.read, self._log = log.get, 0, log

    async def history(self, job_id, after=0):
        self.read += 1
        return await self._log.history(job_id, after)


async def test_a_hundred_watchers_cost_one_reading_of_each_line_and_none_misses_one(world, job_id):
    log = CountingLog(world.services.log)
    channels = Channels(replace(world.services, log=log))
    job = await log.get(job_id)
    listeners = [Listener(plain=number % 5 == 0, slow=number % 7 == 0) for number in range(100)]
    streams = [
        asyncio.create_task(EventStream(channels, job, 1)(each.scope, each.receive, each.send)) for each in listeners
    ]
    await asyncio.sleep(0.2)
    log.read = 0
    await world.deliver(job_id)
    for step in range(1, 80):
        await world.advance(job_id, Progressed(progress=Progress(step=step), due_in=timedelta(minutes=1)))
        await asyncio.sleep(0.002 if step % 9 else 0)
    await world.advance(job_id, DONE)
    await asyncio.wait_for(asyncio.gather(*streams), 5)
    assert log.read < 300  # not one for each watcher and line, of which there are 8,200
    wanted = [str(version) for version in range(2, 84)]
    assert all([event["id"] for event in read(each.text())] == wanted for each in listeners)
    assert max(each.pushes for each in listeners) > 20  # most lines took the short way


async def test_a_watcher_that_was_away_for_longer_than_lines_are_kept_reads_for_itself(world, job_id):
    channels, job = Channels(world.services), await world.services.log.get(job_id)
    async with channels.watch(job, Watcher(1, whole=True, push=None)) as channel:
        await world.deliver(job_id)
        for step in range(1, KEPT + 10):
            await world.advance(job_id, Progressed(progress=Progress(step=step), due_in=timedelta(minutes=1)))
        await asyncio.sleep(0.1)
        body, newest, ended = await channel.after(1, whole=True)
    assert [event["id"] for event in read(body.decode())] == [str(version) for version in range(2, KEPT + 13)]
    assert (newest, ended) == (KEPT + 12, False)
