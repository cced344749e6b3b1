"""Everything that can go wrong, as one tree.

CallslipError
├── Misused                      the client was given something that it cannot send
├── ConnectionFailed             nobody answered, or the connection broke and patience ran out
├── NotInTime                    `wait` gave up; the job goes on, and stands in `job`
├── NotUnderstood                what answered does not speak Callslip
│   └── FileDamaged              the bytes that came are not the ones that were handed in
└── Problem                      the service said no (RFC 9457): status, title, detail, errors
    ├── Refused                  the request must change
    │   ├── NotAuthentic         401, 403
    │   ├── NotFound             404
    │   │   └── Gone             410: it was there once
    │   ├── Conflict             409
    │   ├── TooLarge             413
    │   ├── UnsupportedMediaType 415
    │   └── Invalid              422, every refused field in `errors`
    └── Unavailable              429 and 5xx: the same call may succeed after `retry_after` seconds

`str(error)` is one sentence for people and never holds the key.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from callslip_client.models import JobInfo


class CallslipError(Exception):
    """Root of the tree."""


class Misused(CallslipError):
    """The client was given something that it cannot send."""


class ConnectionFailed(CallslipError):
    """Nobody answered, or the connection broke and patience ran out. `may_have_arrived`: what was asked may have been
    done all the same."""

    def __init__(self, message: str, *, may_have_arrived: bool = False) -> None:
        super().__init__(message)
        self.may_have_arrived = may_have_arrived


class NotInTime(CallslipError):
    """The job had not ended when the time given to `wait` was over. It goes on; `job` is how it stood."""

    def __init__(self, message: str, job: JobInfo) -> None:
        super().__init__(message)
        self.job = job


class NotUnderstood(CallslipError):
    """What answered does not speak Callslip."""


class FileDamaged(NotUnderstood):
    """The bytes that came do not have the digest of the file that was handed in."""


@dataclass(frozen=True, slots=True)
class FieldError:
    """One refused field and why, in words."""

    field: str
    message: str


class Problem(CallslipError):
    """The service said no. `type` is stable and for programs, `detail` is for people."""

    def __init__(
        self,
        status: int,
        *,
        type: str = "",  # noqa: A002 - the member's name in RFC 9457
        title: str = "",
        detail: str = "",
        errors: Sequence[FieldError] = (),
        retry_after: float | None = None,
    ) -> None:
        self.status, self.type, self.title, self.detail = status, type, title, detail
        self.errors, self.retry_after = tuple(errors), retry_after
        fields = "; ".join(f"{error.field}: {error.message}" if error.field else error.message for error in self.errors)
        super().__init__(f"{detail or title or 'refused'} ({status}){': ' + fields if fields else ''}")


class Refused(Problem):
    """The request must change before it can succeed."""


class NotAuthentic(Refused):
    """The key is missing or not accepted."""


class NotFound(Refused):
    """There is no such thing."""


class Gone(NotFound):
    """The file was removed; the record stays."""


class Conflict(Refused):
    """The job is in a state in which this cannot be done."""


class TooLarge(Refused):
    """A limit on size was passed."""


class UnsupportedMediaType(Refused):
    """The workflow does not take content of this type."""


class Invalid(Refused):
    """Fields were refused; `errors` names each."""


class Unavailable(Problem):
    """Nothing was kept; the same call may succeed after `retry_after` seconds."""


BY_STATUS: dict[int, type[Problem]] = {
    401: NotAuthentic,
    403: NotAuthentic,
    404: NotFound,
    409: Conflict,
    410: Gone,
    413: TooLarge,
    415: UnsupportedMediaType,
    422: Invalid,
    429: Unavailable,
}


def problem_class(status: int) -> type[Problem]:
    """The branch for an HTTP status."""
    return BY_STATUS.get(status, Unavailable if status >= 500 else Refused)
