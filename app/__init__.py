"""Callslip: a durable front door for slow workflows."""

import sys

# httpx's command line draws with rich and pygments: four megabytes in each process that only wants the client. Where
# this module cannot be had, httpx does without.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]  # None is how an import is refused
