"""Hostile requests without end, of every kind in turn, as chance has it."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from chaos.fuzz.hostile import (
    BOUNDARIES,
    CHUNKS,
    FRAMINGS,
    JSON_TYPES,
    LIES,
    MARK,
    NAMES,
    ODD_HEADERS,
    PATHS,
    mangled,
)
from chaos.fuzz.wire import Hostile

METHODS = ("GET", "GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH", "TRACE", "QUERY", "get")
ACTS = ("cancel", "retry", "callback", "file", "events", "history", "receipt")


@dataclass(frozen=True, slots=True)
class Aim:
    """What there is to aim at: a client's key, and a job that waits, with its callback token."""

    key: bytes
    job_id: bytes
    token: bytes

    @property
    def ours(self) -> tuple[bytes, bytes]:
        """What a client sends."""
        return b"Authorization", b"Bearer " + self.key

    @property
    def theirs(self) -> tuple[bytes, bytes]:
        """What the workflow sends."""
        return b"Authorization", b"Bearer " + self.token

    @property
    def job(self) -> bytes:
        return b"/api/v1/jobs/" + self.job_id


def lying_callback(chance: random.Random, aim: Aim) -> Hostile:
    """A body that is no callback, or only nearly one, with a token that is right."""
    body = chance.choice(LIES)
    if chance.random() < 0.6:
        whole: dict[str, Any] = {
            "status": chance.choice(("processing", "success", "failure")),
            "progress": 0.5,
            "step": 1,
            "steps": 2,
        }
        whole |= {"message": "é🦄", "result_message": "done", "result": {"a": [1, None, {"b": "c"}]}, "error": "no"}
        body = mangled(chance, json.dumps(whole, ensure_ascii=chance.random() < 0.5).encode())
    kind = chance.choice(JSON_TYPES) if chance.random() < 0.4 else b"application/json"
    headers = [aim.theirs, (b"Content-Type", kind)]
    return Hostile(kind="callback", target=aim.job + b"/callback", headers=headers, body=body)


def lying_submission(chance: random.Random, aim: Aim) -> Hostile:
    """A JSON body where work is handed in."""
    body = (
        chance.choice(LIES)
        if chance.random() < 0.4
        else mangled(chance, b'{"workflow": "n8n_notion", "params": {"a": 1}}')
    )
    headers = [aim.ours, (b"Content-Type", chance.choice(JSON_TYPES))]
    return Hostile(kind="submission", headers=headers, body=body)


def form(*parts: tuple[bytes, bytes], boundary: bytes = b"b", end: bytes = b"--b--\r\n") -> bytes:
    """A form of parts: the head of each, and its content."""
    return b"".join(b"--" + boundary + b"\r\n" + head + b"\r\n\r\n" + body + b"\r\n" for head, body in parts) + end


def _field(name: bytes, content: bytes) -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="' + name + b'"', content


def _file(name: bytes, content: bytes = b"%PDF-1.7 x") -> tuple[bytes, bytes]:
    return b'Content-Disposition: form-data; name="file"; filename="' + name + b'"', content


