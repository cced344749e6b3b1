"""Hostile callbacks: early, late, twice, contradicting, forged, replayed, foreign, malformed, shuffled. No wrong state."""

from __future__ import annotations

import asyncio
import base64
import hmac
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID, uuid4

import aiohttp

from app.domain.models import JobId
from app.domain.signing import Capabilities, Scope, secret_bytes
from chaos import checker
from chaos.clients import Clients, upload
from chaos.collect import stop_and_collect, until_ended
from chaos.journal import Journal
from chaos.report import Outcome, RowProgram, in_words
from chaos.stack import Setup, Stack, running

AT_ONCE = 16
LIES = (b'{"status": NaN}', b'{"status":"success","status":"failure"}', b"[", b"\xff", b'{"status":"success\\ud800"}')
FORGERIES: tuple[str, ...] = (
    "no token",
    "another job's token",
    "a token cut short",
    "a wrong signature",
    "an old signature",
)
FORGERIES += ("a signature for another job", "an unknown job")


@dataclass(frozen=True, slots=True)
class Call:
    """One callback: what it says, and how it is made: `authentic`, or a kind of forgery, or malformed."""

    status: str
    marker: str
    fraction: float | None = None
    manner: str = "token"

    @property
    def authentic(self) -> bool:
        return self.manner in ("token", "signed")

    def body(self) -> dict[str, Any]:
        if self.status == "processing":
            return {"status": self.status, "progress": self.fraction, "message": self.marker}
        return {"status": self.status, "result_message": self.marker, "error": "it says so"}


@dataclass(slots=True)
class Model:
    """What a job must be, by the contract alone: told the calls in order, says what each must be answered."""

    status: str = "open"
    fraction: float = -1.0
    last: str = ""
    seen: set[str] = field(default_factory=set)

    def applies(self, call: Call) -> bool:
        """Whether this call must be applied now."""
        if call.status == "processing":
            fits = self.status == "open" and call.fraction is not None and call.fraction >= self.fraction
            if fits and call.marker != self.last:
                self.fraction, self.last = call.fraction or 0.0, call.marker
                return True
            return False
        if self.status == "open" or (self.status == "failure" and call.status == "success"):
            self.status = call.status
            return True
        return False


class Row:
    """The row while it runs."""

    def __init__(self, stack: Stack, clients: Clients) -> None:
        self.stack, self.clients = stack, clients
        self.journal = Journal(stack.folder / "far.jsonl")
        self.capabilities = Capabilities((secret_bytes(stack.secrets["key"]),))
        self.wrong: list[str] = []
        self.calls: Counter[str] = Counter()
        self.orders: Counter[str] = Counter()

    def token(self, job_id: str) -> str:
        return self.capabilities.grant(Scope.CALLBACK, JobId(UUID(job_id)))

    def headers(self, job_id: str, call: Call, body: bytes) -> dict[str, str]:
        """How the call shows who makes it."""
        match call.manner:
            case "token" | "a lie":
                return {"Authorization": f"Bearer {self.token(job_id)}"}
            case "an unknown job":
                return {"Authorization": f"Bearer {self.token(job_id)}"}
            case "another job's token":
                return {"Authorization": f"Bearer {self.token(str(uuid4()))}"}
            case "a token cut short":
                return {"Authorization": f"Bearer {self.token(job_id)[:-1]}"}
            case "signed":
                return self.signed(job_id, body, self.stack.secrets["callback"], time.time())
            case "a wrong signature":
                return self.signed(job_id, body, "wrong" * 8, time.time())
            case "an old signature":
                return self.signed(job_id, body, self.stack.secrets["callback"], time.time() - 400)
            case "a signature for another job":
                return self.signed(str(uuid4()), body, self.stack.secrets["callback"], time.time())
        return {}

    def signed(self, message_id: str, body: bytes, secret: str, at: float) -> dict[str, str]:
        """By Standard Webhooks."""
        content = f"{message_id}.{int(at)}.".encode() + body
        mac = base64.b64encode(hmac.new(secret.encode(), content, "sha256").digest()).decode()
        return {"webhook-id": message_id, "webhook-timestamp": str(int(at)), "webhook-signature": f"v1,{mac}"}

    async def make(self, job_id: str, call: Call, chance: random.Random) -> tuple[int, dict[str, Any]]:
        """Makes one call; status and answer."""
        body = chance.choice(LIES) if call.manner == "a lie" else json.dumps(call.body()).encode()
        target = str(uuid4()) if call.manner == "an unknown job" else job_id
        headers = {"Content-Type": "application/json", **self.headers(job_id, call, body)}
        url = f"{self.stack.url}/api/v1/jobs/{target}/callback"
        async with self.plain.post(url, data=body, headers=headers) as answer:
            said = await answer.json(content_type=None)
        self.calls[call.manner] += 1
        if call.authentic:
            self.journal.note(
                "callback",
                job_id=job_id,
                status=call.status,
                marker=call.marker,
                answer=answer.status,
                applied=said.get("applied"),
            )
        expected = {200} if call.authentic else {400, 422} if call.manner == "a lie" else {401}
        if answer.status not in expected:
            self.wrong.append(f"{job_id}: {call.manner} was answered {answer.status}")
        return answer.status, said

    async def in_order(self, job_id: str, calls: Sequence[Call], chance: random.Random) -> None:
        """One after the other, each answer compared with the model's."""
        model = Model()
        for call in calls:
            status, said = await self.make(job_id, call, chance)
            if not call.authentic or status != 200:
                continue
            wanted = model.applies(call)
            now = said["job"]["status"]
            shown = now if now in ("success", "failure", "cancelled") else "open"
            if said["applied"] != wanted or shown != model.status:
                self.wrong.append(
                    f"{job_id}: {call.status} {call.fraction} was answered applied={said['applied']}, {now}; "
                    f"by the contract it is applied={wanted}, {model.status}"
                )

    async def at_once(self, job_id: str, calls: Sequence[Call], chance: random.Random) -> None:
        """All together; in the end a success among them must have won, else a failure."""
        await asyncio.gather(*(self.make(job_id, call, chance) for call in calls))
        said = {call.status for call in calls if call.authentic} & {"success", "failure"}
        wanted = "success" if "success" in said else "failure" if said else None
        async with self.clients.session.get(f"{self.stack.url}/api/v1/jobs/{job_id}") as answer:
            status = (await answer.json())["status"]
        if status != wanted and (wanted or status in ("success", "failure", "cancelled")):
            self.wrong.append(f"{job_id}: {status} after {sorted(said)} at once")

    async def sequence(self, number: int, chance: random.Random) -> None:
        """One job, its calls, and its end."""
        job_id = await self.clients.hand_in(upload(chance, f"callback-{self.stack.setup.seed}-{number}", 512))
        if job_id is None:
            self.wrong.append(f"upload {number} was not taken")
            return
        calls = compose(job_id, chance)
        await asyncio.sleep(chance.choice((0, 0, 0.02, 0.1, 0.4)))  # queued, being delivered, delivered
        order = chance.choice(("in order", "in order", "at once"))
        self.orders[order] += 1
        await (self.in_order if order == "in order" else self.at_once)(job_id, calls, chance)
        async with self.clients.session.post(f"{self.stack.url}/api/v1/jobs/{job_id}/cancel") as answer:
            await answer.read()
        late = Call("success", f"{job_id} late", manner="token")
        status, said = await self.make(job_id, late, chance)
        failed = answer.status == 409 and status == 200 and said["applied"]
        if status == 200 and said["applied"] and not failed:
            self.wrong.append(f"{job_id}: a success was applied to a cancelled job")

    async def open(self) -> None:
        self.plain = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64))


