"""The webhook runner asking and stopping n8n about an execution."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from app.domain.lifecycle import Failed, Noted, NoteKind
from app.domain.protocols import Runner
from app.domain.signing import Scope
from app.infrastructure import n8n_executions
from tests.contracts.runner_stage import (
    API_KEY,
    CAPABILITIES,
    Stage,
    staged,
)
from tests.far_side import (
    Behaviour,
    far_side,
    hang,
    reply,
    reset_after_body,
)


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with far_side() as far, staged(tmp_path, far) as stage:
        yield stage


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
    job = await stage.job(execution_id="7")
    token = CAPABILITIES.grant(Scope.CALLBACK, job.job_id)  # as in the headers of a call back that failed
    error = {"message": "Bad request", "description": f"no such database {API_KEY} {token}"}
    stage.far.will(reply(200, json.dumps({"status": status, "data": {"resultData": {"error": error}}})))
    event = await asked(stage).ask(job)
    assert isinstance(event, Failed)
    assert event.error.type == f"execution_{status}"
    assert ("no such database *** ***" in event.error.detail) == (status != "canceled")


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


async def test_a_far_side_that_says_nothing_is_not_waited_for(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(n8n_executions, "TIMEOUT", timedelta(milliseconds=200))
    stage.far.will(hang)
    assert await asked(stage).ask(await stage.job(execution_id="7")) is None
    stage.far.will(reply(200, '{"status": "crashed"}'), hang)
    event = await asked(stage).ask(await stage.job(execution_id="7"))
    assert isinstance(event, Failed)
    assert event.error.detail == "n8n says that the execution ended: crashed"


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
