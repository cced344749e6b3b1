"""A stand-in for the part of the Notion API that the workflow uses: POST /v1/pages, with Notion's manners and errors."""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections import Counter
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

CODES = {400: "validation_error", 401: "unauthorized", 404: "object_not_found", 429: "rate_limited", 500: "internal"}
MAX_TEXT = 2000


@dataclass(slots=True)
class FakeNotion:
    """Remembers every page it made.

    A title that holds FAIL_400 (or another number) gets that answer, BUSY_ONCE gets one 429 first, and SLOW_20 is
    answered after 20 seconds.
    """

    token: str
    pages: list[dict[str, Any]] = field(default_factory=list)
    tries: Counter[str] = field(default_factory=Counter)
    lock: threading.Lock = field(default_factory=threading.Lock)
    server: ThreadingHTTPServer | None = None

    def start(self) -> None:
        """Serves on a free port of the loopback until `stop`."""
        notion = self

        class Handler(_Handler):
            fake = notion

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Ends the serving."""
        if self.server:
            self.server.shutdown()
            self.server.server_close()

    @property
    def url(self) -> str:
        """Where the workflow finds it."""
        return f"http://127.0.0.1:{self.server.server_port}" if self.server else ""

    def titled(self, title: str) -> list[dict[str, Any]]:
        """The pages made under this title."""
        with self.lock:
            return [page for page in self.pages if _title(page) == title]

    def asked(self, title: str) -> int:
        """How often a page of this title was asked for, made or not."""
        with self.lock:
            return self.tries[title]

    def answer(self, headers: Any, body: bytes) -> tuple[int, dict[str, Any]]:
        """What Notion says to a page's creation."""
        if headers.get("Authorization") != f"Bearer {self.token}":
            return _problem(401, "API token is invalid.")
        if not headers.get("Notion-Version"):
            return _problem(400, "Notion-Version header failed validation: Notion-Version header should be defined.")
        try:
            page = json.loads(body)
            title = _title(page)
            _check(page)
        except (ValueError, KeyError, TypeError, IndexError) as error:
            return _problem(400, f"body failed validation: {error!r}")
        return self._make(page, title)

    def _make(self, page: dict[str, Any], title: str) -> tuple[int, dict[str, Any]]:
        with self.lock:
            self.tries[title] += 1
            first = self.tries[title] == 1
        if slow := re.search(r"SLOW_(\d+)", title):
            time.sleep(int(slow[1]))
        if wanted := re.search(r"FAIL_(\d{3})", title):
            return _problem(int(wanted[1]), f"Asked to fail with {wanted[1]}: {title}")
        if "BUSY_ONCE" in title and first:
            return _problem(429, "You have been rate limited. Please try again in a few minutes.")
        page_id = str(uuid.uuid4())
        made = {**page, "object": "page", "id": page_id, "url": f"https://www.notion.so/{page_id.replace('-', '')}"}
        with self.lock:
            self.pages.append(made)
        return 200, made


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    fake: FakeNotion

    def log_message(self, *_: object) -> None:
        """Stays silent: the test looks at `pages`."""

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        known = self.path == "/v1/pages"
        status, answer = self.fake.answer(self.headers, body) if known else _problem(404, f"no {self.path} here")
        text = json.dumps(answer).encode()
        try:
            self.send_response(status)
            self.send_header("Content-Type", "application/json; charset=utf-8")
            self.send_header("Content-Length", str(len(text)))
            if status == 429:
                self.send_header("Retry-After", "1")
            self.end_headers()
            self.wfile.write(text)
        except ConnectionError:
            self.close_connection = True  # the test killed the caller


def _title(page: dict[str, Any]) -> str:
    return "".join(part["text"]["content"] for part in page["properties"]["title"]["title"])


def _check(page: dict[str, Any]) -> None:
    if not re.fullmatch(r"[0-9a-f]{8}(-?[0-9a-f]{4}){3}-?[0-9a-f]{12}", page["parent"]["database_id"]):
        raise ValueError("body.parent.database_id should be a valid uuid")
    for block in page["children"]:
        for part in block[block["type"]]["rich_text"]:
            if len(part["text"]["content"]) > MAX_TEXT:
                raise ValueError("text.content.length should be <= 2000")
            if part["text"].get("link") and not part["text"]["link"]["url"].startswith("http"):
                raise ValueError("link.url should be a valid url")


def _problem(status: int, message: str) -> tuple[int, dict[str, Any]]:
    code = CODES.get(status, "error")
    return status, {
        "object": "error",
        "status": status,
        "code": code,
        "message": message,
        "request_id": str(uuid.uuid4()),
    }
