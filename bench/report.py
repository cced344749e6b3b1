"""What a row found, and how it is written down: in words on the terminal, as a section with a plot in docs/benchmarks.md."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from statistics import median

import psutil

from bench.plot import bars
from bench.process import CORES, ROOT
from bench.stage import Sample

PAGE = ROOT / "docs" / "benchmarks.md"
PLOTS = ROOT / "docs" / "benchmarks"
EXPLAINED = (
    ROOT / "bench" / "explained"
)  # what people found out about a row's missed goals, in a file named like the row
OPENING = """# Benchmarks

`make bench` runs all of this in a quarter of an hour on two cores and writes this page; `make bench ROW=accept` runs one
row. Contenders take turns in one run, in reversed order every other round; figures are medians over the rounds. What is measured has
one core to itself, the load, the far side, Valkey and PostgreSQL share the other, unless a row says otherwise. Quote the ratios, which
travel from machine to machine; the absolute figures do not. "CPU" is processor time of all processes of the contender, an
operation; "peak" their largest resident memory.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One figure that the product is to reach."""

    what: str
    wanted: str
    measured: str
    reached: bool

    @property
    def verdict(self) -> str:
        return "reached" if self.reached else "**not reached**"


def at_least(what: str, value: float, least: float, unit: str = "x") -> Goal:
    """A goal that is reached from below."""
    return Goal(what=what, wanted=f">= {least:g} {unit}", measured=f"{value:.3g} {unit}", reached=value >= least)


def at_most(what: str, value: float, most: float, unit: str = "x") -> Goal:
    """A goal that is reached from above."""
    return Goal(what=what, wanted=f"<= {most:g} {unit}", measured=f"{value:.3g} {unit}", reached=value <= most)


def holds(what: str, measured: str, *, reached: bool) -> Goal:
    """A goal that is a matter of yes or no."""
    return Goal(what=what, wanted="yes", measured=measured, reached=reached)


Samples = Mapping[str, Sequence[Sample]]
Figure = Callable[[Sample], float]


def middle(samples: Sequence[Sample], figure: Figure) -> float:
    """The median of a figure over the rounds."""
    return median(figure(sample) for sample in samples)


@dataclass(slots=True, kw_only=True)
class Report:
    """A row's findings. `plotted` are the bars of its plot, in `unit`."""

    title: str
    notes: list[str] = field(default_factory=list)
    columns: list[str] = field(default_factory=list)
    lines: list[list[str]] = field(default_factory=list)
    goals: list[Goal] = field(default_factory=list)
    plotted: dict[str, float] = field(default_factory=dict)
    unit: str = ""

    def table_of(self, samples: Samples, what: str, unit: str) -> None:
        """The usual table: rate, p50, p99, CPU and peak of each contender, the fastest first."""
        self.columns = [what, f"{unit}/s", "p50 ms", "p99 ms", "CPU us", "peak MiB", "least - most /s"]
        rate = {name: middle(found, lambda one: one.rate) for name, found in samples.items()}
        for name in sorted(rate, key=lambda one: -rate[one]):
            found = samples[name]
            rates = [sample.rate for sample in found]
            figures = (lambda one: one.p50, lambda one: one.p99)
            times = [f"{middle(found, figure):.2f}" for figure in figures]
            spent = [f"{middle(found, lambda one: one.cpu):,.0f}", f"{middle(found, lambda one: one.peak):,.0f}"]
            self.lines.append([name, f"{rate[name]:,.0f}", *times, *spent, f"{min(rates):,.0f} - {max(rates):,.0f}"])
            self.plotted[name] = rate[name]
        self.unit = f"{unit} a second"

    def text(self) -> str:
        """For the terminal."""
        parts = [f"\n== {self.title}", *self.notes]
        if self.lines:
            parts += _aligned([self.columns, *self.lines])
        if self.goals:
            parts += _aligned(
                [
                    ["goal", "wanted", "measured", ""],
                    *([g.what, g.wanted, g.measured, g.verdict.strip("*")] for g in self.goals),
                ]
            )
        return "\n".join(parts)

    def section(self, row: str) -> str:
        """For the page."""
        parts = [f"## {self.title}", f"{datetime.now(UTC):%d %B %Y}. {machine()}", *self.notes]
        if self.plotted:
            PLOTS.mkdir(exist_ok=True)
            (PLOTS / f"{row}.svg").write_text(bars(self.title, self.plotted, self.unit))
            parts.append(f"![{self.title}: {self.unit}](benchmarks/{row}.svg)")
        if self.lines:
            parts.append(_markdown([self.columns, *self.lines]))
        if self.goals:
            rows = [[goal.what, goal.wanted, goal.measured, goal.verdict] for goal in self.goals]
            parts.append(_markdown([["Goal", "Wanted", "Measured", "Verdict"], *rows]))
        if not all(goal.reached for goal in self.goals):
            found = EXPLAINED / f"{row}.md"
            words = (
                found.read_text().strip()
                if found.exists()
                else "not looked into yet; `make profile` is where to begin."
            )
            parts.append(f"**What stops it:** {words}")
        return "\n\n".join(parts)


def write(row: str, report: Report) -> None:
    """Puts the row's section into the page, in place of the one of an earlier run."""
    page = PAGE.read_text() if PAGE.exists() else OPENING
    section = f"<!-- {row} -->\n{report.section(row)}\n<!-- end {row} -->"
    earlier = re.compile(f"<!-- {row} -->.*?<!-- end {row} -->", re.DOTALL)
    page = earlier.sub(lambda _: section, page) if earlier.search(page) else f"{page.rstrip()}\n\n{section}\n"
    PAGE.write_text(page)


def machine() -> str:
    """The machine in words."""
    model = next(
        (line.partition(":")[2].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    system = next(
        (line.partition("=")[2].strip('"\n') for line in _lines("/etc/os-release") if line.startswith("PRETTY_NAME")),
        platform.system(),
    )
    memory = psutil.virtual_memory().total / 2**30
    return (
        f"{len(CORES) or os.cpu_count()} cores of {model}, {memory:.0f} GiB, {system}, Python {platform.python_version()}, "
        f"load average {os.getloadavg()[0]:.1f} at the end."
    )


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines() if Path(path).exists() else []


def _aligned(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    return [
        "  " + "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    ]


def _markdown(rows: Sequence[Sequence[str]]) -> str:
    head, *body = (f"| {' | '.join(row)} |" for row in rows)
    return "\n".join([head, "|" + "---|" * len(rows[0]), *body])
