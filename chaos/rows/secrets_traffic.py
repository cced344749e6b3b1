"""What is sent while secrets are looked for: right and wrong, by clients, strangers, workflows and browsers; and all
that was answered, by whom it was for."""

from __future__ import annotations

import asyncio
import itertools
import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp

from chaos.canaries import EVERYTHING, Canaries, Kind
from chaos.clients import TROUBLES
from chaos.echo import ANSWERS, Echo
from chaos.stack import Stack

TO_WHOM_IT_MAY_CONCERN = frozenset({Kind.SETTING, Kind.SENT, Kind.TOKEN, Kind.CONTENT})
AT_ONCE = 12
LONGEST_STREAM = 0.5  # seconds that a stream of events is followed
WANTED = frozenset({"hook", "api", "notify", "github", "llm", "searxng"})
PLACES = ("", "/history", "/receipt", "/callback", "/file", "/events")
PAGES = ("/", "/ops", "/ops/fragment", "/docs", "/openapi.json", "/rq/", "/rq/jobs", "/metrics", "/health", "/login")


class Traffic:
    """Sends, and keeps every answer: of those who have a key or a link, and of strangers."""

    def __init__(self, stack: Stack, canaries: Canaries, echo: Echo, ports: list[int]) -> None:
        self._stack, self._canaries, self._echo = stack, canaries, echo
        self._ports = itertools.cycle(ports)
        self._every, self._gate = ports, asyncio.Semaphore(AT_ONCE)
        self._session = aiohttp.ClientSession(
            cookie_jar=aiohttp.DummyCookieJar(), timeout=aiohttp.ClientTimeout(total=20)
        )
        self._answers: defaultdict[str, bytearray] = defaultdict(bytearray)
        self._statuses: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self._jobs: dict[str, Mapping[str, Any]] = {}
        self._broken: list[tuple[str, str]] = []
        self.count = 0

    async def close(self) -> None:
        await self._session.close()

    def heard(self) -> Iterator[tuple[str, bytes, frozenset[Kind]]]:
        """Everything that was answered: to whom, and what none of it may hold."""
        for who, content in self._answers.items():
            yield f"answers to {who}", bytes(content), EVERYTHING if who == "strangers" else TO_WHOM_IT_MAY_CONCERN

    def problems(self) -> Iterator[str]:
        """Why the search would prove nothing."""
        if missing := WANTED - self._echo.asked.keys():
            yield f"never called: {', '.join(sorted(missing))}"
        if not self._statuses["clients"][202] or not self._statuses["strangers"][401]:
            yield f"the traffic did not come about: {dict(self._statuses)}"
        if {status for status in self._statuses["strangers"] if status < 300} - {200}:
            yield "a stranger was let in"
        yield from (f"{who} were answered 500 at {path}" for who, path in self._broken)

    async def _send(
        self, who: str, method: str, path: str, *, headers: Mapping[str, str] | None = None, **more: Any
    ) -> tuple[int, bytes, Mapping[str, str]]:
        """One request, to one API process after the other."""
        self.count += 1
        url = f"http://127.0.0.1:{next(self._ports)}{path}"
        try:
            async with (
                self._gate,
                self._session.request(method, url, headers=headers, allow_redirects=False, **more) as answer,
            ):
                content, given = await _all_of(answer), answer.headers
        except TROUBLES:
            return 0, b"", {}
        self._statuses[who][answer.status] += 1
        if answer.status == 500:
            self._broken.append((who, f"{method} {path.partition('?')[0]}"))
        if not (path.partition("?")[0].endswith("/file") and answer.status == 200):
            kept = (f"{name}: {value}" for name, value in given.items() if name.lower() != "set-cookie")
            self._answers[who] += "\n".join([f"{answer.status}", *kept, ""]).encode() + content + b"\n"
        return answer.status, content, given

    def _sent(self, what: str) -> str:
        return self._canaries.plant(Kind.SENT, what)

    async def _upload(self, workflow: str, name: str, **fields: str) -> int:
        content = self._canaries.plant(Kind.CONTENT, f"of {name}")
        form = aiohttp.FormData({"workflow": workflow, **fields})
        named = self._canaries.plant_name(f"the name of {name}")
        form.add_field("file", f"{content} and more".encode(), filename=named, content_type="text/plain")
        key = {"Idempotency-Key": self._canaries.plant(Kind.PERSONAL, f"the Idempotency-Key of {name}")}
        status, answer, _ = await self._send(
            "clients", "POST", "/api/v1/jobs", headers=self._stack.headers | key, data=form
        )
        if status == 202:
            job = json.loads(answer)
            self._jobs[job["job_id"]] = job
        return status

    async def until_there(self) -> None:
        """Returns when every API process answers."""
        for port in self._every:
            for _ in range(300):
                try:
                    async with self._session.get(f"http://127.0.0.1:{port}/health") as answer:
                        if answer.status == 200:
                            break
                except TROUBLES:
                    pass
                await asyncio.sleep(0.1)

    async def all_of_it(self) -> None:
        """Everything once."""
        note = lambda name: self._canaries.plant(Kind.PERSONAL, f"a parameter of {name}")  # noqa: E731
        uploads = [
            self._upload("n8n_notion", f"honest-{number}", notion_database_id=note("honest")) for number in range(8)
        ]
        for workflow, manner in itertools.product(("echo", "echo-link"), ANSWERS):
            uploads.append(self._upload(workflow, f"{workflow}-{manner}", manner=manner, note=note(manner)))
        await asyncio.gather(*uploads, *self._local_work())
        await asyncio.gather(self.bad_uploads(), self.strangers(), self.log_in())

    def _local_work(self) -> Iterator[Any]:
        """Work that asks a language model, search engines and GitHub."""
        personal = lambda name: self._canaries.plant(Kind.PERSONAL, name)  # noqa: E731
        for number in range(4):
            topic = {"topic": f"octopus {personal(f'the topic {number}')}", "formats": ["md"]}
            sources = {
                "sources": ["documents", "search", f"http://127.0.0.1:{self._every[0]}/{personal('a page')}"][
                    number % 2 :
                ]
            }
            yield self._send("clients", "POST", "/api/v1/reports", headers=self._stack.headers, json=topic | sources)
            yield self._send("clients", "GET", f"/api/v1/profiles/octo{number}", headers=self._stack.headers)
        yield self._send("clients", "POST", "/api/v1/research", headers=self._stack.headers, json={"topic": "x"})

    async def bad_uploads(self) -> None:
        """Forms that are refused, each for another reason."""
        keyed, text = self._stack.headers, self._canaries.plant
        content = f"{text(Kind.CONTENT, 'of a form that breaks off')}".encode()
        named = self._canaries.plant_name("the name in a broken form")
        head = f'--b\r\nContent-Disposition: form-data; name="file"; filename="{named}"\r\n\r\n'.encode()
        multipart = keyed | {"Content-Type": "multipart/form-data; boundary=b"}
        for body in (
            head + content,
            head[:-2] + content,
            head + content + b"\r\n--b\r\n" + head[5:] + content,
            content,
        ):
            await self._send("clients", "POST", "/api/v1/jobs", headers=multipart, data=body)
        too_long = text(Kind.PERSONAL, "a parameter that is too long") * 9
        await self._upload("echo", "too much", note=too_long, manner="taken")
        await self._upload("nothing-of-that-name", "no workflow")
        await self._send("clients", "POST", "/api/v1/jobs", headers=keyed, json={"params": [content.decode()]})
        broken = b'{"params": {"note": "' + content
        json_headers = keyed | {"Content-Type": "application/json"}
        for path in ("/api/v1/jobs", "/api/v1/reports", "/api/v1/research", "/api/v1/schedules"):
            await self._send("clients", "POST", path, headers=json_headers, data=broken)
            await self._send("clients", "POST", path, headers=json_headers, json={"topic": [content.decode()]})

    async def strangers(self) -> None:
        """Wrong credentials of every kind, at every door."""
        await asyncio.gather(*self._knocks())

    def _knocks(self) -> Iterator[Any]:
        jobs = list(self._jobs.values())[:3]
        for job in jobs:
            path = f"/api/v1/jobs/{job['job_id']}"
            foreign = _token(jobs[(jobs.index(job) + 1) % len(jobs)]["links"]["page"])
            for place in PLACES:
                for headers in ({}, *self._wrong_headers()):
                    yield self._send("strangers", "GET", path + place, headers=headers)
            for token in (self._sent("a link's token"), foreign):
                yield self._send("strangers", "GET", f"/jobs/{job['job_id']}?token={token}")
                yield self._send("strangers", "GET", f"{path}/file?token={token}")
            yield self._send("strangers", "GET", f"/ops/jobs/{job['job_id']}")
        for headers in self._wrong_headers():
            form = aiohttp.FormData({"workflow": "echo"})
            form.add_field("file", self._sent("a file").encode(), filename=self._sent("a file's name"))
            yield self._send("strangers", "POST", "/api/v1/jobs", headers=headers, data=form)
        for path in PAGES:
            yield self._send(
                "strangers", "GET", path, headers={"Cookie": f"callslip=me.9999999999.{self._sent('cookie')}"}
            )
        yield self._send("strangers", "GET", f"/api/v1/jobs?api_key={self._sent('a query')}")

    def _wrong_headers(self) -> Iterator[Mapping[str, str]]:
        yield {"Authorization": f"Bearer {self._sent('an API key')}", "X-API-Key": self._sent("X-API-Key")}
        yield {"Authorization": f"Basic {self._sent('a password')}", "Idempotency-Key": self._sent("Idempotency-Key")}
        yield {"Cookie": f"callslip={self._sent('a cookie')}", "webhook-signature": f"v1,{self._sent('a signature')}"}

    async def log_in(self) -> None:
        """Wrong, and right."""
        for _ in range(3):
            await self._send(
                "strangers", "POST", "/login", data={"key": self._sent("a key at the log-in"), "next": "/"}
            )
        _, _, given = await self._send("browsers", "POST", "/login", data={"key": self._stack.secrets["api"]})
        cookie = given.get("Set-Cookie", "").partition(";")[0]
        self._canaries.know(Kind.TOKEN, "of a session", cookie.rpartition(".")[2])
        self._cookie = {"Cookie": cookie}

    async def in_trouble(self) -> None:
        """While something is away."""
        uploads = [self._upload("echo", "trouble", manner=manner) for manner in ("wrong", "taken")]
        await asyncio.gather(*uploads, self.bad_uploads(), self.callbacks(most=2), self.look_around(most=1))

    async def until_known(self) -> None:
        """Returns when the far side has had time for all of it: it was asked about jobs, and told of their ends."""
        for _ in range(100):
            if self._echo.asked.keys() >= WANTED and len(self._echo.deliveries) >= 2 * len(ANSWERS):
                break
            await asyncio.sleep(0.1)
        await asyncio.sleep(1.0)

    async def callbacks(self, most: int = 100) -> None:
        """Of those jobs that wait: wrong ones, and then a right one."""
        await asyncio.gather(*(self._call_back(*delivery) for delivery in tuple(self._echo.deliveries.items())[:most]))

    async def _call_back(self, job_id: str, metadata: Mapping[str, Any]) -> None:
        for name in ("callback_token", "file_url"):
            value = str(metadata[name])
            self._canaries.know(Kind.TOKEN if name == "callback_token" else Kind.PERSONAL, name, _token(value))
        path, right = f"/api/v1/jobs/{job_id}/callback", {"Authorization": f"Bearer {metadata['callback_token']}"}
        words = self._canaries.plant(Kind.PERSONAL, "the words of a callback")
        wrong = {"Authorization": f"Bearer {self._sent('a callback token')}"}
        await self._send("strangers", "POST", path, headers=wrong, json={"status": "success", "result_message": words})
        as_json = right | {"Content-Type": "application/json"}
        for body in (
            f'{{"status": "{words}',
            f'{{"status": "{words}"}}',
            f'{{"progress": "{words}", "status": 1}}',
            f'{{"status": "success", "notion_page_url": "javascript:{words}"}}',
        ):
            await self._send("clients", "POST", path, headers=as_json, data=body)
        result = {"status": "success", "result_message": words, "result": {"words": words}}
        await self._send("clients", "POST", path, headers=right, json=result)

    async def look_around(self, most: int = 30) -> None:
        """What those may see who have a key, a link, or are logged in."""
        await asyncio.gather(*self._looks(most))

    def _looks(self, most: int) -> Iterator[Any]:
        for job in list(self._jobs.values())[:most]:
            path, links = f"/api/v1/jobs/{job['job_id']}", job["links"]
            for place in PLACES:
                yield self._send("clients", "GET", path + place, headers=self._stack.headers)
            for address in (links["page"], f"/ops/jobs/{job['job_id']}", f"/audit/{job['job_id']}", links["file"]):
                headers = {} if "token=" in address else self._cookie
                yield self._send("browsers", "GET", address, headers=headers)
        for path in (*PAGES, "/api/v1/jobs", "/api/v1/queue", "/api/v1/workflows", "/api/v1/research"):
            yield self._send("browsers", "GET", path, headers=self._cookie)
            yield self._send("clients", "GET", path, headers=self._stack.headers)


async def _all_of(answer: aiohttp.ClientResponse) -> bytes:
    """The body; of a stream, what comes at once."""
    if answer.content_type != "text/event-stream":
        return await answer.read()
    content = bytearray()
    with suppress(TimeoutError):
        async with asyncio.timeout(LONGEST_STREAM):
            async for piece in answer.content.iter_any():
                content += piece
    return bytes(content)


def _token(address: str) -> str:
    """The token in a link, or the token itself."""
    return parse_qs(urlsplit(address).query).get("token", [address])[0]
