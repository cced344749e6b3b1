"""A recognisable secret in every place that holds one, files and names that are nobody's business, and all that goes
wrong in a day: then everything that anybody can read is searched for them."""

from __future__ import annotations

import asyncio
import base64
import sqlite3
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import psycopg
from psycopg import sql

from app.core.settings import Settings
from app.infrastructure.valkey_embedded import EmbeddedValkey
from chaos.canaries import EVERYTHING, Canaries, Kind
from chaos.collect import query
from chaos.ears import Ears
from chaos.echo import Echo
from chaos.parts import Part, everyday_environment
from chaos.report import Outcome, RowProgram
from chaos.rows.secrets_traffic import Traffic
from chaos.stack import Setup, Stack, free_port, programs, running

AWAY = {"valkey": 1.5, "postgres": 2.0}  # seconds
LOCKED = 5.6  # longer than SQLite waits for a lock
IN_THE_DATABASE = frozenset({Kind.SETTING, Kind.SENT, Kind.TOKEN, Kind.CONTENT})
WORKFLOWS = """
[workflow.{name}]
url = "http://127.0.0.1:{port}/hook/${{ECHO_PATH}}?key=${{ECHO_QUERY}}"
auth = "{auth}"
token = "${{ECHO_TOKEN}}"
secret = "${{ECHO_SECRET}}"
delivery = "{delivery}"
api_url = "http://127.0.0.1:{port}"
api_key = "${{ECHO_API_KEY}}"
callback_timeout = "2s"
[workflow.{name}.parameters.manner]
type = "string"
[workflow.{name}.parameters.note]
type = "string"
max_length = 100
"""
# Every name of the outside leads to the far side of the run: with false keys nobody else is asked.
STAY_HERE = """
import socket, uvloop
there = uvloop.Loop.getaddrinfo
async def getaddrinfo(self, host, port, **more):
    near = host in (None, "127.0.0.1", "localhost", "::1")
    return await there(self, host if near else "127.0.0.1", port if near else {port}, **more)
uvloop.Loop.getaddrinfo = getaddrinfo
"""


class Plan:
    """What is planted in the settings, for a stack that does not run yet."""

    def __init__(self, canaries: Canaries, echo_port: int) -> None:
        self._canaries, self._echo = canaries, f"http://127.0.0.1:{echo_port}"
        self._port = echo_port
        self.queue_password = self._secret("REDIS_URL")
        self.socket = ""

    def _secret(self, name: str) -> str:
        return self._canaries.plant(Kind.SETTING, name)

    def _pair(self, name: str) -> str:
        return f"{self._secret(name)},{self._secret(f'{name}, the old one')}"

    def apply(self, stack: Stack) -> None:
        """Before anything runs."""
        names = {"api": "CALLSLIP_API_KEYS", "token": "N8N_WEBHOOK_TOKEN", "webhook": "N8N_WEBHOOK_SECRET"}
        stack.secrets = {name: self._secret(setting) for name, setting in names.items()}
        stack.password = self._secret("DATABASE_URL")
        stack.settings |= self._settings(stack)
        self._write_files(stack)
        self._start_queue(stack)

    def _settings(self, stack: Stack) -> Mapping[str, str]:
        packed = base64.b64encode(stack.secrets["webhook"].encode()).decode()
        return {
            "CALLSLIP_API_KEYS": f"chaos:{stack.secrets['api']},other:{self._secret('CALLSLIP_API_KEYS, the second')}",
            "SECRET_KEY": self._pair("SECRET_KEY"),
            "CALLBACK_SECRET": self._pair("CALLBACK_SECRET"),
            "N8N_WEBHOOK_URL": f"{stack.settings['N8N_WEBHOOK_URL']}/{self._secret('N8N_WEBHOOK_URL')}",
            "N8N_WEBHOOK_TOKEN": stack.secrets["token"],
            "N8N_WEBHOOK_SECRET": f"whsec_{packed},{self._secret('N8N_WEBHOOK_SECRET, the old one')}",
            "N8N_API_URL": self._echo,
            "N8N_API_KEY": self._secret("N8N_API_KEY"),
            "LLM_MODEL": "openai:gpt-5",
            "OPENAI_BASE_URL": f"{self._echo}/llm",
            "OPENAI_API_KEY": self._secret("OPENAI_API_KEY"),
            "ANTHROPIC_API_KEY": self._secret("ANTHROPIC_API_KEY"),
            "SEARXNG_URL": f"{self._echo}/searxng",
            "DOCUMENTS_DIR": str(stack.folder / "documents"),
            "NEWSAPI_KEY": self._secret("NEWSAPI_KEY"),
            "SERPAPI_KEY": self._secret("SERPAPI_KEY"),
            "GITHUB_API_URL": f"{self._echo}/github",
            "GITHUB_TOKEN": self._secret("GITHUB_TOKEN"),
            "NOTIFY_URL": f"{self._echo}/notify/{self._secret('NOTIFY_URL')}",
            "NOTIFY_SECRET": self._pair("NOTIFY_SECRET"),
            "ECHO_PATH": self._secret("a workflow's path"),
            "ECHO_QUERY": self._secret("a workflow's query"),
            "ECHO_TOKEN": self._secret("a workflow's token"),
            "ECHO_SECRET": self._pair("a workflow's secret"),
            "ECHO_API_KEY": self._secret("a workflow's API key"),
            "WORKFLOWS_FILE": str(stack.folder / "workflows.toml"),
            "PYTHONPATH": f"{stack.folder / 'here'}:{stack.settings['PYTHONPATH']}",
            "LOG_LEVEL": "DEBUG",
            "RETRY_SCHEDULE": "0.3s,0.5s",
            "STEP_RETRY": "0.1s",
            "REFUSED_FOR": "1s",
            "CALLBACK_TIMEOUT": "2s",
            "CHECKPOINT_EVERY": "2s",
        }

    def _write_files(self, stack: Stack) -> None:
        kinds = (("echo", "header", "multipart"), ("echo-link", "jwt", "link"))
        entries = (WORKFLOWS.format(name=n, port=self._port, auth=a, delivery=d) for n, a, d in kinds)
        (stack.folder / "workflows.toml").write_text("".join(entries))
        (stack.folder / "documents").mkdir()
        text = f"The octopus has three hearts. {self._canaries.plant(Kind.PERSONAL, 'a document')} has none."
        (stack.folder / "documents" / "octopus.txt").write_text(text)
        (stack.folder / "here").mkdir()
        (stack.folder / "here" / "sitecustomize.py").write_text(STAY_HERE.format(port=self._port))

    def _start_queue(self, stack: Stack) -> None:
        valkey = EmbeddedValkey(stack.data / "valkey")
        self.socket = valkey.url.removeprefix("unix://")
        stack.settings["REDIS_URL"] = f"unix://:{self.queue_password}@{quote(self.socket)}"
        command = valkey.command()
        with (stack.data / "valkey" / "valkey.conf").open("a") as config:
            config.write(f"requirepass {self.queue_password}\n")
        stack.part("valkey", command).start()


