"""One real n8n with both workflows published. That takes minutes: these tests run only where they are asked for by name."""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.n8n.fake_notion import FakeNotion
from tests.n8n.install import installed
from tests.n8n.lab import N8n

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
TO_NOTION, SIGNED = "callslip-to-notion", "callslip-signed"


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "n8n: runs a real n8n; installs it where it is missing")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """What needs n8n, unless this folder or something in it was named on the command line."""
    if collection_path.name == "test_files.py":
        return None
    named = [Path(argument.partition("::")[0]).absolute() for argument in config.args]
    return None if any(path == HERE or HERE in path.parents for path in named) else True


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """The far side: n8n, the Notion behind it, and the token that opens both webhooks."""

    n8n: N8n
    notion: FakeNotion
    token: str

    def webhook(self, path: str) -> str:
        return f"{self.n8n.url}/webhook/{path}"

    def go_live(self) -> None:
        for path in (TO_NOTION, SIGNED):
            self.n8n.wait_for_webhook(path)


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    notion = FakeNotion(token=f"ntn_{secrets.token_hex(8)}")
    n8n = N8n(installed(), tmp_path_factory.mktemp("n8n"))
    far_side = Lab(n8n=n8n, notion=notion, token=secrets.token_urlsafe(32))
    notion.start()
    try:
        workflows = [_workflow(path, notion.url) for path in (TO_NOTION, SIGNED)]
        n8n.fill(_credentials(far_side.token, notion.token), workflows)
        n8n.start()
        n8n.publish([workflow["id"] for workflow in workflows])
        far_side.go_live()
        yield far_side
    finally:
        n8n.stop()
        notion.stop()


def _workflow(name: str, notion_url: str) -> dict[str, Any]:
    """The shipped file as it is, but for the address of Notion."""
    text = (ROOT / "n8n" / f"{name}.json").read_text()
    workflow: dict[str, Any] = json.loads(text.replace("https://api.notion.com", notion_url))
    return workflow


def _credentials(token: str, notion_token: str) -> list[dict[str, Any]]:
    """What a person makes by hand in n8n, under the ids that the shipped files name."""
    header = {"name": "Authorization", "value": f"Bearer {token}"}
    jwt = {"keyType": "passphrase", "secret": token, "algorithm": "HS256"}
    return [
        {"id": "callslipDelivery", "name": "Callslip delivery", "type": "httpHeaderAuth", "data": header},
        {"id": "callslipNotion", "name": "Notion", "type": "notionApi", "data": {"apiKey": notion_token}},
        {"id": "callslipJwt", "name": "Callslip JWT", "type": "jwtAuth", "data": jwt},
    ]
