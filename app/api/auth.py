"""Who calls: an API key, a link's token, or a workflow with its callback token or signature. Decided before a body is
read."""

from __future__ import annotations

import hmac
from typing import Annotated, NoReturn
from uuid import UUID

from fastapi import Depends, Request, Security
from fastapi.security import APIKeyQuery, HTTPAuthorizationCredentials, HTTPBearer

from app.domain.errors import JobNotFound, NotAuthentic
from app.domain.models import JobId
from app.domain.signing import Scope
from app.services import Services

_api_key = HTTPBearer(scheme_name="apiKey", description="An API key.", auto_error=False)
_callback_token = HTTPBearer(
    scheme_name="callbackToken", description="The job's own callback token, from its delivery.", auto_error=False
)
_link_token = APIKeyQuery(
    name="token", scheme_name="linkToken", description="The token of a signed link.", auto_error=False
)

ApiKey = Annotated[HTTPAuthorizationCredentials | None, Security(_api_key)]
CallbackToken = Annotated[HTTPAuthorizationCredentials | None, Security(_callback_token)]
LinkToken = Annotated[str | None, Security(_link_token)]

WRONG_KEY = "this needs a valid API key: Authorization: Bearer <key>"
WRONG_LINK = "this needs a valid API key, or a link that has not expired"
WRONG_CALLBACK = "this needs the job's callback token, or a valid Standard Webhooks signature"


async def services_of(request: Request) -> Services:  # async, or each request would change threads for it
    """What the application was started with."""
    services: Services = request.app.state.services
    return services


Ours = Annotated[Services, Depends(services_of)]


def client_of(services: Services, key: str) -> str | None:
    """The name of the client whose key this is. Compares with all of them, whichever fits."""
    given = key.encode()
    known = [(name, key) for name, keys in services.api_keys.items() for key in keys]
    found = [name for name, key in known if hmac.compare_digest(key.encode(), given)]
    return found[0] if found else None


def client_of_request(services: Services, request: Request) -> str | None:
    """The name of the client whose key this request carries in the usual way."""
    key = bearer(request)
    return client_of(services, key) if key else None


async def refused() -> NoReturn:
    """The answer to a key that nobody has. Raises NotAuthentic."""
    raise NotAuthentic(WRONG_KEY)


def bearer(request: Request) -> str | None:
    """The token that this request carries as most do; one that is written otherwise is FastAPI's to read."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    return token if scheme == "Bearer" and token == token.strip() else None


async def client(services: Ours, credentials: ApiKey) -> str:
    """The client's name. Raises NotAuthentic."""
    name = client_of(services, credentials.credentials) if credentials else None
    return name or await refused()


Client = Annotated[str, Depends(client)]


def job_id_of(text: str) -> JobId:
    """The id in a path. Raises JobNotFound where no job can have it."""
    try:
        job_id = UUID(text)
    except ValueError:
        job_id = None
    if job_id is None or str(job_id) != text.lower():
        raise JobNotFound("there is no job with this id")
    return JobId(job_id)


async def known_job_id(job_id: str) -> JobId:
    """The id in this request's path, after authentication."""
    return job_id_of(job_id)


JobIdInPath = Annotated[JobId, Depends(known_job_id)]


class Reader:
    """Lets in who has an API key, or a link's token for this job and scope."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def __call__(self, request: Request, services: Ours, credentials: ApiKey, token: LinkToken) -> bool:
        """Whether it is a key. Raises NotAuthentic."""
        if credentials and client_of(services, credentials.credentials):
            return True
        try:
            job_id = job_id_of(request.path_params["job_id"])
        except JobNotFound:
            raise NotAuthentic(WRONG_LINK) from None
        if not token or not services.capabilities.opens(token, self._scope, job_id, services.clock()):
            raise NotAuthentic(WRONG_LINK)
        return False
