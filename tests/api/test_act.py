"""Acting: cancel and retry."""

from __future__ import annotations

from uuid import uuid4

import pytest

from app.domain.lifecycle import Completed, Failed
from app.domain.models import JobError, JobResult
from tests.api.test_submit import is_problem

JOBS = "/api/v1/jobs"
FAILED = Failed(error=JobError(type="workflow", detail="no"))


async def test_an_unfinished_job_is_cancelled(api, job_id):
    answer = await api.post(f"{JOBS}/{job_id}/cancel")
    assert (answer.status_code, answer.json()["status"], answer.json()["version"]) == (200, "cancelled", 2)
    is_problem(await api.post(f"{JOBS}/{job_id}/cancel"), 409)


@pytest.mark.parametrize("how", [Completed(result=JobResult()), FAILED], ids=["success", "failure"])
async def test_a_job_that_has_ended_cannot_be_cancelled(api, world, job_id, how):
    await world.advance(job_id, how)
    is_problem(await api.post(f"{JOBS}/{job_id}/cancel"), 409)


async def test_a_failed_job_is_done_again_as_a_new_one(api, world, job_id, png):
    await world.advance(job_id, FAILED)
    answer = await api.post(f"{JOBS}/{job_id}/retry")
    assert answer.status_code == 202
    new = answer.json()
    assert new["job_id"] != str(job_id)
    assert answer.headers["location"] == new["links"]["self"]
    shown = (await api.get(new["links"]["self"])).json()
    assert (shown["retry_of"], shown["status"]) == (str(job_id), "queued")
    assert (await api.get(new["links"]["file"])).content == png
    again = await api.post(f"{JOBS}/{job_id}/retry")
    assert (again.status_code, again.json()["job_id"]) == (202, new["job_id"])
    assert again.headers["idempotent-replayed"] == "true"


async def test_a_job_is_retried_only_when_it_failed_or_was_cancelled(api, world, job_id):
    is_problem(await api.post(f"{JOBS}/{job_id}/retry"), 409)
    await world.advance(job_id, Completed(result=JobResult()))
    is_problem(await api.post(f"{JOBS}/{job_id}/retry"), 409)


async def test_a_job_without_its_file_cannot_be_retried(api, world, job_id):
    await api.post(f"{JOBS}/{job_id}/cancel")
    await world.services.files.remove(job_id)
    is_problem(await api.post(f"{JOBS}/{job_id}/retry"), 410)


@pytest.mark.parametrize("action", ["cancel", "retry"])
async def test_acting_needs_a_key_and_a_job(api, job_id, action):
    is_problem(await api.post(f"{JOBS}/{uuid4()}/{action}"), 404)
    is_problem(await api.post(f"{JOBS}/{job_id}/{action}", headers={"Authorization": "Bearer no"}), 401)
