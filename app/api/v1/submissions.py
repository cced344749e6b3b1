"""A submission as parts, from a form or from JSON, and how many may come in at once."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta

from starlette.requests import Request

from app.api.body import Pace, open_body, read_body
from app.api.multipart import MAX_HEADERS, FormLimits, form_boundary, form_parts
from app.api.strict_json import decode_json
from app.core.metrics import UPLOADED
from app.domain.errors import FieldProblem, Invalid, Malformed, Overloaded, OverQuota, UnsupportedMediaType
from app.domain.models import FilePart, Json, ParamPart
from app.domain.quotas import Margin, Quota, Unit
from app.services import Services, UploadLimits
from app.services.task_service import Submitted

SOON = timedelta(seconds=2)
AROUND_A_FILE = 64 * 1024  # of a form may be boundaries and fields
MAX_JSON = 1024 * 1024
_DEFAULT_WORKFLOW = "n8n_notion"
_PRINTABLE = re.compile(r"[\x20-\x7e]{1,255}")


@dataclass(slots=True)
class UploadGate:
    """Counts the submissions that this process is receiving."""

    under_way: int = 0
    of_client: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def passing(self, limits: UploadLimits, client: str) -> Iterator[tuple[Margin, ...]]:
        """One submission, and how many more this client may begin. Raises Overloaded, OverQuota."""
        if self.under_way >= limits.max_concurrent:
            raise Overloaded("too many uploads at once", SOON)
        most, own = limits.max_of_client, self.of_client[client]
        quota = Quota(name="uploads", most=most, unit=Unit.AT_ONCE)
        if most and own >= most:
            words = f"{most} uploads at a time are the most for one client"
            raise OverQuota(words, SOON, [Margin(quota=quota, left=0, frees_in=SOON)])
        self.under_way += 1
        self.of_client[client] += 1
        try:
            yield (Margin(quota=quota, left=most - own - 1),) if most else ()
        finally:
            self.under_way -= 1
            self.of_client -= Counter([client])


def pace_of(upload: UploadLimits) -> Pace:
    """How slowly a body may come."""
    return Pace(min_rate=upload.min_rate, rate_window=upload.rate_window, idle_timeout=upload.idle_timeout)


def announced(request: Request) -> int:
    """How many bytes the file of this form must have at least, by what its head says."""
    length = request.headers.get("content-length", "")
    is_form = request.headers.get("content-type", "").lower().startswith("multipart/")
    return max(0, int(length[:20]) - AROUND_A_FILE) if is_form and length.isascii() and length.isdigit() else 0


def idempotency_key(request: Request) -> str | None:
    """The caller's key for this submission. Raises Malformed."""
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _PRINTABLE.fullmatch(keys[0]):
        raise Malformed("Idempotency-Key must be one text of 1 to 255 printable ASCII characters")
    return keys[0]


async def submission_parts(request: Request, services: Services) -> AsyncIterator[ParamPart | FilePart]:
    """The parts of the submission in this request, still to be read where it is a form.

    Raises Malformed, TooLarge, TooSlow, UnsupportedMediaType, Invalid.
    """
    content_type, upload = request.headers.get("content-type", ""), services.upload
    if content_type.partition(";")[0].strip().lower() == "application/json":
        body = await read_body(request, pace_of(upload), MAX_JSON)
        return _JsonParts(iter(_parts_of(decode_json(body), services)))
    boundary = form_boundary(content_type)
    around = upload.max_parts * (upload.max_field + MAX_HEADERS)
    limits = FormLimits(max_parts=upload.max_parts, max_field=upload.max_field)
    return form_parts(boundary, open_body(request, pace_of(upload), upload.max_size + around), limits)


async def submission_of(workflow: str, request: Request, services: Services) -> AsyncIterator[ParamPart | FilePart]:
    """The submission for this workflow whose parameters are the JSON object in this request.

    Raises Malformed, TooLarge, TooSlow, UnsupportedMediaType, Invalid.
    """
    if request.headers.get("content-type", "").partition(";")[0].strip().lower() != "application/json":
        raise UnsupportedMediaType("send application/json")
    body = await read_body(request, pace_of(services.upload), MAX_JSON)
    return _JsonParts(iter(_parts_of({"workflow": workflow, "params": decode_json(body)}, services)))


def count_upload(submitted: Submitted) -> None:
    """Counts the bytes of a submission that was kept."""
    if submitted.job.file and not (submitted.replayed or submitted.joined):
        UPLOADED.inc(submitted.job.file.size)


def _parts_of(value: Json, services: Services) -> list[ParamPart | FilePart]:
    if not isinstance(value, dict):
        raise Invalid("a submission is an object", [FieldProblem("", "must be an object with workflow and params")])
    name, params = value.get("workflow", _DEFAULT_WORKFLOW), value.get("params", {})
    problems = [FieldProblem(key, "is not known here") for key in value if key not in ("workflow", "params")]
    if not isinstance(name, str):
        problems.append(FieldProblem("workflow", "must be text"))
    if not isinstance(params, dict):
        problems.append(FieldProblem("params", "must be an object"))
    elif "workflow" in params:
        problems.append(FieldProblem("params.workflow", "stands beside params, not inside"))
    if problems or not isinstance(params, dict) or not isinstance(name, str):
        raise Invalid("the submission was refused", problems)
    workflow = services.workflows.get(name)
    if workflow and workflow.file:
        raise UnsupportedMediaType("this workflow wants a file; send multipart/form-data")
    return [ParamPart("workflow", name), *(ParamPart(key, item) for key, item in params.items())]


@dataclass(slots=True)
class _JsonParts:
    """Parts that are there already, in the shape of parts that stream in."""

    parts: Iterator[ParamPart | FilePart]

    def __aiter__(self) -> _JsonParts:
        return self

    async def __anext__(self) -> ParamPart | FilePart:
        part = next(self.parts, None)
        if part is None:
            raise StopAsyncIteration
        return part
