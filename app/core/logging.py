"""Log lines: one JSON object each (or readable text on a terminal), with the job and request they belong to.

Code logs through the standard library: `log.info("delivery_refused", extra={"status": 503})`. The message is a stable
event name, the facts stand in `extra`. Libraries' lines come out of the same formatter.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar, Token
from datetime import UTC, datetime
from functools import lru_cache
from itertools import islice
from types import MappingProxyType
from typing import Final

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound_log_fields", default=MappingProxyType({}))

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}
_OWN_FIELDS: Final = len(vars(logging.makeLogRecord({})))  # of every record; what a caller adds stands behind them

# A second line of defence: nothing should log these in the first place.
_SECRETS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',]+"), r"\1 ***"),
    (re.compile(r"(?i)([?&](?:token|api_key|key|secret)=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"whsec_[^\s\"',]+"), "whsec_***"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@"), r"\1:***@"),
)
_SIGNS: Final = ("bearer", "basic", "?", "&", "whsec_", "://")  # without one of them no pattern can match


class bound:  # noqa: N801 - a context manager; written as a generator it costs three times as much
    """Every line logged inside, in this task and those it starts, carries these fields (`job_id`, `request_id`)."""

    __slots__ = ("_fields", "_token")
    _token: Token[Mapping[str, str]]

    def __init__(self, **fields: object) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _bound.set({**_bound.get(), **{name: str(value) for name, value in self._fields.items()}})

    def __exit__(self, *_: object) -> None:
        _bound.reset(self._token)


def masked(text: str) -> str:
    """The text without what looks like a credential."""
    lowered = text.lower()
    for sign in _SIGNS:
        if sign in lowered:
            for pattern, replacement in _SECRETS:
                text = pattern.sub(replacement, text)
            return text
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a newline in a value stays inside its string."""

    def format(self, record: logging.LogRecord) -> str:
        fields: dict[str, object] = {
            "at": _at(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **_facts(record),
        }
        if trace := _trace(record):
            fields["exception"] = trace
        line = json.dumps(fields, ensure_ascii=False, default=str)
        return masked(line.encode("utf-8", "backslashreplace").decode())


class TextFormatter(logging.Formatter):
    """Time, level, logger, event, and the facts behind it."""

    def format(self, record: logging.LogRecord) -> str:
        facts = "".join([f" {name}={_visible(value)}" for name, value in _facts(record).items()])
        event = _visible(record.getMessage())
        line = f"{_at(record.created)[11:23]} {record.levelname.lower():<7} {record.name}: {event}{facts}"
        trace = _trace(record)
        return masked(f"{line}\n{trace}" if trace else line)


def _visible(value: object) -> str:
    """No control character reaches a terminal or starts a line of its own."""
    text = str(value)
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _facts(record: logging.LogRecord) -> dict[str, object]:
    """What is bound, and what the caller gave as `extra`."""
    given = islice(vars(record).items(), _OWN_FIELDS, None)
    return {**_bound.get(), **{name: value for name, value in given if name not in _STANDARD_FIELDS}}


def _at(created: float) -> str:
    second, milliseconds = divmod(int(created * 1000), 1000)
    return f"{_second(second)}.{milliseconds:03}Z"


@lru_cache(maxsize=4)  # of lines of the same second
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def _trace(record: logging.LogRecord) -> str | None:
    if not record.exc_info or record.exc_info[0] is None:
        return None
    return logging.Formatter().formatException(record.exc_info)


def configure(level: str = "INFO", log_format: str = "auto") -> None:
    """Sends every logger of this process to standard error: `json`, `text`, or by whether it is a terminal."""
    text = log_format == "text" or (log_format == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler()
    handler.setFormatter(TextFormatter() if text else JsonFormatter())
    logging.basicConfig(level=level, handlers=[handler], force=True)
    logging.captureWarnings(capture=True)
    # What no formatter here shows is not looked up for every line (the standard library's HOWTO, "Optimization").
    logging._srcfile = None  # noqa: SLF001 - documented there
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    for name, logger in logging.root.manager.loggerDict.items():
        ours_now = name.partition(".")[0] in _LIBRARIES
        if ours_now and isinstance(logger, logging.Logger) and logger.handlers:  # without: silenced on purpose
            logger.handlers.clear()
            logger.propagate = True
    for name, quietest in _LIBRARIES.items():
        logging.getLogger(name).setLevel(max(quietest, logging.getLevelNamesMapping()[level]))


# Libraries that bring handlers of their own or talk about every request; with the least level that is heard of them.
_LIBRARIES: Final = {
    "uvicorn": logging.INFO,
    "uvicorn.access": logging.WARNING,  # our own line has the request id, and no query string
    "rq": logging.WARNING,
    "httpx": logging.WARNING,
    "httpcore": logging.WARNING,
    "httpx2": logging.WARNING,
    "httpcore2": logging.WARNING,
    "openai": logging.WARNING,  # with DEBUG, these write down what they are asked, sources included
    "anthropic": logging.WARNING,
    "pydantic_ai": logging.WARNING,
    "aiohttp": logging.WARNING,
    "asyncio": logging.WARNING,
    "alembic": logging.WARNING,
    "sqlalchemy": logging.WARNING,
    "werkzeug": logging.WARNING,
    "multipart": logging.WARNING,
    "python_multipart": logging.ERROR,
}
