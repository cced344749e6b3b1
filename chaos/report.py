"""What a row says in the end, and the table of all of them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from chaos.evidence import Violation
from chaos.stack import Setup


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """A row's figures, what was wrong, and why it could not be run, if it could not."""

    figures: Sequence[str] = ()
    problems: Sequence[str] = ()
    skipped: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RowProgram:
    """One row: what it promises, and the program that tries."""

    name: str
    promise: str
    run: Callable[[Setup], Coroutine[Any, Any, Outcome]]
    databases: Sequence[str] = ("sqlite",)


@dataclass(slots=True, kw_only=True)
class Result:
    """A row that was run."""

    row: RowProgram
    database: str
    outcome: Outcome
    seconds: float
    kept: str | None = field(default=None)

    @property
    def verdict(self) -> str:
        if self.outcome.skipped:
            return "skipped"
        return "FAILED" if self.outcome.problems else "kept"


def in_words(violations: Iterable[Violation], most: int = 12) -> list[str]:
    """Violations as problems; of very many, the first."""
    words = [str(violation) for violation in violations]
    return words if len(words) <= most else [*words[:most], f"and {len(words) - most} more"]


def table(results: Sequence[Result]) -> str:
    """All rows, one below the other."""
    lines = []
    for result in results:
        name = result.row.name if len(result.row.databases) == 1 else f"{result.row.name} ({result.database})"
        lines.append(f"{result.verdict:<8}{name:<22}{result.seconds:6.0f} s  {result.row.promise}")
        lines += [f"{'':10}{figure}" for figure in result.outcome.figures]
        if result.outcome.skipped:
            lines.append(f"{'':10}skipped: {result.outcome.skipped}")
        lines += [f"{'':8}! {problem}" for problem in result.outcome.problems]
        if result.kept:
            lines.append(f"{'':8}! kept for looking at: {result.kept}")
    return "\n".join(lines)
