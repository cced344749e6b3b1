"""What a workflow's door is given, and what stops the start."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

import pytest

from app.domain.errors import FieldProblem, Invalid, Misconfigured
from app.domain.models import Json
from app.infrastructure.step_tools import with_door
from tests.services.conftest import workflow


class Greeter(Protocol):
    def greet(self, name: str) -> str:
        """Politely."""
        ...


def test_a_door_looks_at_accepted_parameters_with_the_tools_that_it_names() -> None:
    class Polite:
        def greet(self, name: str) -> str:
            return f"Dear {name}"

    def door(params: Mapping[str, Json], greeter: Greeter) -> None:
        if greeter.greet(str(params["name"])) != "Dear Ada":
            raise Invalid("refused: name", [FieldProblem("name", "is nobody we greet")])

    bare = workflow("letters", steps=(), door=door)
    guarded = with_door(bare, {Greeter: Polite()})
    assert guarded.check({"name": "Ada"}) == {"name": "Ada"}
    with pytest.raises(Invalid) as caught:
        guarded.check({"name": "Bob"})
    assert [problem.field for problem in caught.value.problems] == ["name"]
    with pytest.raises(Misconfigured, match="workflow letters, door: nothing here is a Greeter"):
        with_door(bare, {})
