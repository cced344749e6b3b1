"""The far side of a run: an honest workflow in a process of its own, which notes what it gets and calls back.

    python -m chaos.far_side JOURNAL PORT '{"manners": {"prompt": 1}, ...}'

Each job meets one manner, chosen by its id: `prompt`, `early` (reports before it answers), `eager` (has done everything
before it answers), `slow`, `mute` (takes it, never answers), `drop` (takes it, cuts the connection), `lost` (reads the
first copy and forgets it), `busy`, `error`, `refusing` (503, 500, 404 first), `silent` (takes it, never calls back).
A second copy of what was taken is answered and, when the work is done, answered with the same result again.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import random
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from chaos import github
from chaos.journal import Journal

KEPT = 256 * 1024
REPORTS = 2
HONEST = {
    "prompt": 8,
    "early": 3,
    "eager": 2,
    "slow": 2,
    "mute": 1,
    "drop": 1,
    "lost": 1,
    "busy": 1,
    "error": 1,
    "refusing": 1,
}
FIRST_ANSWERS = {"busy": 503, "error": 500, "refusing": 404}


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """How this far side behaves. `pace`: seconds between its reports; `slow`: seconds before a slow answer."""

    token: str
    secret: str
    manners: Mapping[str, int] = field(default_factory=lambda: HONEST)
    pace: float = 0.1
    slow: float = 0.8
    callbacks: bool = True
    seed: int = 1


@dataclass(slots=True)
class Execution:
    """The work on one job."""

    metadata: Mapping[str, Any]
    done: asyncio.Event = field(default_factory=asyncio.Event)
    copies: int = 0


class FarSide:
    """Answers deliveries, does their work, notes everything."""

    def __init__(self, plan: Plan, journal: Journal) -> None:
        self._plan, self._journal = plan, journal
        self._taken: dict[str, Execution] = {}
        self._seen: dict[str, int] = {}
        self._work: set[asyncio.Task[None]] = set()
        self._session: aiohttp.ClientSession | None = None

    async def webhook(self, request: web.Request) -> web.StreamResponse:
        """One delivery."""
        job_id, began = request.headers.get("webhook-id", "-"), time.time()
        body = Body(request)
        complete = await body.read()
        metadata = body.signed() if complete else b""
        number = self._seen[job_id] = self._seen.get(job_id, 0) + 1
        manner = self._manner(job_id)
        takes = complete and not (number == 1 and (manner == "lost" or manner in FIRST_ANSWERS))
        self._journal.note(
            "receipt",
            job_id=job_id,
            attempt=int(request.headers.get("callslip-attempt", "0")),
            body_sha256=body.digest.hexdigest(),
            file_sha256=body.file_sha256() if complete else None,
            complete=complete,
            taken=takes,
            authentic=complete and self._authentic(request, metadata),
            began=began,
            ended=time.time(),
        )
        if not takes:
            return self._refusal(request, manner)
        execution = self._begin(job_id, json.loads(metadata) if metadata else {}, manner)
        await self._before_answer(request, manner, execution)
        return web.json_response({"executionId": f"far-{job_id[-12:]}"})

    def _manner(self, job_id: str) -> str:
        chance = random.Random(f"{self._plan.seed}{job_id}")
        return chance.choices(list(self._plan.manners), list(self._plan.manners.values()))[0]

    def _refusal(self, request: web.Request, manner: str) -> web.StreamResponse:
        if manner in FIRST_ANSWERS:
            return web.Response(status=FIRST_ANSWERS[manner], text="not now")
        return _cut(request)

    def _begin(self, job_id: str, metadata: Mapping[str, Any], manner: str) -> Execution:
        if execution := self._taken.get(job_id):
            execution.copies += 1
            if execution.done.is_set():
                self._start(self._report(job_id, execution, "success", 0))
            return execution
        execution = self._taken[job_id] = Execution(metadata=metadata)
        if self._plan.callbacks and manner != "silent":
            self._start(self._carry_out(job_id, execution))
        return execution

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._work.add(task)
        task.add_done_callback(self._work.discard)

    async def _before_answer(self, request: web.Request, manner: str, execution: Execution) -> None:
        if execution.copies:
            return
        if manner == "early":
            await asyncio.sleep(self._plan.pace * 1.5)
        elif manner == "eager":
            await asyncio.wait([asyncio.create_task(execution.done.wait())], timeout=self._plan.slow)
        elif manner == "slow":
            await asyncio.sleep(self._plan.slow)
        elif manner == "mute":
            await asyncio.sleep(60)
        elif manner == "drop":
            _cut(request)

    async def _carry_out(self, job_id: str, execution: Execution) -> None:
        for step in range(1, REPORTS + 1):
            await asyncio.sleep(self._plan.pace)
            await self._report(job_id, execution, "processing", step, tries=4)
        await asyncio.sleep(self._plan.pace)
        await self._report(job_id, execution, "success", 0, tries=2000)
        execution.done.set()

    async def _report(self, job_id: str, execution: Execution, status: str, step: int, tries: int = 3) -> None:
        marker = f"{job_id} {status} {step}"
        body: dict[str, Any] = {"status": status, "execution_id": f"far-{job_id[-12:]}"}
        if status == "success":
            body |= {"result_message": marker, "result": {"sha256": execution.metadata.get("sha256")}}
        else:
            body |= {"message": marker, "step": step, "steps": REPORTS, "progress": step / (REPORTS + 1)}
        pause = 0.1
        for _ in range(tries):
            answer, applied = await self._post(execution.metadata, body)
            self._journal.note("callback", job_id=job_id, status=status, marker=marker, answer=answer, applied=applied)
            if answer is not None and answer < 500:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 1.5, 1.0)

    async def _post(self, metadata: Mapping[str, Any], body: Mapping[str, Any]) -> tuple[int | None, bool | None]:
        assert self._session is not None
        headers = {"Authorization": f"Bearer {metadata.get('callback_token')}"}
        try:
            async with self._session.post(metadata["callback_url"], json=body, headers=headers) as response:
                text = await response.read()
                return response.status, json.loads(text).get("applied") if response.status == 200 else None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return None, None

    def _authentic(self, request: web.Request, signed: bytes) -> bool:
        headers = request.headers
        if not hmac.compare_digest(headers.get("Authorization", "").encode(), f"Bearer {self._plan.token}".encode()):
            return False
        content = f"{headers.get('webhook-id')}.{headers.get('webhook-timestamp')}.".encode() + signed
        mac = hmac.new(self._plan.secret.encode(), content, "sha256").digest()
        return f"v1,{base64.b64encode(mac).decode()}" in headers.get("webhook-signature", "").split(" ")

    async def open(self, _: web.Application) -> None:
        """When it begins to serve."""
        limits = aiohttp.ClientTimeout(total=5)
        self._session = aiohttp.ClientSession(timeout=limits, connector=aiohttp.TCPConnector(force_close=True))

    async def close(self, _: web.Application) -> None:
        """When it ends."""
        for task in tuple(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        if self._session:
            await self._session.close()


def _cut(request: web.Request) -> web.StreamResponse:
    if request.transport is not None:
        request.transport.abort()
    return web.Response()


class Body:
    """A delivery's body: its head is kept, all of it is hashed on the way, and the attached file by itself."""

    def __init__(self, request: web.Request) -> None:
        self._request = request
        self._boundary = b"--" + request.headers.get("Content-Type", "").partition("boundary=")[2].strip('"').encode()
        self._multipart = request.content_type.startswith("multipart/")
        self._tail = len(b"\r\n" + self._boundary + b"--\r\n")
        self.digest, self._file = hashlib.sha256(), hashlib.sha256()
        self._head = bytearray()
        self._begins: int | None = None
        self._pending = b""

    async def read(self) -> bool:
        """Reads it; whether all of it came."""
        try:
            async for piece in self._request.content.iter_chunked(65536):
                self.digest.update(piece)
                self._take(piece)
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError):
            return False
        return True

    def _take(self, piece: bytes) -> None:
        if self._begins is None:
            self._head += piece[: KEPT - len(self._head)]
            at = self._head.find(b'name="file"') if self._multipart else -1
            end = self._head.find(b"\r\n\r\n", at) if at >= 0 else -1
            if end >= 0:
                self._begins = end + 4
                piece = bytes(self._head[self._begins :])
        if self._begins is not None:  # the last bytes are held back: they may be the closing boundary
            self._pending += piece
            if len(self._pending) > self._tail:
                self._file.update(self._pending[: -self._tail])
                self._pending = self._pending[-self._tail :]

    def file_sha256(self) -> str | None:
        """Of the attached file, if there is one."""
        return None if self._begins is None else self._file.hexdigest()

    def signed(self) -> bytes:
        """The bytes that the signature covers."""
        if not self._multipart:
            return bytes(self._head)
        marker = b'name="metadata"\r\n\r\n'
        _, _, rest = bytes(self._head).partition(marker)
        return rest.partition(b"\r\n" + self._boundary)[0]


def main() -> None:
    """Serves until SIGTERM."""
    journal, port, plan = Journal(Path(sys.argv[1])), int(sys.argv[2]), Plan(**json.loads(sys.argv[3]))
    far = FarSide(plan, journal)
    app = web.Application(client_max_size=0)
    github.add_to(app, journal)
    app.router.add_post("/{path:.*}", far.webhook)
    app.router.add_get("/", _here)
    app.on_startup.append(far.open)
    app.on_cleanup.append(far.close)
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=0.2, access_log=None)


async def _here(_: web.Request) -> web.Response:
    return web.Response(text="here")


if __name__ == "__main__":
    main()
