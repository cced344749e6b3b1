"""Bodies that are large or made to hurt (rows 4 and 5)."""

from __future__ import annotations

import socket
from collections.abc import Callable
from contextlib import suppress
from random import Random
from time import monotonic

from bench.callslip import KEY, Callslip
from bench.load import Plan
from bench.peer import limit
from bench.process import Running
from bench.report import Report, at_least, at_most, middle
from bench.stage import BOUNDARY, FORM, Sample, Stage, empty

SIZE = 1 << 30
BLOCK = 1 << 20
LIMIT = "bare ASGI, file and SHA-256"
PNG = b"\x89PNG\r\n\x1a\n"
HOSTILE = 8 << 20
HOSTILE_COUNT = 6


def gigabyte(stage: Stage) -> Report:
    """Row 4."""
    server, port = limit(stage, "to_hashed_file")
    service = Callslip(stage)
    api = service.start_api()
    quiet = stage.load(_others(service.port, "/health/live", 200, 2.0))
    report = Report(
        title="One upload of 1 GiB (row 4)",
        notes=[
            (
                "The limit writes the body as it comes into a file and through SHA-256, without parsing or fsync. Meanwhile "
                "another client asks a small question a hundred times a second; quiet is the same client alone."
            )
        ],
    )
    samples = stage.take_turns(
        {
            LIMIT: lambda: _upload(stage, server, port, "/", 202, stage.folder / "limit"),
            "callslip": lambda: _upload(stage, api, service.port, "/health/live", 200, service.files),
        }
    )
    report.columns = ["contender", "MB/s", "rise MiB", "others' p99 ms", "CPU s"]
    for name, found in samples.items():
        figures = (
            middle(found, lambda one: one.rate),
            middle(found, lambda one: one.peak),
            middle(found, lambda one: one.p99),
            middle(found, lambda one: one.cpu),
        )
        report.lines.append([name, *(f"{figure:,.1f}" for figure in figures)])
        report.plotted[name] = figures[0]
    report.unit = "MB a second"
    ours, bare = samples["callslip"], samples[LIMIT]
    report.lines.append(["quiet", "-", "-", f"{quiet.p99:.1f}", "-"])
    report.goals = [
        at_most("rise of memory", max(one.peak for one in ours), 16, "MiB"),
        at_least("MB/s, of the limit", middle(ours, lambda one: one.rate) / middle(bare, lambda one: one.rate), 0.8),
        at_most("others' p99, of quiet", middle(ours, lambda one: one.p99) / quiet.p99, 2),
    ]
    return report


def _others(port: int, path: str, expect: int, seconds: float) -> Plan:
    return Plan(ports=[port], path=path, expect=expect, seconds=seconds, connections=1, pause=0.01)


def _upload(stage: Stage, server: Running, port: int, path: str, expect: int, store: object) -> Sample:
    server.forget_peak()
    resting, before = server.memory()[0], server.cpu()
    others = stage.begin(_others(port, path, expect, 1.2))
    seconds = _send(port)
    figures = stage.end(others)
    rise, spent = max(0.0, server.peak() - resting), server.cpu() - before
    empty(store)  # type: ignore[arg-type]  # a path
    return Sample(rate=SIZE / 1e6 / seconds, p99=figures.p99, peak=rise, cpu=spent)


def _send(port: int) -> float:
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    ).encode()
    tail = f"\r\n--{BOUNDARY}--\r\n".encode()
    block = PNG + Random(3).randbytes(BLOCK - len(PNG))
    request = (
        f"POST /api/v1/jobs HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {KEY}\r\nContent-Type: {FORM}\r\n"
        f"Content-Length: {len(head) + SIZE + len(tail)}\r\n\r\n"
    ).encode()
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.settimeout(60)
        began = monotonic()
        connection.sendall(request + head)
        for _ in range(SIZE // BLOCK):
            connection.sendall(block)
        connection.sendall(tail)
        answer = connection.recv(4096)
        seconds = monotonic() - began
        with suppress(OSError):
            connection.shutdown(socket.SHUT_RDWR)
    if b" 202 " not in answer[:20]:
        raise RuntimeError(answer[:300].decode(errors="replace"))
    return seconds


def hostile(stage: Stage) -> Report:
    """Row 5."""
    service = Callslip(stage)
    api = service.start_api()
    near = b"\r\n--" + BOUNDARY[:-1].encode()
    bodies = {
        "a picture": PNG + Random(4).randbytes(HOSTILE),
        "all CR": PNG + b"\r" * HOSTILE,
        "all CRLF": PNG + b"\r\n" * (HOSTILE // 2),
        "nearly boundaries": PNG + near * (HOSTILE // len(near)),
    }
    turns = {name: _parsing(stage, service, api, name, body) for name, body in bodies.items()}
    samples = stage.take_turns(turns)
    cost = {name: middle(found, lambda one: one.cpu) / (HOSTILE / 1e6) for name, found in samples.items()}
    return Report(
        title="Bodies made to hurt the parser (row 5)",
        notes=["Uploads of 8 MiB; CPU of the whole upload, a megabyte."],
        columns=["content", "CPU us/MB", "of a picture"],
        lines=[[name, f"{each:,.0f}", f"{each / cost['a picture']:.2f}"] for name, each in cost.items()],
        plotted=cost,
        unit="CPU microseconds a megabyte",
        goals=[
            at_most(f"CPU/MB of {name}, of a picture's", each / cost["a picture"], 2.5)
            for name, each in cost.items()
            if name != "a picture"
        ],
    )


def _parsing(stage: Stage, service: Callslip, api: Running, name: str, body: bytes) -> Callable[[], Sample]:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="a.png"\r\n\r\n'.encode()
    form = stage.file(f"form-{name.replace(' ', '-')}", head + body + f"\r\n--{BOUNDARY}--\r\n".encode())

    def turn() -> Sample:
        sample = stage.measure(service.uploads(form=form, connections=2, count=HOSTILE_COUNT), api)
        empty(service.files)
        return sample

    return turn
