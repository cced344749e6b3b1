"""The figures that processes count: one object each, shared by whoever measures. `GET /metrics` shows them.

With PROMETHEUS_MULTIPROC_DIR set before the first import, all processes of one host count together.
"""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

from app.core import metric_files  # noqa: F401 - before the first figure is made

_QUICK = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_PATIENT = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0)

REQUEST_LATENCY = Histogram(
    "callslip_request_seconds",
    "From a request's first byte to the beginning of its answer.",
    ("method", "route", "status"),
    buckets=_QUICK,
)
REQUESTS_IN_FLIGHT = Gauge(
    "callslip_requests_in_flight", "Requests that are being answered.", multiprocess_mode="livesum"
)
UPLOADED = Counter("callslip_uploaded_bytes", "Bytes of files that were handed in and kept.")
COMMIT = Histogram("callslip_commit_seconds", "How long a durable commit took.", buckets=_QUICK)
ATTEMPTS = Counter("callslip_attempts", "Attempts to do a job, by what became of them.", ("workflow", "outcome"))
CALLBACK_AGE = Histogram(
    "callslip_callback_age_seconds",
    "From the delivery to a callback that was applied.",
    ("workflow",),
    buckets=_PATIENT,
)
JOBS_IN_FLIGHT = Gauge("callslip_jobs_in_flight", "Jobs that workers are busy with.", multiprocess_mode="livesum")
TOOL_CALLS = Counter("callslip_tool_calls", "Calls to what steps use of the outside, by outcome.", ("tool", "outcome"))
TOOL_LATENCY = Histogram(
    "callslip_tool_call_seconds",
    "How long one call to the outside took, tries and their pauses included.",
    ("tool",),
    buckets=_PATIENT,
)
TOOLS_CUT_OFF = Gauge(
    "callslip_tool_hosts_cut_off",
    "Hosts that are left alone for a while because they kept failing (open circuit breakers).",
    ("tool",),
    multiprocess_mode="livesum",
)
TOOLS_CUT_OFF_AT = Gauge(
    "callslip_tool_cut_off_time_seconds",
    "When a host was last cut off, in seconds since 1970.",
    ("tool",),
    multiprocess_mode="livemax",
)
