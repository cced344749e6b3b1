"""What every JobLogStore promises about the idempotency keys of those who join a job of somebody else's."""

from __future__ import annotations

import asyncio
from datetime import timedelta

from app.domain import lifecycle
from app.domain.errors import DuplicateJob, JobNotFound
from tests.contracts.sql_fixtures import Stores, refusal
from tests.jobs import AT, CANCELLED, COMPLETED, ERASED, STARTED, accepted


async def test_the_key_of_who_joins_a_job_is_kept_for_that_job_until_it_is_erased(stores: Stores) -> None:
    first = await stores.added(dedup_key="d")
    joins = await refusal(stores.log.add(*accepted(dedup_key="d", client="bob", idempotency_key="k", fingerprint="f")))
    assert isinstance(joins, DuplicateJob)
    assert (joins.job_id, joins.fingerprint) == (first.job_id, None)
    ended = await stores.happened(first, CANCELLED)
    for dedup_key in ("d", "other", None):
        again = accepted(dedup_key=dedup_key, client="bob", idempotency_key="k", fingerprint="g")
        told = await refusal(stores.log.add(*again))
        assert isinstance(told, DuplicateJob)
        assert (told.job_id, told.fingerprint) == (first.job_id, "f")
        assert isinstance(await refusal(stores.log.get(again[0].job_id)), JobNotFound)
    await stores.added(dedup_key="d", client="ada", idempotency_key="k")
    await stores.log.erase(*lifecycle.advance(ended, ERASED, AT))
    await stores.added(client="bob", idempotency_key="k")


async def test_the_key_of_who_gets_what_was_made_is_kept_for_the_job_that_made_it(stores: Stores) -> None:
    made = await stores.added(STARTED, COMPLETED, dedup_key="d")
    key = {"dedup_key": "d", "client": "bob", "idempotency_key": "k", "fingerprint": "f"}
    await refusal(stores.log.add(*accepted(**key), made_since=AT - timedelta(hours=1)))
    told = await refusal(stores.log.add(*accepted(**key)))  # it is no longer fresh: the key answers all the same
    assert isinstance(told, DuplicateJob)
    assert (told.job_id, told.fingerprint) == (made.job_id, "f")


async def test_adds_with_one_key_while_the_job_that_they_join_ends_all_get_the_same_job(stores: Stores) -> None:
    for number in range(5):
        first = await stores.added(STARTED, dedup_key=f"d{number}")
        key = {"dedup_key": f"d{number}", "client": "bob", "idempotency_key": f"k{number}", "fingerprint": "f"}
        rivals = [accepted(**key) for _ in range(6)]
        adding = [stores.log.add(*rival) for rival in rivals]
        adding[3:3] = [stores.happened(first, COMPLETED)]
        answers = await asyncio.gather(*adding, return_exceptions=True)
        del answers[3]
        named = {
            one.job_id if isinstance(one, DuplicateJob) else job.job_id
            for (job, _), one in zip(rivals, answers, strict=True)
        }
        told = await refusal(stores.log.add(*accepted(**key)))
        assert isinstance(told, DuplicateJob)
        assert named == {told.job_id}


async def test_of_two_submissions_at_once_under_one_key_one_answers_whatever_they_ask_for(stores: Stores) -> None:
    first = await stores.added(dedup_key="d")
    key = {"client": "bob", "idempotency_key": "k"}
    rivals = [accepted(**key, dedup_key="d", fingerprint="f"), accepted(**key, fingerprint="g")]
    answers = await asyncio.gather(*(stores.log.add(*rival) for rival in rivals), return_exceptions=True)
    told = await refusal(stores.log.add(*accepted(**key)))
    assert isinstance(told, DuplicateJob)
    named = [one.job_id if isinstance(one, DuplicateJob) else None for one in answers]
    assert (told.job_id, named) in [
        (first.job_id, [first.job_id, first.job_id]),
        (rivals[1][0].job_id, [rivals[1][0].job_id, None]),
    ]