def unplanted(settings: Mapping[str, str], canaries: Canaries) -> Iterator[str]:
    """Settings that hold a secret by their type, and hold none of ours."""
    values = [canary.value for canary in canaries.planted]
    for name, field in Settings.model_fields.items():
        planted = settings.get(name.upper(), "")
        if "SecretStr" in repr(field.annotation) and not any(
            value in planted or base64.b64encode(value.encode()).decode() in planted for value in values
        ):
            yield f"{name.upper()} is a secret, and this row plants none in it"


async def run(setup: Setup) -> Outcome:
    """The row."""
    canaries, echo, echo_port = Canaries(setup.chance("canaries")), Echo(), free_port()
    plan = Plan(canaries, echo_port)
    await echo.serve(echo_port)
    try:
        async with running(setup, queue=False, before=plan.apply, far={"pace": 0.05}) as stack:
            problems = list(unplanted(stack.settings, canaries))
            ears = Ears(plan.socket, plan.queue_password, lambda: _ours(stack))
            ears.listen()
            other_port = await _in_text(stack)
            traffic = Traffic(stack, canaries, echo, [stack.port, other_port])
            await _a_day(stack, traffic, canaries)
            await ears.close()
            for part in _ours(stack):
                problems += await part.stop()
            _know_the_key(stack, canaries)
            found, places = await asyncio.to_thread(_search, stack, canaries, traffic, ears)
    finally:
        await echo.close()
    figure = (
        f"{len(canaries.planted)} values planted ({', '.join(_counted(canaries))}), {traffic.count} requests, "
        f"{sum(echo.asked.values())} calls to a far side that echoes; searched: {', '.join(places)}: {len(found)} found"
    )
    return Outcome(figures=[figure], problems=[*problems, *traffic.problems(), *found])


def _ours(stack: Stack) -> list[Part]:
    return [part for name, part in stack.parts.items() if name not in ("far", "postgres")]


def _counted(canaries: Canaries) -> Iterator[str]:
    for kind in Kind:
        number = sum(canary.kind is kind for canary in canaries.planted)
        yield f"{number} {kind}"


async def _in_text(stack: Stack) -> int:
    """A second API and worker whose lines are text, and a whole launcher with a folder of its own; the API's port."""
    (api, worker), port = await programs(stack), free_port()
    api = [str(port) if word == str(stack.port) else word for word in api]
    stack.part("api-text", api, LOG_FORMAT="text", PORT=str(port)).start()
    stack.part("worker-text", worker, LOG_FORMAT="text", LLM_MODEL="anthropic:claude-sonnet-4-5").start()
    own = {"DATA_DIR": str(stack.folder / "launched"), "PORT": str(free_port()), "LOG_FORMAT": "text"}
    launcher = stack.part("launch", [sys.executable, "-m", "app.launch"], **own)
    for name in ("DATABASE_URL", "REDIS_URL"):
        launcher.env.pop(name, None)
    launcher.start()
    return port


