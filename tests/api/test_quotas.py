"""Quotas over HTTP: 429 as a problem, when to come back, and the RateLimit header fields."""

import asyncio
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.quotas import Quota, Quotas, Unit
from tests.api.forms import CONTENT_TYPE, form, part
from tests.api.test_problems import is_problem
from tests.api.world import UPLOAD

FORM = {"Content-Type": CONTENT_TYPE}
JOBS = "/api/v1/jobs"
HOUR = timedelta(hours=1)
TWO_JOBS = Quota(name="jobs", most=2, window=HOUR)
VOLUME = Quota(name="bytes", most=100_000, window=timedelta(days=1), unit=Unit.BYTES)


@pytest.fixture
def quotas(world):
    def set_to(**wanted):
        world.services.tasks._quotas.quotas = Quotas(**wanted)

    return set_to


async def test_without_quotas_no_header_speaks_of_them(api, png):
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    assert [name for name in answer.headers if name.startswith("ratelimit")] == []


async def test_each_answer_tells_what_is_left_and_the_last_when_to_come_back(api, quotas, png):
    quotas(jobs=TWO_JOBS, volume=VOLUME)
    answers = [await api.post(JOBS, files={"file": ("a.png", png)}) for _ in range(3)]
    assert [answer.status_code for answer in answers] == [202, 202, 429]
    policy = '"jobs";q=2;w=3600, "bytes";q=100000;qu="content-bytes";w=86400'
    assert {answer.headers["ratelimit-policy"] for answer in answers} == {policy}
    left = 100_000 - len(png)
    assert answers[0].headers["ratelimit"] == f'"jobs";r=1, "bytes";r={left}'
    is_problem(answers[2], 429)
    wait = answers[2].headers["retry-after"]
    assert answers[2].headers["ratelimit"] == f'"jobs";r=0;t={wait}, "bytes";r={left - len(png)}'
    assert 3590 <= int(wait) <= 3600


async def test_an_announced_body_is_refused_before_it_is_read(api, world, quotas):
    quotas(volume=VOLUME)
    sent = 0

    async def body():
        nonlocal sent
        while True:
            sent += 1000
            yield b"x" * 1000

    answer = await api.post(JOBS, content=body(), headers={**FORM, "Content-Length": "170000"})
    is_problem(answer, 429)
    assert world.files() == []


async def test_a_body_of_unknown_length_is_cut_off_at_the_quota(api, world, quotas):
    quotas(volume=VOLUME)

    async def body():
        yield form(part("file", b"x" * 100_001, "a.txt"))

    answer = await api.post(JOBS, content=body(), headers=FORM)
    is_problem(answer, 429)
    assert world.files() == []


async def test_one_client_may_have_so_many_uploads_at_a_time(api, world, png):
    world.services.tasks  # noqa: B018 - the services are open
    services = api._transport.app.state.services
    api._transport.app.state.services = replace(services, upload=replace(UPLOAD, max_of_client=1))
    gate = asyncio.Event()

    async def slow():
        yield part("file", png, "a.png")
        await gate.wait()
        yield b"--callslip-boundary--\r\n"

    waiting = asyncio.create_task(api.post(JOBS, content=slow(), headers=FORM))
    await asyncio.sleep(0.05)
    answer = await api.post(JOBS, files={"file": ("a.png", png)})
    is_problem(answer, 429)
    assert answer.headers["ratelimit-policy"] == '"uploads";q=1;qu="concurrent-requests"'
    assert answer.headers["ratelimit"] == f'"uploads";r=0;t={answer.headers["retry-after"]}'
    gate.set()
    first = await waiting
    assert (first.status_code, first.headers["ratelimit"]) == (202, '"uploads";r=0')
    assert (await api.post(JOBS, files={"file": ("a.png", png)})).status_code == 202
