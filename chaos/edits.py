"""Edits of a database by somebody who has its file, the triggers switched off: one of each kind, at a random place.

Each function makes one edit, and says what a verification must call it.
"""

from __future__ import annotations

import hashlib
import json
import random
import sqlite3
import string
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from app.domain import audit, lifecycle
from app.domain.audit import StoredLine, stored_hash
from app.domain.lifecycle import Completed, Delivered, Started
from app.domain.models import Job, JobResult, new_job_id
from app.infrastructure.sql_rows import SQLITE_CODEC, job_values, json_in, line_values
from app.infrastructure.sql_walk import stamp_micros

TRIGGERS = "SELECT name FROM sqlite_master WHERE type = 'trigger'"
LINE_TEXTS = ("type", "before", "after", "facts", "commitment", "prev_hash", "hash")
TIMES = {"created_at", "started_at", "delivered_at", "completed_at", "due_at", "file_removed_at", "trouble_since"}


@dataclass(slots=True)
class Victim:
    """One copy of a database, to be edited once."""

    db: sqlite3.Connection
    chance: random.Random

    def __post_init__(self) -> None:
        self.db.row_factory = sqlite3.Row
        self.db.execute("PRAGMA synchronous = OFF")
        self.db.execute("PRAGMA ignore_check_constraints = ON")
        for (name,) in self.db.execute(TRIGGERS).fetchall():
            self.db.execute(f"DROP TRIGGER {name}")

    def job(self, least: int = 1) -> str:
        """Any job with at least so many lines."""
        jobs = self.db.execute("SELECT job_id FROM job_log WHERE version >= ? ORDER BY job_id", (least,)).fetchall()
        return str(self.chance.choice(jobs)["job_id"])

    def kept_whole(self) -> str:
        """Any job that was not erased and has two lines or more."""
        query = "SELECT job_id FROM job_log WHERE salt IS NOT NULL AND version > 1 ORDER BY job_id"
        return str(self.chance.choice(self.db.execute(query).fetchall())["job_id"])

    def lines(self, job_id: str) -> list[dict[str, Any]]:
        """Its lines, in order."""
        rows = self.db.execute("SELECT * FROM audit_event WHERE job_id = ? ORDER BY version", (job_id,))
        return [dict(row) for row in rows]

    def line(self, least: int = 1) -> dict[str, Any]:
        """Any line of a job with at least so many."""
        return self.chance.choice(self.lines(self.job(least)))

    def row(self, job_id: str) -> dict[str, Any]:
        """The job's row."""
        return dict(self.db.execute("SELECT * FROM job_log WHERE job_id = ?", (job_id,)).fetchone())

    def detail(self) -> dict[str, Any]:
        """Any detail."""
        return dict(
            self.chance.choice(self.db.execute("SELECT * FROM audit_detail ORDER BY job_id, version").fetchall())
        )

    def put(self, table: str, values: Mapping[str, Any]) -> None:
        """Adds a row."""
        names = ", ".join(values)
        self.db.execute(
            f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(values))})", tuple(values.values())
        )

    def set(self, table: str, where: Mapping[str, Any], values: Mapping[str, Any]) -> None:
        """Changes a row."""
        changes, which = ", ".join(f"{name} = ?" for name in values), " AND ".join(f"{name} = ?" for name in where)
        done = self.db.execute(f"UPDATE {table} SET {changes} WHERE {which}", (*values.values(), *where.values()))
        assert done.rowcount == 1, (table, where)

    def forget(self, table: str, job_id: str, more: str = "") -> None:
        """Removes rows of a job."""
        self.db.execute(f"DELETE FROM {table} WHERE job_id = ? {more}", (job_id,))

    def other(self, value: Any) -> Any:
        """Another value of the same kind."""
        if value is None:
            return self.text(8)
        if isinstance(value, int):
            return value + self.chance.choice((-1, 1)) * self.chance.randint(1, 10**6)
        if not value:
            return self.text(3)
        place = self.chance.randrange(len(value))
        letter = self.chance.choice([one for one in string.ascii_letters + string.digits if one != value[place]])
        return value[:place] + letter + value[place + 1 :]

    def text(self, length: int) -> str:
        """Any letters."""
        return "".join(self.chance.choices(string.ascii_lowercase, k=length))


