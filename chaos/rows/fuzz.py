"""Thousands of requests that nobody should send: made from the API's own description, and from corpora of hostile bodies.

Two hands make them. schemathesis reads /openapi.json and tries every operation, also one after the other, as its links
have it; the corpora hold what a description cannot say: bytes that lie about themselves. Whatever comes, each answer is one
that the contract has, nothing breaks, and no file appears anywhere but in the store.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any
from uuid import UUID

import aiohttp

from app.domain.models import JobId
from app.domain.signing import Capabilities, Scope, secret_bytes
from chaos.clients import Upload, form_of
from chaos.fuzz import contract, corpora
from chaos.fuzz.hostile import MARK
from chaos.fuzz.wire import Hostile, ask
from chaos.parts import everyday_environment
from chaos.report import Outcome, RowProgram
from chaos.stack import ROOT, Setup, Stack, running

AT_ONCE = 16
# Requests that schemathesis makes, in the short form and in the long: one costs it 25 ms of processor time, its answer 3.
DESCRIBED = (3000, 40_000)
CHECKS = (
    *("not_a_server_error", "status_code_conformance", "content_type_conformance", "response_headers_conformance"),
    *("response_schema_conformance", "unsupported_method", "allow_header_conformance", "ignored_auth"),
    "kept_the_contract",
)
ELSEWHERE = ("/", "/tmp", "/etc", "/etc/cron.d", "/var/tmp", "/root", "/home")  # where hostile names point to
SETTINGS = {"CALLBACK_TIMEOUT": "1h", "CALLBACK_DEADLINE": "2h", "RETRY_SCHEDULE": "1s,1h"}


async def run(setup: Setup) -> Outcome:
    """The row."""
    number = setup.much(5000, 200_000)
    # Half of the jobs end at once; the others wait, so that callbacks have something to change.
    async with running(setup, far={"manners": {"prompt": 1, "silent": 1}, "pace": 0.01}, settings=SETTINGS) as stack:
        before = set(_elsewhere())
        described = await _described(setup, stack, setup.much(*DESCRIBED))
        sent, answers, problems = await _corpora(setup, stack, number - described["generated"])
        problems = [*described["problems"], *problems, *await _still_works(stack)]
        deaths = [f"{name} died {part.deaths} times" for name, part in stack.parts.items() if part.deaths]
        await stack.stop()
        problems += [*deaths, *_logs(stack), *_strays(stack)]
        problems += [f"a file was written to {path}" for path in sorted(set(_elsewhere()) - before)]
    figures = [
        f"{described['generated'] + sent.total()} requests: {len(problems)} wrong answers, tracebacks or stray files",
        f"{described['generated']} by schemathesis over {described['operations']} operations and their links",
        "from the corpora: " + ", ".join(f"{kind} {count}" for kind, count in sorted(sent.items())),
        "answers to these: " + ", ".join(f"{status or 'none'} {count}" for status, count in sorted(answers.items())),
    ]
    if described["generated"] + sent.total() < number:
        problems.append(f"only {described['generated'] + sent.total()} of {number} requests were made")
    return Outcome(figures=figures, problems=problems[:15])


async def _waiting_job(stack: Stack, name: str) -> corpora.Aim:
    """A job to aim at, and its callback token."""
    one = Upload(name, b"%PDF-1.7 to aim at " + name.encode())
    async with (
        aiohttp.ClientSession(headers=stack.headers) as session,
        session.post(f"{stack.url}/api/v1/jobs", data=form_of(one)) as answer,
    ):
        job_id = str((await answer.json())["job_id"])
    granted = Capabilities((secret_bytes(stack.secrets["key"]),)).grant(Scope.CALLBACK, JobId(UUID(job_id)))
    return corpora.Aim(stack.secrets["api"].encode(), job_id.encode(), granted.encode())


async def _cancel(stack: Stack, aim: corpora.Aim) -> None:
    url = f"{stack.url}{aim.job.decode()}/cancel"
    async with aiohttp.ClientSession(headers=stack.headers) as session, session.post(url) as answer:
        await answer.read()


async def _described(setup: Setup, stack: Stack, number: int) -> dict[str, Any]:
    """schemathesis, as often as it takes: every second time aimed at a job that there is."""
    found: dict[str, Any] = {"generated": 0, "operations": 0, "problems": []}
    each, ended = max(5, min(150, number // 50)), await _waiting_job(stack, "ended")
    await _cancel(stack, ended)
    for turn in itertools.count():
        aim = await _waiting_job(stack, f"aim-{turn}") if turn % 2 else None
        report = await _schemathesis(setup, stack, each, setup.seed + turn, _config(ended, aim))
        if isinstance(report, str):
            found["problems"].append(report)
            return found
        found["generated"] += report["test_cases"]["generated"]
        found["operations"] = report["operations"]["tested"]
        # A "Runtime Error" is the tool's own: it ended in the middle of making a request.
        errors = [one for one in report["errors"] if one["title"] != "Runtime Error"]
        found["problems"] += [_in_words(one) for one in (*report["failures"], *errors)]
        setup.say(f"schemathesis: {found['generated']} requests, {len(found['problems'])} problems")
        if found["generated"] >= number or found["problems"]:
            return found
    raise AssertionError


def _in_words(failure: dict[str, Any]) -> str:
    return "schemathesis: " + json.dumps(failure)[:600]


async def _schemathesis(setup: Setup, stack: Stack, each: int, seed: int, settings: str) -> Any:
    """One run of it as a program; its report, or its last words."""
    said, config = setup.folder / "schemathesis.json", setup.folder / "schemathesis.toml"
    said.unlink(missing_ok=True)
    config.write_text(settings)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "schemathesis.cli", "--config-file", str(config)),
        *("run", f"{stack.url}/openapi.json", "-H", f"Authorization: {stack.headers['Authorization']}"),
        *("--checks", ",".join(CHECKS), "--continue-on-failure", "--no-shrink", "--request-timeout", "5"),
        *("-w", "2", "-n", str(each), "--seed", str(seed), "--report", "json", "--report-json-path", str(said)),
        cwd=setup.folder,
        env={**everyday_environment(), "PYTHONPATH": str(ROOT), "SCHEMATHESIS_HOOKS": "chaos.fuzz.hooks"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        words, _ = await process.communicate()
    finally:
        if process.returncode is None:  # the run is broken off
            process.kill()
    (setup.folder / f"schemathesis-{seed}.log").write_bytes(words)
    if not said.exists():
        return f"schemathesis ended with status {process.returncode}: {words[-800:].decode('utf-8', 'replace')}"
    return json.loads(said.read_text())


def _config(ended: corpora.Aim, aim: corpora.Aim | None) -> str:
    """No answer is waited for, and events are those of a job that has ended: else either would take minutes. Where there
    is an aim: its job for every other address that names one, and its token for callbacks."""
    said = f"""
