"""Blocking work in threads."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Iterator

import pytest

from app.infrastructure.threads import Threads


@pytest.fixture
def threads() -> Iterator[Threads]:
    made = Threads(2, "tried")
    yield made
    made.close()


async def test_the_caller_gets_what_the_work_gives_back_or_raises(threads: Threads) -> None:
    assert await threads.run(lambda: threading.current_thread().name) == "tried"
    with pytest.raises(ZeroDivisionError):
        await threads.run(lambda: 1 // 0)


async def test_no_more_threads_work_than_there_may_be(threads: Threads) -> None:
    together = threading.Barrier(2)
    names = await asyncio.gather(
        *(threads.run(lambda: (together.wait(5), threading.get_ident())[1]) for _ in range(20))
    )
    assert len(set(names)) == 2


async def test_a_cancelled_caller_waits_for_the_end_of_its_work(threads: Threads) -> None:
    begun, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        go_on.wait(5)
        ended.set()

    caller = asyncio.create_task(threads.run(work))
    await asyncio.to_thread(begun.wait, 5)
    caller.cancel()
    await asyncio.sleep(0.01)
    assert not caller.done()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await caller
    assert ended.is_set()


async def test_work_that_ends_in_the_moment_of_the_cancellation_is_not_waited_for(threads: Threads) -> None:
    begun, ended = threading.Event(), threading.Event()
    caller = asyncio.create_task(threads.run(lambda: (begun.wait(5), ended.set())))
    await asyncio.sleep(0)
    begun.set()
    ended.wait(5)
    time.sleep(0.05)  # noqa: ASYNC251 - it is told to the loop, which must not turn before the cancellation
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 5)
    assert await threads.run(lambda: 1) == 1


async def test_a_caller_that_is_cancelled_twice_waits_no_longer(threads: Threads) -> None:
    go_on = threading.Event()
    caller = asyncio.create_task(threads.run(lambda: go_on.wait(5)))
    for _ in range(2):
        await asyncio.sleep(0.01)
        caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(caller, 5)
    go_on.set()
    assert await threads.run(lambda: 1) == 1


async def test_closing_ends_the_work_that_was_handed_in_and_takes_no_more(threads: Threads) -> None:
    done = list[int]()
    left = [asyncio.create_task(threads.run(lambda number=number: done.append(number))) for number in range(20)]  # type: ignore[misc]  # mypy types no defaults of lambdas
    await asyncio.sleep(0)
    threads.close()
    assert sorted(done) == list(range(20))
    await asyncio.gather(*left)
    with pytest.raises(RuntimeError):
        await threads.run(lambda: None)