def compose(job_id: str, chance: random.Random) -> list[Call]:
    """Some calls of all kinds: repeats and contradictions are likely."""
    calls: list[Call] = []
    for number in range(chance.randint(2, 7)):
        if calls and chance.random() < 0.25:
            calls.append(chance.choice(calls))
            continue
        status = chance.choices(("processing", "success", "failure"), (4, 2, 1))[0]
        # Unlike fractions: of two reports that are equally far, the product takes whatever comes last.
        fraction = (chance.randrange(0, 1000, 10) + number) / 1000 if status == "processing" else None
        manner = chance.choices(("token", "signed", "a lie", "forged"), (10, 3, 1, 4))[0]
        if manner == "forged":
            manner = chance.choice(FORGERIES)
        calls.append(Call(status, f"{job_id} {status} {number}", fraction, manner))
    return calls


async def run(setup: Setup) -> Outcome:
    """The row."""
    number = setup.much(2000, 100_000)
    far = {"manners": {"prompt": 2, "slow": 2}, "slow": 0.15, "callbacks": False}
    async with running(setup, far=far, settings={"CALLBACK_TIMEOUT": "1h", "CALLBACK_DEADLINE": "2h"}) as stack:
        clients = Clients(stack, Journal(stack.folder / "clients.jsonl"))
        row, gate = Row(stack, clients), asyncio.Semaphore(AT_ONCE)
        await row.open()

        async def one(index: int) -> None:
            async with gate:
                await row.sequence(index, setup.chance(str(index)))

        await asyncio.gather(*(one(index) for index in range(number)))
        await until_ended(stack, 30)
        await row.plain.close()
        await clients.close()
        evidence = await stop_and_collect(stack, honest=False, tidy=False)
    forged = sum(count for manner, count in row.calls.items() if manner in FORGERIES)
    figure = (
        f"{row.orders.total()} sequences ({row.orders['at once']} of them all at once), {row.calls.total()} calls: "
        f"{forged} forged, {row.calls['a lie']} malformed, {row.calls['signed']} signed; {len(row.wrong)} wrong states"
    )
    violations = [one for one in checker.check(evidence) if one.invariant not in ("I5", "I12")]
    return Outcome(figures=[figure], problems=[*row.wrong[:12], *in_words(violations)])


ROW = RowProgram(
    name="callbacks",
    promise="early, late, twice, contradicting, forged, foreign, shuffled callbacks: 0 wrong states",
    goal="0 wrong states in 2,000 sequences",
    goal_full="0 wrong states in 100,000 sequences",
    run=run,
    takes=165,
)
