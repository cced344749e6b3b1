"""The judge of local work: compares what steps noted of themselves with what the product stored and wrote into its record.

A step is finished once what it made is stored; from then on it must not run again, whoever dies.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import pairwise
from typing import Any

from chaos.evidence import Line, Row, Violation

Found = Iterator[tuple[str, str]]  # job, words


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A step's own note of one run: `saw` is what the steps before it had made, by its own eyes; `ended` is None where
    it was cut off. Times are the machine's, in seconds."""

    job_id: str
    step: str
    token: str
    began: float
    ended: float | None
    saw: Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Search:
    """The far side's note of one search of the workflow `profile`: for which user, and of which of its steps."""

    user: str
    number: int
    query: str
    at: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """All of it. `order`: the names of the noted workflow's steps. `stored`: what the database holds of each finished
    step, by job and step. `due`: how often each schedule was due; `ticks`: the jobs whose step ran for it. `users`: the
    job of each user of `profile`."""

    order: Sequence[str]
    rows: Sequence[Row]
    lines: Sequence[Line]
    runs: Sequence[Run]
    stored: Mapping[str, Mapping[str, Any]]
    due: Mapping[str, int]
    ticks: Mapping[str, Sequence[str]]
    searches: Sequence[Search]
    users: Mapping[str, str]

    def lines_of(self, job_id: str) -> list[Line]:
        """A job's lines, in order."""
        return sorted((line for line in self.lines if line.job_id == job_id), key=lambda line: line.version)

    def losses(self, job_id: str) -> int:
        """How often its record says that it lost its worker."""
        return sum(line.type == "Postponed" and bool(line.facts.get("lost_leases")) for line in self.lines_of(job_id))


def check(steps: Steps) -> list[Violation]:
    """All violations; none means that every promise was kept."""
    return [Violation(name, job_id, words) for name, rule in INVARIANTS.items() for job_id, words in rule(steps)]


def finished_steps_rest(steps: Steps) -> Found:
    """S1: no step begins after a later one of its job has begun, nor after the record says that it is done."""
    for job_id, runs in _by_job(steps.runs).items():
        done = {line.facts["step"]: _seconds(line) for line in _told(steps.lines_of(job_id)) if _says_done(line)}
        furthest = 0
        for run in sorted(runs, key=lambda run: run.began):
            number = steps.order.index(run.step) + 1
            if number < furthest:
                yield job_id, f"{run.step} ran again after step {furthest} had begun"
            if run.began > done.get(number, run.began):
                yield job_id, f"{run.step} ran again after the record had called it done"
            furthest = max(furthest, number)


def the_record_goes_forward(steps: Steps) -> Found:
    """S2: no line goes back to an earlier step, or to one that a line called done."""
    for row in steps.rows:
        lines = _told(steps.lines_of(row.job_id))
        for before, line in pairwise(lines):
            back = line.facts["step"] < before.facts["step"]
            if back or (_says_done(before) and line.facts["step"] == before.facts["step"]):
                yield row.job_id, f"version {line.version} goes back to step {line.facts['step']}"


def one_output_counts(steps: Steps) -> Found:
    """S3: of each step one run's output is stored, of a run that came to its end, and every later step saw that one."""
    for job_id, runs in _by_job(steps.runs).items():
        stored, ended = steps.stored.get(job_id, {}), {run.token for run in runs if run.ended is not None}
        for name in steps.order:
            if stored.get(name) not in ended:
                yield job_id, f"what is stored of {name} was made by no run that ended"
        for run in runs:
            wanted = {name: stored.get(name) for name in steps.order[: steps.order.index(run.step)]}
            if dict(run.saw) != wanted:
                yield job_id, f"a run of {run.step} saw something else than is stored"


def repeats_are_explained(steps: Steps) -> Found:
    """S4: a step runs once, and once more for each lost worker of its job at most."""
    for job_id, runs in _by_job(steps.runs).items():
        more = len(runs) - len({run.step for run in runs})
        if more > (losses := steps.losses(job_id)):
            yield job_id, f"{more} runs were repeated, but only {losses} workers lost"


def schedules_fire_once(steps: Steps) -> Found:
    """S5: each schedule has one job for each time that it was due, no more and no less, and each of them ran."""
    for name, due in steps.due.items():
        jobs = Counter(steps.ticks.get(name, ()))
        if len(jobs) != due:
            yield name, f"was due {due} times and has {len(jobs)} jobs"


def searches_are_not_repeated(steps: Steps) -> Found:
    """S6: `profile` asks for nothing again that an earlier step has asked for, but for what a killed worker had begun."""
    by_user: defaultdict[str, list[Search]] = defaultdict(list)
    for search in sorted(steps.searches, key=lambda search: search.at):
        by_user[search.user].append(search)
    for user, job_id in steps.users.items():
        asked = by_user[user]
        if any(after.number < before.number for before, after in pairwise(asked)):
            yield job_id, "asked GitHub again for what a finished step had read"
        more = len(asked) - len({search.query for search in asked})
        if more > (losses := steps.losses(job_id)):
            yield job_id, f"{more} searches were repeated, but only {losses} workers lost"


def _by_job(runs: Iterable[Run]) -> Mapping[str, list[Run]]:
    found: defaultdict[str, list[Run]] = defaultdict(list)
    for run in runs:
        found[run.job_id].append(run)
    return found


def _told(lines: Iterable[Line]) -> list[Line]:
    """The lines about progress, each with the step that it is about, said or as before."""
    step, found = None, []
    for line in lines:
        step = line.facts.get("step", step)
        if line.type == "Progressed":
            found.append(replace(line, facts={**line.facts, "step": step}))
    return found


def _says_done(line: Line) -> bool:
    return "seconds" in (line.detail or {})


def _seconds(line: Line) -> float:
    return datetime.fromisoformat(line.at).timestamp()


INVARIANTS: Mapping[str, Callable[[Steps], Found]] = {
    "S1": finished_steps_rest,
    "S2": the_record_goes_forward,
    "S3": one_output_counts,
    "S4": repeats_are_explained,
    "S5": schedules_fire_once,
    "S6": searches_are_not_repeated,
}