async def _a_day(stack: Stack, traffic: Traffic, canaries: Canaries) -> None:
    await traffic.until_there()
    await traffic.all_of_it()
    await _without(stack, "valkey", traffic)
    if stack.cluster:
        await _without(stack, "postgres", traffic)
    else:
        await _locked(stack, traffic)
    await asyncio.gather(traffic.until_known(), _wrong_starts(stack, canaries))
    await traffic.callbacks()
    await traffic.look_around()
    await traffic.close()


async def _without(stack: Stack, name: str, traffic: Traffic) -> None:
    """Requests while a part is away."""
    stack.parts[name].take_away()
    await asyncio.gather(traffic.in_trouble(), asyncio.sleep(AWAY[name]))
    stack.parts[name].bring_back()
    await traffic.until_there()


async def _locked(stack: Stack, traffic: Traffic) -> None:
    """Requests while somebody else writes into SQLite and does not end."""
    with closing(sqlite3.connect(stack.data / "callslip.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await asyncio.gather(traffic.in_trouble(), asyncio.sleep(LOCKED))
        other.execute("ROLLBACK")


async def _wrong_starts(stack: Stack, canaries: Canaries) -> None:
    """Starts that cannot be, because of a secret: what they say goes into a log of its own."""
    plant = lambda name: canaries.plant(Kind.SETTING, f"a wrong {name}")  # noqa: E731
    folder = stack.folder / "wrong"
    folder.mkdir()
    secret = [name.upper() for name, field in Settings.model_fields.items() if "SecretStr" in repr(field.annotation)]
    verify = ("-m", "app.admin", "audit", "verify")
    slips = f"CALLSLIP_API_KEY={plant('name in .env')}\nSECRET_KEY={plant('SECRET_KEY')}\n"
    starts = [
        ({name: f'{plant(name)} "x"' for name in secret}, ("-m", "app.launch")),
        ({"DATABASE_URL": f"mysql://me:{plant('DATABASE_URL')}@127.0.0.1/x", "PORT": plant("PORT")}, verify),
        ({"REDIS_URL": f"http://:{plant('REDIS_URL')}@x", "NOTIFY_URL": f"http://u:{plant('NOTIFY_URL')}@x"}, verify),
        ({"DATABASE_URL": f"postgresql://me:{plant('DATABASE_URL')}@127.0.0.1:1/x"}, verify),
    ]

    async def start(number: int, wrong: Mapping[str, str], words: Sequence[str]) -> None:
        (folder / f"{number}").mkdir()
        if not number:
            (folder / "0" / ".env").write_text(slips)
        with (stack.folder / f"wrong-{number}.log").open("wb") as log:
            environment = {**everyday_environment(), **stack.settings, **wrong}
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, *words), cwd=folder / f"{number}", env=environment, stdout=log, stderr=log
            )
            assert await process.wait(), f"a wrong start succeeded: {wrong.keys()}"

    await asyncio.gather(*(start(number, *one) for number, one in enumerate(starts)))


def _know_the_key(stack: Stack, canaries: Canaries) -> None:
    """The signing key is made by the product."""
    lines = (stack.data / "signing.key").read_text().splitlines()
    canaries.know(Kind.SETTING, "the signing key", max(lines, key=len))


def _search(stack: Stack, canaries: Canaries, traffic: Traffic, ears: Ears) -> tuple[list[str], list[str]]:
    """What was found, and where was looked."""
    found, places = list[str](), list[str]()

    def look(place: str, content: bytes, kinds: frozenset[Kind] = EVERYTHING) -> None:
        places.append(f"{place} ({len(content) // 1024} KiB)")
        found.extend(f"{canary} stands in {place}" for canary in canaries.find(content, kinds))

    for path in sorted(stack.folder.glob("*.log")):
        look(path.name, path.read_bytes())
    look("what Redis was told", bytes(ears.told))
    look("what Redis held", b"\n".join(ears.held))
    look(
        "Redis's files", b"".join(path.read_bytes() for path in _files(stack.data / "valkey") if path.suffix != ".conf")
    )
    look("arguments of processes", b"\n".join(ears.arguments))
    look("the chain", "\n".join(str(line) for line in query(stack, "SELECT * FROM audit_event")).encode())
    look("checkpoints", (stack.data / "checkpoints.jsonl").read_bytes())
    look("metrics", b"".join(path.read_bytes() for path in _files(stack.data / "metrics")))
    look("the database", _database(stack), IN_THE_DATABASE)
    for place, content, kinds in traffic.heard():
        look(place, content, kinds)
    return found, places


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def _database(stack: Stack) -> bytes:
    if not stack.cluster:
        return b"".join(path.read_bytes() for path in stack.data.glob("callslip.db*"))
    tables = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
    names = [row["tablename"] for row in query(stack, tables)]
    content = bytearray()
    with psycopg.connect(stack.cluster.url()) as connection:
        for name in names:
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(name))) as rows:
                for piece in rows:
                    content += piece
    return bytes(content)


ROW = RowProgram(
    name="secrets",
    promise="secrets planted in every setting, file and header: none in logs, record, queue, errors, answers, arguments",
    goal="0 found",
    run=run,
    databases=("sqlite", "postgresql"),
    takes=40,
)
