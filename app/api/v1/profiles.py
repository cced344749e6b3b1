"""Reports about GitHub users: what was made before is served at once, what is missing is begun."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from app.api.auth import WRONG_KEY, ApiKey, Ours, client_of
from app.api.openapi import PROBLEMS
from app.api.v1.outcomes import answer
from app.domain.errors import NotAuthentic

router = APIRouter(prefix="/api/v1/profiles", tags=["profiles"], responses=PROBLEMS)


@router.get("/{username}", response_class=Response, responses={200: {}, 202: {}, 304: {}})
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
