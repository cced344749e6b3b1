"""Reports about GitHub users: what was made before is served at once, what is missing is begun."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import WRONG_KEY, ApiKey, Ours, client_of
from app.api.openapi import PROBLEMS
from app.api.openapi_answers import RETRY_AFTER
from app.api.v1.outcomes import answer
from app.domain.errors import NotAuthentic

router = APIRouter(prefix="/api/v1/profiles", tags=["profiles"], responses=PROBLEMS)


_JSON: dict[str, Any] = {"content": {"application/json": {"schema": {"type": "object"}}}}
_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "The newest report, fresh or stale, and who is making a newer one", **_JSON},
    202: {"description": "The job that is making the first one", "headers": {"Retry-After": RETRY_AFTER}, **_JSON},
    304: {"description": "It is the one that is known"},
}


@router.get("/{username}", response_class=Response, responses=_ANSWERS)
async def profile(
    request: Request,
    username: str,
    services: Ours,
    credentials: ApiKey,
    period: Annotated[str, Query(max_length=20)] = "30d",
) -> Response:
    """The newest report about a GitHub user, with its age. With a key: a missing or stale one is made, once for all
    who ask. Without: whatever there is."""
    client = client_of(services, credentials.credentials) if credentials else None
    if credentials and client is None:
        raise NotAuthentic(WRONG_KEY)
    outcome = await services.freshness.ask(client, "profile", {"username": username, "period": period})
    return await answer(request, services, outcome, client)
