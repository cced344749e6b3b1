# ruff: noqa: T201 - a command line speaks by printing
"""`python -m app.admin audit verify`, `audit key`, `erase JOB` and `scrub`."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path
from uuid import UUID

from app.admin import record
from app.admin.record import CANNOT_TELL, SOUND
from app.bootstrap.record import rewrite
from app.bootstrap.services import open_services
from app.core.settings import Settings, settings_or_exit
from app.domain.errors import CallslipError
from app.domain.models import JobId


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 sound or done, 1 tampered, 2 cannot tell."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "erase":
            status = asyncio.run(erase(settings_or_exit(), options.job))
            return scrub(settings_or_exit()) if options.scrub and status == SOUND else status
        if options.command == "scrub":
            return scrub(settings_or_exit())
        if options.action == "key":
            return record.show_keys(settings_or_exit(), renew=options.renew)
        return asyncio.run(
            record.verify(options.database, options.job, options.checkpoints, options.key, as_json=options.json)
        )
    except CallslipError as error:
        print(error, file=sys.stderr)
    return CANNOT_TELL


async def erase(settings: Settings, job_id: JobId) -> int:
    """Removes the file and everything personal of one job; the chain stays whole."""
    if problem := record.no_database(settings.database_url):
        print(problem, file=sys.stderr)
        return CANNOT_TELL
    async with open_services(settings) as services:
        job = await services.tasks.erase(job_id)
    print(f"erased: job {job.job_id}, which ended as {job.status}")
    return SOUND


def scrub(settings: Settings) -> int:
    """Rewrites the database, so that its files hold nothing any more of what was erased."""
    if problem := record.no_database(settings.database_url):
        print(problem, file=sys.stderr)
        return CANNOT_TELL
    rewrite(settings.database_url)
    print("scrubbed: the database was written anew, without anything that had been erased")
    return SOUND


def _job_id(text: str) -> JobId:
    try:
        return JobId(UUID(text))
    except ValueError:
        raise argparse.ArgumentTypeError("a job's id is a UUID, as hand-in answers it") from None


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.admin", description="Callslip, beside its database.")
    commands = parser.add_subparsers(dest="command", required=True)
    actions = commands.add_parser("audit", help="the record").add_subparsers(dest="action", required=True)
    check = actions.add_parser("verify", help="exit status 0: sound, 1: tampered, 2: cannot tell")
    check.add_argument("--job", type=_job_id, help="only this job")
    check.add_argument("--json", action="store_true", help="findings as JSON")
    check.add_argument(
        "--checkpoints", type=Path, action="append", default=[], help="a file of checkpoints to compare with"
    )
    check.add_argument("--key", action="append", default=[], help="a public key to trust; default: this installation's")
    check.add_argument("--database", help="a database's URL; with it and --key, no settings are read")
    keys = actions.add_parser("key", help="print the public keys that checkpoints and receipts are checked with")
    keys.add_argument("--renew", action="store_true", help="make a new key first; it signs after the next start")
    erasing = commands.add_parser("erase", help="remove a job's file and everything personal, keep its chain")
    erasing.add_argument("job", type=_job_id)
    erasing.add_argument("--scrub", action="store_true", help="then do that, too")
    commands.add_parser("scrub", help="rewrite the database's files without what was erased; writers wait meanwhile")
    return parser


if __name__ == "__main__":
    sys.exit(main())
