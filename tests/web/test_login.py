"""Logging in: by a key, for half a day, from our own pages, and never by another site's doing."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from starlette.responses import PlainTextResponse

from app.web.login import local
from app.web.sessions import Sessions
from tests.api.world import KEY, OTHER_KEY
from tests.web.conftest import OURS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
UNKNOWN = "0199aaaa-0000-7000-8000-000000000000"
DOORS = (
    "/",
    "/ops",
    "/ops/schedules",
    "/ops/fragment",
    f"/ops/jobs/{UNKNOWN}",
    f"/audit/{UNKNOWN}",
    f"/ops/jobs/{UNKNOWN}/fragment",
)


def sessions(**changes):
    return Sessions(**{"keys": (b"a" * 32,), "api_keys": {"ada": [KEY], "bob": [OTHER_KEY]}, **changes})


def test_a_session_names_its_client_until_it_ends():
    cookie = sessions().begin("ada", KEY, NOW)
    assert sessions().read(cookie, NOW).client == "ada"
    assert sessions().read(cookie, NOW + timedelta(hours=11)).client == "ada"
    assert sessions().read(cookie, NOW + timedelta(hours=13)) is None


@pytest.mark.parametrize(
    "cookie", ["", ".", "..", "ada", "ada.9999999999.", "ada.x.y", "ada.99999999999999.f", "é.1.2"]
)
def test_what_is_no_session_opens_nothing(cookie):
    assert sessions().read(cookie, NOW) is None


def test_a_session_cannot_be_changed_to_another_client_or_time():
    body, _, mac = sessions().begin("ada", KEY, NOW).rpartition(".")
    assert sessions().read(f"{body.replace('ada', 'bob')}.{mac}", NOW) is None
    assert sessions().read(f"ada.9999999999.{mac}", NOW) is None


def test_a_session_ends_with_the_key_that_began_it():
    cookie = sessions().begin("ada", KEY, NOW)
    assert sessions(api_keys={"bob": [OTHER_KEY]}).read(cookie, NOW) is None
    assert sessions(api_keys={"ada": ["another-key-0123456789abcdef"]}).read(cookie, NOW) is None


def test_an_api_key_is_rotated_without_a_gap_and_a_session_ends_with_the_one_that_began_it():
    both, new = {"ada": [OTHER_KEY, KEY]}, {"ada": [OTHER_KEY]}
    old_cookie, new_cookie = (sessions(api_keys=both).begin("ada", key, NOW) for key in (KEY, OTHER_KEY))
    assert [sessions(api_keys=both).client_of(key) for key in (KEY, OTHER_KEY)] == ["ada", "ada"]
    assert all(sessions(api_keys=both).read(cookie, NOW) for cookie in (old_cookie, new_cookie))
    assert sessions(api_keys=new).read(old_cookie, NOW) is None
    assert sessions(api_keys=new).read(new_cookie, NOW)


def test_keys_are_rotated_without_a_gap():
    cookie = sessions().begin("ada", KEY, NOW)
    assert sessions(keys=(b"n" * 32, b"a" * 32)).read(cookie, NOW).client == "ada"
    assert sessions(keys=(b"n" * 32,)).read(cookie, NOW) is None


@pytest.mark.parametrize(
    "address",
    ["//evil.test", "/\\evil.test", "/\t/evil.test", "https://evil.test", "javascript:alert(1)", "", "/a\\b", "/é"],
)
def test_nobody_is_sent_elsewhere_after_logging_in(address):
    assert local(address) == "/"
    assert local("/jobs/1?token=a.0.b-c_d") == "/jobs/1?token=a.0.b-c_d"


@pytest.mark.parametrize("door", DOORS)
async def test_operators_pages_are_closed_to_others(browser, door):
    answer = await browser.get(door)
    assert answer.status_code == 303
    assert answer.headers["location"].startswith("/login?next=/")


async def test_a_wrong_key_is_refused_in_words(browser):
    answer = await browser.post("/login", data={"key": KEY[:-1]}, headers=OURS)
    assert answer.status_code == 401
    assert "This key is not known here." in answer.text
    assert "set-cookie" not in answer.headers
    assert KEY[:-1] not in answer.text


async def test_the_cookie_is_kept_from_scripts_and_from_other_sites(browser, world):
    answer = await browser.post("/login", data={"key": KEY, "next": "/ops?status=failure"}, headers=OURS)
    assert answer.headers["location"] == "/ops?status=failure"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert KEY not in answer.headers["set-cookie"]


async def test_over_tls_the_cookie_never_leaves_it(world, browser):
    world.changes["public_url"] = "https://callslip.test"
    app = world.app()
    async with app.router.lifespan_context(app):
        browser._transport.app = app
        answer = await browser.post("/login", data={"key": KEY}, headers=OURS)
    cookie = answer.headers["set-cookie"]
    assert cookie.startswith("__Host-callslip=")
    assert "Secure" in cookie
    assert "Path=/" in cookie


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
    ],
)
async def test_another_site_can_log_nobody_in_or_out(operator, headers):
    for path in ("/login", "/logout"):
        answer = await operator.post(path, data={"key": KEY}, headers=headers)
        assert answer.status_code == 403
        assert "set-cookie" not in answer.headers


async def test_logging_out_needs_the_sessions_own_form_and_ends_the_session(operator):
    assert (await operator.post("/logout", data={"csrf": "x"}, headers=OURS)).status_code == 403
    page = (await operator.get("/")).text
    csrf = page.split('name="csrf" value="')[1].split('"')[0]
    assert (await operator.post("/logout", data={"csrf": csrf}, headers=OURS)).status_code == 303
    assert (await operator.get("/")).status_code == 303


async def test_a_form_that_is_too_large_or_not_text_is_refused(browser):
    large = await browser.post("/login", data={"key": "x" * 70_000}, headers=OURS)
    assert large.status_code == 413
    broken = await browser.post("/login", content=b"key=\xff", headers=OURS)
    assert broken.status_code in (400, 401)


async def test_a_browser_that_is_gone_before_its_form_has_come_is_no_error_of_the_service(world, caplog):
    caplog.set_level("INFO")
    sent = []

    async def receive():
        return {"type": "http.disconnect"}

    async def send(message):
        sent.append(message)

    app = world.app()
    headers = [(b"host", b"callslip.test"), (b"sec-fetch-site", b"same-origin"), (b"content-length", b"100")]
    scope = {"type": "http", "method": "POST", "path": "/login", "query_string": b"", "headers": headers, "app": app}
    async with app.router.lifespan_context(app):
        await app({**scope, "root_path": "", "scheme": "http", "client": None, "server": None}, receive, send)
    assert sent == []
    assert "request_cut_off" in caplog.messages
    assert not [record for record in caplog.records if record.levelname == "ERROR"]


async def test_who_is_logged_in_is_not_asked_again(operator):
    answer = await operator.get("/login", params={"next": "/ops"})
    assert answer.status_code == 303
    assert answer.headers["location"] == "/ops"


async def test_the_queues_dashboard_opens_under_the_same_log_in(browser, world):
    app = browser._transport.app
    app.state.services = replace(world.services, dashboard=PlainTextResponse("the dashboard"))
    refused = await browser.get("/rq/")
    assert (refused.status_code, refused.headers["location"]) == (303, "/login?next=/rq/")
    program = await browser.get("/rq/", headers={"Accept": "*/*"})
    assert (program.status_code, program.headers["www-authenticate"][:5]) == (401, "Basic")
    entered = await browser.post("/login", data={"key": KEY, "next": "/rq/"}, headers=OURS)
    assert entered.headers["location"] == "/rq/"
    assert (await browser.get("/rq/")).text == "the dashboard"
    assert 'href="/rq/"' in (await browser.get("/ops")).text
    browser.cookies.set("callslip", "ada.9999999999.0", domain="callslip.test", path="/")
    assert (await browser.get("/rq/")).status_code == 303
