"""The commands beside the database, where there is none."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from app.admin.__main__ import main
from app.domain import lifecycle
from app.domain.statements import base64_of
from app.infrastructure.checkpoint_book_file import FileCheckpointBook
from app.infrastructure.job_log_sql import SqlJobLogStore
from app.infrastructure.signer_ed25519 import Ed25519Signer
from app.infrastructure.sql_database import SqlDatabase
from app.infrastructure.sql_schema import migrate
from app.infrastructure.sql_walk import WORTH_CUTTING
from app.infrastructure.timeline_sql import SqlTimeline
from app.launch import programs
from app.launch.env_file import ensure_env_file
from app.services.checkpoints import CheckpointKeeper
from bench.verify import fill_chains
from tests.jobs import AT, accepted


@pytest.mark.parametrize("url", ["", "sqlite:///elsewhere.db"])
def test_where_no_database_is_the_audit_cannot_tell_and_makes_none(tmp_path: Path, url: str) -> None:
    ensure_env_file(tmp_path / ".env")
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(programs.ROOT)} | (
        {"DATABASE_URL": url} if url else {}
    )
    command = [sys.executable, "-m", "app.admin", "audit", "verify"]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 2
    assert done.stderr.startswith("there is no database at ")
    assert [path.name for path in tmp_path.iterdir()] == [".env"]


async def test_a_copy_of_the_database_is_checked_with_the_public_key_and_no_settings(tmp_path: Path) -> None:
    url, path = f"sqlite:///{tmp_path}/copy.db", tmp_path / "checkpoints.jsonl"
    migrate(url)
    database, signer = SqlDatabase(url), Ed25519Signer(tmp_path / "signing.key")
    log = SqlJobLogStore(database, keep_notices=False)
    keeper = CheckpointKeeper(SqlTimeline(database), FileCheckpointBook(path), signer, lambda: AT, timedelta(minutes=1))
    jobs = [accepted()[0] for _ in range(3)]
    for job in jobs:
        await log.add(*lifecycle.accept(job, AT))
    await keeper.write()
    await database.close()
    key = ["--key", base64_of(signer.keys[0])]
    assert verified(tmp_path, url, "--checkpoints", str(path), *key) == (0, [], [])
    with sqlite3.connect(tmp_path / "copy.db") as connection:
        for trigger in ("audit_event_stays", "job_log_stays"):
            connection.execute(f"DROP TRIGGER {trigger}")
        for table in ("audit_event", "audit_detail", "job_log"):
            connection.execute(f"DELETE FROM {table} WHERE job_id = ?", (str(jobs[1].job_id),))
    connection.close()
    assert verified(tmp_path, url) == (0, [], [])
    assert verified(tmp_path, url, "--checkpoints", str(path), *key) == (1, [str(jobs[1].job_id)], [])
    assert verified(tmp_path, url, "--checkpoints", str(path), *key, "--job", str(jobs[0].job_id)) == (0, [], [])
    foreign = base64_of(Ed25519Signer(tmp_path / "foreign.key").keys[0])
    assert verified(tmp_path, url, "--checkpoints", str(path), "--key", foreign) == (1, [], [1])


def verified(folder: Path, url: str, *options: str) -> tuple[int, list[str], list[int]]:
    """The exit status, the jobs with a finding, and the checkpoints with a problem."""
    command = [sys.executable, "-m", "app.admin", "audit", "verify", "--json", "--database", url, *options]
    environment = {"PATH": os.environ["PATH"], "PYTHONPATH": str(programs.ROOT)}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, check=False)
    said = json.loads(done.stdout)
    problems = [problem["line"] for one in said["checkpoints"] for problem in one["problems"]]
    return done.returncode, [finding["job_id"] for finding in said["findings"]], problems


def test_a_large_database_is_looked_at_by_several_processes_that_tell_one_truth(tmp_path: Path) -> None:
    made, url = fill_chains(tmp_path / "large.db", WORTH_CUTTING), f"sqlite:///{tmp_path}/large.db"
    with closing(sqlite3.connect(tmp_path / "large.db")) as connection:
        connection.execute("DROP TRIGGER audit_event_keeps")
        (first,), (last,) = connection.execute(
            "SELECT * FROM (SELECT job_id FROM job_log ORDER BY job_id LIMIT 1)"
            " UNION ALL SELECT * FROM (SELECT job_id FROM job_log ORDER BY job_id DESC LIMIT 1)"
        ).fetchall()
        change = "UPDATE audit_event SET job_id = ?, version = 9 WHERE job_id = ? AND version = 4"
        connection.execute(change, (last, first))
        connection.commit()
    status, findings, _ = verified(tmp_path, url)
    assert (status, sorted(findings)) == (1, [first, last])
    assert made >= WORTH_CUTTING


def test_what_is_no_id_of_a_job_is_refused_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["audit", "verify", "--job", "receipt.png"])
    assert ended.value.code == 2
    assert "argument --job: a job's id is a UUID" in capsys.readouterr().err
