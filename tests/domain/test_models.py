"""Ids are a clock of their own."""

from __future__ import annotations

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from app.domain.models import first_id, new_job_id
from tests.jobs import AT

MILLISECOND = timedelta(milliseconds=1)


@given(st.integers(min_value=0, max_value=10**12))
def test_the_first_id_of_a_time_divides_the_jobs_made_before_it_from_those_made_later(passed: int) -> None:
    at = AT.replace(microsecond=0) + passed * MILLISECOND
    assert new_job_id(at - MILLISECOND) < first_id(at) <= new_job_id(at)
