"""Texts of workflows.toml to test with, and how they are loaded."""

from __future__ import annotations

from pathlib import Path

from app.domain.lifecycle import Periods
from app.domain.workflow import Workflow
from app.infrastructure.webhook_target import WebhookTarget
from app.infrastructure.workflow_config import N8nValues, load_workflows

TOKEN, SECRET, OLD = (
    "token-0123456789-abcdefghijklmnop",
    "secret-0123456789-abcdefghijklmnop",
    "older-0123456789-abcdefghijk",
)
KEY = "api-key-0123456789-abcdefghijkl"
ENV = {
    "TOKEN": TOKEN,
    "SECRET": SECRET,
    "BOTH": f"{SECRET},{OLD}",
    "KEY": KEY,
    "HOST": "n8n.example:5678",
    "SHORT": "abc",
}
N8N = N8nValues(url="http://n8n:5678/webhook/notion", token=TOKEN, secrets=(SECRET,))
NONE = N8nValues(url=None)
MEBIBYTE = 1024 * 1024
WHOLE = """
[workflow.invoices]
title = "Read an invoice"
url = "https://${HOST}/webhook/invoices"
token = "${TOKEN}"
secret = "${BOTH}"
auth = "jwt"
delivery = "link"
multipart_limit = "5 MB"
api_url = "https://${HOST}"
api_key = "${KEY}"
media_types = [
    "application/pdf",
    "image/*",
]
max_size = "1 MiB"
in_flight = 3
timeout = "10s"
callback_timeout = "5m"
callback_deadline = 3600

[workflow.invoices.parameters.cost_centre]
required = true
pattern = "^[0-9]{4}$"

[workflow.invoices.parameters.copies]
type = "integer"
minimum = 1
maximum = 9
default = 1

[workflow.invoices.parameters]
share = { type = "number", minimum = 0, maximum = 1 }
urgent = { type = "boolean", title = "Urgent?" }
size_class = { enum = ["S", "L"], description = "of paper" }
note = { max_length = 5 }
"""
SMALLEST = """
[workflow.question]
url = "http://n8n/webhook/q"
token = "${TOKEN}"
secret = "${SECRET}"
"""


def load(
    tmp_path: Path, text: str | None, n8n: N8nValues = NONE, limit: int = 10 * MEBIBYTE
) -> dict[str, tuple[Workflow, WebhookTarget]]:
    path = None
    if text is not None:
        path = tmp_path / "workflows.toml"
        path.write_text(text)
    return load_workflows(path, n8n, ENV, Periods(), limit)
