"""Hands a job to a webhook workflow. Delivered is not done: the result comes by callback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from app.domain.errors import DeliveryTrouble, FileGone, Unavailable
from app.domain.lifecycle import Delivered, Event, Failed, Noted, NoteKind, TroubleKind, patience
from app.domain.models import Job, JobError, Json
from app.domain.protocols import FileStore, StoredContent
from app.domain.signing import Capabilities, sign_webhook
from app.domain.workflow import Workflow
from app.infrastructure.http_client import Answer, FarClient, exchange
from app.infrastructure.n8n_executions import N8nExecutions
from app.infrastructure.webhook_answer import (
    address_secrets,
    excerpt,
    execution_id,
    in_words,
    retry_after,
    spellings,
    trouble_kind,
)
from app.infrastructure.webhook_body import DeliveryBody, Derived, Deriver, FileDamaged, json_body, multipart_body
from app.infrastructure.webhook_record import answer_told, request_told
from app.infrastructure.webhook_target import Auth, DeliveryMode, WebhookTarget

JWT_LIFE = timedelta(minutes=5)
STILL_AT_IT = frozenset({"new", "running", "waiting"})
BROKEN_OFF = frozenset({"error", "crashed", "canceled"})


class WebhookRunner:
    """Runs the jobs of one webhook workflow."""

    def __init__(  # noqa: PLR0913 - the composition root names each
        self,
        target: WebhookTarget,
        *,
        workflow: Workflow,
        client: FarClient,
        files: FileStore,
        capabilities: Capabilities,
        public_url: str,
        link_ttl: timedelta,
        clock: Callable[[], datetime],
        version: str,
    ) -> None:
        self._target, self._workflow, self._client, self._files = target, workflow, client, files
        self._derive = Deriver(capabilities=capabilities, public_url=public_url, link_ttl=link_ttl)
        self._clock, self._agent = clock, f"callslip/{version}"
        asked = target.api_url is not None and target.api_key is not None
        self._executions = N8nExecutions(client, target.api_url or "", target.api_key or "") if asked else None

    async def run(self, job: Job) -> Event:
        try:
            async with self._stored(job) as content:
                derived = self._derive.derived(job)
                return await self._deliver(job, derived, self._body(job, derived, content))
        except FileGone:
            return _failed(job, "file_gone", "the file is no longer kept")
        except FileDamaged as error:
            return _failed(job, "file_damaged", str(error))
        except Unavailable as error:
            raise DeliveryTrouble(TroubleKind.UNAVAILABLE, str(error), error.retry_after) from error

    async def ask(self, job: Job) -> Event | None:
        if self._executions is None or job.execution_id is None:
            return None
        execution = await self._executions.get(job.execution_id)
        if execution is None:
            return None
        if execution.status in STILL_AT_IT:
            words = f"execution {job.execution_id} is {execution.status}"
            return Noted(attempt=job.attempt, kind=NoteKind.ASKED, words={"answer": words})
        if execution.status == "success":
            return _failed(job, "no_callback", "the execution succeeded but never called back")
        if execution.status in BROKEN_OFF:
            words = f"n8n says that the execution ended: {execution.status}"
            more = excerpt(
                execution.words, self._unspeakable(self._derive.derived(job))
            )  # a failed call back is told with its headers
            return _failed(job, f"execution_{execution.status}", f"{words}: {more}" if more else words)
        return None

    async def stop(self, job: Job) -> None:
        if self._executions is not None and job.execution_id is not None:
            await self._executions.stop(job.execution_id)

    @asynccontextmanager
    async def _stored(self, job: Job) -> AsyncIterator[StoredContent | None]:
        if job.file is None:
            yield None
            return
        async with self._files.open(job.job_id) as content:
            if content.size != job.file.size:
                raise FileDamaged("the stored file does not have the size that was handed in")
            yield content

    def _body(self, job: Job, derived: Derived, content: StoredContent | None) -> DeliveryBody:
        fields = self._derive.fields(job, derived)
        if self._target.delivery is DeliveryMode.LINK:
            return json_body(fields)
        attached = job.file is not None and job.file.size <= self._target.multipart_limit
        return multipart_body(fields, derived.boundary, job.file if attached else None, content if attached else None)

    async def _deliver(self, job: Job, derived: Derived, body: DeliveryBody) -> Event:
        now, target = self._clock(), self._target
        bearer = self._bearer(job, now)
        headers = self._headers(job, body, bearer, now)
        sent = {**headers, "Content-Type": body.content_type}
        told: dict[str, Json] = {"request": request_told("POST", target.url, sent, body.length)}
        try:
            answer = await exchange(self._client, "POST", target.url, headers, patience=target.timeout, payload=body)
            secrets = [bearer, *self._unspeakable(derived)]
            told["response"] = answer_told(answer, secrets)
            return self._judged(job, answer, secrets, told)
        except DeliveryTrouble as trouble:
            trouble.words = told
            raise

    def _headers(self, job: Job, body: DeliveryBody, bearer: str, now: datetime) -> dict[str, str]:
        headers = {
            "User-Agent": self._agent,
            "webhook-id": str(job.job_id),
            "webhook-timestamp": str(int(now.timestamp())),
            "webhook-signature": sign_webhook(self._target.secrets, str(job.job_id), now, body.signed),
            "callslip-attempt": str(job.attempt),
        }
        return headers | ({"Authorization": f"Bearer {bearer}"} if bearer else {})

    def _bearer(self, job: Job, now: datetime) -> str:
        if self._target.auth is Auth.NONE or self._target.token is None:
            return ""
        if self._target.auth is Auth.HEADER:
            return self._target.token
        import jwt  # noqa: PLC0415 - brings cryptography: eight megabytes, for those only who speak so

        claims = {"job_id": str(job.job_id), "iat": now, "exp": now + JWT_LIFE}
        return jwt.encode(claims | ({"sha256": job.file.sha256} if job.file else {}), self._target.token, "HS256")

    def _judged(self, job: Job, answer: Answer, secrets: list[str], told: Mapping[str, Json]) -> Event:
        kind = trouble_kind(answer)
        if kind is None and 200 <= answer.status < 300:
            due_in = patience(self._workflow.periods)
            return Delivered(attempt=job.attempt, due_in=due_in, execution_id=execution_id(answer.text), words=told)
        words = in_words(answer, secrets)
        if kind is None:
            return _failed(job, f"delivery_http_{answer.status}", words, told)
        raise DeliveryTrouble(kind, words, retry_after(answer.headers, self._clock()))

    def _unspeakable(self, derived: Derived) -> list[str]:
        """What a far side was told or could know, and may echo in its answer."""
        target = self._target
        known = [target.token or "", target.api_key or "", *address_secrets(target.url)]
        return [*spellings(target.secrets), *derived, *known]


def _failed(job: Job, error_type: str, detail: str, words: Mapping[str, Json] | None = None) -> Failed:
    return Failed(attempt=job.attempt, error=JobError(type=error_type, detail=detail), words=words or {})
