"""What breaks on the way is repeated where that is safe, resumed where that is possible, and bounded everywhere."""

from __future__ import annotations

import asyncio
import hashlib
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from callslip_client import AsyncCallslip, Callslip, ConnectionFailed, FileDamaged, JobStatus, Misused, Unavailable
from tests.client.service import KEY, Service
from tests.client.wire_parts import Fault, problem

BREAK = Fault()
BUSY = Fault(503, {"Retry-After": "0"}, problem(503, "too many uploads at once"))


def test_an_upload_whose_connection_breaks_becomes_one_job(
    callslip: Callslip, service: Service, tmp_path: Path
) -> None:
    path = tmp_path / "big.bin"
    path.write_bytes(bytes(3_000_000))
    service.fails("POST", "/jobs", BREAK, Fault(after=0), BUSY)
    ticket = callslip.submit(path)
    assert len(service.calls("POST", "/jobs")) == 4
    assert len({call.headers["idempotency-key"] for call in service.calls("POST", "/jobs")}) == 1
    assert (len(service.jobs), ticket.replayed) == (1, True)


def test_retry_after_is_honoured(callslip: Callslip, service: Service) -> None:
    service.fails("GET", "/queue", Fault(429, {"Retry-After": "1"}))
    began = time.monotonic()
    callslip.queue()
    assert time.monotonic() - began >= 1


def test_a_wish_beyond_our_patience_is_told_at_once(callslip: Callslip, service: Service) -> None:
    service.fails("GET", "/queue", Fault(429, {"Retry-After": "3600"}, problem(429, "quota")))
    began = time.monotonic()
    with pytest.raises(Unavailable, match="quota") as caught:
        callslip.queue()
    assert (caught.value.retry_after, time.monotonic() - began < 1) == (3600, True)


def test_a_service_that_stays_busy_is_left_alone_when_patience_is_over(
    connect: Callable[..., Callslip], service: Service
) -> None:
    service.fails("GET", "/queue", *[BUSY] * 50)
    with pytest.raises(Unavailable):
        connect(patience=1.0).queue()
    assert 2 <= len(service.seen) <= 3  # a third pause would be over the second


def test_nobody_there_is_told_when_patience_is_over(connect: Callable[..., Callslip], service: Service) -> None:
    service.stop()
    began = time.monotonic()
    with pytest.raises(ConnectionFailed, match="cannot be reached") as caught:
        connect(patience=0.5).queue()
    assert not caught.value.may_have_arrived
    assert time.monotonic() - began < 3
    service.start()