def key(line: Mapping[str, Any]) -> dict[str, Any]:
    """Which row a line or a detail is."""
    return {"job_id": line["job_id"], "version": line["version"]}


def hashed(line: Mapping[str, Any]) -> dict[str, Any]:
    """The line with the hash that it ought to have: what an attacker who knows the format writes."""
    names = StoredLine._fields
    text = StoredLine(**{name: line.get(name) for name in names} | {"at": stamp_micros(line["at"])})
    return {**line, "hash": stored_hash(text, line["version"])}


def flip_in_a_line(victim: Victim) -> str:
    """One value of a line."""
    line = victim.line()
    name = victim.chance.choice((*LINE_TEXTS, "at"))
    victim.set("audit_event", key(line), {name: victim.other(line[name])})
    return "changed"


def flip_in_a_detail(victim: Victim) -> str:
    """One letter of a detail."""
    detail = victim.detail()
    victim.set("audit_detail", key(detail), {"body": victim.other(detail["body"])})
    return "detail changed"


def flip_in_a_row(victim: Victim) -> str:
    """One value of a row. The end of a lease moves by itself, so it is no part of the record."""
    row = victim.row(victim.job())
    names = [name for name in row if name != "job_id" and not (name == "due_at" and row["status"] == "processing")]
    name = victim.chance.choice(names)
    value = row[name]
    if name in TIMES and value is None:
        value = row["created_at"]
    if value is None and name in ("size", "progress_millis", "step", "steps", "trouble_count"):
        value = 1
    if name in ("params", "result"):
        changed: Any = json.dumps({victim.text(4): victim.text(4)})
    else:
        changed = victim.other(value)
    victim.set("job_log", {"job_id": row["job_id"]}, {name: changed})
    return "row changed"


def delete_a_line(victim: Victim) -> str:
    """One line."""
    line = victim.line()
    victim.forget("audit_event", line["job_id"], f"AND version = {line['version']}")
    return "missing" if line["version"] < victim.row(line["job_id"])["version"] else "truncated"


def delete_a_detail(victim: Victim) -> str:
    """One detail."""
    detail = victim.detail()
    victim.forget("audit_detail", detail["job_id"], f"AND version = {detail['version']}")
    return "detail changed"


def delete_a_row(victim: Victim) -> str:
    """A job's row, its lines left."""
    victim.forget("job_log", victim.job())
    return "row missing"


def delete_and_close_the_gap(victim: Victim) -> str:
    """A line from the middle, the later ones numbered anew."""
    lines = victim.lines(victim.job(3))
    gone = victim.chance.randrange(1, len(lines) - 1)
    victim.forget("audit_event", lines[0]["job_id"], f"AND version = {gone + 1}")
    for line in lines[gone + 1 :]:
        victim.set("audit_event", key(line), {"version": line["version"] - 1})
    return "missing"


def remove_a_whole_job(victim: Victim) -> str:
    """Everything that there is of a job."""
    job_id = victim.job()
    for table in ("audit_detail", "audit_event", "job_log", "notice"):
        victim.forget(table, job_id)
    return "job missing"


def _forged(victim: Victim, before: Mapping[str, Any]) -> dict[str, Any]:
    facts = json.dumps({"notes": 1, "note": victim.text(5)}, separators=(",", ":"))
    line = {**before, "version": before["version"] + 1, "type": "Noted", "facts": facts, "commitment": None}
    return hashed({**line, "at": line["at"] + 1000, "before": before["after"], "prev_hash": before["hash"]})


def append_a_line(victim: Victim) -> str:
    """A line of one's own at the end, rightly chained."""
    victim.put("audit_event", _forged(victim, victim.lines(victim.job())[-1]))
    return "inserted"


