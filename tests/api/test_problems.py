"""Errors as clients see them, and what every response carries."""

from __future__ import annotations

import asyncio
import inspect
import logging

import httpx
import pytest
from prometheus_client import REGISTRY
from starlette.requests import Request

from app.api.middleware import RequestContext
from app.api.problems import STATUS, problem_for
from app.domain import errors
from app.services import Services
from tests.api.test_submit import is_problem

JOBS = "/api/v1/jobs"
OPEN = {"/api/v1/receipt-key"}  # public keys, for anybody


@pytest.mark.parametrize(
    ("error", "status", "kind"),
    [
        (errors.NotFound("x"), 404, "not-found"),
        (errors.JobNotFound("x"), 404, "job-not-found"),
        (errors.FileGone("x"), 410, "file-gone"),
        (errors.JobHasEnded("x"), 409, "job-has-ended"),
        (errors.JobNotRetryable("x"), 409, "job-not-retryable"),
        (errors.NotAuthentic("x"), 401, "not-authentic"),
        (errors.Malformed("x"), 400, "malformed"),
        (errors.TooLarge("x"), 413, "too-large"),
        (errors.TooSlow("x"), 408, "too-slow"),
        (errors.UnsupportedMediaType("x"), 415, "unsupported-media-type"),
        (errors.Invalid("x"), 422, "invalid"),
        (errors.IdempotencyKeyReused("x"), 422, "idempotency-key-reused"),
        (errors.OverQuota("x"), 429, "over-quota"),
        (errors.Overloaded("x"), 503, "overloaded"),
        (errors.StoreUnavailable("x"), 503, "store-unavailable"),
        (errors.DiskFull("x"), 507, "disk-full"),
    ],
)
def test_each_branch_of_the_tree_has_its_status(error, status, kind):
    answer = problem_for("/here", error)
    assert answer.status_code == status
    assert f'"type":"/problems/{kind}"'.encode() in answer.body
    assert ("retry-after" in answer.headers) == isinstance(error, errors.Unavailable)


def test_no_error_of_the_tree_is_left_out():
    tree = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, errors.CallslipError)]
    silent = [
        each.__name__ for each in tree if next(STATUS[branch] for branch in each.__mro__ if branch in STATUS) == 500
    ]
    assert sorted(silent) == ["CallslipError", "DeliveryTrouble", "Misconfigured", "ToolRefused", "ToolTrouble"]


async def test_no_such_address_and_no_such_method(api, job_id):
    is_problem(await api.get("/api/v1/nothing"), 404)
    answer = await api.delete(f"{JOBS}/{job_id}")
    is_problem(answer, 405)
    assert "GET" in answer.headers["allow"]


async def test_an_address_with_several_routes_allows_the_methods_of_all_of_them(api, job_id):
    assert (await api.request("OPTIONS", JOBS)).headers["allow"] == "GET, POST"
    assert (await api.delete(f"{JOBS}/{job_id}/cancel")).headers["allow"] == "POST"


class BrokenLog:
    """A bug, with a secret in its words."""

    async def get(self, job_id):
        raise RuntimeError("the secret of the house")


async def test_a_bug_is_500_without_its_words(api, world, job_id, caplog):
    object.__setattr__(world.services, "log", BrokenLog())
    answer = await api.get(f"{JOBS}/{job_id}", headers={"X-Request-ID": "my-id"})
    problem = is_problem(answer, 500)
    assert "secret" not in answer.text
    assert "my-id" in problem["detail"]
    failed = [record for record in caplog.records if record.message == "request_failed"]
    assert len(failed) == 1
    assert failed[0].exc_info


@pytest.mark.parametrize("sane", ["abc", "A-b_c.9", "x" * 128])
async def test_a_sane_request_id_is_kept(api, sane):
    for path in ("/health/live", "/nothing"):
        assert (await api.get(path, headers={"X-Request-ID": sane})).headers["x-request-id"] == sane


@pytest.mark.parametrize("insane", ["", "x" * 129, "a b", "a/b", b"\xff"])
async def test_another_request_id_is_replaced(api, insane):
    answer = await api.get("/health/live", headers={"X-Request-ID": insane})
    assert answer.headers["x-request-id"] not in ("", insane)


async def test_every_answer_is_safe_to_show(api):
    for path in ("/health/live", "/nothing", JOBS, "/metrics"):
        answer = await api.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
    assert (await api.get(JOBS)).headers["cache-control"] == "no-store"


async def test_the_log_line_has_the_route_and_no_token(api, world, job_id, caplog):
    caplog.set_level(logging.INFO)
    await api.get(f"{JOBS}/{job_id}/file", params={"token": "very-secret"})
    record = next(each for each in caplog.records if getattr(each, "route", "").endswith("/file"))
    assert (record.method, record.route, record.status) == ("GET", JOBS + "/{job_id}/file", 200)
    ours = [each for each in caplog.records if each.name.startswith("app.")]
    assert "very-secret" not in str([vars(each) for each in ours])
    assert str(job_id) not in record.route


async def test_an_unknown_address_makes_no_label_of_its_own(api):
    await api.get("/some/strange/address")
    await api.request("BREW", "/some/strange/address")
    routes = {
        (sample.labels["method"], sample.labels["route"])
        for family in REGISTRY.collect()
        for sample in family.samples
        if family.name == "callslip_request_seconds"
    }
    assert {("GET", "none"), ("other", "none")} <= routes
    assert not any("strange" in route for _, route in routes)


async def test_a_request_that_the_stopping_server_cancels_is_503():
    async def endless(scope, receive, send):
        await asyncio.sleep(60)

    transport = httpx.ASGITransport(RequestContext(endless))
    async with httpx.AsyncClient(transport=transport, base_url="http://x") as client:
        call = asyncio.create_task(client.get("/"))
        await asyncio.sleep(0.01)
        call.cancel()
        answer = await call
    is_problem(answer, 503)
    assert answer.headers["retry-after"]


async def test_the_description_tells_the_truth(api):
    description = (await api.get("/openapi.json")).json()
    schemas = description["components"]["schemas"]
    assert "HTTPValidationError" not in schemas
    assert {"Problem", "JobInfo", "JobCreationResponse", "JobCallbackPayload", "FileUploadInfo"} <= schemas.keys()
    assert description["components"]["securitySchemes"].keys() == {
        "apiKey",
        "linkToken",
        "callbackToken",
        "webhookSignature",
    }
    operations = {
        (path, method): operation for path, item in description["paths"].items() for method, operation in item.items()
    }
    for (path, _), operation in operations.items():
        if path.startswith("/api/"):
            assert operation["responses"]["default"]["content"].keys() == {"application/problem+json"}
            assert operation.get("security") or path in OPEN, path
    bodies = operations[JOBS, "post"]["requestBody"]["content"]
    assert bodies.keys() == {"multipart/form-data", "application/json"}
    callback = operations[JOBS + "/{job_id}/callback", "post"]
    assert callback["security"] == [{"callbackToken": []}, {"webhookSignature": []}]
    text = str(description)
    for name in [piece.split("'")[0] for piece in text.split("#/components/schemas/")[1:]]:
        assert name in schemas
    assert (await api.get("/docs")).status_code == 404


async def test_services_are_opened_and_closed_with_the_application(world):
    app = world.app()
    async with app.router.lifespan_context(app):
        assert isinstance(app.state.services, Services)
        assert Request({"type": "http", "app": app}).app.state.services is world.services
