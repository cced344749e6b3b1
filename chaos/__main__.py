"""`python -m chaos [--row NAME] [--full] [--seed N] [--database sqlite|postgresql|both]`: all rows, one table, 0 or 1."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import json
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from chaos.machine import commit, machine
from chaos.report import Outcome, Result, RowProgram, page, recorded, summary, table
from chaos.rows import NAMES
from chaos.stack import QUICK, ROOT, Setup
from chaos.timetable import Turn, run_all

PAGES = {"short": ROOT / "docs" / "chaos-report.md", "full": ROOT / "docs" / "chaos-report-full.md"}
_HEAD = (
    "The {form} form: `make chaos{words} WRITE=1`, or one row of it with `ROW=`, puts its results in the place of earlier ones. "
    "Each row says when, on which commit and on what machine it was run."
)
LANES = 3  # rows at a time, of those that may run beside others


def main() -> int:
    """The exit status: 0 when every promise was kept, else 1."""
    # Either way, what was started is stopped. A shell that runs this in the background has SIGINT ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    options = _parser().parse_args()
    if options.seed is None:
        options.seed = int(time.time()) % 100_000
    turns = _turns(options)
    if options.into:
        result = run(turns[0], _setup(options, turns[0].database))
        options.into.write_text(json.dumps(result.record()))
        return int(result.verdict == "FAILED")
    return _all(turns, options)


def _all(turns: Sequence[Turn], options: argparse.Namespace) -> int:
    form = "full" if options.full else "short"
    scaled = f" at {options.scale:g} of its size" if options.scale != 1 else ""
    periods = " ".join(f"{name}={value}" for name, value in QUICK.items())
    print(f"callslip chaos: seed {options.seed}, commit {commit(ROOT)}, {form} form{scaled}")
    print(f"periods, unless a row says otherwise: {periods}", flush=True)
    began = time.monotonic()
    circumstances = (
        f"{datetime.now(UTC):%-d %B %Y}, commit `{commit(ROOT)}`, seed {options.seed}{scaled}; "
        f"{machine(Path(tempfile.gettempdir()))}"
    )
    head = [
        _HEAD.format(form=form, words=" FULL=1" if options.full else ""),
        "",
        f"Periods, unless a row says otherwise: `{periods}`.",
    ]

    def ended(result: Result) -> None:
        if options.write:  # row by row, so that a run that is broken off leaves what it found
            _renew(PAGES[form], replace(result, circumstances=circumstances, kept=None), head)

    with tempfile.TemporaryDirectory(prefix="cs-chaos-") as folder:
        results = asyncio.run(run_all(turns, options.lanes, Path(folder), ended))
    said = summary(results, time.monotonic() - began)
    print(table(results), said, sep="\n")
    return int(any(result.verdict == "FAILED" for result in results))


def _renew(written: Path, result: Result, head: Sequence[str]) -> None:
    """Puts a row's result in the place of what the page has of an earlier run."""
    results = {one.name: one for one in recorded(written.read_text() if written.exists() else "")}
    results[result.name] = result
    order = [Turn(row, database).name for row in map(load, NAMES) for database in row.databases]
    written.write_text(page([results[name] for name in order if name in results], head))


def _turns(options: argparse.Namespace) -> list[Turn]:
    names = options.row or list(NAMES)
    wanted = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    handed_on = ["--seed", str(options.seed), "--scale", str(options.scale), "--root", str(options.root)]
    handed_on += ["--full"] if options.full else []
    return [
        Turn(row, database, tuple(handed_on))
        for row in map(load, names)
        for database in row.databases
        if database in wanted or len(row.databases) == 1
    ]


def _setup(options: argparse.Namespace, database: str) -> Setup:
    return Setup(seed=options.seed, full=options.full, database=database, root=options.root, scale=options.scale)


def load(name: str) -> RowProgram:
    """A row by its name."""
    row: RowProgram = importlib.import_module(f"chaos.rows.{NAMES[name]}").ROW
    return row


def run(turn: Turn, setup: Setup) -> Result:
    """Runs one row in a folder of its own, which is kept where something was wrong."""
    row, folder = turn.row, Path(tempfile.mkdtemp(prefix="cs-chaos-"))
    setup = replace(setup, row=row.name, folder=folder)
    began = time.monotonic()
    try:
        outcome = asyncio.run(row.run(setup))
    except Exception as error:  # noqa: BLE001 - outermost frame of a row: the others are still to be run
        traceback.print_exc()
        outcome = Outcome(problems=[f"the row itself broke: {type(error).__name__}: {error}"[:2000]])
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    result = Result(
        name=turn.name,
        promise=row.promise,
        goal=row.wanted(full=setup.full),
        outcome=outcome,
        seconds=time.monotonic() - began,
        cpu=sum(use.ru_utime + use.ru_stime for use in used),
        kept=str(folder) if outcome.problems else None,
    )
    setup.say(f"{result.verdict} ({setup.database}, {result.seconds:.0f} s, {result.cpu:.0f} s of CPU)")
    if not outcome.problems:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Breaks things, and says what was lost.")
    parser.add_argument("--row", action="append", choices=NAMES, help="only this row; may be given again")
    parser.add_argument("--full", action="store_true", help="the long form: hours")
    parser.add_argument("--seed", type=int, help="repeats a run, as far as processes can be repeated")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the form's size, for a first look")
    parser.add_argument("--lanes", type=int, default=LANES, help="how many rows that measure no times run at once")
    parser.add_argument("--write", action="store_true", help="write a page of the table into docs/, too")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the product's code stands")
    parser.add_argument("--into", type=Path, help=argparse.SUPPRESS)  # how one row hands its result to the run
    return parser


if __name__ == "__main__":
    sys.exit(main())
