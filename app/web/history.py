"""A job's history as people read it: its lines as a timeline, and its attempts one by one. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from app.domain.lifecycle import NoteKind
from app.domain.models import AuditEvent, Json
from app.web import words

Known = Mapping[str, Json]

_NOTES = {
    NoteKind.CALLBACK: "A report came that changes nothing",
    NoteKind.OVERDUE: "No report yet: overdue",
    NoteKind.ASKED: "The workflow was asked, and is still at it",
    NoteKind.FILE_REMOVED: "The file was removed",
    NoteKind.ERASED: "Everything personal was erased",
}
_TONES = {"Completed": "good", "Failed": "bad", "Postponed": "care", "Noted": "still", "Cancelled": "still"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """One line of the history in words: a title, and what else there is to say."""

    version: int
    at: datetime
    title: str
    text: str
    tone: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Attempt:
    """One try to hand the job over, from a worker taking it until something came of it. `request` and `response` are
    what went over the wire, with secrets masked, where that is kept."""

    number: int
    began_at: datetime
    ended_at: datetime | None = None
    outcome: str = "Under way"
    answer: str = ""
    tone: str = "live"
    execution_id: str = ""
    request: Known = field(default_factory=dict)
    response: Known = field(default_factory=dict)
    lines: tuple[int, ...] = field(default=())

    @property
    def took(self) -> timedelta | None:
        """How long until something came of it."""
        return None if self.ended_at is None else self.ended_at - self.began_at


def moment(line: AuditEvent, steps: Json = None) -> Moment:
    """One line in words; `steps` is how many there are, where the line itself does not say so."""
    known: Known = {"steps": steps, **line.facts, **(line.detail or {})}
    title, text = _SAYINGS[line.type](known) if line.type in _SAYINGS else (line.type, "")
    tone = "care" if line.type == "Delivered" and known.get("trouble_kind") else _TONES.get(line.type, "live")
    return Moment(version=line.version, at=line.at, title=title, text=text, tone=tone)


def moments(lines: Sequence[AuditEvent]) -> list[Moment]:
    """The whole history, the newest first. A line tells only what it changed, so that earlier ones are minded."""
    told, steps = [], None
    for line in lines:
        steps = line.facts.get("steps") or steps
        told.append(moment(line, steps))
    return told[::-1]


def attempts(lines: Sequence[AuditEvent]) -> list[Attempt]:
    """Every attempt, the newest first."""
    found: list[Attempt] = []
    for line in lines:
        known: Known = {**line.facts, **(line.detail or {})}
        if line.type == "Started":
            number = known.get("attempt", len(found) + 1)
            found.append(Attempt(number=int(str(number)), began_at=line.at, lines=(line.version,)))
        elif found and found[-1].ended_at is None and line.type not in ("Noted", "Progressed", "Accepted"):
            told = moment(line)
            answer = _text(known, "answer") or _text(known, "error_detail")
            execution = _text(known, "execution_id")
            found[-1] = replace(
                found[-1], ended_at=line.at, outcome=told.title, answer=answer, tone=told.tone, execution_id=execution,
                request=_members(known, "request"), response=_members(known, "response"),
                lines=(*found[-1].lines, line.version),
            )  # fmt: skip
    return found[::-1]


def _accepted(known: Known) -> tuple[str, str]:
    again = known.get("retry_of")
    return ("Handed in again", f"A new try of {words.short(str(again))}") if again else ("Handed in", "")


def _started(known: Known) -> tuple[str, str]:
    number = known.get("attempt", 1)
    return ("A worker took it up", "") if number == 1 else (f"A worker took it up, attempt {number}", "")


def _delivered(known: Known) -> tuple[str, str]:
    if known.get("trouble_kind"):
        return "Sent, but without an answer", _text(known, "answer")
    execution = _text(known, "execution_id")
    return "The workflow has it", f"Execution {execution}" if execution else ""


def _progressed(known: Known) -> tuple[str, str]:
    step, steps, millis = known.get("step"), known.get("steps"), known.get("progress_millis")
    place = f"Step {step}" + (f" of {steps}" if steps else "") if step else ""
    share = f"{millis // 10} %" if isinstance(millis, int) else ""
    return _text(known, "progress_message") or "The work went on", " · ".join(filter(None, (place, share)))


def _postponed(known: Known) -> tuple[str, str]:
    if known.get("lost_leases"):
        return "The worker was lost; another one takes over", _text(known, "answer")
    answer = _text(known, "answer")
    return "Not handed over; it is tried again", answer


def _noted(known: Known) -> tuple[str, str]:
    kind = known.get("note")
    title = next((title for note, title in _NOTES.items() if note == kind), "Noted")
    message = _text(known, "reported_message") or _text(known, "reported_error")
    told = ": ".join(filter(None, (_text(known, "reported"), message)))
    return title, " · ".join(filter(None, (told, _text(known, "reason"), _text(known, "answer"))))


_SAYINGS: Mapping[str, Callable[[Known], tuple[str, str]]] = {
    "Accepted": _accepted,
    "Started": _started,
    "Delivered": _delivered,
    "Progressed": _progressed,
    "Postponed": _postponed,
    "Completed": lambda known: ("Done", _text(known, "result_message")),
    "Failed": lambda known: ("Failed", _text(known, "error_detail") or _text(known, "answer")),
    "Cancelled": lambda known: ("Cancelled", _text(known, "answer")),
    "Noted": _noted,
}


def _members(known: Known, name: str) -> Known:
    value = known.get(name)
    return value if isinstance(value, dict) else {}


def _text(known: Known, name: str) -> str:
    value = known.get(name)
    return "" if value is None else str(value)
