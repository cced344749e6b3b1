"""What the suites of the tools share: a far side, and an outside with little patience."""

from datetime import timedelta

import pytest

from app.infrastructure.http_client import build_client
from app.infrastructure.outside import Manners, Outside
from tests.far_side import far_side

QUICK = Manners(
    patience=timedelta(seconds=0.3),
    tries=2,
    pause=timedelta(milliseconds=5),
    threshold=4,
    cool_down=timedelta(seconds=0.4),
)


@pytest.fixture
async def far():
    async with far_side() as far:
        yield far


@pytest.fixture
async def client():
    async with build_client(verify=True, ca_file=None, connections=20) as client:
        yield client


@pytest.fixture
def outside(client):
    return Outside(client, QUICK)
