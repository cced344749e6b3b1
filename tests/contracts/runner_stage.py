"""A webhook runner before a far side on a real socket, and a second reader of what it sends."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path

import pytest

from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import Periods
from app.domain.models import Job, JobStatus, new_job_id
from app.domain.protocols import Runner
from app.domain.signing import Capabilities
from app.domain.workflow import FileRules, Workflow
from app.infrastructure.file_store_local import LocalFileStore
from app.infrastructure.http_client import FarClient, build_client
from app.infrastructure.runner_webhook import WebhookRunner
from app.infrastructure.webhook_target import WebhookTarget
from tests.far_side import (
    FarSide,
    Receipt,
)

TOKEN = 'the"token/of+the-webhook-0123456789'
SECRETS = (b"first-secret-0123456789abcdef", b"second-secret-0123456789abcde")
API_KEY = "n8n-api-key-0123456789abcdef"
CONTENT = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\0\x10\0\0\0\x09\x08\x02\0\0\0" + bytes(range(256)) * 40
CAPABILITIES = Capabilities((b"k" * 32,))
PUBLIC = "https://slips.example"
TTL = timedelta(days=7)
PERIODS = Periods(callback_timeout=timedelta(minutes=7))


WORKFLOW = Workflow(
    name="n8n_notion",
    title="Notion",
    schema={},
    check=lambda params: params,
    file=FileRules(max_size=10**9),
    periods=PERIODS,
)


async def once(content: bytes) -> AsyncIterator[bytes]:
    yield content


@dataclass
class Stage:
    """A runner before a far side, and the store it reads from."""

    far: FarSide
    files: LocalFileStore
    client: FarClient
    target: WebhookTarget

    def runner(self, **changes: object) -> Runner:
        return WebhookRunner(
            replace(self.target, **changes),
            workflow=WORKFLOW,
            client=self.client,
            files=self.files,
            capabilities=CAPABILITIES,
            public_url=PUBLIC,
            link_ttl=TTL,
            clock=lambda: datetime.now(UTC),
            version="0.1",
        )

    async def job(self, content: bytes | None = CONTENT, filename: str = "receipt.png", **changes: object) -> Job:
        now = datetime.now(UTC)
        job_id = new_job_id(now)
        file = None if content is None else await self.files.save(job_id, filename, once(content), 10**9)
        job = Job(
            job_id=job_id,
            client="me",
            workflow="n8n_notion",
            status=JobStatus.PROCESSING,
            attempt=1,
            file=file,
            params={"notion_database_id": "dätabase", "copies": 2, "urgent": True},
            created_at=now,
            due_at=now,
        )
        return replace(job, **changes)

    async def trouble(self, job: Job, **changes: object) -> DeliveryTrouble:
        with pytest.raises(DeliveryTrouble) as caught:
            await self.runner(**changes).run(job)
        return caught.value

    def stored_path(self, tmp_path: Path, job: Job) -> Path:
        return next(path for path in tmp_path.rglob(str(job.job_id)))


@asynccontextmanager
async def staged(tmp_path: Path, far: FarSide) -> AsyncIterator[Stage]:
    target = WebhookTarget(url=f"{far.url}/webhook/intake", token=TOKEN, secrets=SECRETS, timeout=timedelta(seconds=5))
    files = LocalFileStore(tmp_path, 0)
    async with build_client(verify=True, ca_file=None, connections=20) as client:
        yield Stage(far, files, client, target)
    files.close()


@dataclass
class Part:
    name: str
    filename: str | None
    media_type: str
    content: bytes


def parts_of(receipt: Receipt) -> list[Part]:
    """Read by the standard library's mail parser, which knows nothing of ours."""
    kind = receipt.header("content-type") or ""
    message = BytesParser(policy=HTTP.clone(utf8=True)).parsebytes(
        b"Content-Type: " + kind.encode() + b"\r\n\r\n" + receipt.body
    )
    assert message.is_multipart()
    assert not message.defects
    parts = []
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        parts.append(Part(str(name), part.get_filename(), part.get_content_type(), part.get_payload(decode=True)))
    return parts
