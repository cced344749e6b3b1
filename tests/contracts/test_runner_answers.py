"""The webhook runner and the contract's table: what each answer of a far side means."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from app.domain.lifecycle import Delivered, Failed, TroubleKind, patience
from app.domain.signing import Scope
from app.infrastructure.webhook_record import request_told
from app.infrastructure.webhook_target import Auth
from tests.contracts.runner_stage import (
    CAPABILITIES,
    CONTENT,
    PERIODS,
    SECRETS,
    TOKEN,
    Stage,
    parts_of,
    staged,
)
from tests.far_side import (
    Call,
    answer,
    far_side,
    reply,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with far_side() as far, staged(tmp_path, far) as stage:
        yield stage


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
    assert replace(await stage.runner().run(job), words={}) == expected


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


async def test_each_attempt_keeps_its_request_and_answer_and_no_secret(stage: Stage) -> None:
    async def echo(call: Call) -> None:
        await call.read_body()
        echoed = f"{call.receipt.headers} {SECRETS[0].decode()} {TOKEN} 5b1cfa90-secret".encode()
        await call.send(answer(status, echoed + b"w" * 9000, "text/plain; charset=utf-8"))

    for status in (200, 400, 503):
        stage.far.will(echo)
        job = await stage.job()
        url = f"{stage.far.url}/webhook/5b1cfa90-secret?token=hush"
        if status == 503:
            words = (await stage.trouble(job, url=url)).words
        else:
            words = (await stage.runner(url=url).run(job)).words
        request, response = words["request"], words["response"]
        assert (request["method"], request["url"]) == ("POST", f"{stage.far.url}/webhook/***")
        assert request["size"] > len(CONTENT)
        masked = {"authorization": "Bearer ***", "webhook-signature": "***", "content-type": "multipart/form-data"}
        assert {name: request["headers"][name] for name in masked} == masked
        assert request["headers"]["webhook-id"] == str(job.job_id)
        assert (response["status"], response["headers"]["content-type"]) == (status, "text/plain; charset=utf-8")
        assert len(response["text"]) == 500
        told = json.dumps(words)
        tokens = [CAPABILITIES.grant(Scope.CALLBACK, job.job_id), CAPABILITIES.grant(Scope.BOUNDARY, job.job_id)]
        for secret in (TOKEN, json.dumps(TOKEN)[1:-1], SECRETS[0].decode(), "hush", "5b1cfa90", *tokens):
            assert secret not in told


async def test_an_attempt_without_an_answer_keeps_its_request(stage: Stage) -> None:
    words = (await stage.trouble(await stage.job(), url="http://127.0.0.1:1/secret-path")).words
    assert words["request"]["url"] == "http://127.0.0.1:1/***"
    assert "response" not in words


def test_credentials_in_an_address_are_not_kept() -> None:
    told = request_told("POST", "https://ada:s3cr3t@n8n.example:8443/hooks/webhook-test/x", {"A": "1"}, 7)
    assert told["url"] == "https://n8n.example:8443/hooks/webhook-test/***"
    assert (told["headers"], told["size"]) == ({"a": "1"}, 7)
