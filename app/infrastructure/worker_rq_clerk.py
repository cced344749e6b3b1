"""The one thread of a worker that talks to Redis: takes doorbells, keeps the books, and survives Redis."""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from redis.exceptions import RedisError

from app.domain.models import JobId, created_at
from app.infrastructure.worker_rq_books import Outcome, RqBooks

logger = logging.getLogger(__name__)

BEAT_EVERY: Final = 5.0
TIDY_EVERY: Final = 10.0
LOOK_EVERY: Final = 0.25
IDLE_WAIT: Final = 0.5  # how long an idle clerk listens before it looks up
BUSY_WAIT: Final = 0.05  # with jobs in flight their ends must be booked, too
ROUND: Final = 0.004  # with jobs in flight, rounds come no closer: they batch what happened
# After so long without an answer the queue counts as unreachable: more than an idle clerk listens, and little enough that what
# was rung for just then is found by the sweep a second later.
STALE: Final = 0.75
LONGEST_PAUSE: Final = 1.0


@dataclass(frozen=True, slots=True)
class HeadOfQueue:
    """What the worker knows of the queue: whether Redis answers, and the id that is next (None: nothing is queued)."""

    reachable: bool
    job_id: JobId | None = None

    def new_before(self, now: datetime) -> datetime:
        """Up to which time of creation a new job has no doorbell coming."""
        return created_at(self.job_id) if self.reachable and self.job_id else now


class Slots:
    """Which jobs are in flight, at most `size`; shared by the event loop and the clerk."""

    def __init__(self, size: int) -> None:
        self.size = size
        self._taken: set[JobId] = set()
        self._lock = threading.Lock()

    @property
    def free(self) -> int:
        return self.size - len(self._taken)

    def __contains__(self, job_id: JobId) -> bool:
        return job_id in self._taken

    def claim(self, job_id: JobId) -> bool:
        """Take a slot for this job; False when none is free or the job has one."""
        with self._lock:
            if job_id in self._taken or len(self._taken) >= self.size:
                return False
            self._taken.add(job_id)
            return True

    def release(self, job_id: JobId) -> None:
        with self._lock:
            self._taken.discard(job_id)


