"""Tells the operator's address about every job that ended, at least once, by the delivery schedule, and later where the
address asks for that."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from datetime import datetime, timedelta

from app.domain import lifecycle
from app.domain.errors import DeliveryTrouble, JobNotFound
from app.domain.lifecycle import Periods
from app.domain.models import Notice
from app.domain.protocols import JobLogStore, NoticeBox, Notifier

logger = logging.getLogger(__name__)
BATCH = 20
LAST_TRY = timedelta(minutes=1)  # until it is made again where its process was killed in it


class NoticeService:
    """Works through the notice box. Any number of processes may do so at once; each notice is taken by one."""

    def __init__(
        self, box: NoticeBox, log: JobLogStore, notifier: Notifier, clock: Callable[[], datetime], periods: Periods
    ) -> None:
        self._box, self._log, self._notifier, self._clock, self._periods = box, log, notifier, clock, periods

    async def sweep(self) -> int:
        """Tells what is due; returns how many notices were looked at."""
        notices = await self._box.due(self._clock(), BATCH)
        await asyncio.gather(*map(self._tell, notices))  # one that hangs keeps no other from being told
        return len(notices)

    async def _tell(self, notice: Notice) -> None:
        jitter = random.uniform(-1, 1)  # noqa: S311 - spreads retries, guards nothing
        pause = lifecycle.retry_delay(notice.tries + 1, self._periods, jitter)
        if not await self._box.take(notice, self._clock() + (pause or LAST_TRY)):
            return
        try:
            await self._notifier.tell(await self._log.get(notice.job_id), self._clock())
        except DeliveryTrouble as trouble:
            logger.warning("notice not taken: %s", trouble, extra={"job_id": str(notice.job_id)})
            if pause is not None:
                wished = lifecycle.retry_delay(notice.tries + 1, self._periods, jitter, trouble.retry_after)
                if wished and wished > pause:
                    await self._box.put_off(notice, self._clock() + wished)
                return
            logger.log(
                logging.ERROR, "notice given up", extra={"job_id": str(notice.job_id), "tries": notice.tries + 1}
            )
        except JobNotFound:
            pass
        await self._box.done(notice)
