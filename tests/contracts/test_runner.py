"""The promises of Runner, kept by the webhook runner: what a delivery carries, and what becomes of damaged files."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

import jwt
import pytest
from standardwebhooks import Webhook

from app.domain.lifecycle import Failed
from app.domain.signing import Scope
from app.infrastructure.webhook_target import Auth, DeliveryMode, WebhookTarget
from tests.contracts.runner_stage import (
    API_KEY,
    CAPABILITIES,
    CONTENT,
    PUBLIC,
    SECRETS,
    TOKEN,
    TTL,
    Stage,
    parts_of,
    staged,
)
from tests.far_side import (
    far_side,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with far_side() as far, staged(tmp_path, far) as stage:
        yield stage


# What is sent


async def test_a_delivery_carries_every_fact_in_the_contracts_order_and_then_the_file(stage: Stage) -> None:
    job = await stage.job()
    await stage.runner().run(job)
    parts = parts_of(stage.far.receipts[0])
    assert [part.name for part in parts] == [
        *["job_id", "workflow", "copies", "notion_database_id", "urgent", "filename", "media_type", "size", "sha256"],
        *["file_url", "callback_url", "callback_token", "metadata", "file"],
    ]
    fields = {part.name: part.content.decode() for part in parts[:-1]}
    assert fields["job_id"] == str(job.job_id)
    assert fields["notion_database_id"] == "dätabase"
    assert (fields["copies"], fields["urgent"]) == ("2", "true")
    assert fields["size"] == str(len(CONTENT))
    assert fields["sha256"] == sha256(CONTENT).hexdigest()
    assert fields["callback_url"] == f"{PUBLIC}/api/v1/jobs/{job.job_id}/callback"
    assert CAPABILITIES.opens(fields["callback_token"], Scope.CALLBACK, job.job_id, datetime.now(UTC))
    metadata = json.loads(fields.pop("metadata"))
    assert metadata == fields | {"copies": 2, "urgent": True, "size": len(CONTENT)}
    assert (parts[-1].filename, parts[-1].media_type, parts[-1].content) == ("receipt.png", "image/png", CONTENT)


async def test_the_file_link_opens_until_its_time_is_over(stage: Stage) -> None:
    job = await stage.job()
    await stage.runner(delivery=DeliveryMode.LINK).run(job)
    url, _, token = json.loads(stage.far.receipts[0].body)["file_url"].partition("?token=")
    assert url == f"{PUBLIC}/api/v1/jobs/{job.job_id}/file"
    assert CAPABILITIES.opens(token, Scope.FILE, job.job_id, job.created_at + TTL - timedelta(seconds=2))
    assert not CAPABILITIES.opens(token, Scope.FILE, job.job_id, job.created_at + TTL + timedelta(seconds=2))


async def test_two_attempts_send_the_same_bytes_and_their_own_number(stage: Stage) -> None:
    job = await stage.job()
    await stage.runner().run(job)
    await stage.runner().run(replace(job, attempt=2))
    first, second = stage.far.receipts
    assert first.body == second.body
    assert first.header("content-type") == second.header("content-type")
    assert first.header("webhook-id") == second.header("webhook-id") == str(job.job_id)
    assert (first.header("callslip-attempt"), second.header("callslip-attempt")) == ("1", "2")


async def test_a_body_has_its_length_and_no_chunks(stage: Stage) -> None:
    await stage.runner().run(await stage.job())
    receipt = stage.far.receipts[0]
    assert receipt.header("content-length") == str(len(receipt.body))
    assert receipt.header("transfer-encoding") is None
    assert receipt.header("user-agent") == "callslip/0.1"


@pytest.mark.parametrize("secret", SECRETS)
async def test_every_secret_signs_the_metadata_of_a_multipart_body(stage: Stage, secret: bytes) -> None:
    await stage.runner().run(await stage.job())
    receipt = stage.far.receipts[0]
    metadata = next(part.content for part in parts_of(receipt) if part.name == "metadata")
    Webhook("whsec_" + base64.b64encode(secret).decode()).verify(metadata, dict(receipt.headers))


@pytest.mark.parametrize("secret", SECRETS)
async def test_every_secret_signs_the_whole_of_a_json_body(stage: Stage, secret: bytes) -> None:
    await stage.runner(delivery=DeliveryMode.LINK).run(await stage.job())
    receipt = stage.far.receipts[0]
    body = Webhook("whsec_" + base64.b64encode(secret).decode()).verify(receipt.body, dict(receipt.headers))
    assert receipt.header("content-type") == "application/json"
    assert (body["copies"], body["urgent"], body["size"]) == (2, True, len(CONTENT))
    assert json.loads(body.pop("metadata")) == body


async def test_header_auth_sends_the_token(stage: Stage) -> None:
    await stage.runner().run(await stage.job())
    assert stage.far.receipts[0].header("authorization") == f"Bearer {TOKEN}"


async def test_jwt_auth_sends_a_signed_token_that_names_the_job_and_its_file(stage: Stage) -> None:
    job = await stage.job()
    await stage.runner(auth=Auth.JWT).run(job)
    bearer = (stage.far.receipts[0].header("authorization") or "").removeprefix("Bearer ")
    claims = jwt.decode(bearer, TOKEN, algorithms=["HS256"], options={"require": ["iat", "exp"]})
    assert claims["job_id"] == str(job.job_id)
    assert claims["sha256"] == sha256(CONTENT).hexdigest()
    assert claims["exp"] - claims["iat"] == 300


async def test_no_auth_sends_no_authorization(stage: Stage) -> None:
    await stage.runner(auth=Auth.NONE, token=None).run(await stage.job())
    assert stage.far.receipts[0].header("authorization") is None


async def test_a_file_over_the_limit_is_linked_and_not_attached(stage: Stage) -> None:
    await stage.runner(multipart_limit=len(CONTENT) - 1).run(await stage.job())
    names = [part.name for part in parts_of(stage.far.receipts[0])]
    assert "file" not in names
    assert "file_url" in names


async def test_a_file_exactly_at_the_limit_is_attached(stage: Stage) -> None:
    await stage.runner(multipart_limit=len(CONTENT)).run(await stage.job())
    assert parts_of(stage.far.receipts[0])[-1].content == CONTENT


async def test_a_job_without_a_file_is_told_without_file_fields(stage: Stage) -> None:
    await stage.runner().run(await stage.job(None))
    names = {part.name for part in parts_of(stage.far.receipts[0])}
    assert names == {
        "job_id",
        "workflow",
        "copies",
        "notion_database_id",
        "urgent",
        "callback_url",
        "callback_token",
        "metadata",
    }


@pytest.mark.parametrize(
    "filename", ['a"; name="x.png', "Quittung Zoë 領収書 😀.png", "semi;colon=1.png", "back\\slash.png"]
)
async def test_a_file_name_cannot_change_the_form(stage: Stage, filename: str) -> None:
    job = await stage.job(filename=filename)
    await stage.runner().run(job)
    receipt = stage.far.receipts[0]
    assert job.file is not None
    written = job.file.filename.replace('"', "%22")
    assert f'name="file"; filename="{written}"\r\n'.encode() in receipt.body
    assert [part.name for part in parts_of(receipt)].count("file") == 1


async def test_a_file_that_looks_like_a_form_stays_one_part(stage: Stage) -> None:
    ordinary = await stage.job()
    await stage.runner().run(ordinary)
    boundary = (stage.far.receipts[0].header("content-type") or "").partition("boundary=")[2]
    # The best an uploader can do: replay the boundary of a delivery seen earlier.
    forged = f'x\r\n--{boundary}\r\nContent-Disposition: form-data; name="callback_url"\r\n\r\nhttp://evil\r\n--{boundary}--\r\n'
    await stage.runner().run(await stage.job(forged.encode()))
    parts = parts_of(stage.far.receipts[1])
    assert parts[-1].content == forged.encode()
    assert [part.name for part in parts].count("callback_url") == 1


async def test_a_large_file_arrives_whole(stage: Stage) -> None:
    content = bytes(range(256)) * 12_289
    await stage.runner().run(await stage.job(content))
    assert parts_of(stage.far.receipts[0])[-1].content == content


# What is stored


async def test_a_removed_file_fails_the_job(stage: Stage) -> None:
    job = await stage.job()
    await stage.files.remove(job.job_id)
    event = await stage.runner().run(job)
    assert isinstance(event, Failed)
    assert event.error.type == "file_gone"
    assert stage.far.receipts == []


async def test_a_file_of_another_size_is_not_sent(stage: Stage, tmp_path: Path) -> None:
    job = await stage.job()
    stage.stored_path(tmp_path, job).write_bytes(CONTENT[:-1])
    event = await stage.runner().run(job)
    assert isinstance(event, Failed)
    assert event.error.type == "file_damaged"
    assert stage.far.receipts == []


@pytest.mark.parametrize("size", [1000, 3_000_000])
async def test_a_file_whose_bytes_changed_reaches_nobody_as_a_whole(stage: Stage, tmp_path: Path, size: int) -> None:
    job = await stage.job(bytes(size))
    stage.stored_path(tmp_path, job).write_bytes(bytes(size - 1) + b"!")
    event = await stage.runner().run(job)
    assert isinstance(event, Failed)
    assert event.error.type == "file_damaged"
    await asyncio.sleep(0.05)
    assert not any(receipt.complete for receipt in stage.far.receipts)


def test_the_repr_of_a_target_shows_no_secret() -> None:
    target = WebhookTarget(url="http://n8n/x", token=TOKEN, secrets=SECRETS, api_url="http://n8n", api_key=API_KEY)
    for secret in (TOKEN, API_KEY, "first-secret", "second-secret"):
        assert secret not in repr(target)
