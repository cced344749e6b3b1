"""The embedded server: durable, alone in its directory, and reachable by its socket only."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from app.domain.errors import Misconfigured
from app.infrastructure.valkey_embedded import EmbeddedValkey


@pytest.fixture
def folder() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="cs-"))
    yield made
    shutil.rmtree(made)


@pytest.fixture
def embedded(folder: Path) -> Iterator[EmbeddedValkey]:
    server = EmbeddedValkey(folder)
    server.start()
    yield server
    server.stop()


def test_it_answers_when_start_returns_and_is_gone_after_stop(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.ping()
        assert client.config_get("port")["port"] == "0"
        assert client.config_get("appendonly")["appendonly"] == "yes"
    server.stop()
    assert not server.answers()


def test_what_was_acknowledged_survives_a_kill(folder: Path) -> None:
    command = EmbeddedValkey(folder).command()
    for round_ in range(3):
        process = subprocess.Popen(command, start_new_session=True)
        EmbeddedValkey(folder).wait_ready(10)
        with redis.Redis.from_url(EmbeddedValkey(folder).url) as client:
            assert client.llen("list") == round_, "and the socket file that the kill left is no obstacle"
            client.rpush("list", round_)
        process.kill()
        process.wait()


def test_two_servers_never_share_a_directory(embedded: EmbeddedValkey) -> None:
    second = subprocess.run(embedded.command(), capture_output=True, text=True, timeout=10, check=False)
    assert second.returncode == 1
    assert "another server uses this directory" in second.stderr
    assert embedded.answers()


def test_a_server_that_runs_already_is_used_and_left_running(embedded: EmbeddedValkey, folder: Path) -> None:
    second = EmbeddedValkey(folder)
    second.start()
    second.stop()
    assert embedded.answers()


def test_the_lock_outlives_the_one_who_started_the_server(folder: Path) -> None:
    server = EmbeddedValkey(folder)
    orphan = subprocess.Popen(server.command(), start_new_session=True)
    server.wait_ready(10)
    os.kill(orphan.pid, signal.SIGSTOP)
    second = subprocess.run(server.command(), capture_output=True, timeout=10, check=False)
    orphan.kill()
    orphan.wait()
    assert second.returncode == 1


def test_a_deep_directory_gets_a_short_socket_path_that_nobody_else_can_enter(folder: Path) -> None:
    deep = folder / ("x" * 60) / ("y" * 60)
    server = EmbeddedValkey(deep)
    path = Path(server.url.removeprefix("unix://"))
    server.start()
    try:
        assert len(str(path)) <= 100
        assert path.parent.stat().st_mode & 0o077 == 0
        assert EmbeddedValkey(deep).url == server.url
        with redis.Redis.from_url(server.url) as client:
            assert client.config_get("dir")["dir"] == str(deep)
    finally:
        server.stop()
        shutil.rmtree(path.parent)


def test_a_directory_with_spaces_and_quotes_is_no_trouble(folder: Path) -> None:
    server = EmbeddedValkey(folder / 'o\'ur "own" data')
    server.start()
    with redis.Redis.from_url(server.url) as client:
        assert client.set("key", "value")
    server.stop()


def test_ctrl_c_in_the_terminal_does_not_reach_it(embedded: EmbeddedValkey) -> None:
    with redis.Redis.from_url(embedded.url) as client:
        pid = client.info()["process_id"]
    assert os.getsid(pid) == pid


def test_waiting_for_a_server_that_never_comes_ends_with_advice(folder: Path) -> None:
    with pytest.raises(Misconfigured, match="REDIS_URL"):
        EmbeddedValkey(folder).wait_ready(0.1)


def test_a_deaf_socket_file_is_not_taken_for_a_server(folder: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "valkey.sock"))
    server = EmbeddedValkey(folder)
    assert not server.answers()
    server.start()
    assert server.answers()
    server.stop()
