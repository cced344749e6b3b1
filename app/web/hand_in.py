"""`/`: handing in, with or without a script in the browser."""

from __future__ import annotations

import re
import secrets
from collections.abc import AsyncIterator, Awaitable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Annotated, Protocol, TypeAlias

from fastapi import APIRouter, Depends, HTTPException, Query, Request
from starlette.responses import JSONResponse, RedirectResponse, Response

from app.core.metrics import UPLOADED
from app.domain.models import FilePart, Json, ParamPart
from app.domain.workflow import Workflow
from app.services import Services, UploadLimits
from app.services.intake import DEFAULT_WORKFLOW
from app.services.task_service import Submitted
from app.web.failures import Refusal, for_people, show_again
from app.web.form_fields import form_fields, list_fields
from app.web.gate import FOREIGN, Operator, Ours, genuine, same_site
from app.web.job_view import page_path
from app.web.rendering import page
from app.web.sessions import Session

router = APIRouter(include_in_schema=False)

Part: TypeAlias = ParamPart | FilePart
# No parameter of a workflow begins with an underscore.
_CSRF, _ONCE = "_csrf", "_once"
_SANE_ONCE = re.compile(r"[A-Za-z0-9_-]{16,64}")


class ReadParts(Protocol):
    """Reads a form as it streams in; given by whoever composes pages and API."""

    def __call__(self, request: Request, services: Services, /) -> Awaitable[AsyncIterator[Part]]:
        """The parts in the order they arrive, still to be read. Raises Malformed, UnsupportedMediaType, TooLarge."""
        ...


class UploadGate(Protocol):
    """Bounds how many submissions one process receives at a time, whichever way they come."""

    def passing(self, limits: UploadLimits, client: str) -> AbstractContextManager[object]:
        """One submission. Raises Overloaded when `most` are under way."""
        ...


@dataclass(slots=True)
class Filled:
    """A form's fields as they pass by, so that it can be shown again; the form's own two come first and end here.

    A list comes as one field with a line for each entry, or as several: no two parts of a form may have one name, so
    these are numbered, as in `colours:2`.
    """

    parts: AsyncIterator[Part]
    workflows: Mapping[str, Workflow]
    values: dict[str, str] = field(default_factory=dict)

    async def opened(self, session: Session) -> str:
        """The key that makes sending the same form twice one job. Raises HTTPException 403."""
        genuine(session, await self._own(_CSRF))
        once = await self._own(_ONCE)
        if not _SANE_ONCE.fullmatch(once):
            raise HTTPException(403, FOREIGN)
        return f"page-{once}"

    async def _own(self, name: str) -> str:
        part = await anext(self.parts, None)
        if not isinstance(part, ParamPart) or part.name != name:
            raise HTTPException(403, FOREIGN)
        return str(part.value)

    async def __aiter__(self) -> AsyncIterator[Part]:
        name, entries = "", list[Json]()
        async for part in self.parts:
            mine = part.name.partition(":")[0] if isinstance(part, ParamPart) else ""
            if name and mine != name:
                yield ParamPart(name, entries)
                name, entries = "", []
            if isinstance(part, FilePart):
                yield part
            elif mine in self._lists():
                name = mine
                entries += [line.strip() for line in str(part.value).splitlines() if line.strip()]
                self.values[name] = "\n".join(map(str, entries))
            else:
                self.values[part.name] = str(part.value)
                yield part
        if name:
            yield ParamPart(name, entries)

    def _lists(self) -> frozenset[str]:
        workflow = self.workflows.get(self.values.get("workflow", ""))  # whose field comes before all of these
        return list_fields(workflow) if workflow else frozenset()


@router.get("/")
async def form(
    request: Request, services: Ours, session: Operator, workflow: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The form of one workflow."""
    return _form(request, services, session, {"workflow": workflow})


@router.post("/hand-in", dependencies=[Depends(same_site)])
async def hand_in(request: Request, services: Ours, session: Operator) -> Response:
    """Takes what is handed in, and leads to its ticket."""
    gate: UploadGate = request.app.state.uploads
    read_parts: ReadParts = request.app.state.read_parts
    with gate.passing(services.upload, session.client):
        filled = Filled(await read_parts(request, services), services.workflows)
        once = await filled.opened(session)
        show_again(request, lambda refusal: _form(request, services, session, filled.values, refusal))
        submitted = await services.tasks.submit(session.client, aiter(filled), once)
    _count(submitted)
    address = page_path(services, submitted.job)
    if for_people(request):
        return RedirectResponse(address, 303)
    return JSONResponse({"location": address}, 202, {"Location": address})


def _count(submitted: Submitted) -> None:
    if submitted.job.file and not (submitted.replayed or submitted.joined):
        UPLOADED.inc(submitted.job.file.size)


def _form(
    request: Request, services: Services, session: Session, values: dict[str, str], refusal: Refusal | None = None
) -> Response:
    chosen = _chosen(services, values.get("workflow", ""))
    fields = form_fields(chosen) if chosen else []
    named = {"file", "workflow", *(each.name for each in fields)}
    elsewhere = [each for each in refusal.fields if each.field not in named] if refusal else []
    return page(
        request,
        "hand_in.html",
        refusal.status if refusal else 200,
        visitor=session,
        workflows=sorted(services.workflows.values(), key=lambda each: (each.name != DEFAULT_WORKFLOW, each.title)),
        chosen=chosen,
        fields=fields,
        values=values,
        refusal=refusal,
        elsewhere=elsewhere,
        once=secrets.token_urlsafe(16),
        accept=_accept(chosen),
        most=min(chosen.file.max_size, services.upload.max_size) if chosen and chosen.file else 0,
    )


def _chosen(services: Services, name: str) -> Workflow | None:
    known = services.workflows
    return known.get(name) or known.get(DEFAULT_WORKFLOW) or next(iter(known.values()), None)


def _accept(chosen: Workflow | None) -> tuple[str, ...]:
    """The media types to choose from; none where any will do."""
    wanted = chosen.file.media_types if chosen and chosen.file else ()
    return () if "*/*" in wanted else wanted
