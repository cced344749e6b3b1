"""Every secret is changed while jobs are in flight, by the steps of docs/rotation.md: no call is lost, and the old ones end."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import re
import time
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.stack import Stack, until
from tests.far_side import FarSide, far_side, reply

NAMES = ("api", "key", "callback", "webhook", "notify")
OLD, NEW = ({name: f"{word}-{name}-0123456789abcdefgh" for name in NAMES} for word in ("old", "new"))
SIGNED = {"/hook": "webhook", "/notify": "notify"}


def variables(far: FarSide, *sets: dict[str, str]) -> dict[str, str]:
    """The settings with these sets of secrets, the first in front."""
    listed = {name: ",".join(one[name] for one in sets) for name in NAMES}
    return {
        "CALLSLIP_API_KEYS": ",".join(f"me:{one['api']}" for one in sets),
        "SECRET_KEY": listed["key"],
        "CALLBACK_SECRET": listed["callback"],
        "N8N_WEBHOOK_URL": f"{far.url}/hook",
        "N8N_WEBHOOK_TOKEN": "a-token-that-n8n-checks-0123",
        "N8N_WEBHOOK_SECRET": listed["webhook"],
        "NOTIFY_URL": f"{far.url}/notify",
        "NOTIFY_SECRET": listed["notify"],
    }


class Caller:
    """Everybody who calls: a client, a person with a link, a browser, a workflow."""

    def __init__(self, stack: Stack, far: FarSide) -> None:
        self.stack, self.far = stack, far
        self.url = f"http://127.0.0.1:{stack.port}"

    def upload(self, secrets: dict[str, str], key: str) -> dict[str, Any]:
        headers = {"Authorization": f"Bearer {secrets['api']}", "Idempotency-Key": key}
        answer = httpx.post(f"{self.url}/api/v1/jobs", headers=headers, files={"file": ("a.txt", key.encode())})
        assert answer.status_code in (202, 401), answer.text
        return dict(answer.json()) if answer.status_code == 202 else {}

    def log_in(self, secrets: dict[str, str]) -> str:
        answer = httpx.post(f"{self.url}/login", data={"key": secrets["api"]})
        return answer.headers.get("set-cookie", "").partition(";")[0]

    def sees(self, address: str, cookie: str = "") -> bool:
        return httpx.get(self.url + address, headers={"Cookie": cookie} if cookie else {}).status_code == 200

    def delivered(self, job_id: str) -> dict[str, Any]:
        """The metadata of a job's delivery, once it has come."""

        def found() -> dict[str, Any] | None:
            for receipt in self.far.receipts:
                if receipt.path == "/hook" and receipt.complete and receipt.header("webhook-id") == job_id:
                    return dict(json.loads(field(receipt.body)))
            return None

        return dict(until(found))

    def call_back(self, job_id: str, token: str) -> int:
        url, body = f"{self.url}/api/v1/jobs/{job_id}/callback", {"status": "success", "result_message": "done"}
        return httpx.post(url, json=body, headers={"Authorization": f"Bearer {token}"}).status_code

    def call_back_signed(self, job_id: str, secret: str) -> int:
        body, at = b'{"status": "processing", "progress": 0.5}', str(int(time.time()))
        signature = signed(secret, f"{job_id}.{at}.".encode() + body)
        headers = {"webhook-id": job_id, "webhook-timestamp": at, "webhook-signature": f"v1,{signature}"}
        headers["Content-Type"] = "application/json"
        return httpx.post(f"{self.url}/api/v1/jobs/{job_id}/callback", content=body, headers=headers).status_code

    def signatures(self, path: str) -> list[set[str]]:
        """Of each message there: whose secrets fit ("old", "new")."""
        found = []
        for receipt in self.far.receipts:
            if receipt.path == path and receipt.complete:
                told = (receipt.header("webhook-signature") or "").split(" ")
                content = field(receipt.body) if path == "/hook" else receipt.body
                head = f"{receipt.header('webhook-id')}.{receipt.header('webhook-timestamp')}.".encode()
                fits = {"old": OLD[SIGNED[path]], "new": NEW[SIGNED[path]]}
                found.append({word for word, one in fits.items() if f"v1,{signed(one, head + content)}" in told})
        return found


def signed(secret: str, content: bytes) -> str:
    return base64.b64encode(hmac.digest(secret.encode(), content, "sha256")).decode()


def field(body: bytes) -> bytes:
    """The metadata in a multipart delivery."""
    boundary = body.partition(b"\r\n")[0]
    return re.split(b"\r\n" + re.escape(boundary), body.partition(b'name="metadata"\r\n\r\n')[2])[0]


def restart(stack: Stack, far: FarSide, *sets: dict[str, str]) -> None:
    stack.stop()
    far.receipts.clear()
    begin(stack, far, *sets)


def begin(stack: Stack, far: FarSide, *sets: dict[str, str]) -> None:
    own = variables(far, *sets)
    stack.variables |= own
    lines = f"CALLSLIP_API_KEYS={own['CALLSLIP_API_KEYS']}\n"  # where a Stack looks for its key
    (stack.folder / ".env").write_text(lines)
    stack.start()


def go_through(stack: Stack, far: FarSide) -> None:
    """The three states of the installation, one after the other."""
    caller = Caller(stack, far)
    begin(stack, far, OLD)
    waiting, link_only = caller.upload(OLD, "one"), caller.upload(OLD, "two")
    ids = [job["job_id"] for job in (waiting, link_only)]
    old_tokens = [caller.delivered(one)["callback_token"] for one in ids]
    old_cookie = caller.log_in(OLD)
    assert caller.signatures("/hook") == [{"old"}, {"old"}]

    restart(stack, far, NEW, OLD)
    assert [caller.upload(secrets, "one")["job_id"] for secrets in (OLD, NEW)] == [ids[0], ids[0]]
    fresh = caller.upload(NEW, "three")
    new_token = caller.delivered(fresh["job_id"])["callback_token"]
    assert caller.signatures("/hook") == [{"old", "new"}]
    assert [caller.call_back_signed(ids[0], one["callback"]) for one in (OLD, NEW)] == [200, 200]
    assert caller.call_back(ids[0], old_tokens[0]) == 200
    until(lambda: caller.signatures("/notify") == [{"old", "new"}])
    new_cookie = caller.log_in(NEW)
    assert all(caller.sees("/ops", cookie) for cookie in (old_cookie, new_cookie))
    assert all(caller.sees(job["links"]["page"]) for job in (waiting, fresh))

    restart(stack, far, NEW)
    assert caller.upload(OLD, "four") == {}
    assert caller.upload(NEW, "one")["job_id"] == ids[0]
    assert (caller.call_back(ids[1], old_tokens[1]), caller.call_back(fresh["job_id"], new_token)) == (401, 200)
    assert [caller.call_back_signed(ids[1], one["callback"]) for one in (OLD, NEW)] == [401, 200]
    until(lambda: caller.signatures("/notify") == [{"new"}])
    assert [caller.sees("/ops", cookie) for cookie in (old_cookie, new_cookie)] == [False, True]
    assert [caller.sees(job["links"]["page"]) for job in (link_only, fresh)] == [False, True]
    assert stack.job(ids[0])["status"] == "success"
    stack.stop()


async def test_every_secret_is_rotated_without_a_lost_call(tmp_path: Path) -> None:
    async with far_side() as far:
        far.will(reply(200, "{}"))
        await asyncio.to_thread(go_through, Stack(tmp_path, {}), far)
