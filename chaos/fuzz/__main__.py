"""`python -m chaos.fuzz multipart|callback SECONDS`: fuzzes one of the parsers, led by coverage.

Needs atheris, which `make fuzz` installs: it is not among the tools, as it has no wheel for every Python. What it has learnt
stays under .fuzz, so that the next run goes on from there; an input that breaks a rule is left there, too.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris  # type: ignore[import-untyped,import-not-found,unused-ignore]  # installed on demand

with atheris.instrument_imports(include=["app.api", "python_multipart"]):
    from chaos.fuzz.parsers import LARGEST, TARGETS, seeds

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    """Runs one target for so many seconds; exit status 0 when nothing was found."""
    name, seconds = sys.argv[1], int(sys.argv[2])
    folder = ROOT / ".fuzz" / name
    folder.mkdir(parents=True, exist_ok=True)
    for number, one in enumerate(seeds(name)):
        (folder / f"seed-{number}").write_bytes(one)
    # As the service does: it has a line for each bad form.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    options = [f"-max_total_time={seconds}", f"-max_len={LARGEST}", "-timeout=10", "-rss_limit_mb=2048"]
    options += [f"-artifact_prefix={ROOT}/.fuzz/{name}-", "-print_final_stats=1", "-verbosity=0"]
    atheris.Setup([sys.argv[0], *options, str(folder)], TARGETS[name])
    atheris.Fuzz()


if __name__ == "__main__":
    main()
