"""Over a real socket: answers arrive although the client is still sending, and before it was asked to."""

from __future__ import annotations

import logging
import socket
import threading
import time

import pytest
import uvicorn

from app.domain.signing import Scope
from tests.api.forms import CONTENT_TYPE, form, part
from tests.api.world import KEY, MAX_SIZE, UPLOAD

JOBS = "/api/v1/jobs"


class Server(uvicorn.Server):
    """uvicorn with httptools in a thread of its own, as it is run in production."""

    def __init__(self, app):
        super().__init__(
            uvicorn.Config(app, port=0, http="httptools", loop="uvloop", log_config=None, access_log=False)
        )
        self.thread = threading.Thread(target=self.run)

    def __enter__(self):
        self.thread.start()
        while not self.started:
            time.sleep(0.01)
        self.port = self.servers[0].sockets[0].getsockname()[1]
        return self

    def __exit__(self, *_):
        self.should_exit = True
        self.thread.join(20)
        assert not self.thread.is_alive()


@pytest.fixture
def server(world):
    with Server(world.app()) as server:
        yield server


class Client:
    """A client that writes bytes and reads what comes."""

    def __init__(self, server):
        self.socket = socket.create_connection(("127.0.0.1", server.port), timeout=20)

    def head(self, path, *headers, method="POST", key=KEY):
        lines = [f"{method} {path} HTTP/1.1", "Host: callslip.test", f"Authorization: Bearer {key}", *headers, "", ""]
        self.socket.sendall("\r\n".join(lines).encode())

    def send_everything(self, total, piece=b"x" * 65536):
        """Sends all before it reads, as simple clients do."""
        for _ in range(total // len(piece)):
            self.socket.sendall(piece)

    def answer(self):
        """Everything up to the end of the connection."""
        received = b""
        while piece := self.socket.recv(65536):
            received += piece
        head, _, body = received.partition(b"\r\n\r\n")
        lines = head.decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in lines[1:])
        return int(lines[0].split()[1]), headers, body

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


@pytest.fixture
def client(server):
    with Client(server) as client:
        yield client


START = part("file", b"", "a.txt")[:-2]
MEGABYTES = 32 * 1024 * 1024


def test_a_file_over_the_limit_is_answered_at_the_limit_and_heard_by_who_sends_everything_first(client, world):
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Transfer-Encoding: chunked")
    piece = START + b"y" * 60_000
    client.socket.sendall(b"%x\r\n%b\r\n" % (len(piece), piece))
    client.send_everything(MEGABYTES, b"%x\r\n%b\r\n" % (65_000, b"x" * 65_000))
    client.socket.sendall(b"0\r\n\r\n")
    status, headers, body = client.answer()
    assert (status, headers["connection"]) == (413, "close")
    assert len(body) == int(headers["content-length"])
    assert world.files() == []


def test_a_length_over_the_limit_is_answered_at_once(client):
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Content-Length: 99999999999")
    began = time.monotonic()
    client.socket.settimeout(1)
    assert client.socket.recv(100).startswith(b"HTTP/1.1 413")
    assert time.monotonic() - began < 1


@pytest.mark.parametrize(("path", "key", "status"), [(JOBS, "wrong", 401), ("/nothing", KEY, 404), (JOBS, KEY, 413)])
def test_a_refusal_before_the_body_is_heard_by_who_sends_everything_first(client, path, key, status):
    client.head(path, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {MEGABYTES}", key=key)
    client.send_everything(MEGABYTES)
    answered, headers, _ = client.answer()
    assert (answered, headers["connection"]) == (status, "close")


def test_an_overloaded_service_is_heard_by_who_sends_everything_first(server, client):
    waiting = [Client(server) for _ in range(UPLOAD.max_concurrent)]
    for each in waiting:
        each.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Content-Length: 150000")
    time.sleep(0.2)
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {MAX_SIZE}")
    client.send_everything(MAX_SIZE, b"x" * 1000)
    status, headers, _ = client.answer()
    assert (status, headers["retry-after"]) == (503, "2")
    for each in waiting:
        each.socket.close()


def test_a_wrong_key_is_told_while_the_client_still_waits_to_be_asked(client):
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Content-Length: 100", "Expect: 100-continue", key="wrong")
    assert client.socket.recv(65536).startswith(b"HTTP/1.1 401")


def test_a_right_key_is_asked_to_go_on(client):
    body = form(part("file", b"some text", "a.txt"))
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}", "Expect: 100-continue")
    assert client.socket.recv(65536).startswith(b"HTTP/1.1 100")
    client.socket.sendall(body)
    assert client.socket.recv(65536).startswith(b"HTTP/1.1 202")


