"""The judge of local work in `make chaos ROW=steps`, checked: planted mistakes are found, and a sound run has none."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta

import pytest

from app.domain.lifecycle import Completed, Event, Postponed, Progressed, Started
from app.domain.models import JobResult, Progress
from chaos.step_checker import INVARIANTS, Run, Search, Steps, check
from chaos.step_collect import FIRST, place
from tests.chaos.recorded import BEGAN, SECOND, lived, row_of

ORDER = ("read", "write")
LOST = Postponed(delay=timedelta(), lost=True)
STARTED = Started(lease=10 * SECOND)


def told(step: int, fraction: float, *, done: bool = False) -> Progressed:
    """What the runner writes into the record."""
    words = {"seconds": 1.0} if done else {}
    return Progressed(progress=Progress(fraction=fraction, step=step, steps=2), due_in=timedelta(), words=words)


DONE = Completed(result=JobResult(message="done"))
# The worker is killed inside the second step.
LIFE = (
    STARTED,
    told(1, 0.0),
    told(1, 0.5, done=True),
    told(2, 0.5),
    LOST,
    STARTED,
    told(2, 0.5),
    told(2, 1, done=True),
    DONE,
)


def sound() -> Steps:
    """Two steps, of which the second ran twice; a schedule that fired twice; a user whose searches were made once."""
    job, lines = lived(LIFE)
    job_id, zero = str(job.job_id), BEGAN.timestamp()
    runs = [
        Run(job_id=job_id, step="read", token="a", began=zero + 2.1, ended=zero + 2.9, saw={}),
        Run(job_id=job_id, step="write", token="b", began=zero + 4.1, ended=None, saw={"read": "a"}),
        Run(job_id=job_id, step="write", token="c", began=zero + 7.1, ended=zero + 7.9, saw={"read": "a"}),
    ]
    return Steps(
        order=ORDER,
        rows=[row_of(job)],
        lines=lines,
        runs=runs,
        stored={job_id: {"read": "a", "write": "c"}},
        due={"daily": 2},
        ticks={"daily": ["one", "two"]},
        searches=[Search(user="u", number=number, query=f"q{number}", at=zero + number) for number in (1, 2, 3)],
        users={"u": job_id},
    )


def with_run(steps: Steps, number: int, **changes: object) -> Steps:
    runs = [*steps.runs]
    runs[number] = replace(runs[number], **changes)  # type: ignore[arg-type]
    return replace(steps, runs=runs)


def another(steps: Steps, number: int, **changes: object) -> Steps:
    """One more run."""
    return replace(steps, runs=[*steps.runs, replace(steps.runs[number], token="d", **changes)])  # type: ignore[arg-type]


def retold(steps: Steps, *events: Event) -> Steps:
    return replace(steps, lines=[replace(line, job_id=steps.rows[0].job_id) for line in lived(events)[1]])


def asked_again(steps: Steps, number: int, after: float) -> Steps:
    search = next(search for search in steps.searches if search.number == number)
    return replace(steps, searches=[*steps.searches, replace(search, at=search.at + after)])


PLANTED: Mapping[str, tuple[str, Callable[[Steps], Steps]]] = {
    "a step that begins after a later one": ("S1", lambda s: with_run(s, 0, began=s.runs[1].began + 1)),
    "a step that runs again after its line": ("S1", lambda s: another(s, 0, began=s.runs[0].began + 1.5)),
    "a line that goes back": ("S2", lambda s: retold(s, STARTED, told(2, 0.5), told(1, 0.5), DONE)),
    "a line about a step that was done": (
        "S2",
        lambda s: retold(s, STARTED, told(1, 0.5, done=True), told(1, 0.5), DONE),
    ),
    "an output that nobody made": ("S3", lambda s: with_run(s, 2, token="x")),
    "an output of a run that was cut off": ("S3", lambda s: with_run(s, 2, ended=None)),
    "a step that saw another output": ("S3", lambda s: with_run(s, 2, saw={"read": "z"})),
    "a step that saw nothing": ("S3", lambda s: with_run(s, 1, saw={})),
    "a repeat without a lost worker": ("S4", lambda s: another(s, 1)),
    "a schedule that fired twice": ("S5", lambda s: replace(s, ticks={"daily": ["one", "two", "three"]})),
    "a schedule that was forgotten": ("S5", lambda s: replace(s, ticks={"daily": ["one", "one"]})),
    "a schedule that never fired": ("S5", lambda s: replace(s, ticks={})),
    "a search of a finished step": ("S6", lambda s: asked_again(s, 1, 1.5)),
    "searches without a lost worker": ("S6", lambda s: asked_again(asked_again(s, 3, 1), 3, 2)),
}


def test_a_sound_run_has_no_violation() -> None:
    assert check(sound()) == []


@pytest.mark.parametrize("name", PLANTED)
def test_a_planted_mistake_is_found(name: str) -> None:
    invariant, plant = PLANTED[name]
    assert invariant in {violation.invariant for violation in check(plant(sound()))}


def test_every_invariant_has_a_planted_mistake() -> None:
    assert {invariant for invariant, _ in PLANTED.values()} == set(INVARIANTS)


def test_a_search_of_the_step_that_was_killed_may_be_made_again() -> None:
    assert check(asked_again(sound(), 3, 1)) == []


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (1.0, FIRST),
        (2.5, "inside read"),
        (3.0, "after read was stored"),
        (5.0, "inside write"),
        (8.5, "after write was stored"),
    ],
)
def test_where_a_worker_died_is_told_by_the_notes_of_the_steps(seconds: float, words: str) -> None:
    assert place(sound().runs, BEGAN.timestamp() + seconds) == words


def test_a_step_that_had_to_be_repeated_was_not_stored() -> None:
    steps = with_run(sound(), 1, ended=BEGAN.timestamp() + 4.5)
    assert place(steps.runs, BEGAN.timestamp() + 5) == "before write was stored"
