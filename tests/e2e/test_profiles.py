"""A report about a GitHub user through the whole product: asked for by many at once, made once, live for all."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import httpx

from tests.e2e.stack import Stack, running
from tests.far_side import far_side
from tests.github import TOKEN, GitHub, item

ASKERS = 60
PATIENCE = 40


async def test_a_report_that_many_ask_for_at_once_is_made_once_and_all_get_it_live(tmp_path) -> None:
    at = datetime.now(UTC)
    github = GitHub()
    github.did["author", "ada", "pr"] = [item("ada/engine", n, at - timedelta(days=n)) for n in range(40)]
    async with far_side() as far:
        far.will(github)
        with running(tmp_path, GITHUB_API_URL=far.url, GITHUB_TOKEN=TOKEN, RQ_DASHBOARD="false") as stack:
            await asyncio.wait_for(_asked(stack, github), PATIENCE)


async def _asked(stack: Stack, github: GitHub) -> None:
    async with httpx.AsyncClient(base_url=stack.client.base_url, headers=stack.client.headers, timeout=30) as client:

        async def watched() -> tuple[str, int]:
            answer = await client.get("/api/v1/profiles/ada?period=30d")
            job = answer.json()["job"]
            async with client.stream("GET", job["links"]["events"]) as events:
                async for line in events.aiter_lines():
                    if line == "event: Completed":
                        break
            report = await client.get("/api/v1/profiles/ada?period=30d")
            return job["job_id"], report.json()["report"]["totals"]["pull_request"]

        told = await asyncio.gather(*(watched() for _ in range(ASKERS)))
        assert len({job_id for job_id, _ in told}) == 1
        assert {count for _, count in told} == {30}
        calls = github.calls
        week = (await client.get("/api/v1/profiles/ada?period=7d")).json()["job"]
        done = await asyncio.to_thread(stack.ended, week["job_id"])
        assert done["result"]["totals"]["pull_request"] == 7
        assert github.calls == calls  # the second period cost nothing
