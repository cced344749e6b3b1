"""What a row says in the end, and the table of all of them: for the screen, and as a page."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from chaos.evidence import Violation
from chaos.stack import Setup

_RECORD = re.compile(r"^<!-- (\{.*\}) -->$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row's figures, what was wrong, and why it could not be run, if it could not. `measured` is the
    figure for the goal, where the first of the figures is not."""

    figures: Sequence[str] = ()
    problems: Sequence[str] = ()
    skipped: str | None = None
    measured: str = ""

    @property
    def headline(self) -> str:
        """What stands beside the goal: unless a row says otherwise, its first figure."""
        return self.measured or next(iter(self.figures), self.skipped or "nothing")


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProgram:
    """One row: what it promises, the figure to be reached in the short and the long form, and the program that tries.
    `alone`: it measures times, so nothing else may run beside it. `takes`: about how many seconds, for the timetable."""

    name: str
    promise: str
    run: Callable[[Setup], Coroutine[Any, Any, Outcome]]
    goal: str = ""
    goal_full: str = ""
    databases: Sequence[str] = ("sqlite",)
    alone: bool = False
    takes: float = 60.0

    def wanted(self, *, full: bool) -> str:
        """The goal of this form; where there is only one, that; else the promise itself."""
        return (self.goal_full if full else "") or self.goal or self.promise


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """A row that was run: in words only, so that it can be handed from one process to another. `cpu` is what the row
    and all that it started computed, `kept` the folder that is left for looking at."""

    name: str
    promise: str
    goal: str
    outcome: Outcome
    seconds: float
    cpu: float = 0.0
    kept: str | None = field(default=None)
    circumstances: str = ""

    @property
    def verdict(self) -> str:
        if self.outcome.skipped:
            return "skipped"
        return "FAILED" if self.outcome.problems else "kept"

    def record(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return asdict(self)

    @classmethod
    def of(cls, record: dict[str, Any]) -> Result:
        """The same again."""
        return cls(**{**record, "outcome": Outcome(**record["outcome"])})


def in_words(violations: Iterable[Violation], most: int = 12) -> list[str]:
    """Violations as problems; of very many, the first."""
    words = [str(violation) for violation in violations]
    return words if len(words) <= most else [*words[:most], f"and {len(words) - most} more"]


def summary(results: Sequence[Result], seconds: float) -> str:
    """One line about all rows."""
    verdicts = [result.verdict for result in results]
    counted = ", ".join(f"{verdicts.count(verdict)} {verdict}" for verdict in ("kept", "FAILED", "skipped"))
    return f"{counted}; {seconds / 60:.1f} minutes in all"


def table(results: Sequence[Result]) -> str:
    """All rows, one below the other: verdict, goal, and what was measured."""
    lines = []
    for result in results:
        outcome = result.outcome
        lines.append(f"{result.verdict:<8}{result.name:<26}{result.seconds:5.0f} s  {result.promise}")
        lines.append(f"{'':10}goal:     {result.goal}")
        lines.append(f"{'':10}measured: {outcome.headline}")
        lines += [f"{'':10}{figure}" for figure in outcome.figures if figure != outcome.headline]
        if outcome.skipped:
            lines.append(f"{'':10}skipped: {outcome.skipped}")
        lines += [f"{'':8}! {problem}" for problem in outcome.problems]
        if result.kept:
            lines.append(f"{'':8}! kept for looking at: {result.kept}")
    return "\n".join(lines)


def page(results: Sequence[Result], head: Sequence[str]) -> str:
    """The same for people who read it later: a page of Markdown, written by the run itself. What it says of each row
    stands in it for `recorded`, too."""
    lines = ["# What `make chaos` measured", "", *head, ""]
    lines += ["| Row | Goal | Measured | Verdict | Time |", "|---|---|---|---|---|"]
    for result in results:
        cells = (f"`{result.name}`", result.goal, result.outcome.headline, result.verdict, f"{result.seconds:.0f} s")
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    lines += ["", "## Row by row", ""]
    for result in results:
        lines += [
            f"**{result.name}**: {result.promise}. {result.cpu:.0f} s of CPU.",
            "",
            f"{result.circumstances}.",
            "",
        ]
        lines += [f"- {figure}" for figure in result.outcome.figures]
        lines += [f"- not kept: {problem}" for problem in result.outcome.problems]
        lines += [f"- skipped: {result.outcome.skipped}"] if result.outcome.skipped else []
        lines += ["", f"<!-- {_hidden(result)} -->", ""]
    return "\n".join(lines)


def _hidden(result: Result) -> str:
    return json.dumps(result.record()).replace("-->", "--\\u003e")


def recorded(written: str) -> list[Result]:
    """The results that a page of an earlier run holds."""
    return [Result.of(json.loads(record)) for record in _RECORD.findall(written)]
