"""The promises of Notifier, kept by the webhook notifier against a real local server."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from standardwebhooks import Webhook

from app.domain.audit import timestamp
from app.domain.errors import DeliveryTrouble
from app.domain.lifecycle import Periods, TroubleKind
from app.domain.models import Job, JobStatus, Json, new_job_id
from app.domain.protocols import Notifier
from app.infrastructure.http_client import build_client
from app.infrastructure.notifier_webhook import WebhookNotifier
from app.services.notices import NoticeService
from tests.far_side import Behaviour, FarSide, far_side, hang, reply, reset_after_body
from tests.services.conftest import SUCCESS, Bench

SECRETS = (b"new-secret-0123456789abcdefgh", b"old-secret-0123456789abcdefgh")
NOW = datetime.now(UTC)
JOB = Job(
    job_id=new_job_id(NOW),
    client="me",
    workflow="w",
    status=JobStatus.SUCCESS,
    version=5,
    created_at=NOW,
    completed_at=NOW,
    due_at=None,
)


def info(job: Job) -> dict[str, Json]:
    return {"job_id": str(job.job_id), "status": job.status.value, "result_message": "fertig ✓"}


@pytest.fixture
async def far() -> AsyncIterator[FarSide]:
    async with far_side() as far:
        yield far


@pytest.fixture
async def notifier(far: FarSide) -> AsyncIterator[Notifier]:
    async with build_client(verify=True, ca_file=None, connections=5) as client:
        yield WebhookNotifier(
            f"{far.url}/notices",
            SECRETS,
            client=client,
            job_info=info,
            clock=lambda: datetime.now(UTC),
            version="0.1",
            timeout=timedelta(seconds=0.5),
        )


@pytest.mark.parametrize("secret", SECRETS)
async def test_a_notice_is_signed_with_every_secret_and_tells_the_job(
    far: FarSide, notifier: Notifier, secret: bytes
) -> None:
    far.will(reply(204))
    await notifier.tell(JOB, NOW + timedelta(seconds=9))
    receipt = far.receipts[0]
    message = Webhook("whsec_" + base64.b64encode(secret).decode()).verify(receipt.body, dict(receipt.headers))
    assert message == {"type": "job.ended", "timestamp": timestamp(NOW), "data": info(JOB)}
    assert receipt.header("content-type") == "application/json"
    assert receipt.header("user-agent") == "callslip/0.1"


async def test_every_try_of_a_notice_has_the_same_id_and_body(far: FarSide, notifier: Notifier) -> None:
    await notifier.tell(JOB, NOW)
    await notifier.tell(replace(JOB, version=6), NOW + timedelta(hours=1))  # a late callback was noted in between
    first, second = far.receipts
    assert first.header("webhook-id") == second.header("webhook-id")
    assert first.body == second.body


async def test_a_success_after_a_failure_is_another_notice(far: FarSide, notifier: Notifier) -> None:
    await notifier.tell(replace(JOB, status=JobStatus.FAILURE), NOW)
    await notifier.tell(JOB, NOW)
    assert far.receipts[0].header("webhook-id") != far.receipts[1].header("webhook-id")


@pytest.mark.parametrize(
    ("behaviour", "kind"),
    [
        (reply(503), TroubleKind.UNAVAILABLE),
        (reply(500), TroubleKind.SERVER_ERROR),
        (reply(401), TroubleKind.REFUSED),
        (reply(410), TroubleKind.REFUSED),
        (reply(302, headers={"Location": "/elsewhere"}), TroubleKind.REFUSED),
        (hang, TroubleKind.NO_ANSWER),
        (reset_after_body, TroubleKind.NO_ANSWER),
    ],
)
async def test_anything_but_2xx_is_trouble(
    far: FarSide, notifier: Notifier, behaviour: Behaviour, kind: TroubleKind
) -> None:
    far.will(behaviour)
    with pytest.raises(DeliveryTrouble) as caught:
        await notifier.tell(JOB, NOW)
    assert caught.value.kind == kind
    assert len(far.receipts) == 1


async def test_trouble_carries_the_wish_and_nothing_that_was_sent(far: FarSide, notifier: Notifier) -> None:
    echoed = json.dumps({"echo": SECRETS[0].decode(), "filename": "diagnosis.pdf"})
    far.will(reply(429, echoed, headers={"Retry-After": "30"}))
    with pytest.raises(DeliveryTrouble) as caught:
        await notifier.tell(JOB, NOW)
    assert caught.value.retry_after == timedelta(seconds=30)
    assert SECRETS[0].decode() not in str(caught.value)
    assert "diagnosis" not in str(caught.value)  # it is logged, and the answer may repeat the job


async def test_a_busy_receiver_is_told_again_when_it_asked_for_it_and_not_before(
    far: FarSide, notifier: Notifier
) -> None:
    bench = Bench()
    service = NoticeService(bench.notices, bench.log, notifier, bench.clock, Periods())
    job_id = await bench.job()
    await bench.tasks.run(job_id)
    await bench.tasks.callback(job_id, SUCCESS)
    far.will(reply(429, headers={"Retry-After": "90"}), reply(204))
    await service.sweep()
    bench.clock.move(timedelta(seconds=88))  # the schedule would have it after 5 s
    assert await service.sweep() == 0
    bench.clock.move(timedelta(seconds=2))
    assert await service.sweep() == 1
    first, second = far.receipts
    assert first.body == second.body
    assert await service.sweep() == 0
    await bench.tasks.close()
