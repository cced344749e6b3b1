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
from email.parser import BytesParser
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from chaos.journal import Journal

KEPT = 4 * 1024 * 1024
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
        digest, body, complete = hashlib.sha256(), bytearray(), True
        try:
            async for piece in request.content.iter_chunked(65536):
                digest.update(piece)
                body += piece[: max(0, KEPT - len(body))]
        except (aiohttp.ClientError, ConnectionError, asyncio.IncompleteReadError):
            complete = False
        metadata, file = _parts(request, bytes(body)) if complete else (b"", None)
        number = self._seen[job_id] = self._seen.get(job_id, 0) + 1
        manner = self._manner(job_id)
        takes = complete and not (number == 1 and (manner == "lost" or manner in FIRST_ANSWERS))
        self._journal.note(
            "receipt",
            job_id=job_id,
            attempt=int(request.headers.get("callslip-attempt", "0")),
            body_sha256=digest.hexdigest(),
            file_sha256=file,
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


def _parts(request: web.Request, body: bytes) -> tuple[bytes, str | None]:
    """The text that is signed, and the SHA-256 of the attached file, if all of it was kept."""
    if not request.content_type.startswith("multipart/") or len(body) >= KEPT:
        return (body, None) if request.content_type == "application/json" else (b"", None)
    metadata, file = b"", None
    boundary = b"--" + str(request.headers["Content-Type"].partition("boundary=")[2]).strip('"').encode()
    for part in body.split(b"\r\n" + boundary)[:-1] if body else ():
        head, _, content = part.removeprefix(boundary).lstrip(b"\r\n").partition(b"\r\n\r\n")
        name = BytesParser().parsebytes(head).get_param("name", header="content-disposition")
        if name == "metadata":
            metadata = content
        elif name == "file":
            file = hashlib.sha256(content).hexdigest()
    return metadata, file


def main() -> None:
    """Serves until SIGTERM."""
    path, port, plan = Path(sys.argv[1]), int(sys.argv[2]), Plan(**json.loads(sys.argv[3]))
    far = FarSide(plan, Journal(path))
    app = web.Application(client_max_size=0)
    app.router.add_post("/{path:.*}", far.webhook)
    app.router.add_get("/", _here)
    app.on_startup.append(far.open)
    app.on_cleanup.append(far.close)
    web.run_app(app, host="127.0.0.1", port=port, print=None, shutdown_timeout=0.2, access_log=None)


async def _here(_: web.Request) -> web.Response:
    return web.Response(text="here")


if __name__ == "__main__":
    main()
