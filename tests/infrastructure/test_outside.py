"""Calls to the outside: limits, tries, the breaker, and that all of it is counted."""

import asyncio
import gzip
import time
from datetime import timedelta

import pytest
from prometheus_client import REGISTRY

from app.domain.errors import ToolRefused, ToolTrouble
from app.infrastructure.outside import Manners, Outside
from tests.contracts.outside_fixtures import client, far, outside
from tests.far_side import answer, hang, reply, reset_after_body

__all__ = ["client", "far", "outside"]


def figure(name, **labels):
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def test_a_silent_far_side_is_given_up_after_its_tries(outside, far):
    far.will(hang)
    began = time.monotonic()
    with pytest.raises(ToolTrouble, match=r"Place did not answer within 0\.3 s"):
        await outside.get("Place", far.url)
    assert 0.6 <= time.monotonic() - began < 3
    assert len(far.receipts) == 2


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 422])
async def test_a_refusal_is_not_tried_again(outside, far, status):
    far.will(reply(status))
    with pytest.raises(ToolRefused, match=str(status)):
        await outside.get("Place", far.url)
    assert len(far.receipts) == 1


async def test_a_short_wish_to_wait_is_heeded_and_a_long_one_is_handed_on(outside, far):
    far.will(reply(429, headers={"Retry-After": "1"}), reply(200, "ok"))
    began = time.monotonic()
    assert (await outside.get("Place", far.url)).content == b"ok"
    assert time.monotonic() - began >= 1
    far.will(reply(429, headers={"Retry-After": "3600"}))
    with pytest.raises(ToolTrouble) as caught:
        await outside.get("Place", far.url)
    assert caught.value.retry_after == timedelta(hours=1)
    assert len(far.receipts) == 3


async def test_a_host_that_keeps_failing_is_left_alone_and_tried_again_later(outside, far):
    far.will(reply(503))
    for _ in range(2):
        with pytest.raises(ToolTrouble):
            await outside.get("Breaking", far.url)
    assert len(far.receipts) == 4
    with pytest.raises(ToolTrouble, match="left alone") as caught:
        await outside.get("Breaking", far.url)
    assert caught.value.retry_after is not None
    assert len(far.receipts) == 4
    assert figure("callslip_tool_hosts_cut_off", tool="Breaking") == 1
    assert figure("callslip_tool_cut_off_time_seconds", tool="Breaking") > 0
    far.will(reply(200, "back"))
    await asyncio.sleep(0.5)
    assert (await outside.get("Breaking", far.url)).content == b"back"
    assert figure("callslip_tool_hosts_cut_off", tool="Breaking") == 0


async def test_a_refusing_host_is_alive_and_never_cut_off(outside, far):
    far.will(reply(404))
    for _ in range(6):
        with pytest.raises(ToolRefused):
            await outside.get("Place", far.url)
    assert len(far.receipts) == 6


async def test_a_cancelled_call_says_nothing_about_the_host(outside, far):
    far.will(hang)
    for _ in range(5):
        call = asyncio.create_task(outside.get("Place", far.url))
        await asyncio.sleep(0.01)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
    far.will(reply(200, "fine"))
    assert (await outside.get("Place", far.url)).content == b"fine"


async def test_one_host_is_asked_by_few_at_a_time(client, far):
    busy, most = 0, 0

    async def slowly(call):
        nonlocal busy, most
        busy += 1
        most = max(most, busy)
        await asyncio.sleep(0.02)
        busy -= 1
        await call.send(answer(200, "x"))

    far.will(slowly)
    outside = Outside(client, Manners(per_host=3))
    await asyncio.gather(*(outside.get("Place", far.url) for _ in range(12)))
    assert most == 3


async def test_every_call_is_counted_by_its_outcome(outside, far):
    before = {
        kind: figure("callslip_tool_calls_total", tool="Counted", outcome=kind) for kind in ("ok", "trouble", "refused")
    }
    for behaviour in (reply(200), reply(404), reply(500)):
        far.will(behaviour)
        await asyncio.gather(outside.get("Counted", far.url), return_exceptions=True)
    after = {kind: figure("callslip_tool_calls_total", tool="Counted", outcome=kind) for kind in before}
    assert {kind: after[kind] - before[kind] for kind in after} == {"ok": 1, "trouble": 1, "refused": 1}
    assert figure("callslip_tool_call_seconds_count", tool="Counted") == 3


async def test_too_long_an_answer_is_refused_also_when_it_is_packed(outside, far):
    far.will(reply(200, b"x" * 3000))
    with pytest.raises(ToolRefused, match="more than"):
        await outside.get("Place", far.url, longest=2000)
    far.will(reply(200, gzip.compress(b"x" * 100_000), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ToolRefused, match="more than"):
        await outside.get("Place", far.url, longest=2000)
    assert (await outside.get("Place", far.url, longest=200_000)).content == b"x" * 100_000
    far.will(reply(200, b"no gzip", headers={"Content-Encoding": "gzip"}))
    with pytest.raises(ToolTrouble, match="broken"):
        await outside.get("Place", far.url)
    far.will(reply(200, b"??", headers={"Content-Encoding": "br"}))
    with pytest.raises(ToolRefused, match="encoding"):
        await outside.get("Place", far.url)


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://a.test/x", "nonsense", "http://"])
async def test_only_web_addresses_are_called(outside, url):
    with pytest.raises(ToolRefused):
        await outside.get("Place", url)


async def test_a_broken_connection_is_trouble_and_no_error_shows_the_query(outside, far):
    far.will(reset_after_body)
    with pytest.raises(ToolTrouble) as caught:
        await outside.get("Place", far.url, params={"api_key": "secret-in-the-query"})
    assert "secret-in-the-query" not in str(caught.value)