BROKEN_FORMS: tuple[bytes, ...] = (
    form(),
    form(_file(b"a"), _file(b"b")),
    form(_file(b"a", b"")),
    form(_field(b"file", b"a field, not a file")),
    form(_field(b"", b"x"), _file(b"a")),
    form(_field(b"workflow", b"nope"), _file(b"a")),
    form(_field(b"workflow", b"\xff\x00"), _file(b"a")),
    form(*[_field(b"workflow", b"n8n_notion")] * 3, _file(b"a")),
    form(*[_field(b"p%d" % number, b"x") for number in range(3000)], _file(b"a")),
    form(_field(b"notion_database_id", b"x" * 300_000), _file(b"a")),
    form(_field(b"job_id", b"x"), _field(b"__proto__", b"x"), _field(b"_charset_", b"utf-16"), _file(b"a")),
    form((b"Content-Disposition: form-data", b"x"), _file(b"a")),
    form((b"Content-Disposition: attachment; name=file", b"x")),
    form((b"X-Nothing: 1", b"x")),
    form((b"X: " + b"y" * 100_000, b"x")),
    form((b"\r\n".join([b"X-H: 1"] * 3000), b"x")),
    form((b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Transfer-Encoding: base64', b"eA==")),
    form(
        (
            b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Type: multipart/mixed; boundary=c',
            b"x",
        )
    ),
    form(
        (b'Content-Disposition: form-data; name="file"; filename="a"\r\nContent-Disposition: form-data; name="b"', b"x")
    ),
    form((b"Content-Disposition: form-data; " + b'a="b"; ' * 3000 + b'name="file"; filename="a"', b"x")),
    form((b'Content-Disposition: form-data; name="file; filename=\\"\\\\', b"x")),
    form((b"Content-Disposition: form-data; name=\"file\"; filename*=utf-16'x'%ff%fe%00", b"x")),
    form((b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''%F0%9F%A6", b"x")),
    form((b'Content-Disposition: form-data; name="file"; filename*0=a; filename*1=b', b"x")),
    form((b'\x00Content-Disposition: form-data; name="file"', b"x")),
    form(_file(b"a"), end=b""),
    form(_file(b"a"), end=b"--b-"),
    form(_file(b"a"), end=b"--b--" + b"x" * 50_000),
    b"preamble\r\n" * 3000 + form(_file(b"a")),
    form(_file(b"a")).replace(b"\r\n", b"\n"),
    form(_file(b"a")).replace(b"\r\n", b"\r"),
    form(_file(b"a", b"\r\n--b" * 5000)),
    b"--b\r\n" * 5000,
    b"\r\n" * 50_000,
    b"",
)


def broken_form(chance: random.Random, aim: Aim) -> Hostile:
    """A form that is none, or only nearly one."""
    body = (
        chance.choice(BROKEN_FORMS)
        if chance.random() < 0.4
        else mangled(chance, form(_field(b"notion_database_id", b"x"), _file(b"a.pdf")))
    )
    boundary = chance.choice(BOUNDARIES) if chance.random() < 0.2 else b"b"
    headers = [aim.ours, (b"Content-Type", b"multipart/form-data; boundary=" + boundary)]
    return Hostile(kind="form", headers=headers, body=body)


def odd_name(chance: random.Random, aim: Aim) -> Hostile:
    """A file whose name points elsewhere or hides what it is."""
    name = chance.choice(NAMES)
    if chance.random() < 0.3:
        name = "".join(chance.choices([*NAMES, MARK], k=2))
    said = name.encode("utf-8", "replace").replace(b"\r", b"%0D").replace(b"\n", b"%0A").replace(b'"', b"%22")
    head = b'Content-Disposition: form-data; name="file"; filename="' + said + b'"'
    if chance.random() < 0.4:
        quoted = b"".join(b"%%%02X" % byte for byte in name.encode("utf-8", "replace"))
        head = b"Content-Disposition: form-data; name=\"file\"; filename*=UTF-8''" + quoted
    body = form((head, b"%PDF-1.7 " + chance.randbytes(8)))
    headers = [aim.ours, (b"Content-Type", b"multipart/form-data; boundary=b")]
    return Hostile(kind="name", headers=headers, body=body)


def odd_header(chance: random.Random, aim: Aim) -> Hostile:
    """A request that would be right, but for some of its headers."""
    headers = [*chance.choices(ODD_HEADERS, k=chance.randint(1, 2))]
    if not any(name == b"Authorization" for name, _ in headers):
        headers.append(aim.ours)
    if chance.random() < 0.3:
        body = form(_file(b"a.pdf", b"%PDF-1.7 " + chance.randbytes(8)))
        headers.append((b"Content-Type", b"multipart/form-data; boundary=b"))
        return Hostile(kind="header", headers=headers, body=body)
    target = chance.choice((aim.job, aim.job + b"/file", aim.job + b"/history", b"/api/v1/jobs", b"/ops", b"/health"))
    return Hostile(kind="header", method="GET", target=target, headers=headers)


def odd_path(chance: random.Random, aim: Aim) -> Hostile:
    """An address that is none, or nearly one."""
    target = chance.choice(PATHS).replace(b"{job}", aim.job_id)
    if chance.random() < 0.3:
        target = b"/" + mangled(chance, aim.job + b"/" + chance.choice(ACTS).encode()).replace(b" ", b"+").lstrip(b"/")
    method = chance.choice(METHODS) if chance.random() < 0.4 else "GET"
    return Hostile(kind="path", method=method, target=target, headers=[aim.ours] if chance.random() < 0.8 else [])


def odd_framing(chance: random.Random, aim: Aim) -> Hostile:
    """A body of another length than is told, or told twice."""
    headers = [aim.ours, (b"Content-Type", b"multipart/form-data; boundary=b"), *chance.choice(FRAMINGS)]
    body = chance.choice((*CHUNKS, form(_file(b"a.pdf")), b"GET / HTTP/1.1\r\n\r\n"))
    target = chance.choice((b"/api/v1/jobs", aim.job + b"/callback", aim.job + b"/cancel", b"/login"))
    return Hostile(kind="framing", target=target, headers=headers, body=body, framed=False)


KINDS: Mapping[str, Callable[[random.Random, Aim], Hostile]] = {
    "callback": lying_callback,
    "submission": lying_submission,
    "form": broken_form,
    "name": odd_name,
    "header": odd_header,
    "path": odd_path,
    "framing": odd_framing,
}


def requests(chance: random.Random, aim: Aim) -> Iterator[Hostile]:
    """One of each kind in turn, for ever."""
    while True:
        for make in KINDS.values():
            yield make(chance, aim)