def test_an_act_that_may_have_arrived_is_not_repeated(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    service.fails("POST", "/retry", Fault(after=0))
    with pytest.raises(ConnectionFailed) as caught:
        callslip.retry(job_id)
    assert caught.value.may_have_arrived
    assert len(service.jobs) == 2


def test_waiting_survives_a_restart_of_the_service(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()

    def restart() -> None:
        time.sleep(0.3)
        service.stop()
        time.sleep(0.5)
        service.finish(job_id)
        service.start()

    thread = threading.Thread(target=restart)
    thread.start()
    assert callslip.wait(job_id, timeout=10).status is JobStatus.SUCCESS
    thread.join()


@pytest.mark.parametrize("clean", [False, True])
@pytest.mark.parametrize("after", [0, 1, 150, 700, 1200])
def test_a_stream_cut_anywhere_goes_on_without_gap_or_repeat(
    callslip: Callslip, service: Service, after: int, clean: bool
) -> None:
    job_id = service.add_job()
    service.finish(job_id)
    service.fails("GET", "/events", Fault(after=after, clean=clean), Fault(after=0), BUSY)
    assert [line.version for line in callslip.events(job_id)] == [1, 2, 3, 4, 5]


def test_lines_that_are_told_twice_are_heard_once(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()
    service.forgetful = True
    service.fails("GET", "/events", Fault(after=100))
    timer = threading.Timer(1.0, service.finish, [job_id])
    timer.start()
    assert [line.version for line in callslip.events(job_id)] == [1, 2, 3, 4, 5]
    timer.join()


def test_events_go_on_through_a_restart_of_the_service(callslip: Callslip, service: Service) -> None:
    job_id = service.add_job()

    def life() -> None:
        time.sleep(0.3)
        service.advance(job_id, "Started", "processing")
        time.sleep(0.2)
        service.stop()
        service.advance(job_id, "Delivered", "waiting")
        time.sleep(0.5)
        service.start()
        time.sleep(1)
        service.advance(job_id, "Completed", "success")

    thread = threading.Thread(target=life)
    thread.start()
    assert [line.version for line in callslip.events(job_id)] == [1, 2, 3, 4]
    assert service.calls("GET", "/events")[-1].headers["last-event-id"] == "3"
    thread.join()


def test_events_end_with_an_error_when_the_service_stays_away(
    connect: Callable[..., Callslip], service: Service
) -> None:
    job_id = service.add_job()
    lines = iter(connect(patience=0.5).events(job_id))
    assert next(lines).version == 1
    service.stop()
    with pytest.raises(ConnectionFailed):
        next(lines)
    service.start()


def test_a_download_that_breaks_goes_on_where_it_was(callslip: Callslip, service: Service, tmp_path: Path) -> None:
    content = bytes(range(256)) * 4000
    job_id = service.add_job(content)
    service.fails("GET", "/file", Fault(after=300_000), Fault(after=200_000))
    assert callslip.download(job_id, tmp_path / "out").read_bytes() == content
    assert [call.headers.get("range") for call in service.calls("GET", "/file")] == [
        None,
        "bytes=300000-",
        "bytes=500000-",
    ]
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_file_that_changed_meanwhile_is_fetched_from_its_start(
    callslip: Callslip, service: Service, tmp_path: Path
) -> None:
    job_id = service.add_job(b"old" * 100_000)
    service.fails("GET", "/file", Fault(after=100_000))
    threading.Timer(0.1, service.files.__setitem__, [job_id, b"new" * 100_000]).start()
    assert callslip.download(job_id, tmp_path / "out").read_bytes() == b"new" * 100_000


def test_a_download_that_broke_behind_its_last_byte_is_fetched_again(
    callslip: Callslip, service: Service, tmp_path: Path
) -> None:
    job_id = service.add_job(b"content")
    headers = {"ETag": f'"{hashlib.sha256(b"content").hexdigest()}"', "Transfer-Encoding": "chunked"}
    service.fails("GET", "/file", Fault(200, headers, b"7\r\ncontent\r\nbroken\r\n"))
    assert callslip.download(job_id, tmp_path / "out").read_bytes() == b"content"


def test_a_download_that_is_damaged_leaves_the_old_file(callslip: Callslip, service: Service, tmp_path: Path) -> None:
    job_id = service.add_job(b"content")
    (tmp_path / "out").write_text("old")
    service.fails("GET", "/file", Fault(200, {"Repr-Digest": "sha-256=:AAAA:"}, b"content"))
    with pytest.raises(FileDamaged):
        callslip.download(job_id, tmp_path / "out")
    assert [path.read_text() for path in tmp_path.iterdir()] == ["old"]


def test_without_a_digest_beside_the_bytes_the_job_tells_it(
    callslip: Callslip, service: Service, tmp_path: Path
) -> None:
    job_id = service.add_job(b"content")
    service.digest = False
    assert callslip.download(job_id, tmp_path / "out").read_bytes() == b"content"
    service.files[job_id] = b"c0ntent"
    with pytest.raises(FileDamaged):
        callslip.download(job_id, tmp_path / "out")


def test_a_download_to_where_nothing_can_be_written_asks_for_nothing(
    callslip: Callslip, service: Service, tmp_path: Path
) -> None:
    job_id = service.add_job()
    with pytest.raises(IsADirectoryError):
        callslip.download(job_id, tmp_path)
    with pytest.raises(FileNotFoundError):
        callslip.download(job_id, tmp_path / "none" / "out")
    assert service.calls("GET", "/file") == []


async def test_a_download_that_is_given_up_leaves_nothing(service: Service, tmp_path: Path) -> None:
    job_id = service.add_job(bytes(1_000_000))
    service.fails("GET", "/file", *[Fault(after=1000)] * 50)
    async with AsyncCallslip(service.url, KEY) as callslip:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(callslip.download(job_id, tmp_path / "out"), 0.5)
    assert service.calls("GET", "/file")
    assert list(tmp_path.iterdir()) == []  # noqa: ASYNC240 - nothing else runs here


def test_a_file_that_becomes_shorter_while_it_is_sent_is_told(callslip: Callslip, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_bytes(bytes(5_000_000))
    with pytest.raises(Misused, match="became shorter"):
        callslip.submit(path, on_progress=lambda *_: os.truncate(path, 300_000))
