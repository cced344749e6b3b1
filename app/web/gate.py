"""Who is looking at a page, and whether a form was sent by one of our own pages."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import parse_qs, urlsplit
from uuid import UUID

from fastapi import Depends, HTTPException, Request
from starlette.responses import Response

from app.domain.errors import JobNotFound, Malformed, NotAuthentic, TooLarge, TooSlow
from app.domain.models import JobId
from app.domain.signing import Scope
from app.services import Services
from app.web.sessions import SESSION_TTL, Session, Sessions, same

MAX_FORM = 64 * 1024
FORM_PATIENCE = 10.0
WRONG_LINK = "This link is not valid, or it has expired."
FOREIGN = "This form did not come from one of our own pages. Open the page again and repeat what you did."


class LoginNeeded(NotAuthentic):
    """The page is for people who showed an API key."""


async def services_of(request: Request) -> Services:
    """What the application was started with."""
    services: Services = request.app.state.services
    return services


Ours = Annotated[Services, Depends(services_of)]


def sessions_of(services: Services) -> Sessions:
    """The log-ins of this service."""
    return Sessions(keys=services.capabilities.keys, api_keys=services.api_keys)


def is_https(services: Services) -> bool:
    """Whether browsers reach us by TLS."""
    return str(services.public_url).startswith("https:")


def cookie_name(services: Services) -> str:
    """The `__Host-` prefix makes browsers refuse a cookie that another host of our domain set."""
    return "__Host-callslip" if is_https(services) else "callslip"


async def visitor(request: Request, services: Ours) -> Session | None:
    """Who is logged in, if anybody is."""
    cookie = request.cookies.get(cookie_name(services), "")
    return sessions_of(services).read(cookie, services.clock()) if cookie else None


async def logged_in(request: Request, services: Services) -> bool:
    """Whether somebody is: for what stands beside the pages and is for operators too."""
    return await visitor(request, services) is not None


Visitor = Annotated[Session | None, Depends(visitor)]


async def operator(visitor: Visitor) -> Session:
    """Who is logged in. Raises LoginNeeded."""
    if visitor is None:
        raise LoginNeeded("Log in with an API key first.")
    return visitor


Operator = Annotated[Session, Depends(operator)]


def remember(response: Response, services: Services, client: str, api_key: str) -> None:
    """Begins a session in this response."""
    value = sessions_of(services).begin(client, api_key, services.clock())
    response.set_cookie(
        cookie_name(services),
        value,
        max_age=int(SESSION_TTL.total_seconds()),
        secure=is_https(services),
        httponly=True,
        samesite="strict",
    )


def forget(response: Response, services: Services) -> None:
    """Ends the session in this browser."""
    response.delete_cookie(cookie_name(services), secure=is_https(services), httponly=True, samesite="strict")


def job_id_of(text: str) -> JobId:
    """The id in a path. Raises JobNotFound where no job can have it."""
    try:
        job_id = UUID(text)
    except ValueError:
        job_id = None
    if job_id is None or str(job_id) != text.lower():
        raise JobNotFound("There is no job with this id.")
    return JobId(job_id)


def admit(services: Services, visitor: Session | None, token: str, job_id: str) -> JobId:
    """The id of a job that this visitor, or whoever holds this link, may look at. Raises LoginNeeded, NotAuthentic."""
    if visitor is not None:
        return job_id_of(job_id)
    if not token:
        raise LoginNeeded("Open the link of this job, or log in.")
    try:
        wanted = job_id_of(job_id)
    except JobNotFound:
        raise NotAuthentic(WRONG_LINK) from None
    if not services.capabilities.opens(token, Scope.PAGE, wanted, services.clock()):
        raise NotAuthentic(WRONG_LINK)
    return wanted


async def same_site(request: Request, services: Ours) -> None:
    """Refuses a form that another site made this browser send. Raises HTTPException 403."""
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        allowed = site in ("same-origin", "none")
    else:
        hosts = {request.headers.get("host", ""), urlsplit(str(services.public_url)).netloc}
        allowed = origin is None or urlsplit(origin).netloc in hosts
    if not allowed:
        raise HTTPException(403, FOREIGN)


def genuine(session: Session, given: str) -> None:
    """Refuses a form without this session's own token. Raises HTTPException 403."""
    if not same(given, session.csrf):
        raise HTTPException(403, FOREIGN)


async def small_form(request: Request) -> Mapping[str, list[str]]:
    """The fields of a form without a file. Raises Malformed, TooLarge, TooSlow."""
    body = bytearray()
    try:
        async with asyncio.timeout(FORM_PATIENCE):
            async for piece in request.stream():
                body += piece
                if len(body) > MAX_FORM:
                    raise TooLarge("The form is too large.")
    except TimeoutError as error:
        raise TooSlow("The form stopped coming.") from error
    try:
        return parse_qs(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=1000)
    except ValueError as error:
        raise Malformed("The form cannot be read.") from error


async def operators_form(request: Request, session: Operator) -> Mapping[str, list[str]]:
    """The fields of a form of this session. Raises HTTPException 403 where it is not one of ours."""
    form = await small_form(request)
    genuine(session, form.get("csrf", [""])[0])
    return form


OperatorsForm = Annotated[Mapping[str, list[str]], Depends(operators_form)]
