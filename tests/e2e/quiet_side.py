"""A workflow that takes deliveries and says nothing until a test lets it: what happens when is the test's to say."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx

from tests.e2e.stack import until

# Its entry in workflows.toml; QUIET_SECRET must be set.
ENTRY = """
[workflow.quiet]
title = "Wait for a word"
url = "http://127.0.0.1:{port}/"
auth = "none"
secret = "${{QUIET_SECRET}}"
delivery = "link"
"""


class QuietSide:
    """Keeps what was delivered, and calls back when told to."""

    def __init__(self) -> None:
        self.port = 0
        self._deliveries: dict[str, dict[str, str]] = {}

    @contextmanager
    def serving(self) -> Iterator[None]:
        """Takes deliveries at `port`."""
        deliveries = self._deliveries

        class Webhook(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                delivery = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                deliveries[delivery["job_id"]] = delivery
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Webhook) as server:
            self.port = server.server_port
            thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
            thread.start()
            try:
                yield
            finally:
                server.shutdown()
                thread.join()

    def report(self, job_id: str, status: str = "processing", **more: Any) -> None:
        """One callback, once the job was delivered; sent again as long as the service cannot be reached."""
        delivery = until(lambda: self._deliveries.get(job_id), patience=60)
        headers = {"Authorization": f"Bearer {delivery['callback_token']}"}

        def taken() -> bool:
            answer = httpx.post(delivery["callback_url"], json={"status": status, **more}, headers=headers, timeout=30)
            return bool(answer.raise_for_status().json()["applied"])

        until(taken, patience=60)
