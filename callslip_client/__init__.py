"""A client for Callslip: hand in work, watch it, get its result.

from callslip_client import Callslip

with Callslip("http://127.0.0.1:8000", api_key) as callslip:
    ticket = callslip.submit("receipt.png")
    job = callslip.wait(ticket.job_id)
"""

from callslip_client.client import AsyncCallslip, Callslip
from callslip_client.errors import (
    CallslipError,
    Conflict,
    ConnectionFailed,
    FieldError,
    FileDamaged,
    Gone,
    Invalid,
    Misused,
    NotAuthentic,
    NotFound,
    NotInTime,
    NotUnderstood,
    Problem,
    Refused,
    TooLarge,
    Unavailable,
    UnsupportedMediaType,
)
from callslip_client.models import (
    FileRules,
    FileUploadInfo,
    Health,
    HealthPart,
    HistoryEvent,
    JobCreationResponse,
    JobError,
    JobInfo,
    JobStatus,
    Links,
    Progress,
    QueueInfo,
    Trouble,
    WorkflowInfo,
)

__all__ = [
    "AsyncCallslip",
    "Callslip",
    "CallslipError",
    "Conflict",
    "ConnectionFailed",
    "FieldError",
    "FileDamaged",
    "FileRules",
    "FileUploadInfo",
    "Gone",
    "Health",
    "HealthPart",
    "HistoryEvent",
    "Invalid",
    "JobCreationResponse",
    "JobError",
    "JobInfo",
    "JobStatus",
    "Links",
    "Misused",
    "NotAuthentic",
    "NotFound",
    "NotInTime",
    "NotUnderstood",
    "Problem",
    "Progress",
    "QueueInfo",
    "Refused",
    "TooLarge",
    "Trouble",
    "Unavailable",
    "UnsupportedMediaType",
    "WorkflowInfo",
]
