"""`python -m bench [--row NAME] [--rounds N]`: runs the rows within their time and writes docs/benchmarks.md."""

from __future__ import annotations

import argparse
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from bench import report
from bench.rows.table import ROWS, Row
from bench.stage import Stage, place

IN_ALL = 14.5 * 60  # seconds


class OutOfTime(Exception):
    """A row took longer than it may."""


def main() -> int:
    """Exit status 1 when a row could not be measured, 0 otherwise: a goal that is missed is a finding, no failure."""
    arguments = _arguments()
    rows = [row for row in ROWS if arguments.row in ("", row.name)]
    if not rows:
        print(f"there is no row `{arguments.row}`; there are: {', '.join(row.name for row in ROWS)}")
        return 2
    with place() as folder:
        return _played(rows, arguments.rounds, folder)


def _played(rows: list[Row], rounds: int, folder: Path) -> int:
    began = time.monotonic()
    failed: list[str] = []
    missed: list[str] = []
    for number, row in enumerate(rows):
        left = IN_ALL - (time.monotonic() - began)
        share = _allowed(row, rows[number:], left) if len(rows) > 1 else IN_ALL
        found = _measured(row, rounds, share, folder)
        if found is None:
            failed.append(row.name)
            continue
        print(found.text(), flush=True)
        report.write(row.name, found)
        missed += [f"{row.name}: {goal.what}: {goal.measured}" for goal in found.goals if not goal.reached]
    print(f"\n{time.monotonic() - began:.0f} s in all; written to {report.PAGE.relative_to(report.ROOT)}")
    print("goals missed:" if missed else "all goals of these rows reached", *missed, sep="\n  ")
    if failed:
        print(f"not measured: {', '.join(failed)}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench")
    parser.add_argument("--row", default="")
    parser.add_argument("--rounds", type=int, default=5)
    return parser.parse_args()


def _allowed(row: Row, ahead: list[Row], left: float) -> float:
    """What a row may take: half as much again as it usually does, and never the time of those behind it."""
    usual = sum(one.seconds for one in ahead)
    return min(row.seconds * 1.5, left * row.seconds / usual if usual > left else left - usual + row.seconds)


def _measured(row: Row, rounds: int, seconds: float, folder: Path) -> report.Report | None:
    print(f"\n-- {row.name}: {row.what}", flush=True)
    began = time.monotonic()
    try:
        with (
            _time(seconds),
            Stage(row.name, rounds, seconds, folder, _say) as stage,
        ):
            return row.play(stage)
    except OutOfTime:
        print(f"   {row.name} took longer than {seconds:.0f} s and was ended")
    except Exception:  # noqa: BLE001 - the other rows are still worth their time
        traceback.print_exc()
    finally:
        print(f"   {time.monotonic() - began:.0f} s", flush=True)
    return None


def _say(text: str) -> None:
    print(f"   {text}", file=sys.stderr, flush=True)


@contextmanager
def _time(seconds: float) -> Iterator[None]:
    def over(_number: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    signal.signal(signal.SIGALRM, over)
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 1.0))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


if __name__ == "__main__":
    sys.exit(main())