[[operations]]
include-path = "/api/v1/jobs/{{job_id}}"
parameters = {{ "query.wait" = 0 }}
[[operations]]
include-path = "/api/v1/jobs/{{job_id}}/events"
parameters = {{ "path.job_id" = "{ended.job_id.decode()}" }}
"""
    if aim is None:
        return said
    aimed = f"""
parameters = {{ "path.job_id" = "{aim.job_id.decode()}" }}
[[operations]]
include-path = "/api/v1/jobs/{{job_id}}/callback"
headers = {{ Authorization = "Bearer {aim.token.decode()}" }}
[[operations]]
include-path = "/api/v1/jobs/{{job_id}}/cancel"
enabled = false
"""  # cancelled, the job would take no more callbacks
    return aimed + said


async def _corpora(setup: Setup, stack: Stack, number: int) -> tuple[Counter[str], Counter[int], list[str]]:
    """The hostile requests: how many of each kind, the answers' statuses, and what was wrong with them."""
    sent, answers, problems = Counter[str](), Counter[int](), list[str]()
    gate = asyncio.Semaphore(AT_ONCE)

    async def one(request: Hostile) -> None:
        async with gate:
            answer = await ask(stack.port, request)
        sent[request.kind] += 1
        answers[answer.status] += 1
        path = request.target.partition(b"?")[0].decode("latin-1")
        if answer.status:
            wrong = contract.wrong(request.method, path, answer.status, answer.headers, answer.body)
        else:
            wrong = ["there was no answer"] if request.framed else []
        problems.extend(
            f"{words}: {answer.status} to {request.raw()[:700]!r} said {answer.body[:200]!r}" for words in wrong
        )

    made, chance = 0, setup.chance("corpora")
    while made < number and len(problems) < 50:
        aim = await _waiting_job(stack, f"corpora-{made}")  # a new one now and then: some callbacks end it
        batch = list(itertools.islice(corpora.requests(chance, aim), min(350, number - made)))
        await asyncio.gather(*(one(request) for request in batch))
        made += len(batch)
    return sent, answers, problems


async def _still_works(stack: Stack) -> list[str]:
    """After all that, an honest upload is taken."""
    with suppress(aiohttp.ClientError, OSError, KeyError):
        await _waiting_job(stack, "in the end")
        return []
    return ["in the end an honest upload was not taken"]


def _logs(stack: Stack) -> list[str]:
    """Tracebacks and errors that the processes wrote down."""
    return [
        f"{path.name}: {line[:1500]}"
        for path in stack.folder.glob("*.log")
        for line in path.read_text(errors="replace").splitlines()
        if any(mark in line for mark in ("Traceback (most recent", '"level": "error"', '"level": "critical"'))
    ]


def _strays(stack: Stack) -> list[str]:
    """Files in the folder of the run whose names came from a request, or that are in the store under no job's name."""
    found = [f"a file {path}" for path in stack.folder.rglob(f"*{MARK}*")]
    for path in (stack.data / "files" / "stored").glob("*/*"):
        try:
            UUID(path.name)
        except ValueError:
            found.append(f"a file {path} in the store")
    known = {"files", "metrics", "valkey", "callslip.db", "callslip.db-wal", "callslip.db-shm", "callslip.db.migrating"}
    known |= {"signing.key", "checkpoints.jsonl"}
    found += [f"a file {path} beside the store" for path in stack.data.iterdir() if path.name not in known]
    return found


def _elsewhere() -> Iterator[str]:
    for place in (*ELSEWHERE, str(ROOT), str(Path.cwd())):
        with suppress(OSError):
            yield from (entry.path for entry in os.scandir(place) if MARK in entry.name)


ROW = RowProgram(
    name="fuzz",
    promise="requests made from the API's description and from corpora of hostile bodies: every answer is documented",
    goal="0 in 5,000 requests: 5xx, tracebacks, files outside the store",
    goal_full="0 in 200,000 requests: 5xx, tracebacks, files outside the store",
    run=run,
    takes=100,
)