def insert_a_line(victim: Victim) -> str:
    """A line of one's own in the middle, rightly chained, the later ones numbered anew."""
    lines = victim.lines(victim.job(3))
    place = victim.chance.randrange(1, len(lines) - 1)
    for line in reversed(lines[place:]):
        victim.set("audit_event", key(line), {"version": line["version"] + 1})
    victim.put("audit_event", _forged(victim, lines[place - 1]))
    return "inserted"


def insert_a_detail(victim: Victim) -> str:
    """A detail for a line that has none, or for no line at all."""
    job_id = victim.job()
    taken = {
        version for (version,) in victim.db.execute("SELECT version FROM audit_detail WHERE job_id = ?", (job_id,))
    }
    version = victim.chance.choice([one for one in range(1, len(victim.lines(job_id)) + 3) if one not in taken])
    victim.put("audit_detail", {"job_id": job_id, "version": version, "body": json.dumps({"client": victim.text(5)})})
    return "detail changed"


def insert_a_job(victim: Victim) -> str:
    """A job that never was, with a whole history of its own, said to be an hour old."""
    at = datetime.now(UTC) - timedelta(hours=1)
    draft = Job(job_id=new_job_id(at), client="eve", workflow="n8n_notion", created_at=at, due_at=at, salt="5e" * 16)
    job, line = lifecycle.accept(draft, at)
    lines = [line]
    for event in (
        Started(lease=timedelta(seconds=10)),
        Delivered(due_in=timedelta(minutes=15)),
        Completed(result=JobResult(message=victim.text(9))),
    ):
        at += timedelta(seconds=2)
        job, line = lifecycle.advance(job, event, at)
        lines.append(line)
    victim.put("job_log", job_values(job, SQLITE_CODEC))
    for line in lines:
        victim.put("audit_event", line_values(line, SQLITE_CODEC))
        if line.detail:
            victim.put(
                "audit_detail", {"job_id": str(job.job_id), "version": line.version, "body": json_in(line.detail)}
            )
    return "unwitnessed"


def swap_lines(victim: Victim) -> str:
    """Two lines of a job change places."""
    one, other = sorted(victim.chance.sample(victim.lines(victim.job(3)), 2), key=lambda line: line["version"])
    victim.set("audit_event", key(one), {"version": 0})
    victim.set("audit_event", key(other), {"version": one["version"]})
    victim.set("audit_event", {"job_id": one["job_id"], "version": 0}, {"version": other["version"]})
    return "reordered"


def swap_lines_of_two_jobs(victim: Victim) -> str:
    """Two lines with the same number change jobs."""
    one = victim.line(3)
    other = one
    while other["job_id"] == one["job_id"]:
        other = victim.lines(victim.job(one["version"]))[one["version"] - 1]
    victim.set("audit_event", key(one), {"version": 0})
    victim.set("audit_event", key(other), {"job_id": one["job_id"]})
    victim.set("audit_event", {**key(one), "version": 0}, key(other))
    return "moved"


def swap_details(victim: Victim) -> str:
    """Two details change places."""
    one, other = victim.detail(), victim.detail()
    while other["body"] == one["body"]:
        other = victim.detail()
    victim.set("audit_detail", key(one), {"body": other["body"]})
    victim.set("audit_detail", key(other), {"body": one["body"]})
    return "detail changed"


def move_a_line(victim: Victim) -> str:
    """A line goes to the end of another job."""
    line, to = victim.line(2), victim.job()
    while to == line["job_id"]:
        to = victim.job()
    victim.set("audit_event", key(line), {"job_id": to, "version": len(victim.lines(to)) + 1})
    return "moved"


def cut_lines(victim: Victim) -> str:
    """The last lines of a job go, its row stays."""
    lines = victim.lines(victim.job(2))
    kept = victim.chance.randrange(len(lines))
    victim.forget("audit_event", lines[0]["job_id"], f"AND version > {kept}")
    victim.forget("audit_detail", lines[0]["job_id"], f"AND version > {kept}")
    return "truncated"


