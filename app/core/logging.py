"""Log lines: one JSON object each (or readable text on a terminal), with the job and request they belong to.

Code logs through the standard library: `log.info("delivery_refused", extra={"status": 503})`. The message is a stable
event name, the facts stand in `extra`. Libraries' lines come out of the same formatter.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Final

_bound: ContextVar[Mapping[str, str]] = ContextVar("bound_log_fields", default=MappingProxyType({}))

_STANDARD_FIELDS: Final = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
}

# A second line of defence: nothing should log these in the first place.
_SECRETS: Final = (
    (re.compile(r"(?i)\b(bearer|basic)\s+[^\s\"',]+"), r"\1 ***"),
    (re.compile(r"(?i)([?&](?:token|api_key|key|secret)=)[^&\s\"']+"), r"\1***"),
    (re.compile(r"whsec_[^\s\"',]+"), "whsec_***"),
    (re.compile(r"(\b[a-z][a-z0-9+.-]*://[^/\s:@]*):[^/\s@]+@"), r"\1:***@"),
)
_SIGNS: Final = ("bearer", "basic", "?", "&", "whsec_", "://")  # without one of them no pattern can match


@contextmanager
def bound(**fields: object) -> Iterator[None]:
    """Every line logged inside, in this task and those it starts, carries these fields (`job_id`, `request_id`)."""
    token = _bound.set({**_bound.get(), **{name: str(value) for name, value in fields.items()}})
    try:
        yield
    finally:
        _bound.reset(token)


def masked(text: str) -> str:
    """The text without what looks like a credential."""
    lowered = text.lower()
    if any(sign in lowered for sign in _SIGNS):
        for pattern, replacement in _SECRETS:
            text = pattern.sub(replacement, text)
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object a line; a newline in a value stays inside its string."""

    def format(self, record: logging.LogRecord) -> str:
        line = json.dumps(_fields(record), ensure_ascii=False, default=str)
        return masked(line.encode("utf-8", "backslashreplace").decode())


class TextFormatter(logging.Formatter):
    """Time, level, logger, event, and the facts behind it."""

    def format(self, record: logging.LogRecord) -> str:
        fields = _fields(record)
        at, level, logger, event = (str(fields.pop(name)) for name in ("at", "level", "logger", "event"))
        trace = fields.pop("exception", None)
        facts = "".join(f" {name}={_visible(value)}" for name, value in fields.items())
        line = f"{at[11:23]} {level:<7} {logger}: {_visible(event)}{facts}"
        return masked(f"{line}\n{trace}" if trace else line)


def _visible(value: object) -> str:
    """No control character reaches a terminal or starts a line of its own."""
    text = str(value)
    return text if text.isprintable() else "".join(char if char.isprintable() else ascii(char)[1:-1] for char in text)


def _fields(record: logging.LogRecord) -> dict[str, object]:
    fields: dict[str, object] = {
        "at": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "level": record.levelname.lower(),
        "logger": record.name,
        "event": record.getMessage(),
        **_bound.get(),
        **{name: value for name, value in vars(record).items() if name not in _STANDARD_FIELDS},
    }
    if record.exc_info and record.exc_info[0] is not None:
        fields["exception"] = logging.Formatter().formatException(record.exc_info)
    return fields


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
