"""Stands in for Callslip where a test needs deliveries that Callslip would not make: repeats, forgeries, old tokens."""

from __future__ import annotations

import hashlib
import json
import threading
import time
import uuid
from collections import defaultdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import jwt


class Sender:
    """Delivers as the contract says, keeps the callbacks by job and serves the files by link."""

    def __init__(self, token: str) -> None:
        self.token = token
        self.away = False  # True: callbacks meet a 503, as from a proxy before a stopped Callslip
        self.callbacks: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.files: dict[str, bytes] = {}
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"sender": self}))
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def deliver(self, url: str, name: str, content: bytes, job_id: str | None = None) -> tuple[str, str]:
        """Header Auth, file attached. Gives back the job and the execution."""
        job_id = job_id or str(uuid.uuid4())
        answer = self.post(url, self.fields(job_id, name, content), name, content, self.token)
        assert answer.status_code == 200, answer.text
        return job_id, str(answer.json()["executionId"])

    def signed(self, claimed: bytes, seconds: int = 60, **more: Any) -> str:
        """A token as for N8N_AUTH=jwt, over `claimed`."""
        now = int(time.time())
        claims = {"sha256": hashlib.sha256(claimed).hexdigest(), "iat": now, "exp": now + seconds, **more}
        return jwt.encode(claims, self.token, "HS256")

    def fields(self, job_id: str, name: str, content: bytes) -> dict[str, str]:
        self.files[job_id] = content
        address = f"http://127.0.0.1:{self.server.server_port}/{job_id}"
        fields = {
            "job_id": job_id,
            "workflow": "n8n_notion",
            "notion_database_id": str(uuid.UUID(int=9)),
            "filename": name,
            "media_type": "image/png",
            "size": str(len(content)),
            "sha256": hashlib.sha256(content).hexdigest(),
            "file_url": f"{address}/file",
            "callback_url": f"{address}/callback",
            "callback_token": f"token-of-{job_id}",
        }
        return {**fields, "metadata": json.dumps(fields)}

    def post(self, url: str, fields: dict[str, str], name: str, content: bytes, bearer: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {bearer}", "webhook-id": fields["job_id"]}
        file = {"file": (name, content, "image/png")}
        return httpx.post(url, headers=headers, data=fields, files=file, timeout=60)

    def heard(self, job_id: str, count: int) -> list[dict[str, Any]]:
        """The callbacks of a job, once there are `count` of them."""
        deadline = time.monotonic() + 30
        while len(self.callbacks[job_id]) < count:
            assert time.monotonic() < deadline, f"{count} callbacks wanted, got {self.callbacks[job_id]}"
            time.sleep(0.05)
        return self.callbacks[job_id]


class _Handler(BaseHTTPRequestHandler):
    sender: Sender

    def log_message(self, *_: object) -> None:
        """Stays silent."""

    def do_POST(self) -> None:
        job_id = self.path.split("/")[1]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        right = self.headers["Authorization"] == f"Bearer token-of-{job_id}"
        if right and not self.sender.away:
            self.sender.callbacks[job_id].append(body)
        self._answer(503 if self.sender.away else 200 if right else 401, b'{"applied": true}')

    def do_GET(self) -> None:
        content = self.sender.files.get(self.path.split("/")[1])
        self._answer(410 if content is None else 200, content or b"")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if self.command == "POST" else "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)
