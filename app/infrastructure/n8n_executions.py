"""What n8n's own API says about an execution, and stopping one."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass
from datetime import timedelta

from app.domain.errors import DeliveryTrouble
from app.infrastructure.http_client import Answer, FarClient, exchange
from app.infrastructure.webhook_answer import EXECUTION_ID, excerpt

TIMEOUT = timedelta(seconds=5)  # for all that is asked about one execution
LONGEST_EXECUTION = 1024 * 1024  # with data it may be far longer: then its words are left out


@dataclass(frozen=True, slots=True, kw_only=True)
class Execution:
    """How an execution stands: n8n's `status`, and its error in words where it has one."""

    status: str
    words: str = ""


class N8nExecutions:
    """Speaks n8n's public API at `api_url`, given with or without `/api/v1`. No method raises."""

    def __init__(self, client: FarClient, api_url: str, api_key: str) -> None:
        self._client = client
        self._url = f"{api_url.rstrip('/').removesuffix('/api/v1')}/api/v1/executions"
        self._headers = {"X-N8N-API-KEY": api_key, "Accept": "application/json"}

    async def get(self, execution_id: str) -> Execution | None:
        """The execution, or None when n8n does not say."""
        until = _deadline()
        found = _object(await self._call("GET", execution_id, "", until))
        status = found.get("status")
        if not isinstance(status, str):
            return None
        if status in ("error", "crashed"):
            words = _error_words(_object(await self._call("GET", execution_id, "?includeData=true", until)))
            return Execution(status=status, words=excerpt(words, self._headers.values()))
        return Execution(status=status)

    async def stop(self, execution_id: str) -> None:
        """Asks n8n to end it. An execution that is over already is no error."""
        await self._call("POST", execution_id, "/stop", _deadline())

    async def _call(self, method: str, execution_id: str, rest: str, until: float) -> Answer | None:
        if not EXECUTION_ID.fullmatch(execution_id):  # a workflow may claim any text to be one
            return None
        url = f"{self._url}/{execution_id}{rest}"
        call = exchange(self._client, method, url, self._headers, patience=TIMEOUT, longest=LONGEST_EXECUTION)
        try:
            async with asyncio.timeout_at(until):
                return await call
        except (DeliveryTrouble, TimeoutError):
            return None


def _deadline() -> float:
    return asyncio.get_running_loop().time() + TIMEOUT.total_seconds()


def _object(answer: Answer | None) -> dict[str, object]:
    if answer is None or answer.status != 200 or answer.cut:
        return {}
    try:
        found = json.loads(answer.text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _error_words(execution: dict[str, object]) -> str:
    found: object = execution
    for key in ("data", "resultData", "error"):
        found = found.get(key) if isinstance(found, dict) else None
    if not isinstance(found, dict):
        return ""
    # The message is generic ("Bad request"); the description holds the far API's own text.
    return ": ".join(str(found[key]) for key in ("message", "description") if isinstance(found.get(key), str))
