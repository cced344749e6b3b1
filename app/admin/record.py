# ruff: noqa: T201 - a command line speaks by printing
"""`audit verify` and `audit key`: the chains, the rows and the checkpoints, checked against each other."""

from __future__ import annotations

import asyncio
import base64
import binascii
import itertools
import json
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from app.bootstrap import record
from app.core.settings import Settings, settings_or_exit
from app.domain import checkpoints, verification
from app.domain.audit import timestamp
from app.domain.checkpoints import LATE, Witness
from app.domain.errors import JobNotFound, Misconfigured
from app.domain.models import JobId
from app.domain.statements import base64_of, key_id
from app.domain.verification import Finding

SOUND, TAMPERED, CANNOT_TELL = 0, 1, 2


@dataclass(slots=True)
class Report:
    """What a verification saw."""

    jobs: int = 0
    lines: int = 0
    findings: list[Finding] = field(default_factory=list)
    witnesses: dict[Path, Witness] = field(default_factory=dict)

    def problems(self) -> Iterator[tuple[Path, int, str]]:
        """What is wrong with the files of checkpoints themselves."""
        for path, witness in self.witnesses.items():
            for number, words in witness.problems:
                yield path, number, words

    def doubts(self) -> Iterator[str]:
        """What keeps the checkpoints from saying that everything is there."""
        for path, witness in self.witnesses.items():
            if witness.until is None:
                yield f"{path} holds no checkpoint that could be trusted"
            elif witness.newer and datetime.now(UTC) - witness.until > LATE:
                yield (
                    f"{path} ends at {timestamp(witness.until)}, and {witness.newer} lines are newer: "
                    "no worker has run since, or its end was cut off"
                )

    @property
    def status(self) -> int:
        """The exit status."""
        if self.findings or any(self.problems()):
            return TAMPERED
        return CANNOT_TELL if any(self.doubts()) else SOUND


async def verify(
    database: str | None, job_id: JobId | None, files: Sequence[Path], keys: Sequence[str], *, as_json: bool
) -> int:
    """Walks the chains, folds each job's lines and compares them with its row, and with what checkpoints saw; says
    what is wrong first in each job. Raises Misconfigured, StoreUnavailable and JobNotFound."""
    url = database or settings_or_exit().database_url
    if problem := no_database(url):
        print(problem, file=sys.stderr)
        return CANNOT_TELL
    report = await examine(url, job_id, files, _trusted(keys) if files else ())
    print(json.dumps(_as_dict(report))) if as_json else _say(report)
    return report.status


async def examine(url: str, job_id: JobId | None, files: Sequence[Path], keys: Sequence[bytes]) -> Report:
    """What there is to say about a database, or one job in it; a large one is looked at by all processors at once.

    `keys` are the public keys that checkpoints are trusted with. Raises Misconfigured, StoreUnavailable, JobNotFound.
    """
    cuts = [] if job_id else await record.cuts(url, os.cpu_count() or 1)
    if cuts:
        spans, loop = itertools.pairwise([None, *cuts, None]), asyncio.get_running_loop()
        with ProcessPoolExecutor(len(cuts) + 1, mp_context=get_context("spawn")) as pool:
            report = _sum(
                await asyncio.gather(*(loop.run_in_executor(pool, _part, url, files, keys, *span) for span in spans))
            )
    else:
        report = await _seen(url, job_id, files, keys)
    report.findings = verification.explained(report.findings)
    if job_id is not None and not report.jobs and not report.findings:
        raise JobNotFound("no job has this id")
    return report


def _part(url: str, files: Sequence[Path], keys: Sequence[bytes], after: JobId | None, to: JobId | None) -> Report:
    return asyncio.run(_seen(url, None, files, keys, after, to))


