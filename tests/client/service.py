"""A service that plays the contract on a real socket and misbehaves when it is told to."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import re
import threading
from collections import defaultdict, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from tests.client.wire_parts import Fault, Seen, form, problem

KEY = "a-key-of-at-least-24-characters"
AT = "2026-03-01T12:00:00.000000Z"
ENDED = ("success", "failure", "cancelled")


class Service:
    def __init__(self) -> None:
        self.seen: list[Seen] = []
        self.faults: dict[tuple[str, str], deque[Fault]] = defaultdict(deque)
        self.jobs: dict[str, dict[str, Any]] = {}
        self.lines: dict[str, list[dict[str, Any]]] = {}
        self.files: dict[str, bytes] = {}
        self.keys: dict[str, str] = {}
        self.workflows = [
            {
                "name": "n8n_notion",
                "title": "Notion",
                "parameters": {},
                "file": {"media_types": ["*/*"], "max_size": 1000},
            }
        ]
        self.health: dict[str, Any] = {
            "status": "ok",
            "database": {"status": "ok"},
            "workers": {"status": "ok", "count": 1},
        }
        self.date: str | None = None
        self.digest = True
        self.forgetful = False  # tells every stream from its start
        self.after_submit: list[tuple[str, str, dict[str, Any]]] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def fails(self, method: str, ending: str, *faults: Fault) -> None:
        """The next calls whose path ends so meet these faults, one each."""
        self.faults[(method, ending)].extend(faults)

    def add_job(self, content: bytes | None = b"content", filename: str = "a.txt", workflow: str = "n8n_notion") -> str:
        job_id = f"0199aaaa-0000-7000-8000-{len(self.jobs):012d}"
        file = content is not None and {
            "filename": filename,
            "size": len(content),
            "sha256": hashlib.sha256(content).hexdigest(),
            "media_type": "text/plain",
        }
        path = f"/api/v1/jobs/{job_id}"
        links = {
            "self": path,
            "events": f"{path}/events",
            "history": f"{path}/history",
            "file": f"{path}/file?token=t",
            "page": f"/jobs/{job_id}?token=t",
        }
        self.jobs[job_id] = {
            "job_id": job_id, "workflow": workflow, "status": "queued", "overdue": False, "version": 0, "attempt": 0,
            "progress": {"fraction": None, "step": None, "steps": None, "message": None}, "file": file or None, "params": {},
            "created_at": AT, "started_at": None, "delivered_at": None, "completed_at": None, "due_at": AT, "result_message": None,
            "notion_page_url": None, "result": None, "error": None, "trouble": None, "execution_id": None, "retry_of": None, "links": links,
        }  # fmt: skip
        self.files[job_id] = content or b""
        self.lines[job_id] = []
        self.advance(job_id, "Accepted", "queued")
        return job_id

    def advance(
        self, job_id: str, kind: str, after: str, detail: Mapping[str, Any] | None = None, **changes: Any
    ) -> None:
        job, lines = self.jobs[job_id], self.lines[job_id]
        before = lines[-1]["after"] if lines else None
        if after in ENDED:
            changes = {"completed_at": "2026-03-01T12:00:03.000000Z", "due_at": None, **changes}
        job.update(status=after, version=len(lines) + 1, **changes)
        lines.append(
            {
                "version": len(lines) + 1,
                "at": AT,
                "type": kind,
                "before": before,
                "after": after,
                "detail": dict(detail or {}),
                "hash": "0" * 64,
                "prev_hash": "0" * 64,
            }
        )

    def finish(self, job_id: str, status: str = "success", **changes: Any) -> None:
        self.advance(job_id, "Started", "processing", attempt=1)
        self.advance(job_id, "Delivered", "waiting")
        self.advance(
            job_id,
            "Progressed",
            "waiting",
            {"progress_message": "half"},
            progress={"fraction": 0.5, "step": 1, "steps": 2, "message": "half"},
        )
        self.advance(
            job_id,
            "Completed" if status == "success" else "Failed",
            status,
            {"result_message": "Page created"},
            **changes,
        )

    def calls(self, method: str, ending: str) -> list[Seen]:
        return [one for one in self.seen if one.method == method and one.path.endswith(ending)]

    # The server

    def start(self) -> None:
        started = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve(started)), daemon=True)
        self._thread.start()
        assert started.wait(5)

    def stop(self) -> None:
        """As when the process is killed: connections break."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(5)

    async def _serve(self, started: threading.Event) -> None:
        self._loop, self._stop, self._writers = asyncio.get_running_loop(), asyncio.Event(), set[asyncio.StreamWriter]()
        server = await asyncio.start_server(self._connected, "127.0.0.1", self.port)
        self.port = server.sockets[0].getsockname()[1]
        started.set()
        await self._stop.wait()
        server.close()
        for writer in self._writers:
            writer.transport.abort()

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        with suppress(OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode()
                if not await self._handle(head, reader, writer):
                    break
        self._writers.discard(writer)
        writer.transport.abort()

    async def _handle(self, head: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        first, *rest = head.strip().split("\r\n")
        method, target, _ = first.split(" ")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in rest)}
        url = urlsplit(target)
        seen = Seen(method, url.path, dict(parse_qsl(url.query)), headers)
        self.seen.append(seen)
        fault = next(
            (
                queue.popleft()
                for (verb, ending), queue in self.faults.items()
                if verb == method and url.path.endswith(ending) and queue
            ),
            None,
        )
        if fault and fault.status is None and fault.after is None:
            return False  # before the body is read
        seen.body = await reader.readexactly(int(headers.get("content-length", 0)))
        if fault and fault.status is not None:
            await self._send(writer, fault.status, fault.headers, fault.body)
            return True
        if headers.get("authorization") != f"Bearer {KEY}" and not url.path.startswith("/health"):
            return await self._problem(writer, 401, "this needs a valid API key")
        if url.path.endswith("/events"):
            return await self._events(seen, writer, fault)
        status, more, body = await self._answer(seen)
        await self._send(writer, status, more, body, fault)
        return fault is None or fault.clean

    async def _send(
        self,
        writer: asyncio.StreamWriter,
        status: int,
        headers: Mapping[str, str],
        body: bytes,
        fault: Fault | None = None,
    ) -> None:
        date = {"Date": self.date} if self.date else {}
        lines = {**headers, **date, "Content-Length": str(len(body))}
        writer.write(
            f"HTTP/1.1 {status} X\r\n".encode()
            + b"".join(f"{name}: {value}\r\n".encode() for name, value in lines.items())
            + b"\r\n"
        )
        writer.write(body[: fault.after] if fault else body)
        await writer.drain()
        if fault:
            await asyncio.sleep(0.02)  # so that the bytes arrive before the break

    async def _problem(self, writer: asyncio.StreamWriter, status: int, detail: str, **more: Any) -> bool:
        await self._send(writer, status, {"Content-Type": "application/problem+json"}, problem(status, detail, **more))
        return True

    async def _events(self, seen: Seen, writer: asyncio.StreamWriter, fault: Fault | None) -> bool:
        job_id, after, sent = (
            seen.path.split("/")[4],
            0 if self.forgetful else int(seen.headers.get("last-event-id", 0)),
            0,
        )
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            lines = self.lines[job_id]
            text = b"".join(
                f"id: {line['version']}\nevent: {line['type']}\ndata: {json.dumps(line)}\n\n".encode()
                for line in lines[after:]
            )
            after = len(lines)
            if fault and sent + len(text) >= (fault.after or 0):
                text = text[: (fault.after or 0) - sent]
                writer.write(b"%x\r\n%s\r\n" % (len(text), text) if text else b"")
                writer.write(b"0\r\n\r\n" if fault.clean else b"")
                await writer.drain()
                await asyncio.sleep(0.02)
                return fault.clean
            if text:
                writer.write(b"%x\r\n%s\r\n" % (len(text), text))
                sent += len(text)
            if lines[-1]["after"] in ENDED:
                writer.write(b"0\r\n\r\n")
                return True
            await writer.drain()
            await asyncio.sleep(0.01)

    # The contract

    async def _answer(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        parts = seen.path.strip("/").split("/")
        match seen.method, parts:
            case "GET", ["health"]:
                return 503 if self.health["status"] == "failed" else 200, {}, json.dumps(self.health).encode()
            case "GET", ["api", "v1", "workflows"]:
                return 200, {}, json.dumps({"workflows": self.workflows}).encode()
            case "GET", ["api", "v1", "queue"]:
                return (
                    200,
                    {},
                    json.dumps(
                        {
                            "counts": {"queued": len(self.jobs)},
                            "overdue": 0,
                            "oldest_queued_seconds": None,
                            "workers": ["w"],
                        }
                    ).encode(),
                )
            case "POST", ["api", "v1", "jobs"]:
                return self._submitted(seen)
            case "GET", ["api", "v1", "jobs"]:
                return self._page(seen)
            case _, ["api", "v1", "jobs", job_id, *rest] if job_id in self.jobs:
                return await self._about(seen, job_id, rest)
        return 404, {}, problem(404, "there is no job with this id")

    def _submitted(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        key, replayed = seen.headers["idempotency-key"], {"Idempotent-Replayed": "true"}
        if key in self.keys:
            return 202, replayed, self._ticket(self.keys[key])
        if seen.headers["content-type"] == "application/json":
            content = json.loads(seen.body)
            job_id = self.add_job(None, workflow=content["workflow"])
            self.jobs[job_id]["params"] = content["params"]
        else:
            fields, filename, content = form(seen)
            job_id = self.add_job(content, filename, fields.pop("workflow", "n8n_notion"))
            self.jobs[job_id]["params"] = fields
        self.keys[key] = job_id
        for kind, after, changes in self.after_submit:
            detail = changes.get("detail", {})
            self.advance(
                job_id, kind, after, detail, **{name: value for name, value in changes.items() if name != "detail"}
            )
        return 202, {}, self._ticket(job_id)

    def _ticket(self, job_id: str) -> bytes:
        return json.dumps(
            {key: self.jobs[job_id][key] for key in ("job_id", "status", "workflow", "created_at", "file", "links")}
        ).encode()

    def _page(self, seen: Seen) -> tuple[int, dict[str, str], bytes]:
        jobs = sorted(
            (job for job in self.jobs.values() if seen.query.get("status", job["status"]) == job["status"]),
            key=lambda job: job["job_id"],
            reverse=True,
        )
        start, limit = int(seen.query.get("cursor", 0)), int(seen.query["limit"])
        more = str(start + limit) if start + limit < len(jobs) else None
        return 200, {}, json.dumps({"jobs": jobs[start : start + limit], "next": more}).encode()

    async def _about(self, seen: Seen, job_id: str, rest: list[str]) -> tuple[int, dict[str, str], bytes]:
        job = self.jobs[job_id]
        match seen.method, rest:
            case "GET", []:
                for _ in range(int(seen.query.get("wait", 0)) * 100):
                    if seen.headers.get("if-none-match") != f'"{job["version"]}"':
                        break
                    await asyncio.sleep(0.01)
                same = seen.headers.get("if-none-match") == f'"{job["version"]}"'
                return (
                    (304 if same else 200),
                    {"ETag": f'"{job["version"]}"'},
                    b"" if same else json.dumps(job).encode(),
                )
            case "GET", ["history"]:
                return 200, {}, json.dumps({"events": self.lines[job_id]}).encode()
            case "GET", ["file"]:
                return self._file(seen, self.files[job_id])
            case "POST", ["cancel"]:
                if job["status"] in ENDED:
                    return 409, {}, problem(409, "the job has ended already")
                self.advance(job_id, "Cancelled", "cancelled")
                return 200, {}, json.dumps(job).encode()
            case "POST", ["retry"]:
                return 202, {}, self._ticket(self.add_job(self.files[job_id]))
        return 404, {}, problem(404, "there is nothing at this address")

    def _file(self, seen: Seen, content: bytes) -> tuple[int, dict[str, str], bytes]:
        etag = f'"{hashlib.sha256(content).hexdigest()}"'
        headers = {"ETag": etag}
        if self.digest:
            headers["Repr-Digest"] = f"sha-256=:{base64.b64encode(hashlib.sha256(content).digest()).decode()}:"
        found = re.fullmatch(r"bytes=(\d+)-", seen.headers.get("range", ""))
        if found and seen.headers.get("if-range") == etag:
            start = int(found[1])
            if start >= len(content):
                return 416, {}, b""
            return (
                206,
                {**headers, "Content-Range": f"bytes {start}-{len(content) - 1}/{len(content)}"},
                content[start:],
            )
        return 200, headers, content


@contextmanager
def serving() -> Iterator[Service]:
    service = Service()
    service.start()
    try:
        yield service
    finally:
        service.stop()
