"""What a far side's answer means, by the contract's table."""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from app.domain.lifecycle import TroubleKind
from app.infrastructure.http_client import Answer

LONGEST_EXCERPT = 500
GUESSABLE = 8  # characters
STARTING = "n8n is starting up"  # sent with status 200 while n8n migrates its database
_UNPRINTABLE = re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
EXECUTION_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")

# The numbers from 520 on are Cloudflare's, in front of an n8n: in 520 and 524 its origin had the request, in the
# others it did not. Any other 5xx is read as 500: it may have run, so only a few tries.
_KINDS = (
    dict.fromkeys((408, 425, 429, 502, 503, 504, 521, 522, 523, 525, 526, 529, 530), TroubleKind.UNAVAILABLE)
    | dict.fromkeys((520, 524), TroubleKind.NO_ANSWER)
    | dict.fromkeys((401, 403, 404), TroubleKind.REFUSED)
)
_WORDS = {
    401: "the webhook refused our credentials (401)",
    403: "the webhook refused our credentials (403)",
    404: "unknown webhook: is the workflow active, and is this its production URL? (404)",
}


def trouble_kind(answer: Answer) -> TroubleKind | None:
    """Why to try again, or None where the answer is final, be it yes or no."""
    status = answer.status
    if 200 <= status < 300:
        if answer.text.startswith(STARTING):
            return TroubleKind.UNAVAILABLE
        unclear = answer.cut and STARTING.startswith(answer.text)
        return TroubleKind.NO_ANSWER if unclear else None
    return _KINDS.get(status, TroubleKind.SERVER_ERROR if status >= 500 else None)


def in_words(answer: Answer, secrets: Iterable[str]) -> str:
    """The status and the beginning of the answer, for an operator."""
    opening, said = status_in_words(answer.status), excerpt(answer.text, secrets)
    return f"{opening}: {said}" if said else opening


def status_in_words(status: int) -> str:
    """What the status says by itself. Fit for a log: an answer's text may repeat what was sent, files' names included."""
    opening = _WORDS.get(status, f"the far side answered {status}")
    return f"{opening}, and redirects are not followed" if 300 <= status < 400 else opening


def excerpt(text: str, secrets: Iterable[str]) -> str:
    """The first 500 characters of a far side's text, printable, without anything of ours that it may echo."""
    text = _UNPRINTABLE.sub(" ", text)
    # No form of a secret is shorter than itself: most answers are too short to hold one.
    for secret in sorted((one for one in secrets if 0 < len(one) <= len(text)), key=len, reverse=True):
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe="")):
            text = text.replace(form, "***")
    return " ".join(text.split())[:LONGEST_EXCERPT]


def spellings(secrets: Iterable[bytes]) -> Iterator[str]:
    """The forms in which signing secrets are written down."""
    for secret in secrets:
        yield secret.decode("utf-8", "replace")
        yield base64.b64encode(secret).decode()


def address_secrets(url: str) -> Iterator[str]:
    """The parts of a webhook's address that may be all that keeps strangers out: the end of its path, and its query.
    What is shorter can be guessed, and masking it would only riddle words that have it by chance."""
    parts = urlsplit(url)
    values = [parts.path.rpartition("/")[2], *(value for _, value in parse_qsl(parts.query)), parts.query]
    yield from (spelling for value in values for spelling in (value, unquote(value)) if len(spelling) >= GUESSABLE)


def retry_after(headers: Mapping[str, str], now: datetime) -> timedelta | None:
    """The wish in `Retry-After`, in seconds or as a date; None where there is none, or nonsense."""
    text = headers.get("retry-after", "").strip()
    if text.isascii() and text.isdigit():
        return timedelta(seconds=int(text)) if len(text) < 9 else None
    try:
        at = parsedate_to_datetime(text)
    except ValueError:
        return None
    wish = (at if at.tzinfo else at.replace(tzinfo=UTC)) - now
    return wish if wish > timedelta() else None


def execution_id(text: str) -> str | None:
    """The `executionId` in a JSON answer, whatever its content type says: n8n sends own answers as text/html."""
    try:
        answer = json.loads(text)
    except (ValueError, RecursionError):
        return None
    found = answer.get("executionId") if isinstance(answer, dict) else None
    if isinstance(found, bool) or not isinstance(found, str | int):
        return None
    return str(found) if EXECUTION_ID.fullmatch(str(found)) else None
