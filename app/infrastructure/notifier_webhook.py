"""Tells the operator's address that a job ended, as a Standard Webhooks message."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta

from app.domain.audit import timestamp
from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import TroubleKind
from app.domain.models import Job, Json
from app.domain.signing import sign_webhook
from app.infrastructure.http_client import Bytes, FarClient, exchange
from app.infrastructure.webhook_answer import retry_after, status_in_words, trouble_kind


class WebhookNotifier:
    """Posts to `url`; `job_info` makes the JobInfo that clients see."""

    def __init__(
        self,
        url: str,
        secrets: Sequence[bytes],
        *,
        client: FarClient,
        job_info: Callable[[Job], Mapping[str, Json]],
        clock: Callable[[], datetime],
        version: str,
        timeout: timedelta = timedelta(seconds=30),
    ) -> None:
        self._url, self._secrets, self._client, self._timeout = url, tuple(secrets), client, timeout
        self._job_info, self._clock, self._agent = job_info, clock, f"callslip/{version}"

    async def tell(self, job: Job, at: datetime) -> None:
        ended_at = job.completed_at or at
        message = {"type": "job.ended", "timestamp": timestamp(ended_at), "data": dict(self._job_info(job))}
        body = json.dumps(message, ensure_ascii=False, separators=(",", ":")).encode()
        # A job reaches each end at most once. A version would change with a late callback's note between two tries.
        message_id, now = f"{job.job_id}.{job.status}", self._clock()
        headers = {
            "User-Agent": self._agent,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign_webhook(self._secrets, message_id, now, body),
        }
        answer = await exchange(
            self._client, "POST", self._url, headers, patience=self._timeout, payload=Bytes(content=body)
        )
        kind = trouble_kind(answer)
        if kind is None and not 200 <= answer.status < 300:
            kind = TroubleKind.REFUSED
        if kind is not None:
            raise DeliveryTrouble(kind, status_in_words(answer.status), retry_after(answer.headers, now))
