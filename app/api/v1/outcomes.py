"""A result that was made before, as an HTTP answer: its age, its entity tag, and who is making a newer one."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta

from fastapi import Request
from starlette.responses import Response

from app.api.v1 import views
from app.api.v1.conditional import matches
from app.domain.audit import timestamp
from app.domain.errors import NotAuthentic, Unavailable
from app.domain.models import JobId, Json
from app.domain.protocols import Mark
from app.services import Services
from app.services.freshness import Outcome

MOST_KEPT = 128
STALE_FOR = timedelta(days=7)


@dataclass(slots=True)
class Bodies:
    """Results as JSON, by the job and version that made them: they never change, so a hundred readers cost one."""

    _kept: dict[tuple[JobId, int], bytes] = field(default_factory=dict)

    async def of(self, services: Services, made: Mark) -> bytes:
        """The result's own JSON."""
        key = made.job_id, made.version
        body = self._kept.pop(key, None)
        if body is None:
            job = await services.log.get(made.job_id)
            body = json.dumps(job.result.data, ensure_ascii=False, separators=(",", ":")).encode()
        self._kept[key] = body
        if len(self._kept) > MOST_KEPT:
            del self._kept[next(iter(self._kept))]
        return body


async def answer(request: Request, services: Services, outcome: Outcome, client: str | None) -> Response:
    """200 with the newest result, however old; 202 with the job that is making the first one.

    Raises NotAuthentic where there is none and the asker may not begin it, Unavailable where the last try failed.
    """
    if outcome.made is None:
        return _none_yet(services, outcome, client)
    made = outcome.made
    head: dict[str, Json] = {
        **outcome.params,
        "status": "fresh" if outcome.fresh else "stale",
        "made_at": timestamp(made.at),
        "fresh_until": timestamp(made.at + outcome.fresh_for),
        "refresh": _refresh(services, outcome, client),
    }
    text = json.dumps(head, ensure_ascii=False)
    etag = f'"{made.job_id}-{made.version}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"'
    headers = {
        "ETag": etag,
        "Age": str(int(outcome.age.total_seconds())),
        "Cache-Control": f"private, max-age={_seconds(outcome.fresh_for)}, stale-while-revalidate={_seconds(STALE_FOR)}",
        "Vary": "Authorization",
    }
    if matches(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    bodies: Bodies = request.app.state.bodies
    body = text[:-1].encode() + b', "report": ' + await bodies.of(services, made) + b"}"
    return Response(body, 200, headers, "application/json")


def _none_yet(services: Services, outcome: Outcome, client: str | None) -> Response:
    if outcome.making is None and outcome.failed is not None:
        again_at = outcome.again_at or outcome.at
        raise Unavailable(f"it could not be made: {_why(outcome)}", max(again_at - outcome.at, timedelta(seconds=1)))
    if outcome.making is None or client is None:
        raise NotAuthentic("there is no result yet: log in to make it, with a valid API key")
    ticket = views.job_created(services, outcome.making, joined=outcome.joined)
    body: Mapping[str, Json] = {**outcome.params, "status": "making", "job": ticket}
    headers = {"Location": views.job_path(outcome.making), "Retry-After": "2", "Cache-Control": "no-store"}
    return Response(json.dumps(body, ensure_ascii=False), 202, headers, "application/json")


def _refresh(services: Services, outcome: Outcome, client: str | None) -> Json:
    if outcome.making is not None:
        if client is None:
            return {"status": "running"}
        return {"status": "running", "job": views.job_created(services, outcome.making, joined=outcome.joined)}
    if outcome.failed is not None and outcome.failed.completed_at is not None:
        again_at = timestamp(outcome.again_at) if outcome.again_at else None
        at = timestamp(outcome.failed.completed_at)
        return {"status": "failed", "at": at, "detail": _why(outcome), "again_at": again_at}
    return None if outcome.fresh or client else {"status": "log in to refresh"}


def _why(outcome: Outcome) -> str:
    error = outcome.failed.error if outcome.failed else None
    return error.detail if error else "no reason was told"


def _seconds(period: timedelta) -> int:
    return math.floor(period.total_seconds())