class Clerk(threading.Thread):
    """Gives the ids that it took and claimed to `start`; tells `quiet` once it takes no more. Of `room` it learns for
    how many doorbells there is any, beside so many jobs in flight: what it cannot give a place stays in the queue."""

    def __init__(
        self,
        books: RqBooks,
        slots: Slots,
        start: Callable[[Sequence[JobId]], None],
        quiet: Callable[[], None],
        room: Callable[[int], int],
    ) -> None:
        super().__init__(name="rq-clerk", daemon=True)
        self._books, self._slots, self._start_jobs, self._quiet, self._room = books, slots, start, quiet, room
        self._news: deque[JobId | Outcome] = deque()
        self._wake = threading.Event()
        self._held = False
        self._taking = True
        self._told_quiet = False
        self._closing = False
        self._seen: tuple[float, HeadOfQueue] = (0.0, HeadOfQueue(reachable=False))
        self._next_beat = self._next_tidy = 0.0
        self._troubled = False

    # What the event loop calls.

    def begun(self, job_ids: Sequence[JobId]) -> None:
        """Hear of jobs that were started without a doorbell."""
        self._news.extend(job_ids)
        self._wake.set()

    def ended(self, outcome: Outcome) -> None:
        """Hear how a run ended. `look_up` comes after it, once its slot is free, so that one round sees both."""
        self._news.append(outcome)

    def look_up(self) -> None:
        """Something happened: the next round is now."""
        self._wake.set()

    def head(self) -> HeadOfQueue:
        at, head = self._seen
        return head if time.monotonic() - at < STALE else HeadOfQueue(reachable=False)

    def hold(self, held: bool) -> None:
        """While held, take no doorbells: the slots that come free are for the sweep."""
        self._held = held
        self._wake.set()

    def take_no_more(self) -> None:
        self._taking = False
        self._wake.set()

    def close(self) -> None:
        """Book what has ended, sign off, and end the thread."""
        self._closing = True
        self._wake.set()

    # What runs in the thread.

    def run(self) -> None:
        pause = 0.0
        while not self._closing:
            try:
                self._round()
                pause, self._troubled = 0.0, False
            except RedisError as error:
                self._lost(error)
                pause = min(pause * 2 or 0.05, LONGEST_PAUSE)
                self._rest(pause)
            except Exception:  # outermost frame of this thread: without it the worker would be deaf for ever
                logger.exception("the clerk stumbled")
                self._rest(LONGEST_PAUSE)
        self._sign_off()

    def _round(self) -> None:
        at = time.monotonic()
        self._collect()
        if at >= self._next_beat:
            self._books.beat()
            self._next_beat = at + BEAT_EVERY
        if at >= self._next_tidy:
            self._books.tidy()
            self._next_tidy = at + TIDY_EVERY
        self._tell_quiet()
        free = self._wanted() if self._taking and not self._held else 0
        if not free and not self._happened():
            if at - self._seen[0] >= LOOK_EVERY:
                self._saw(self._books.read(())[1])
            self._rest(LOOK_EVERY)
            return  # what happened meanwhile is booked by the next round, together with what it takes
        # New work first, then the books: a slot that came free is not kept waiting by what was in it.
        if free:
            self._take(free)
        self._write()
        if self._slots.free < self._slots.size:
            time.sleep(max(0.0, ROUND - (time.monotonic() - at)))

    def _wanted(self) -> int:
        free = self._slots.free
        return min(free, self._room(self._slots.size - free))

    def _take(self, free: int) -> None:
        wait = IDLE_WAIT if free == self._slots.size else BUSY_WAIT
        texts = self._books.take(free, 0 if self._happened() else wait)
        if not texts:
            self._saw(None)
            return
        found, head = self._books.read(texts)
        self._saw(head)
        forged = [text for text, job_id in zip(texts, found, strict=True) if job_id is None]
        known = [(text, job_id) for text, job_id in zip(texts, found, strict=True) if job_id is not None]
        claimed = [job_id for _, job_id in known if self._taking and self._slots.claim(job_id)]
        mine = set(claimed)
        twice = [text for text, job_id in known if job_id in self._slots and job_id not in mine]
        back = [text for text, job_id in known if job_id not in self._slots]
        self._collect()  # the end of an earlier run of the same job comes first
        for job_id in claimed:
            self._books.enter(job_id, rung=True)
        self._start_jobs(claimed)
        if forged:
            logger.warning("%d messages that no Callslip wrote were dropped from the queue", len(forged))
        if forged or twice or back:
            self._books.dismiss(twice, forged=forged, back=back)

    def _collect(self) -> None:
        """Note what happened since the last round, in its order. Needs no Redis."""
        for _ in range(len(self._news)):
            news = self._news.popleft()
            if isinstance(news, Outcome):
                self._books.leave(news)
            else:
                self._books.enter(news)

    def _write(self) -> None:
        self._collect()
        self._books.write()

    def _happened(self) -> bool:
        return bool(self._news) or self._books.unwritten

    def _tell_quiet(self) -> None:
        if not self._taking and not self._told_quiet:
            self._told_quiet = True
            self._quiet()

    def _saw(self, head: JobId | None) -> None:
        self._seen = (time.monotonic(), HeadOfQueue(reachable=True, job_id=head))

    def _lost(self, error: RedisError) -> None:
        if not self._troubled:
            logger.warning("Redis does not serve the worker (%s): it goes on from the job log", type(error).__name__)
        self._troubled = True
        self._seen = (0.0, HeadOfQueue(reachable=False))
        self._next_beat = 0.0
        self._tell_quiet()

    def _rest(self, seconds: float) -> None:
        self._wake.wait(seconds)
        self._wake.clear()

    def _sign_off(self) -> None:
        try:
            self._write()
            self._books.register_death()  # type: ignore[no-untyped-call]
        except RedisError as error:
            logger.warning("the worker could not sign off (%s); its entries expire", type(error).__name__)
