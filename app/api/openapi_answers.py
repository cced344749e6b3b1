"""Every answer of every operation, for the API's description: which refusals there are, why, and how they look."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

JOBS = "/api/v1/jobs"
JOB = JOBS + "/{job_id}"
PROFILE = "/api/v1/profiles/{username}"
SCHEDULES = "/api/v1/schedules"
RESEARCH = "/research"
REPORTS = "/api/v1/reports"
_ID, _AT = "0199aaaa-0000-7000-8000-000000000000", "2026-11-27T12:00:00.000000Z"
RETRY_AFTER = {"description": "After how many seconds to try again.", "schema": {"type": "integer", "minimum": 1}}
_CHALLENGE = {"description": "`Bearer`.", "schema": {"type": "string"}}

# Why, wherever it is answered. What is told for one operation alone stands below.
REASONS: Mapping[int, str] = {
    400: "The request cannot be read.",
    401: "No valid key, link or callback token. Decided before a body is read.",
    404: "There is no such job or schedule.",
    408: "The client sends too slowly.",
    409: "The job's state does not allow it.",
    410: "The job's file is no longer kept.",
    413: "Larger than the limit. Answered at the limit; the connection is then closed.",
    415: "The content is of a type that is not taken here.",
    416: "The range begins behind the end of the file.",
    422: "Parameters were refused; each is named in `errors`.",
    429: "Too many unfinished jobs of this client. Nothing was kept.",
    503: "Not at the moment: overload, or the database does not answer. The same request may succeed later.",
    507: "The disk is full. Nothing was kept or changed.",
}
_DETAILS: Mapping[int, str] = {
    400: "the form was cut short",
    401: "this needs a valid API key: Authorization: Bearer <key>",
    404: "there is no job with this id",
    408: "the body stopped coming",
    409: "the job has ended already",
    410: "the file was removed; the record stays",
    413: "the file is larger than 50 MB",
    415: "the workflow does not take application/zip",
    416: "the file has 102400 bytes",
    422: "parameters of the request were refused",
    429: "1000 unfinished jobs are the most for one client",
    503: "the database does not answer",
    507: "there is no room left for the file",
}
# Beside what follows from an operation's shape: a key, a job in its path, the database.
REFUSALS: Mapping[tuple[str, str], tuple[int, ...]] = {
    ("post", JOBS): (400, 408, 413, 415, 422, 429),
    ("get", JOBS): (422,),
    ("get", JOB): (422,),
    ("post", JOB + "/cancel"): (409,),
    ("post", JOB + "/retry"): (409, 410, 429),
    ("get", JOB + "/file"): (410, 416),
    ("get", JOB + "/events"): (422,),
    ("get", PROFILE): (404, 422, 429, 507),
    ("post", JOB + "/callback"): (400, 408, 413, 415, 422),
    ("post", SCHEDULES): (400, 408, 413, 422),
    ("post", RESEARCH): (400, 408, 413, 422, 429),
    ("get", RESEARCH): (422,),
    ("post", REPORTS): (400, 408, 413, 415, 422, 429),
    ("get", REPORTS + "/{job_id}/download"): (422,),
}
IDS = ("{job_id}", "{schedule_id}", "{research_id}")
_WITHOUT_404 = frozenset({JOB + "/callback"})  # existence is not told
_WITHOUT_503 = frozenset({"/api/v1/workflows", "/api/v1/receipt-key"})

_FILE = {"filename": "receipt.png", "size": 102400, "sha256": "ab" * 32, "media_type": "image/png"}
_LINKS = {
    "self": f"{JOBS}/{_ID}",
    "events": f"{JOBS}/{_ID}/events",
    "history": f"{JOBS}/{_ID}/history",
    "file": f"{JOBS}/{_ID}/file?token=…",
    "page": f"/jobs/{_ID}?token=…",
}
_CREATED = {
    "job_id": _ID,
    "status": "queued",
    "workflow": "n8n_notion",
    "created_at": _AT,
    "file": _FILE,
    "links": _LINKS,
}
_JOB = {
    "job_id": _ID, "workflow": "n8n_notion", "status": "waiting", "overdue": False, "version": 4, "attempt": 1,
    "progress": {"fraction": 0.4, "step": 2, "steps": 5, "message": "Creating the page"}, "file": _FILE,
    "params": {"notion_database_id": "db-1"}, "created_at": _AT, "started_at": _AT, "delivered_at": _AT,
    "completed_at": None, "due_at": "2026-11-27T12:15:00.000000Z", "result_message": None, "notion_page_url": None,
    "result": None, "error": None, "trouble": None, "execution_id": "231", "retry_of": None,
    "estimate": {"low_seconds": 110.0, "high_seconds": 240.0, "runs": 31}, "links": _LINKS,
}  # fmt: skip
_LINE = {
    "version": 1, "at": _AT, "type": "Accepted", "before": None, "after": "queued", "detail": {"client": "me"},
    "facts": {"attempt": 0}, "commitment": "cd" * 32, "hash": "ef" * 32, "prev_hash": "01" * 32,
}  # fmt: skip
EXAMPLES: Mapping[str, object] = {
    "JobCreationResponse": _CREATED,
    "JobInfo": _JOB,
    "JobList": {"jobs": [_JOB], "next": None},
    "History": {"events": [_LINE]},
    "CallbackAnswer": {"applied": True, "job": _JOB},
    "JobCallbackPayload": {
        "status": "processing",
        "progress": 0.4,
        "step": 2,
        "steps": 5,
        "message": "Creating the page",
    },
}
_HEADER = {"in": "header", "required": False, "schema": {"type": "string"}}
ETAG_HEADERS: list[dict[str, Any]] = [
    _HEADER | {"name": "If-None-Match", "description": "The `ETag` of what is known already: 304 while it is the same."}
]
HEADERS: Mapping[tuple[str, str], list[dict[str, Any]]] = {
    ("get", PROFILE): ETAG_HEADERS,
    ("get", JOB): ETAG_HEADERS,
    ("get", JOB + "/file"): [*ETAG_HEADERS, _HEADER | {"name": "Range", "description": "A part: `bytes=0-1023`."}],
    ("get", JOB + "/events"): [
        _HEADER | {"name": "Last-Event-ID", "description": "Goes on behind this event, without gap or repeat."}
    ],
}


def complete(description: dict[str, Any]) -> None:
    """Adds to each operation the refusals it can answer with, and examples to the schemas."""
    schemas = description["components"]["schemas"]
    for name, example in EXAMPLES.items():
        if name in schemas:
            schemas[name]["examples"] = [example]
    for path, item in description["paths"].items():
        for method, operation in item.items():
            responses = operation["responses"]
            for status in refusals(method, path, operation):
                responses[str(status)] = refusal(status, path)
            for name in [name for name in responses if name != "default"]:
                _with_request_id(responses[name])
            operation.setdefault("parameters", []).extend(HEADERS.get((method, path), ()))
    signature = {
        "type": "apiKey",
        "in": "header",
        "name": "webhook-signature",
        "description": "Standard Webhooks: `webhook-id`, `webhook-timestamp` and `webhook-signature`, by CALLBACK_SECRET.",
    }
    description["components"]["securitySchemes"]["webhookSignature"] = signature
    description["paths"][JOB + "/callback"]["post"]["security"].append({"webhookSignature": []})


def refusals(method: str, path: str, operation: Mapping[str, Any]) -> Iterator[int]:
    """The statuses that this operation may refuse with."""
    if not path.startswith(("/api/", RESEARCH)):
        return
    found = set(REFUSALS.get((method, path), ()))
    if operation.get("security"):
        found.add(401)
    if any(name in path for name in IDS) and path not in _WITHOUT_404:
        found.add(404)
    if path not in _WITHOUT_503:
        found.add(503)
    if method != "get":
        found.add(507)  # the database's disk may be full, whatever is to be written
    yield from sorted(found)


def refusal(status: int, path: str) -> dict[str, Any]:
    """One refusal with its example."""
    slug = HTTPStatus(status).phrase.lower().replace(" ", "-")
    example: dict[str, Any] = {
        "type": f"/problems/{slug}",
        "title": slug.replace("-", " ").capitalize(),
        "status": status,
        "detail": _DETAILS[status],
        "instance": re.sub("|".join(map(re.escape, IDS)), _ID, path),
    }
    if status == HTTPStatus.UNPROCESSABLE_ENTITY:
        example["errors"] = [{"field": "notion_database_id", "message": "must be text"}]
    answer: dict[str, Any] = {
        "description": REASONS[status],
        "content": {
            "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}, "example": example}
        },
    }
    if status in (429, 503, 507):
        answer["headers"] = {"Retry-After": RETRY_AFTER}
    if status == HTTPStatus.UNAUTHORIZED:
        answer["headers"] = {"WWW-Authenticate": _CHALLENGE}
    return answer


def _with_request_id(answer: dict[str, Any]) -> None:
    told = {"description": "The caller's, if it sent a sane one.", "schema": {"type": "string"}}
    answer.setdefault("headers", {})["X-Request-ID"] = told
