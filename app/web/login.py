"""`/login` and `/logout`: showing an API key once opens the pages for half a day."""

from __future__ import annotations

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from starlette.responses import RedirectResponse, Response

from app.web.gate import OperatorsForm, Ours, Visitor, forget, remember, same_site, sessions_of, small_form
from app.web.rendering import page

router = APIRouter(include_in_schema=False)

# Browsers drop tabs and line ends from addresses and take `\` for `/`: `/\t/elsewhere` would leave us.
_LOCAL_PATH = re.compile(r"/(?![/\\])[!-\[\]-~]*")


@router.get("/login")
async def login(request: Request, visitor: Visitor, next: Annotated[str, Query(max_length=2000)] = "/") -> Response:  # noqa: A002 - the name in the address
    """Asks for the key."""
    if visitor is not None:
        return RedirectResponse(local(next), 303)
    return page(request, "login.html", next=local(next), wrong="")


@router.post("/login", dependencies=[Depends(same_site)])
async def log_in(request: Request, services: Ours) -> Response:
    """Begins a session for whoever has a key."""
    form = await small_form(request)
    onwards = local(form.get("next", ["/"])[0])
    api_key = form.get("key", [""])[0].strip()
    client = sessions_of(services).client_of(api_key)
    if client is None:
        return page(request, "login.html", 401, next=onwards, wrong="This key is not known here.")
    answer = RedirectResponse(onwards, 303)
    remember(answer, services, client, api_key)
    return answer


@router.post("/logout", dependencies=[Depends(same_site)])
async def log_out(services: Ours, form: OperatorsForm) -> Response:  # noqa: ARG001 - checked by being asked for
    """Ends the session in this browser."""
    answer = RedirectResponse("/login", 303)
    forget(answer, services)
    return answer


def local(address: str) -> str:
    """The address if it is one of ours, else the beginning."""
    return address if _LOCAL_PATH.fullmatch(address) else "/"
