# ruff: noqa: T201 - a command line speaks by printing
"""What is done beside the database: `python -m app.admin audit verify [--job ID]` and `python -m app.admin erase JOB`."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from pathlib import Path
from uuid import UUID

from app.bootstrap.services import open_services
from app.core.settings import settings_or_exit
from app.domain import verification
from app.domain.errors import CallslipError, JobNotFound
from app.domain.models import JobId
from app.domain.verification import Finding
from app.services import Services

SOUND, TAMPERED, CANNOT_TELL = 0, 1, 2


def main(arguments: list[str] | None = None) -> int:
    """Returns the exit status: 0 sound or done, 1 tampered, 2 cannot tell."""
    options = _parser().parse_args(arguments)
    settings = settings_or_exit()
    path = settings.database_url.removeprefix("sqlite:///")
    if path != settings.database_url and not Path(path).exists():  # opening would make an empty one, which is sound
        print(f"there is no database at {path}", file=sys.stderr)
        return CANNOT_TELL

    async def with_services() -> int:
        async with open_services(settings) as services:
            if options.command == "erase":
                return await erase(services, options.job)
            return await verify(services, options.job, as_json=options.json)

    try:
        return asyncio.run(with_services())
    except CallslipError as error:
        print(error, file=sys.stderr)
    return CANNOT_TELL


async def verify(services: Services, job_id: JobId | None, *, as_json: bool) -> int:
    """Walks the chains, folds each job's lines and compares them with its row; says what is wrong first in each job."""
    jobs = lines = 0
    findings: list[Finding] = []
    async for found, job, events, strays in services.log.walk(job_id):
        jobs, lines = jobs + 1, lines + len(events)
        if finding := verification.verify(job, found, events, strays):
            findings.append(finding)
            if not as_json:
                where = "its row" if finding.version is None else f"version {finding.version}"
                print(f"TAMPERED  job {finding.job_id}, {where}: {finding.kind}: {finding.message}")
    if job_id is not None and not jobs:
        raise JobNotFound("no job has this id")
    if as_json:
        print(json.dumps({"jobs": jobs, "lines": lines, "findings": [_as_dict(one) for one in findings]}))
    else:
        print(
            f"{'tampered' if findings else 'sound'}: {lines} lines of {jobs} jobs, {len(findings)} jobs with a finding"
        )
    return TAMPERED if findings else SOUND


async def erase(services: Services, job_id: JobId) -> int:
    """Removes the file and everything personal of one job; the chain stays whole."""
    job = await services.tasks.erase(job_id)
    print(f"erased: job {job.job_id}, which ended as {job.status}")
    return SOUND


def _as_dict(finding: Finding) -> dict[str, str | int | None]:
    return {
        "job_id": str(finding.job_id),
        "version": finding.version,
        "kind": finding.kind,
        "message": finding.message,
    }


def _job_id(text: str) -> JobId:
    return JobId(UUID(text))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m app.admin", description="Callslip, beside its database.")
    commands = parser.add_subparsers(dest="command", required=True)
    checks = commands.add_parser("audit", help="the record").add_subparsers(dest="action", required=True)
    check = checks.add_parser("verify", help="exit status 0: sound, 1: tampered, 2: cannot tell")
    check.add_argument("--job", type=_job_id, help="only this job")
    check.add_argument("--json", action="store_true", help="findings as JSON")
    erasing = commands.add_parser("erase", help="remove a job's file and everything personal, keep its chain")
    erasing.add_argument("job", type=_job_id)
    return parser


if __name__ == "__main__":
    sys.exit(main())
