"""The promises of Runner, kept by the webhook runner against a real local server: the contract's table row by row."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from email.parser import BytesParser
from email.policy import HTTP
from hashlib import sha256
from ipaddress import ip_address
from pathlib import Path

import httpx
import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from standardwebhooks import Webhook

from app.domain.errors import DeliveryTrouble, Misconfigured
from app.domain.lifecycle import Delivered, Event, Failed, Noted, NoteKind, Periods, TroubleKind, patience
from app.domain.models import Job, JobStatus, new_job_id
from app.domain.protocols import Runner
from app.domain.signing import Capabilities, Scope
from app.domain.workflow import FileRules, Workflow
from app.infrastructure.file_store_local import LocalFileStore
from app.infrastructure.http_client import build_client
from app.infrastructure.runner_webhook import WebhookRunner
from app.infrastructure.webhook_target import Auth, DeliveryMode, WebhookTarget
from tests.far_side import (
    Behaviour,
    Call,
    FarSide,
    Receipt,
    answer,
    close_after_body,
    far_side,
    hang,
    reply,
    reset_after_body,
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
    client: httpx.AsyncClient
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


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with far_side() as far, staged(tmp_path, far) as stage:
        yield stage


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


# What is answered


@pytest.mark.parametrize(
    ("status", "body", "content_type", "execution_id"),
    [
        (200, '{"message":"Workflow was started"}', "application/json", None),
        (200, '{"executionId": "231"}', "application/json", "231"),
        (202, '{"executionId": 231}', "text/html", "231"),
        (200, '{"executionId": "../../evil"}', "application/json", None),
        (200, '{"executionId": true}', "application/json", None),
        (200, "[" * 50_000, "application/json", None),
        (204, "", "text/plain", None),
        (200, "<html>n8n is starting up later</html>", "text/html", None),
        (299, b"\xff\xfe", "application/octet-stream", None),
    ],
)
async def test_any_2xx_is_delivered(
    stage: Stage, status: int, body: str | bytes, content_type: str, execution_id: str | None
) -> None:
    stage.far.will(reply(status, body, content_type))
    job = await stage.job()
    expected = Delivered(attempt=1, due_in=patience(PERIODS), execution_id=execution_id)
    assert await stage.runner().run(job) == expected


ROWS = [
    *[(status, TroubleKind.UNAVAILABLE) for status in (408, 425, 429, 502, 503, 504, 521, 522, 530)],
    *[(status, TroubleKind.SERVER_ERROR) for status in (500, 501, 505, 507, 599)],
    *[(status, TroubleKind.NO_ANSWER) for status in (520, 524)],
    *[(status, TroubleKind.REFUSED) for status in (401, 403, 404)],
]


@pytest.mark.parametrize(("status", "kind"), ROWS)
async def test_an_answer_that_may_change_is_trouble(stage: Stage, status: int, kind: TroubleKind) -> None:
    stage.far.will(reply(status, '{"message":"not now"}'))
    trouble = await stage.trouble(await stage.job())
    assert trouble.kind == kind
    assert str(status) in str(trouble)
    assert "not now" in str(trouble)


async def test_a_starting_n8n_is_trouble_although_it_says_200(stage: Stage) -> None:
    stage.far.will(reply(200, "n8n is starting up. Please wait", "text/html"))
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.UNAVAILABLE


async def test_an_unknown_webhook_is_told_in_words_that_help(stage: Stage) -> None:
    stage.far.will(reply(404, '{"code":404}'))
    trouble = await stage.trouble(await stage.job())
    assert "unknown webhook: is the workflow active, and is this its production URL?" in str(trouble)


@pytest.mark.parametrize("status", [300, 304, 400, 402, 405, 409, 410, 413, 415, 422, 451, 499])
async def test_any_other_answer_fails_the_job_with_the_far_sides_words(stage: Stage, status: int) -> None:
    stage.far.will(reply(status, "w" * 600, "text/plain") if status != 304 else reply(304))
    event = await stage.runner().run(await stage.job())
    assert isinstance(event, Failed)
    assert event.attempt == 1
    assert event.error.type == f"delivery_http_{status}"
    assert str(status) in event.error.detail
    assert event.error.detail.count("w" * 500) == (status != 304)
    assert "w" * 501 not in event.error.detail


async def test_a_redirect_is_not_followed(stage: Stage) -> None:
    stage.far.will(reply(302, headers={"Location": f"{stage.far.url}/elsewhere"}))
    event = await stage.runner().run(await stage.job())
    assert isinstance(event, Failed)
    assert event.error.type == "delivery_http_302"
    assert [receipt.path for receipt in stage.far.receipts] == ["/webhook/intake"]


@pytest.mark.parametrize(
    ("wish", "seconds"),
    [
        ("120", 120),
        ("0", 0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("9" * 40, None),
        ("Mon, 01 Jan 2001 00:00:00 GMT", None),
    ],
)
async def test_a_retry_after_is_passed_on(stage: Stage, wish: str, seconds: int | None) -> None:
    stage.far.will(reply(503, headers={"Retry-After": wish}))
    trouble = await stage.trouble(await stage.job())
    assert trouble.retry_after == (None if seconds is None else timedelta(seconds=seconds))


async def test_a_retry_after_may_be_a_date(stage: Stage) -> None:
    at = datetime.now(UTC) + timedelta(hours=1)
    stage.far.will(reply(503, headers={"Retry-After": at.strftime("%a, %d %b %Y %H:%M:%S GMT")}))
    wish = (await stage.trouble(await stage.job())).retry_after
    assert wish is not None
    assert timedelta(minutes=59) < wish < timedelta(minutes=61)


async def test_an_answer_that_echoes_our_secrets_is_told_without_them(stage: Stage) -> None:
    async def echo(call: Call) -> None:
        body = await call.read_body()
        fields = b"|".join(part.content for part in parts_of(call.receipt) if part.name not in ("file", "metadata"))
        headers = json.dumps(call.receipt.headers)
        await call.send(answer(400, headers.encode() + b"|" + SECRETS[0] + b"|" + fields + body[:100], "text/plain"))

    stage.far.will(echo)
    for auth in (Auth.HEADER, Auth.JWT):
        job = await stage.job()
        event = await stage.runner(auth=auth).run(job)
        assert isinstance(event, Failed)
        bearer = (stage.far.receipts[-1].header("authorization") or "").removeprefix("Bearer ")
        tokens = [CAPABILITIES.grant(Scope.CALLBACK, job.job_id), CAPABILITIES.grant(Scope.BOUNDARY, job.job_id)]
        for secret in (TOKEN, json.dumps(TOKEN)[1:-1], bearer, SECRETS[0].decode(), *tokens):
            assert secret not in event.error.detail
        assert "***" in event.error.detail


async def test_control_characters_of_an_answer_are_not_kept(stage: Stage) -> None:
    stage.far.will(reply(400, "a\x00b\x1b[31mc\u202ed\r\n  e", "text/plain"))
    event = await stage.runner().run(await stage.job())
    assert isinstance(event, Failed)
    assert event.error.detail == "the far side answered 400: a b [31mc d e"


async def test_an_answer_before_the_body_was_read_counts(stage: Stage) -> None:
    async def early(call: Call) -> None:
        await call.read_body(1000)
        await call.send(answer(413, "too large", headers={"Connection": "close"}))
        call.close()

    stage.far.will(early)
    event = await stage.runner().run(await stage.job(bytes(5_000_000)))
    assert isinstance(event, Failed)
    assert event.error.type == "delivery_http_413"


# What breaks


async def test_a_refused_connection_is_trouble_that_certainly_did_not_run(stage: Stage) -> None:
    trouble = await stage.trouble(await stage.job(), url="http://127.0.0.1:1/secret-path")
    assert trouble.kind == TroubleKind.UNAVAILABLE
    assert str(trouble) == "not reached: Connection refused"


async def test_an_unknown_host_is_trouble_that_certainly_did_not_run(stage: Stage) -> None:
    assert (await stage.trouble(await stage.job(), url="http://n8n.invalid/x")).kind == TroubleKind.UNAVAILABLE


async def test_a_connection_that_breaks_inside_the_body_certainly_did_not_run(stage: Stage) -> None:
    async def rude(call: Call) -> None:
        await call.read_body(1000)
        call.abort()

    stage.far.will(rude)
    job = await stage.job(bytes(20_000_000))
    assert (await stage.trouble(job)).kind == TroubleKind.UNAVAILABLE


@pytest.mark.parametrize("behaviour", [reset_after_body, close_after_body])
async def test_a_connection_that_breaks_after_the_body_may_have_run(stage: Stage, behaviour: Behaviour) -> None:
    stage.far.will(behaviour)
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.NO_ANSWER


async def test_silence_after_the_body_may_have_run(stage: Stage) -> None:
    stage.far.will(hang)
    trouble = await stage.trouble(await stage.job(), timeout=timedelta(seconds=0.2))
    assert trouble.kind == TroubleKind.NO_ANSWER
    assert str(trouble) == "no answer within 0.2 s"


async def test_a_far_side_that_stops_reading_certainly_did_not_run(stage: Stage) -> None:
    async def deaf(call: Call) -> None:
        await call.read_body(1000)
        await asyncio.Event().wait()

    stage.far.will(deaf)
    job = await stage.job(bytes(50_000_000))
    assert (await stage.trouble(job, timeout=timedelta(seconds=0.3))).kind == TroubleKind.UNAVAILABLE


async def test_a_slow_far_side_has_time_as_long_as_it_goes_on(stage: Stage) -> None:
    async def slow_reader(call: Call) -> None:
        for most in range(4_000_000, 40_000_000, 4_000_000):
            await call.read_body(most)
            await asyncio.sleep(0.1)
        await reply(200)(call)

    stage.far.will(slow_reader)
    event = await stage.runner(timeout=timedelta(seconds=0.8)).run(await stage.job(bytes(40_000_000)))
    assert isinstance(event, Delivered)


async def test_an_answer_without_end_is_cut_off(stage: Stage) -> None:
    async def drip(call: Call) -> None:
        await call.read_body()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while True:
            await call.send(b"it goes on and on ")
            await asyncio.sleep(0.02)

    stage.far.will(drip)
    async with asyncio.timeout(3):
        event = await stage.runner(timeout=timedelta(seconds=0.3)).run(await stage.job())
    assert isinstance(event, Delivered)


async def test_a_2xx_that_breaks_before_its_first_word_may_have_run(stage: Stage) -> None:
    async def mute(call: Call) -> None:
        await call.read_body()
        await call.send(b"HTTP/1.1 200 OK\r\nContent-Length: 30\r\n\r\nn8n is st")
        call.abort()

    stage.far.will(mute)
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.NO_ANSWER


async def test_what_is_no_http_may_have_run(stage: Stage) -> None:
    async def babble(call: Call) -> None:
        await call.read_body()
        await call.send(b"\x00\x01 what?\r\n\r\n")

    stage.far.will(babble)
    assert (await stage.trouble(await stage.job())).kind == TroubleKind.NO_ANSWER


async def test_a_callback_during_the_request_does_not_disturb_the_delivery(stage: Stage) -> None:
    called_back = asyncio.Event()

    async def early_bird(call: Call) -> None:
        await call.read_body()
        called_back.set()
        await asyncio.sleep(0.05)
        await call.send(answer(200, "{}"))

    stage.far.will(early_bird)
    running = asyncio.create_task(stage.runner().run(await stage.job()))
    await called_back.wait()
    assert not running.done()
    assert isinstance(await running, Delivered)


async def test_a_cancelled_delivery_lets_go_of_its_connection(stage: Stage) -> None:
    reading, gone = asyncio.Event(), asyncio.Event()

    async def wait_for_the_end(call: Call) -> None:
        await call.read_body()
        reading.set()
        if not await call._reader.read(1):
            gone.set()

    stage.far.will(wait_for_the_end)
    running = asyncio.create_task(stage.runner().run(await stage.job()))
    await reading.wait()
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    async with asyncio.timeout(2):
        await gone.wait()


async def test_many_deliveries_share_connections(stage: Stage) -> None:
    runner = stage.runner()
    for _ in range(5):
        await runner.run(await stage.job())
    assert stage.far.connections == 1


async def test_a_connection_that_the_far_side_gave_up_is_not_used_again(stage: Stage) -> None:
    async def leave(call: Call) -> None:
        await reply(200)(call)
        call.close()

    stage.far.will(leave)
    for _ in range(3):
        assert isinstance(await stage.runner().run(await stage.job()), Delivered)
        await asyncio.sleep(0.02)
    assert stage.far.connections == 3


async def test_cookies_are_neither_kept_nor_sent(stage: Stage) -> None:
    stage.far.will(reply(200, headers={"Set-Cookie": "session=1; Path=/"}))
    for _ in range(2):
        await stage.runner().run(await stage.job())
    assert stage.far.receipts[1].header("cookie") is None


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


# TLS


@pytest.fixture
async def secure(tmp_path: Path, certificate: tuple[Path, Path]) -> AsyncIterator[FarSide]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    async with far_side(tls=context) as far:
        yield far


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A self-signed certificate for 127.0.0.1 and its key."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.now(UTC)
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "far side")])
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
    builder = builder.add_extension(
        x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False
    )
    builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    folder = tmp_path_factory.mktemp("tls")
    certificate, private = folder / "certificate.pem", folder / "key.pem"
    certificate.write_bytes(builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM))
    plain = serialization.NoEncryption()
    private.write_bytes(key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain))
    return certificate, private


async def deliver_over_tls(tmp_path: Path, far: FarSide, **options: object) -> Event:
    settings = {"verify": True, "ca_file": None} | options
    async with staged(tmp_path / "files", far) as stage, build_client(connections=5, **settings) as client:
        stage.client = client
        return await stage.runner().run(await stage.job())


async def test_an_unknown_certificate_is_refused_before_anything_is_sent(tmp_path: Path, secure: FarSide) -> None:
    with pytest.raises(DeliveryTrouble, match="certificate is not trusted") as caught:
        await deliver_over_tls(tmp_path, secure)
    assert caught.value.kind == TroubleKind.UNAVAILABLE
    assert secure.receipts == []


async def test_a_ca_file_makes_a_certificate_known(
    tmp_path: Path, secure: FarSide, certificate: tuple[Path, Path]
) -> None:
    assert isinstance(await deliver_over_tls(tmp_path, secure, ca_file=certificate[0]), Delivered)


async def test_verification_can_be_switched_off(tmp_path: Path, secure: FarSide) -> None:
    assert isinstance(await deliver_over_tls(tmp_path, secure, verify=False), Delivered)


async def test_a_far_side_that_does_not_speak_tls_got_nothing(stage: Stage) -> None:
    trouble = await stage.trouble(await stage.job(), url=stage.far.url.replace("http:", "https:"))
    assert trouble.kind == TroubleKind.UNAVAILABLE
    assert stage.far.receipts == []


def test_a_ca_file_without_certificates_stops_the_start(tmp_path: Path) -> None:
    empty = tmp_path / "ca.pem"
    empty.write_text("nothing")
    for path in (empty, tmp_path / "missing.pem"):
        with pytest.raises(Misconfigured, match=path.name):
            build_client(verify=True, ca_file=path, connections=1)


# Asking and stopping


def asked(stage: Stage, suffix: str = "") -> Runner:
    return stage.runner(api_url=f"{stage.far.url}{suffix}", api_key=API_KEY)


@pytest.mark.parametrize("suffix", ["", "/", "/api/v1", "/api/v1/"])
@pytest.mark.parametrize("status", ["new", "running", "waiting"])
async def test_a_far_side_that_is_still_at_it_is_noted(stage: Stage, status: str, suffix: str) -> None:
    stage.far.will(reply(200, json.dumps({"id": "7", "status": status})))
    event = await asked(stage, suffix).ask(await stage.job(execution_id="7"))
    assert isinstance(event, Noted)
    assert event.kind is NoteKind.ASKED
    assert event.due_in is None
    receipt = stage.far.receipts[0]
    assert (receipt.method, receipt.path) == ("GET", "/api/v1/executions/7")
    assert receipt.header("x-n8n-api-key") == API_KEY


@pytest.mark.parametrize("status", ["error", "crashed", "canceled"])
async def test_an_execution_that_broke_off_fails_the_job(stage: Stage, status: str) -> None:
    error = {"message": "Bad request", "description": f"no such database {API_KEY}"}
    stage.far.will(reply(200, json.dumps({"status": status, "data": {"resultData": {"error": error}}})))
    event = await asked(stage).ask(await stage.job(execution_id="7"))
    assert isinstance(event, Failed)
    assert event.error.type == f"execution_{status}"
    assert ("no such database ***" in event.error.detail) == (status != "canceled")


async def test_an_execution_that_succeeded_in_silence_fails_the_job(stage: Stage) -> None:
    stage.far.will(reply(200, '{"status": "success"}'))
    event = await asked(stage).ask(await stage.job(execution_id="7"))
    assert isinstance(event, Failed)
    assert (event.error.type, event.error.detail) == ("no_callback", "the execution succeeded but never called back")


@pytest.mark.parametrize(
    "behaviour",
    [
        reply(404, "{}"),
        reply(401, "{}"),
        reply(200, "not json"),
        reply(200, "[" * 50_000),
        reply(200, "[]"),
        reply(200, '{"status": 3}'),
        reply(200, '{"status": "unknown"}'),
        reset_after_body,
    ],
)
async def test_a_far_side_that_cannot_say_is_none(stage: Stage, behaviour: Behaviour) -> None:
    stage.far.will(behaviour)
    assert await asked(stage).ask(await stage.job(execution_id="7")) is None


async def test_who_cannot_be_asked_is_not_asked(stage: Stage) -> None:
    assert await stage.runner().ask(await stage.job(execution_id="7")) is None
    assert await asked(stage).ask(await stage.job()) is None
    assert await asked(stage).ask(await stage.job(execution_id="../users")) is None
    await stage.runner().stop(await stage.job(execution_id="7"))
    assert stage.far.receipts == []


@pytest.mark.parametrize("status", [200, 404, 409, 500])
async def test_stopping_asks_once_and_never_raises(stage: Stage, status: int) -> None:
    stage.far.will(reply(status, "{}"))
    await asked(stage).stop(await stage.job(execution_id="7"))
    assert [(receipt.method, receipt.path) for receipt in stage.far.receipts] == [("POST", "/api/v1/executions/7/stop")]


def test_the_repr_of_a_target_shows_no_secret() -> None:
    target = WebhookTarget(url="http://n8n/x", token=TOKEN, secrets=SECRETS, api_url="http://n8n", api_key=API_KEY)
    for secret in (TOKEN, API_KEY, "first-secret", "second-secret"):
        assert secret not in repr(target)
