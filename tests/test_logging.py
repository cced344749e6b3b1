"""Log lines: their shape, what they carry, and what never gets through."""

import json
import logging
import sys

import pytest

from app.core.logging import JsonFormatter, TextFormatter, bound, masked

TOKEN = "kR3pQ9.0.aBcDeFgHiJkLmNoPqRsTuVwXyZ"


def record(message, *args, exc_info=None, **extra):
    made = logging.LogRecord("app.worker", logging.INFO, __file__, 1, message, args, exc_info)
    vars(made).update(extra)
    return made


def test_a_json_line_holds_event_facts_and_what_is_bound():
    with bound(job_id="j1"), bound(request_id="r1"):
        line = JsonFormatter().format(record("delivered to %s", "n8n", status=200))
    fields = json.loads(line)
    assert fields.pop("at").endswith("Z")
    assert fields == {
        "level": "info", "logger": "app.worker", "event": "delivered to n8n", "job_id": "j1", "request_id": "r1", "status": 200,
    }  # fmt: skip


def test_nothing_is_bound_once_the_block_has_ended():
    with bound(job_id="j1"):
        pass
    assert "j1" not in JsonFormatter().format(record("x"))


def test_no_value_starts_a_line_of_its_own_or_reaches_the_terminal():
    hostile = "a\nb\x1b[31m\u202e\ud800"
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record(hostile, name_of_file=hostile))
        assert line.encode("utf-8")
        assert "\n" not in line
        assert "\x1b" not in line
    assert "\u202e" not in TextFormatter().format(record(hostile))


def test_a_traceback_is_a_field_in_json_and_lines_in_text():
    try:
        int("why")
    except ValueError:
        made = record("bug", exc_info=sys.exc_info())
    assert "ValueError: invalid" in json.loads(JsonFormatter().format(made))["exception"]
    assert TextFormatter().format(made).endswith("'why'")


@pytest.mark.parametrize(
    "text",
    [
        f"Authorization: Bearer {TOKEN}",
        f"GET /jobs/1/file?x=1&token={TOKEN} HTTP/1.1",
        f"secret whsec_{TOKEN}",
        f"redis://user:{TOKEN}@host:6379/0",
    ],
)
def test_what_looks_like_a_credential_is_masked(text):
    assert "aBcDeFg" not in masked(text)
    assert "aBcDeFg" not in JsonFormatter().format(record("x", text=text))
    assert "aBcDeFg" not in TextFormatter().format(record(text))
