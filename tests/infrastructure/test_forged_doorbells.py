"""Whoever can write to Redis gets no code run, no call made and no job changed: at most a doorbell is lost."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import sys
import zlib
from collections.abc import Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from rq import Callback, Queue, Webhook
from rq.serializers import JSONSerializer

from app.domain.models import JobId
from app.infrastructure import doorbell_rq as doorbell
from app.infrastructure.queue_rq import RqJobQueue
from app.infrastructure.worker_rq import AsyncWorker, HeadOfQueue
from tests.contracts.redis_fixtures import RealValkey, new_id, rung, valkey
from tests.infrastructure.worker_harness import roomy, until

__all__ = ["valkey"]


class Bomb:
    def __init__(self, mark: str) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (self.mark,)


def packed(func: object, instance: object, args: object, kwargs: object) -> bytes:
    return zlib.compress(json.dumps([func, instance, args, kwargs]).encode())


def true_fields(job_id: JobId) -> dict[str, Any]:
    return {
        "data": zlib.compress(doorbell.data(str(job_id))),
        "status": "queued",
        "origin": "q",
        "created_at": "2026-11-23T00:00:00.000000Z",
        "timeout": -1,
    }


# Each gets the job id, a folder that must not come into being, and an address that must not be called.
FORGERIES = {
    "another function": lambda i, mark, _: {"data": packed("os.mkdir", None, [mark], {})},
    "another function with our argument": lambda i, *_: {"data": packed("os.mkdir", None, [str(i)], {})},
    "a module that acts on import": lambda i, *_: {"data": packed("antigravity.fly_geohash", None, [str(i)], {})},
    "a pickle as data": lambda i, mark, _: {"data": pickle.dumps(Bomb(mark))},
    "a packed pickle as data": lambda i, mark, _: {"data": zlib.compress(pickle.dumps(Bomb(mark)))},
    "a pickle as meta": lambda i, mark, _: {"meta": pickle.dumps(Bomb(mark))},
    "a pickle as result": lambda i, mark, _: {"result": pickle.dumps(Bomb(mark))},
    "an instance": lambda i, *_: {"data": packed(doorbell.FUNC, "os", [str(i)], {})},
    "keywords": lambda i, *_: {"data": packed(doorbell.FUNC, None, [str(i)], {"force": True})},
    "two arguments": lambda i, *_: {"data": packed(doorbell.FUNC, None, [str(i), str(i)], {})},
    "another job's id": lambda i, *_: {"data": packed(doorbell.FUNC, None, [str(new_id())], {})},
    "no data": lambda i, *_: {"data": b""},
    "data that is not compressed": lambda i, *_: {"data": doorbell.data(str(i))},
    "something behind the data": lambda i, *_: {"data": zlib.compress(doorbell.data(str(i)) + b"\n")},
    "a bomb of zeros": lambda i, *_: {"data": zlib.compress(bytes(50_000_000), 9)},
    "a hundred thousand brackets": lambda i, *_: {"data": zlib.compress(b"[" * 100_000)},
    "a success callback": lambda i, mark, _: {"success_callback_name": "os.mkdir", "success_callback_timeout": 60},
    "a failure callback": lambda i, mark, _: {"failure_callback_name": "os.mkdir", "failure_callback_timeout": 60},
    "a stopped callback": lambda i, mark, _: {"stopped_callback_name": "os.mkdir"},
    "webhooks": lambda i, _, url: {"webhooks": json.dumps([Webhook(url, "finished").to_dict()])},
    "dependencies": lambda i, *_: {"dependency_ids": json.dumps([str(new_id())]), "allow_dependency_failures": 1},
    "retries": lambda i, *_: {"retries_left": 99, "retry_intervals": "[0]"},
    "repeats": lambda i, *_: {"repeats_left": 99, "repeat_intervals": "[0]"},
    "a group": lambda i, *_: {"group_id": "g"},
    "a rate limit": lambda i, *_: {"rate_limit_key": "k", "rate_limit_concurrency": 1},
    "a field of its own": lambda i, *_: {"anything": "else"},
}


class Watcher:
    """Notes what ran, who was called, and answers nobody."""

    def __init__(self) -> None:
        self.ran: list[JobId] = []
        self.called = 0

    async def run(self, job_id: JobId) -> None:
        self.ran.append(job_id)

    async def take(self, _: int, __: HeadOfQueue) -> Sequence[JobId]:
        return []

    def answer(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.called += 1
        writer.close()


async def work_off(valkey: RealValkey, watcher: Watcher, *last: JobId) -> None:
    """Let a worker empty the queue; `last` are rung behind whatever is in it, and must run."""
    queue = RqJobQueue(valkey.url, "q")
    await rung(queue, *last)
    stop = asyncio.Event()
    worker = AsyncWorker(
        valkey.url,
        "q",
        run=watcher.run,
        take=watcher.take,
        room=roomy,
        sweep_every=timedelta(seconds=0.1),
        concurrency=5,
    )
    serving = asyncio.create_task(worker.serve(stop))
    await until(lambda: set(last) <= set(watcher.ran), within=10)
    stop.set()
    await serving
    await queue.close()
    assert valkey.client.llen("rq:queue:q") == valkey.client.llen("rq:queue:q:intermediate") == 0


@pytest.mark.parametrize("kind", FORGERIES)
async def test_a_forged_doorbell_is_dropped_unread(
    valkey: RealValkey, tmp_path: Path, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    watcher, forged, honest, mark = Watcher(), new_id(), new_id(), tmp_path / "owned"
    server = await asyncio.start_server(watcher.answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    fields = true_fields(forged) | FORGERIES[kind](forged, str(mark), url)
    valkey.client.hset(f"rq:job:{forged}", mapping=fields)
    valkey.client.rpush("rq:queue:q", str(forged))
    await work_off(valkey, watcher, honest)
    server.close()
    await server.wait_closed()
    assert (watcher.ran, watcher.called, mark.exists()) == ([honest], 0, False)
    assert "antigravity" not in sys.modules
    assert not valkey.client.exists(f"rq:job:{forged}")
    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert warnings == ["1 messages that no Callslip wrote were dropped from the queue"]


async def test_an_honest_doorbell_written_by_hand_is_accepted(valkey: RealValkey) -> None:
    watcher, by_hand = Watcher(), new_id()
    valkey.client.hset(f"rq:job:{by_hand}", mapping=true_fields(by_hand))
    valkey.client.rpush("rq:queue:q", str(by_hand))
    await work_off(valkey, watcher, new_id())
    assert by_hand in watcher.ran


IDS = {
    "no id": b"os.mkdir",
    "not text": b"\xff\xfe\x00",
    "empty": b"",
    "upper case": b"019A0000-0000-7000-8000-0000000000AB",
    "braces": b"{019a0000-0000-7000-8000-000000000001}",
    "urn": b"urn:uuid:019a0000-0000-7000-8000-000000000001",
    "no dashes": b"019a0000000070008000000000000001",
    "a megabyte": b"a" * 1_000_000,
    "another key": b"../../rq:workers",
    "no hash": b"019a0000-0000-7000-8000-000000000001",
}


@pytest.mark.parametrize("kind", IDS)
async def test_what_is_no_id_of_ours_is_dropped(valkey: RealValkey, kind: str) -> None:
    watcher, honest = Watcher(), new_id()
    valkey.client.rpush("rq:queue:q", IDS[kind])
    await work_off(valkey, watcher, honest)
    assert watcher.ran == [honest]


@pytest.mark.parametrize("suffix", ["job:{}", "executions:{}", "results:{}", "finished:q", "wip:q", "failed:q"])
async def test_keys_of_a_wrong_type_spoil_nothing_else(valkey: RealValkey, suffix: str) -> None:
    watcher, marked, honest = Watcher(), new_id(), new_id()
    valkey.client.set("rq:" + suffix.format(marked), "not what RQ expects")
    valkey.client.rpush("rq:queue:q", str(marked))
    await work_off(valkey, watcher, honest)
    assert honest in watcher.ran


async def test_a_job_that_rq_itself_enqueued_with_callbacks_runs_nothing(valkey: RealValkey, tmp_path: Path) -> None:
    watcher, honest = Watcher(), new_id()
    queue = Queue("q", connection=valkey.client, serializer=JSONSerializer)
    callback = Callback("os.getcwd")
    queue.enqueue("os.mkdir", str(tmp_path / "owned"), on_success=callback, on_failure=callback)
    first = queue.enqueue(doorbell.FUNC, str(new_id()))
    queue.enqueue(doorbell.FUNC, str(new_id()), depends_on=first)
    await work_off(valkey, watcher, honest)
    assert watcher.ran == [honest]
    assert not (tmp_path / "owned").exists()
