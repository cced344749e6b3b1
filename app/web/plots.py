"""Plots as figures for an SVG: every bar with its place and size, worked out beforehand. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, BOTTOM, LEFT = 640.0, 180.0, 22.0, 30.0
KINDS = {"pull_request": "pull requests", "review": "reviews", "issue": "issues"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Bar:
    """One part of a week's bar."""

    kind: str
    x: float
    y: float
    width: float
    height: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """Words beside an axis, and the line they stand at."""

    at: float
    words: str


@dataclass(frozen=True, slots=True, kw_only=True)
class WeekPlot:
    """Bars by week, the kinds on top of each other."""

    bars: tuple[Bar, ...]
    weeks: tuple[Mark, ...]
    levels: tuple[Mark, ...]
    words: str
    width: float = WIDTH
    height: float = HEIGHT
    left: float = LEFT
    base: float = HEIGHT - BOTTOM


def week_plot(data: Mapping[str, Any]) -> WeekPlot | None:
    """The plot of a report's weeks; None where there is nothing to be seen."""
    weeks = data["weeks"]
    most = max((sum(week[kind] for kind in KINDS) for week in weeks), default=0)
    if most == 0:
        return None
    top = _round_up(most)
    slot, scale = (WIDTH - LEFT) / len(weeks), (HEIGHT - BOTTOM - 8) / top
    bars = [bar for number, week in enumerate(weeks) for bar in _bars(week, LEFT + number * slot, slot, scale)]
    every = max(round(len(weeks) / 6), 1)
    named = [
        Mark(at=round(LEFT + (number + 0.5) * slot, 1), words=str(week["week"])[5:])
        for number, week in enumerate(weeks)
        if number % every == 0
    ]
    levels = [Mark(at=round(HEIGHT - BOTTOM - level * scale, 1), words=str(level)) for level in {0, top // 2, top}]
    totals = ", ".join(f"{data['totals'][kind]} {words}" for kind, words in KINDS.items())
    return WeekPlot(
        bars=tuple(bars),
        weeks=tuple(named),
        levels=tuple(sorted(levels, key=lambda mark: mark.at)),
        words=f"Bars for {len(weeks)} weeks: {totals}; {most} in the busiest week",
    )


def _bars(week: Mapping[str, Any], x: float, slot: float, scale: float) -> list[Bar]:
    gap = min(slot * 0.2, 6.0)
    bars, y = [], HEIGHT - BOTTOM
    for kind, words in KINDS.items():
        height = week[kind] * scale
        y -= height
        if height:
            bars.append(
                Bar(
                    kind=kind,
                    x=round(x + gap / 2, 1),
                    y=round(y, 1),
                    width=round(min(slot - gap, 48.0), 1),
                    height=round(height, 1),
                    words=f"Week of {week['week']}: {week[kind]} {words}",
                )
            )
    return bars


def _round_up(most: int) -> int:
    """An even number that reads well and is not less."""
    step: int = 10 ** (len(str(most)) - 1)
    return next(level * step for level in (1, 2, 4, 6, 8, 10) if level * step > 1 and level * step >= most)
