"""Schedules over HTTP."""

from __future__ import annotations

import httpx
import pytest

WANTED = {"cron": "0 7 * * 1", "timezone": "Europe/Berlin", "workflow": "question", "params": {"question": "why?"}}
PATH = "/api/v1/schedules"


async def test_a_schedule_is_made_listed_paused_resumed_and_removed(api: httpx.AsyncClient) -> None:
    made = await api.post(PATH, json=WANTED)
    assert made.status_code == 201, made.text
    info = made.json()
    assert made.headers["location"] == f"{PATH}/{info['schedule_id']}"
    assert {name: info[name] for name in WANTED} == WANTED
    assert (info["paused"], info["problem"], info["job_id"]) == (False, None, None)
    assert info["due_at"].endswith("Z")
    assert (await api.get(PATH)).json() == {"schedules": [info]}
    paused = (await api.post(f"{PATH}/{info['schedule_id']}/pause")).json()
    assert (paused["paused"], paused["due_at"]) == (True, None)
    resumed = (await api.post(f"{PATH}/{info['schedule_id']}/resume")).json()
    assert (resumed["paused"], resumed["due_at"]) == (False, info["due_at"])
    assert (await api.delete(f"{PATH}/{info['schedule_id']}")).status_code == 204
    assert (await api.delete(f"{PATH}/{info['schedule_id']}")).status_code == 404
    assert (await api.delete(f"{PATH}/monday")).status_code == 404
    assert (await api.get(PATH)).json() == {"schedules": []}


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"cron": "x"}, "cron"),
        ({"cron": 5}, "cron"),
        ({"timezone": "Mars/Base"}, "timezone"),
        ({"workflow": "any"}, "workflow"),
        ({"params": {"other": "x"}}, "other"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_wrong_field_is_named(api: httpx.AsyncClient, changes: dict[str, object], field: str) -> None:
    refused = await api.post(PATH, json=WANTED | changes)
    assert refused.status_code == 422
    assert [one["field"] for one in refused.json()["errors"]] == [field]


async def test_without_a_key_nothing_is_told_or_made(api: httpx.AsyncClient) -> None:
    del api.headers["Authorization"]
    assert (await api.post(PATH, json=WANTED)).status_code == 401
    assert (await api.get(PATH)).status_code == 401
