"""The cursor of a page of jobs: the id of its last one, in letters that an address can carry."""

from __future__ import annotations

import base64
import binascii
from uuid import UUID

from app.domain.errors import FieldProblem, Invalid
from app.domain.models import JobId


def cursor_of(job_id: JobId) -> str:
    """The cursor of the jobs that are older than this one."""
    return base64.urlsafe_b64encode(job_id.bytes).rstrip(b"=").decode()


def read_cursor(cursor: str) -> JobId:
    """The job that a cursor stands for. Raises Invalid for one that is not ours."""
    try:
        job_id = JobId(UUID(bytes=base64.b64decode(cursor + "==", altchars=b"-_", validate=True)))
        if cursor_of(job_id) == cursor:  # there are several spellings of the same bytes
            return job_id
    except (ValueError, binascii.Error):
        pass
    problem = FieldProblem("cursor", "is not one that an earlier page gave")
    raise Invalid("the cursor is not one of ours", [problem]) from None
