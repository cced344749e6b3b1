"""`python -m chaos [--row NAME] [--full] [--seed N] [--database sqlite|postgresql|both]`: all rows, one table, 0 or 1."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from dataclasses import replace
from pathlib import Path

from chaos.report import Outcome, Result, RowProgram, table
from chaos.rows import NAMES, ON_REQUEST
from chaos.stack import QUICK, ROOT, Setup


def main() -> int:
    """The exit status: 0 when every promise was kept, else 1."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # so that what runs is ended, as by Ctrl-C
    options = _parser().parse_args()
    signal.signal(
        signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT)
    )  # either way, what was started is stopped
    seed = options.seed if options.seed is not None else int(time.time()) % 100_000
    rows = [load(name) for name in options.row or _usual(full=options.full)]
    print(f"callslip chaos: seed {seed}, commit {_commit()}, {'full' if options.full else 'short'} form")
    print("periods, unless a row says otherwise: " + " ".join(f"{name}={value}" for name, value in QUICK.items()))
    wanted = ("sqlite", "postgresql") if options.database == "both" else (options.database,)
    results = [
        run(row, Setup(seed=seed, full=options.full, database=database, root=options.root, scale=options.scale))
        for row in rows
        for database in row.databases
        if database in wanted or len(row.databases) == 1
    ]
    print(table(results))
    failed = [result for result in results if result.outcome.problems]
    kept = sum(result.verdict == "kept" for result in results)
    print(f"{kept} kept, {len(failed)} failed, {len(results) - kept - len(failed)} skipped")
    return 1 if failed else 0


def _usual(*, full: bool) -> list[str]:
    return [name for name in NAMES if full or name not in ON_REQUEST]


def load(name: str) -> RowProgram:
    """A row by its name."""
    row: RowProgram = importlib.import_module(f"chaos.rows.{NAMES[name]}").ROW
    return row


def run(row: RowProgram, setup: Setup) -> Result:
    """Runs one row in a folder of its own, which is kept where something was wrong."""
    folder = Path(tempfile.mkdtemp(prefix="cs-chaos-"))
    setup = replace(setup, row=row.name, folder=folder)
    began = time.monotonic()
    try:
        outcome = asyncio.run(row.run(setup))
    except Exception as error:  # noqa: BLE001 - outermost frame of a row: the others are still to be run
        traceback.print_exc()
        outcome = Outcome(problems=[f"the row itself broke: {type(error).__name__}: {error}"[:2000]])
    result = Result(row=row, database=setup.database, outcome=outcome, seconds=time.monotonic() - began)
    setup.say(f"{result.verdict} ({setup.database}, {result.seconds:.0f} s)")
    if outcome.problems:
        result.kept = str(folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return result


def _commit() -> str:
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=10"]
    said = subprocess.run(command, check=False, capture_output=True, text=True)
    return said.stdout.strip() or "unknown"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m chaos", description="Breaks things, and says what was lost.")
    parser.add_argument("--row", action="append", choices=NAMES, help="only this row; may be given again")
    parser.add_argument("--full", action="store_true", help="the long form: hours")
    parser.add_argument("--seed", type=int, help="repeats a run, as far as processes can be repeated")
    parser.add_argument("--database", choices=("sqlite", "postgresql", "both"), default="both")
    parser.add_argument("--scale", type=float, default=1.0, help="a share of the form's size, for a first look")
    parser.add_argument("--root", type=Path, default=ROOT, help="where the product's code stands")
    return parser


if __name__ == "__main__":
    sys.exit(main())