def cut_a_job(victim: Victim) -> str:
    """The last lines of a job go, and its row is set back to what it was then."""
    lines = victim.lines(victim.kept_whole())
    job_id, kept = lines[0]["job_id"], victim.chance.randrange(1, len(lines))
    bodies = dict(victim.db.execute("SELECT version, body FROM audit_detail WHERE job_id = ?", (job_id,)).fetchall())
    state = dict.fromkeys(victim.row(job_id))
    for line in lines[:kept]:
        state |= json.loads(line["facts"]) | json.loads(bodies.get(line["version"], "{}"))
    left = ("job_id", "salt", "params", "retry_of", "result")  # which no line changes but one that ends the job
    state = {name: micros(value) if name in TIMES else value for name, value in state.items()}
    state = {name: state[name] for name in victim.row(job_id) if name not in left}
    state |= {"version": kept, "status": lines[kept - 1]["after"], "head": lines[kept - 1]["hash"], "result": None}
    victim.set("job_log", {"job_id": job_id}, state)
    victim.forget("audit_event", job_id, f"AND version > {kept}")
    victim.forget("audit_detail", job_id, f"AND version > {kept}")
    return "truncated"


def micros(text: str | None) -> int | None:
    """A time as SQLite keeps it."""
    return None if text is None else SQLITE_CODEC.time_in(datetime.fromisoformat(text))


def empty_the_history(victim: Victim) -> str:
    """All lines of all jobs go."""
    victim.db.execute("DELETE FROM audit_event")
    victim.db.execute("DELETE FROM audit_detail")
    return "truncated"


def rewrite_times(victim: Victim) -> str:
    """A line's time, all hashes from there on, and the row's head: a chain that holds."""
    lines = victim.lines(victim.job(2))
    start = victim.chance.randrange(len(lines))
    lines[start]["at"] += victim.chance.randint(1, 10**6)
    _rechain(victim, lines, start)
    return "rewritten"


def rewrite_a_detail(victim: Victim) -> str:
    """Another client in detail and row, the commitment, all hashes and the row's head."""
    row = victim.row(victim.kept_whole())
    job_id, lines = row["job_id"], victim.lines(row["job_id"])
    query = "SELECT body FROM audit_detail WHERE job_id = ? AND version = 1"
    detail = {**json.loads(victim.db.execute(query, (job_id,)).fetchone()["body"]), "client": victim.text(6)}
    body = audit.canonical(detail)
    salted = b"\x01" + bytes.fromhex(row["salt"]) + (1).to_bytes(8) + body
    lines[0]["commitment"] = hashlib.sha256(salted).hexdigest()
    victim.set("audit_detail", {"job_id": job_id, "version": 1}, {"body": body.decode()})
    victim.set("job_log", {"job_id": job_id}, {"client": detail["client"]})
    _rechain(victim, lines, 0)
    return "rewritten"


def _rechain(victim: Victim, lines: list[dict[str, Any]], start: int) -> None:
    for number in range(start, len(lines)):
        if number > start:
            lines[number]["prev_hash"] = lines[number - 1]["hash"]
        lines[number] = hashed(lines[number])
        victim.set("audit_event", key(lines[number]), lines[number])
    victim.set("job_log", {"job_id": lines[0]["job_id"]}, {"head": lines[-1]["hash"]})


EDITS: tuple[Callable[[Victim], str], ...] = (
    flip_in_a_line,
    flip_in_a_detail,
    flip_in_a_row,
    delete_a_line,
    delete_a_detail,
    delete_a_row,
    delete_and_close_the_gap,
    remove_a_whole_job,
    append_a_line,
    insert_a_line,
    insert_a_detail,
    insert_a_job,
    swap_lines,
    swap_lines_of_two_jobs,
    swap_details,
    move_a_line,
    cut_lines,
    cut_a_job,
    empty_the_history,
    rewrite_times,
    rewrite_a_detail,
)
