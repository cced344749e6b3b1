"""Capabilities, and Standard Webhooks against the standard's own library."""

from __future__ import annotations

import base64
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook, WebhookVerificationError

from app.domain import signing
from app.domain.models import new_job_id
from app.domain.signing import Capabilities, Scope

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
JOB, OTHER = new_job_id(NOW), new_job_id(NOW)
OLD, NEW = b"o" * 32, b"n" * 32
LATER = NOW + timedelta(days=7)


def test_a_token_opens_its_own_job_and_scope_until_it_expires() -> None:
    caps = Capabilities((NEW,))
    token = caps.grant(Scope.FILE, JOB, LATER)
    assert caps.opens(token, Scope.FILE, JOB, NOW)
    assert not caps.opens(token, Scope.PAGE, JOB, NOW)
    assert not caps.opens(token, Scope.FILE, OTHER, NOW)
    assert not caps.opens(token, Scope.FILE, JOB, LATER + timedelta(seconds=1))


def test_a_token_without_expiry_does_not_expire() -> None:
    caps = Capabilities((NEW,))
    assert caps.opens(caps.grant(Scope.CALLBACK, JOB), Scope.CALLBACK, JOB, NOW + timedelta(days=36500))


def test_the_same_grant_is_the_same_text_every_time() -> None:
    assert Capabilities((NEW,)).grant(Scope.FILE, JOB, LATER) == Capabilities((NEW, OLD)).grant(Scope.FILE, JOB, LATER)


def test_keys_rotate_without_a_gap() -> None:
    token = Capabilities((OLD,)).grant(Scope.CALLBACK, JOB)
    assert Capabilities((NEW, OLD)).opens(token, Scope.CALLBACK, JOB, NOW)
    assert not Capabilities((NEW,)).opens(token, Scope.CALLBACK, JOB, NOW)


@given(st.text(max_size=80))
def test_no_made_up_text_opens_anything(text: str) -> None:
    assert not Capabilities((NEW,)).opens(text, Scope.FILE, JOB, NOW)


@given(st.integers(0, 80), st.integers(1, 255))
def test_no_changed_token_opens_anything(position: int, flip: int) -> None:
    caps = Capabilities((NEW,))
    token = bytearray(caps.grant(Scope.FILE, JOB, LATER).encode())
    token[position % len(token)] ^= flip
    text = token.decode("latin-1")
    assert not caps.opens(text, Scope.FILE, JOB, NOW)


SECRET = "printable-text-of-32-characters!"


def test_the_standards_own_library_accepts_our_signature() -> None:
    body, now = b'{"job_id":"1"}', datetime.now(UTC)
    signature = signing.sign_webhook([b"another-secret-being-retired-soon", SECRET.encode()], "msg_1", now, body)
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "webhook-signature": signature}
    library = Webhook("whsec_" + base64.b64encode(SECRET.encode()).decode())
    assert library.verify(body, headers)
    with pytest.raises(WebhookVerificationError):
        library.verify(body + b" ", headers)


def test_we_accept_the_signature_of_the_standards_own_library() -> None:
    body, now = b'{"status":"success"}', datetime.now(UTC)
    signature = Webhook("whsec_" + base64.b64encode(SECRET.encode()).decode()).sign("msg_1", now, body.decode())
    seconds = str(int(now.timestamp()))
    assert signing.webhook_is_authentic([OLD, SECRET.encode()], "msg_1", seconds, f"v1,x {signature}", body, now)


@pytest.mark.parametrize("change", ["secret", "id", "seconds", "body", "old", "future", "text", "empty"])
def test_anything_else_is_refused(change: str) -> None:
    seconds = str(int(NOW.timestamp()))
    signature = signing.sign_webhook([SECRET.encode()], "msg_1", NOW, b"{}")
    good = [[SECRET.encode()], "msg_1", seconds, signature, b"{}", NOW]
    assert signing.webhook_is_authentic(*good)
    index, value = {
        "secret": (0, [OLD]),
        "id": (1, "msg_2"),
        "seconds": (2, str(int(seconds) + 1)),
        "body": (4, b"{ }"),
        "old": (5, NOW + timedelta(minutes=6)),
        "future": (5, NOW - timedelta(minutes=6)),
        "text": (2, "١٢٣"),
        "empty": (3, ""),
    }[change]
    good[index] = value
    assert not signing.webhook_is_authentic(*good)


def test_a_secret_is_its_own_text_or_what_stands_behind_whsec() -> None:
    assert signing.secret_bytes(SECRET) == SECRET.encode()
    assert signing.secret_bytes("whsec_" + base64.b64encode(SECRET.encode()).decode()) == SECRET.encode()
    with pytest.raises(ValueError, match=r"base64|padding|data"):
        signing.secret_bytes("whsec_***")