def test_a_client_that_drips_is_408(client, world):
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Content-Length: 100000")
    client.socket.sendall(START)
    threading.Thread(target=drip, args=(client.socket,), daemon=True).start()
    status, headers, _ = client.answer()
    assert (status, headers["connection"]) == (408, "close")
    assert world.files() == []


def test_a_client_that_drips_on_after_its_408_is_cut_off_soon(client):
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Content-Length: 100000")
    client.socket.sendall(START)
    threading.Thread(target=drip, args=(client.socket, 200), daemon=True).start()
    began = time.monotonic()
    client.socket.settimeout(20)
    try:
        while client.socket.recv(65536):
            pass
    except ConnectionResetError:
        pass  # cut off, too
    assert time.monotonic() - began < 7


def drip(connection, times=40):
    try:
        for _ in range(times):
            connection.sendall(b"x")
            time.sleep(0.05)
    except OSError:
        pass  # closed: that is what is waited for


def test_a_client_that_stops_is_408(client, world):
    client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", "Content-Length: 100000")
    client.socket.sendall(START)
    assert client.answer()[0] == 408
    assert world.files() == []


@pytest.mark.parametrize("cut", [1, 100, 60_000, 99_999])
def test_a_client_that_goes_in_the_middle_leaves_nothing(server, world, caplog, cut):
    caplog.set_level(logging.INFO)
    body = form(part("file", b"text " * 20_000, "a.txt"))
    with Client(server) as client:
        client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}")
        client.socket.sendall(body[:cut])
        time.sleep(0.05)
    until = time.monotonic() + 5
    while not any(record.message == "request" for record in caplog.records) and time.monotonic() < until:
        time.sleep(0.01)
    assert world.files() == []
    assert world.memory.jobs == {}
    assert not [record for record in caplog.records if record.exc_info or record.levelno >= logging.ERROR]


def test_a_refusal_behind_the_whole_body_keeps_the_connection(client):
    body = form(part("workflow", b"nope"))
    for _ in range(2):
        client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}")
        client.socket.sendall(body)
        answer = client.socket.recv(65536)
        assert answer.startswith(b"HTTP/1.1 422")
        assert b"connection: close" not in answer.lower()


def test_a_long_header_of_the_request_is_refused(client):
    client.head(JOBS, "X-Long: " + "x" * 1024 * 1024, "Content-Length: 0")
    assert client.socket.recv(100).split()[1] in (b"400", b"431")


def test_a_stream_of_events_ends_with_its_client_and_with_the_server(server, world):
    with Client(server) as client:
        body = form(part("workflow", b"question"))
        client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}")
        client.socket.sendall(body)
        assert client.socket.recv(65536).startswith(b"HTTP/1.1 202")
    (job_id,) = world.memory.jobs
    path = f"{JOBS}/{job_id}/events?token={world.token(Scope.PAGE, job_id)}"
    with Client(server) as client:
        client.head(path, method="GET")
        received = b""
        while b"event: Accepted" not in received:
            received += client.socket.recv(65536)
        assert b"200 OK" in received
        assert len(server.server_state.tasks) == 1
    until = time.monotonic() + 5
    while server.server_state.tasks and time.monotonic() < until:
        time.sleep(0.01)
    assert not server.server_state.tasks


def test_waiting_ends_with_its_client(server, world):
    with Client(server) as client:
        body = form(part("workflow", b"question"))
        client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}")
        client.socket.sendall(body)
        client.socket.recv(65536)
        (job_id,) = world.memory.jobs
        client.head(f"{JOBS}/{job_id}?wait=60", method="GET")
        time.sleep(0.1)
        assert len(server.server_state.tasks) == 1
    until = time.monotonic() + 5
    while server.server_state.tasks and time.monotonic() < until:
        time.sleep(0.01)
    assert not server.server_state.tasks


def test_a_server_that_stops_ends_its_streams_without_a_traceback(world, caplog):
    server = Server(world.app())
    server.config.timeout_graceful_shutdown = 1
    with server, Client(server) as client:
        body = form(part("workflow", b"question"))
        client.head(JOBS, f"Content-Type: {CONTENT_TYPE}", f"Content-Length: {len(body)}")
        client.socket.sendall(body)
        client.socket.recv(65536)
        (job_id,) = world.memory.jobs
        client.head(f"{JOBS}/{job_id}/events?token={world.token(Scope.PAGE, job_id)}", method="GET")
        client.socket.recv(65536)
        server.should_exit = True
        while client.socket.recv(65536):
            pass
    assert "Traceback" not in caplog.text
