"""When the service is ready, and what it then tells the person who started it."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shlex
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from app.core.settings import Settings, reachable

POLL_EVERY = 0.05
_SIMPLE_KEY_LINE = re.compile(r"^CALLSLIP_API_KEYS=[^:'\"\s]+:[^,'\"\s]+", re.MULTILINE)


async def wait_until_ready(host: str, port: int, patience: timedelta) -> str:
    """The service's own word on its state once it is fully up, or whatever it says after `patience` seconds."""
    state = "starting"
    with suppress(TimeoutError):
        async with asyncio.timeout(patience.total_seconds()):
            while state not in {"ok", "ready"}:
                state = await _state(host, port) or state
                await asyncio.sleep(POLL_EVERY)
    return state


async def _state(host: str, port: int) -> str | None:
    try:
        reader, writer = await asyncio.open_connection(reachable(host).strip("[]"), port)
    except OSError:
        return None
    try:
        writer.write(b"GET /health/ready HTTP/1.0\r\nHost: localhost\r\n\r\n")
        answer = await reader.read(65536)
        while more := await reader.read(65536):
            answer += more
        return str(json.loads(answer.partition(b"\r\n\r\n")[2])["status"])
    except (OSError, ValueError, KeyError, TypeError):
        return None
    finally:
        writer.close()


def without_path(url: str) -> str:
    """Where a webhook is. Its path is left out: it may be all that keeps strangers from it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}, at the path in N8N_WEBHOOK_URL"


def greeting(settings: Settings, env_file: Path, root: Path, workflow: str, state: str) -> list[str]:
    """Where it is, where the key is (never the key itself), and a line to try it with."""
    address = f"http://{reachable(settings.host)}:{settings.port}"
    place, expression = _key(env_file)
    lines = [
        "",
        f"Callslip is {'ready' if state in {'ok', 'ready'} else state} at {address}",
        f"  API key    {place}",
        f"  Workflow   {workflow}",
    ]
    if settings.rq_dashboard:
        lines.append(f"  Dashboard  {address}/rq/")
    sample = shlex.quote(str(root / "README.md"))
    lines += [
        "  Stop       Ctrl-C",
        "  Try it:",
        "",
        f'curl -sS -H "Authorization: Bearer {expression}" -F file=@{sample} {address}/api/v1/jobs',
        "",
    ]
    return lines


def _key(env_file: Path) -> tuple[str, str]:
    """Where the first API key stands, and a shell expression that reads it from there."""
    pattern = r"[^:]*:\([^,]*\).*/\1/p'"
    if os.environ.get("CALLSLIP_API_KEYS"):
        place = "CALLSLIP_API_KEYS in the environment (name:key)"
        return place, f"$(printenv CALLSLIP_API_KEYS | sed -n 's/^{pattern})"
    place = f"CALLSLIP_API_KEYS in {env_file.absolute()} (name:key)"
    if not _SIMPLE_KEY_LINE.search(env_file.read_text(encoding="utf-8")):
        return place, "$YOUR_KEY"
    return place, f"$(sed -n 's/^CALLSLIP_API_KEYS={pattern} {shlex.quote(str(env_file.absolute()))})"
