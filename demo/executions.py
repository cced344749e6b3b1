"""The work behind the webhook: three reports of progress, then the result. What was begun survives a restart."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from demo.facts import Facts, in_words

STEPS = ("Opened the file", "Looked at its content", "Wrote down the findings")
FAIL = "please-fail"  # in a file's name: calls back a failure, to see what that looks like
TRIES = 40
FIRST_PAUSE, LONGEST_PAUSE = 0.3, 5.0  # the service is on the same machine: once it is back, nobody waits long
MOST_REMEMBERED = 10_000
NO_FILE: Mapping[str, Any] = {"kind": "none"}


class Executions:
    """Runs what was taken. `pace` is the time between two callbacks in seconds; `folder` remembers what is open."""

    def __init__(self, folder: Path, pace: float) -> None:
        self._folder, self._pace = folder, pace
        self._tasks: set[asyncio.Task[None]] = set()
        self._taken: dict[str, None] = {}
        self._session: aiohttp.ClientSession | None = None

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Goes on with what a predecessor left; at the end, leaves to a successor what is not done."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        connector = aiohttp.TCPConnector(limit=50, keepalive_timeout=2)
        async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as self._session:
            for path in sorted(self._folder.glob("*.json")):
                self._start(json.loads(path.read_bytes()))
            yield
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def take(self, delivery: Mapping[str, Any], facts: Mapping[str, Any] | None) -> str:
        """Begins the work on a delivery, unless it is a repeat, and gives its execution id: the same for a repeat.

        `facts` are those of an attached file; without them the file is fetched from its link. Raises OSError, with nothing
        begun, where the execution cannot be written down.
        """
        job_id = str(delivery["job_id"])
        if job_id not in self._taken:
            execution = {"delivery": dict(delivery), "facts": None if facts is None else dict(facts)}
            fresh = self._path(job_id).with_suffix(".new")
            fresh.touch(mode=0o600)
            fresh.write_text(json.dumps(execution))
            fresh.replace(self._path(job_id))
            self._start(execution)
        return f"demo-{job_id[-12:]}"

    def _start(self, execution: Mapping[str, Any]) -> None:
        self._taken[str(execution["delivery"]["job_id"])] = None
        if len(self._taken) > MOST_REMEMBERED:
            del self._taken[next(iter(self._taken))]
        task = asyncio.create_task(self._run(execution["delivery"], execution["facts"]))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _run(self, delivery: Mapping[str, Any], facts: Mapping[str, Any] | None) -> None:
        for step, words in enumerate(STEPS, start=1):
            await asyncio.sleep(self._pace)
            report = {"status": "processing", "progress": step / (len(STEPS) + 1), "step": step, "steps": len(STEPS)}
            await self._call_back(delivery, report | {"message": words}, tries=3)
        outcome = await self._outcome(delivery, facts)
        await asyncio.sleep(self._pace)
        outcome["execution_id"] = f"demo-{delivery['job_id'][-12:]}"
        if await self._call_back(delivery, outcome, TRIES):
            self._path(delivery["job_id"]).unlink(missing_ok=True)
        else:
            print(f"gave up calling back for job {delivery['job_id']}; tried again after a restart", file=sys.stderr)

    async def _outcome(self, delivery: Mapping[str, Any], facts: Mapping[str, Any] | None) -> dict[str, Any]:
        if FAIL in str(delivery.get("filename", "")):
            words = f"The file's name asks for it: {FAIL}"
            return {"status": "failure", "result_message": "The demo failed, as it was asked to", "error": words}
        if facts is None and "file_url" in delivery:
            facts = await self._fetched(delivery)
            if facts is None:
                words = "The link gave no file, or not the one that was announced"
                return {"status": "failure", "result_message": "The file could not be fetched", "error": words}
        if facts is None:
            return {"status": "success", "result_message": "There was no file to look at", "result": dict(NO_FILE)}
        result = {"media_type": delivery.get("media_type"), **facts}
        return {"status": "success", "result_message": in_words(result), "result": result}

    async def _fetched(self, delivery: Mapping[str, Any]) -> dict[str, Any] | None:
        """The facts of a file that was not attached, compared with what the delivery says of it."""
        assert self._session is not None
        for pause in _pauses(TRIES):
            facts = Facts()
            try:
                async with self._session.get(delivery["file_url"], allow_redirects=False) as response:
                    if response.status < 500:
                        async for piece in response.content.iter_chunked(65536):
                            facts.feed(piece)
                        right = response.status == 200 and facts.sha256 == delivery["sha256"]
                        return facts.result() if right else None
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(pause)
        return None

    async def _call_back(self, delivery: Mapping[str, Any], report: Mapping[str, Any], tries: int) -> bool:
        """Whether the service answered, be it yes or no. It may be restarting."""
        assert self._session is not None
        headers = {"Authorization": f"Bearer {delivery['callback_token']}"}
        for pause in _pauses(tries):
            try:
                url = delivery["callback_url"]
                async with self._session.post(url, json=report, headers=headers, allow_redirects=False) as response:
                    await response.read()
                    if response.status < 500 and response.status not in (408, 425, 429):
                        return True
            except (aiohttp.ClientError, OSError):
                pass
            await asyncio.sleep(pause)
        return False

    def _path(self, job_id: str) -> Path:
        return self._folder / f"{Path(job_id).name}.json"


def _pauses(tries: int) -> list[float]:
    return [min(FIRST_PAUSE * 2**number, LONGEST_PAUSE) for number in range(tries)]
