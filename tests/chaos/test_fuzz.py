"""The rules of `make fuzz` hold for the corpora, and the judge of the row `fuzz` sees what is wrong with an answer."""

from __future__ import annotations

import json
import random

import pytest

from chaos.fuzz import contract, corpora
from chaos.fuzz.parsers import TARGETS, seeds

GOOD = {"x-request-id": "1", "content-type": "application/problem+json", "retry-after": "1"}
PROBLEM = {"type": "/problems/x", "title": "X", "status": 404, "detail": "no", "instance": "/x"}
JOB = "/api/v1/jobs/1"


@pytest.mark.parametrize("name", TARGETS)
def test_the_parsers_read_or_refuse_whatever_the_corpora_hold(name: str) -> None:
    for one in seeds(name):
        TARGETS[name](one)


def test_a_problem_that_is_documented_is_right() -> None:
    assert contract.wrong("GET", JOB, 404, GOOD, json.dumps(PROBLEM).encode()) == []


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (500, GOOD, json.dumps({**PROBLEM, "status": 500}), "500 is not an answer of GET"),
        (404, GOOD, json.dumps(PROBLEM).replace("no", "Traceback (most recent call last)"), "its body holds"),
        (404, {**GOOD, "content-type": "text/plain"}, "no", "404 came as"),
        (404, GOOD, "no", "not JSON"),
        (404, GOOD, json.dumps({**PROBLEM, "instance": None}), "whose instance is None"),
        (404, GOOD, json.dumps({**PROBLEM, "status": 400}), "a problem of status 400 with 404"),
        (404, {"content-type": GOOD["content-type"]}, json.dumps(PROBLEM), "no X-Request-ID"),
    ],
)
def test_an_answer_that_breaks_the_contract_is_seen(
    status: int, headers: dict[str, str], body: str, words: str
) -> None:
    assert any(words in said for said in contract.wrong("GET", JOB, status, headers, body.encode()))


def test_the_same_seed_makes_the_same_requests() -> None:
    aim = corpora.Aim(b"key", b"job", b"token")
    first, second = (corpora.requests(random.Random(4), aim) for _ in range(2))
    made = [next(first) for _ in range(70)]
    assert made == [next(second) for _ in range(70)]
    assert {one.kind for one in made} == set(corpora.KINDS)
