"""The shipped workflows as files: what an import must find in them, and must not. Needs no n8n."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

FILES = sorted((Path(__file__).parents[2] / "n8n").glob("*.json"))
STOCK = {"webhook", "set", "dataTable", "switch", "if", "httpRequest", "wait", "stopAndError", "crypto", "stickyNote"}


@pytest.fixture(params=FILES, ids=lambda path: path.stem)
def workflow(request: pytest.FixtureRequest) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(request.param.read_text())
    return found


def test_it_is_of_stock_nodes_without_code(workflow: dict[str, Any]) -> None:
    kinds = {node["type"] for node in workflow["nodes"]}
    assert kinds <= {f"n8n-nodes-base.{name}" for name in STOCK}


def test_it_can_be_imported_from_the_command_line(workflow: dict[str, Any]) -> None:
    assert workflow["id"]
    assert workflow["active"] is False
    ids = [node["id"] for node in workflow["nodes"]]
    assert len(set(ids)) == len(ids)


def test_it_names_credentials_and_holds_none(workflow: dict[str, Any]) -> None:
    named = [each for node in workflow["nodes"] for each in node.get("credentials", {}).values()]
    assert named
    assert all(each.keys() == {"id", "name"} for each in named)
    bearers = re.findall(r"Bearer ([^\"`]*)", json.dumps([n["parameters"] for n in _working(workflow)]))
    assert all(value.startswith("{{") for value in bearers)


def test_every_wire_and_every_expression_leads_to_a_node(workflow: dict[str, Any]) -> None:
    names = {node["name"] for node in workflow["nodes"]}
    wires = workflow["connections"]
    ends = {end["node"] for one in wires.values() for output in one["main"] for end in output}
    mentioned = set(re.findall(r"\$\('([^']+)'\)", json.dumps(workflow)))
    assert wires.keys() | ends | mentioned <= names
    assert {node["name"] for node in _working(workflow)} - ends == {"Webhook"}


def test_both_outcomes_are_reported_with_patience(workflow: dict[str, Any]) -> None:
    reports = {node["name"]: node for node in workflow["nodes"] if node["name"] in ("Report success", "Report failure")}
    assert len(reports) == 2
    for node in reports.values():
        assert (node["retryOnFail"], node["maxTries"], node["waitBetweenTries"]) == (True, 5, 5000)
        assert "callback_url" in node["parameters"]["url"]


def test_notes_cover_no_node_by_half(workflow: dict[str, Any]) -> None:
    for note in workflow["nodes"]:
        if note["type"].endswith("stickyNote"):
            left, top = note["position"]
            right, bottom = left + note["parameters"]["width"], top + note["parameters"]["height"]
            for node in _working(workflow):
                x, y = node["position"]
                inside = left <= x and x + 100 <= right and top <= y and y + 100 <= bottom
                outside = x + 100 <= left or x >= right or y + 100 <= top or y >= bottom
                assert inside or outside, (note["name"], node["name"])


def _working(workflow: dict[str, Any]) -> list[dict[str, Any]]:
    return [node for node in workflow["nodes"] if not node["type"].endswith("stickyNote")]
