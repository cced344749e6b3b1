"""What is left of a client's quotas, as the RateLimit header fields say it (draft-ietf-httpapi-ratelimit-headers-11)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from app.domain.quotas import Margin, Quota, Unit


def rate_limit(margins: Sequence[Margin]) -> dict[str, str]:
    """The two header fields, or none where there is no quota."""
    if not margins:
        return {}
    return {
        "RateLimit-Policy": ", ".join(_policy(one.quota) for one in margins),
        "RateLimit": ", ".join(_limit(one) for one in margins),
    }


def _policy(quota: Quota) -> str:
    unit = "" if quota.unit is Unit.REQUESTS else f';qu="{quota.unit}"'
    window = f";w={_seconds(quota.window)}" if quota.window else ""
    return f'"{quota.name}";q={quota.most}{unit}{window}'


def _limit(margin: Margin) -> str:
    reset = f";t={_seconds(margin.frees_in)}" if margin.frees_in is not None else ""
    return f'"{margin.quota.name}";r={margin.left}{reset}'


def _seconds(time: timedelta) -> int:
    return max(1, math.ceil(time.total_seconds()))
