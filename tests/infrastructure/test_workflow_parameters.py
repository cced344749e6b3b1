"""The parameters of a configured workflow: what clients may send, and what they are told."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from app.domain.errors import Invalid
from app.domain.models import Json
from tests.infrastructure.workflow_files import SMALLEST, WHOLE, load


@pytest.mark.parametrize(
    ("given", "accepted"),
    [
        ({}, {}),
        ({"copies": "3", "share": "0.5", "urgent": "true"}, {"copies": 3, "share": 0.5, "urgent": True}),
        ({"copies": 3, "share": 1, "urgent": False}, {"copies": 3, "share": 1.0, "urgent": False}),
        ({"size_class": "L", "note": "a\nü😀"}, {"size_class": "L", "note": "a\nü😀"}),
        ({"share": "", "urgent": None, "note": ""}, {}),
    ],
)
def test_parameters_are_converted_and_completed(
    tmp_path: Path, given: Mapping[str, Json], accepted: Mapping[str, Json]
) -> None:
    workflow, _ = load(tmp_path, WHOLE)["invoices"]
    expected = {"cost_centre": "4711", "copies": 1} | dict(accepted)
    assert workflow.check({"cost_centre": "4711", **given}) == expected


@pytest.mark.parametrize(
    ("given", "fields"),
    [
        ({"cost_centre": None}, {"cost_centre"}),
        ({"cost_centre": ""}, {"cost_centre"}),
        ({"cost_centre": "47111"}, {"cost_centre"}),
        ({"cost_centre": 4711}, {"cost_centre"}),
        ({"copies": 0, "share": 1.5, "urgent": "perhaps", "size_class": "M", "note": "123456"}, None),
        ({"copies": "1.5"}, {"copies"}),
        ({"copies": True}, {"copies"}),
        ({"share": "nan"}, {"share"}),
        ({"share": "inf"}, {"share"}),
        ({"share": False}, {"share"}),
        ({"note": "a\x00b"}, {"note"}),
        ({"note": "\ud800"}, {"note"}),
        ({"note": ["a"]}, {"note"}),
        ({"unknown": "", "other": 1}, {"unknown", "other"}),
    ],
)
def test_every_refused_parameter_is_named(tmp_path: Path, given: Mapping[str, Json], fields: set[str] | None) -> None:
    workflow, _ = load(tmp_path, WHOLE)["invoices"]
    with pytest.raises(Invalid) as caught:
        workflow.check({"cost_centre": "4711", **given})
    assert {problem.field for problem in caught.value.problems} == (fields or set(given))
    assert all(problem.message for problem in caught.value.problems)


def test_a_missing_parameter_is_required_and_a_foreign_one_is_none_of_ours(tmp_path: Path) -> None:
    workflow, _ = load(tmp_path, WHOLE)["invoices"]
    with pytest.raises(Invalid) as caught:
        workflow.check({"x\x1b" * 100: "1"})
    messages = [(problem.field[:6], problem.message) for problem in caught.value.problems]
    assert messages == [("cost_c", "is required"), ("x x x ", "is not a parameter of this workflow")]


def test_the_schema_says_what_is_wanted(tmp_path: Path) -> None:
    workflow, _ = load(tmp_path, WHOLE)["invoices"]
    assert workflow.schema["required"] == ["cost_centre"]
    assert workflow.schema["additionalProperties"] is False
    properties = workflow.schema["properties"]
    assert isinstance(properties, dict)
    assert properties["copies"] == {"default": 1, "maximum": 9, "minimum": 1, "title": "Copies", "type": "integer"}
    assert properties["size_class"] == {
        "description": "of paper",
        "enum": ["S", "L"],
        "title": "Size Class",
        "type": "string",
    }
    assert properties["urgent"] == {"title": "Urgent?", "type": "boolean"}


def test_a_parameter_may_have_any_ordinary_name(tmp_path: Path) -> None:
    names = ["schema", "copy", "json", "model_dump", "p0", "class", "None", "self", "validate"]
    declared = "".join(f"[workflow.question.parameters.{name}]\n" for name in names)
    workflow, _ = load(tmp_path, SMALLEST + declared)["question"]
    values: dict[str, Json] = {name: f"value of {name}" for name in names}
    assert workflow.check(values) == values