async def _seen(
    url: str,
    job_id: JobId | None,
    files: Sequence[Path],
    keys: Sequence[bytes],
    after: JobId | None = None,
    to: JobId | None = None,
) -> Report:
    """One job, or those with an id greater than `after`, up to `to`."""
    report = Report(witnesses={path: _witness(path, keys) for path in files})
    async with record.opened_log(url) as log:
        async for found, job, lines, strays in log.walk(job_id, after=after, to=to):
            report.jobs, report.lines = report.jobs + 1, report.lines + len(lines)
            finding = verification.verify(job, found, lines, strays)
            for witness in report.witnesses.values():
                finding = witness.confirms(found, lines, finding)
            if finding:
                report.findings.append(finding)
    gone = {finding.job_id: finding for witness in report.witnesses.values() for finding in witness.missing()}
    for one, finding in gone.items():
        ours = (after is None or one > after) and (to is None or one <= to)
        if ours and job_id in (None, one):
            report.findings.append(finding)
    for witness in report.witnesses.values():
        witness.heads.clear()
    return report


def _sum(parts: Sequence[Report]) -> Report:
    """The parts as one."""
    report = parts[0]
    for part in parts[1:]:
        report.jobs, report.lines = report.jobs + part.jobs, report.lines + part.lines
        report.findings += part.findings
        for path, witness in part.witnesses.items():
            report.witnesses[path].newer += witness.newer
    return report


def no_database(url: str) -> str | None:
    """In words, that there is none; to open it would make an empty one, which is sound."""
    path = url.removeprefix("sqlite:///")
    return f"there is no database at {path}" if path != url and not Path(path).exists() else None


def _witness(path: Path, keys: Sequence[bytes]) -> Witness:
    authentic = record.trusting(keys)
    try:
        with path.open("rb") as file:
            return checkpoints.read((line.rstrip(b"\n") for line in file), authentic)
    except OSError as error:
        raise Misconfigured([f"{path} cannot be read: {error.strerror}"]) from None


def _trusted(keys: Sequence[str]) -> Sequence[bytes]:
    """The public keys that are named, else this installation's own."""
    try:
        if keys:
            raw = [base64.b64decode(key, validate=True) for key in keys]
            record.trusting(raw)
            return raw
    except (ValueError, binascii.Error):
        raise Misconfigured(["--key is no Ed25519 public key in base64"]) from None
    settings = settings_or_exit()
    if not settings.signing_key_file.exists():
        raise Misconfigured([f"there is no key at {settings.signing_key_file} to check with: give one with --key"])
    return record.signer(settings).keys


def show_keys(settings: Settings, *, renew: bool) -> int:
    """Prints the public keys, the one that signs first."""
    signer = record.signer(settings)
    if renew:
        signer.renew()
    for number, key in enumerate(signer.keys):
        print(f"{base64_of(key)}  {key_id(key)}  {'signed before' if number else 'signs'}")
    return SOUND


def _say(report: Report) -> None:
    for finding in report.findings:
        where = "its row" if finding.version is None else f"version {finding.version}"
        print(f"TAMPERED  job {finding.job_id}, {where}: {finding.kind}: {finding.message}")
    for path, number, words in report.problems():
        print(f"TAMPERED  {path}, line {number}: {words}")
    for path, witness in report.witnesses.items():
        torn = f", {len(witness.torn)} cut off by a crash" if witness.torn else ""
        until = timestamp(witness.until) if witness.until else "none"
        print(f"{path}: {witness.lines} checkpoints{torn}, up to {until}; {witness.newer} lines are newer")
    for words in report.doubts():
        print(f"CANNOT TELL  {words}")
    verdict = {SOUND: "sound", TAMPERED: "tampered", CANNOT_TELL: "cannot tell"}[report.status]
    print(f"{verdict}: {report.lines} lines of {report.jobs} jobs, {len(report.findings)} jobs with a finding")


def _as_dict(report: Report) -> dict[str, Any]:
    return {
        "jobs": report.jobs,
        "lines": report.lines,
        "findings": [
            {"job_id": str(one.job_id), "version": one.version, "kind": one.kind, "message": one.message}
            for one in report.findings
        ],
        "checkpoints": [
            {
                "file": str(path),
                "lines": witness.lines,
                "until": timestamp(witness.until) if witness.until else None,
                "newer": witness.newer,
                "torn": witness.torn,
                "problems": [{"line": number, "message": words} for number, words in witness.problems],
            }
            for path, witness in report.witnesses.items()
        ],
        "doubts": list(report.doubts()),
    }
