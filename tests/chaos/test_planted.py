"""The mistakes that `make chaos ROW=planted` plants can still be planted: their words stand in the code, once."""

from __future__ import annotations

from pathlib import Path

import pytest

from chaos.rows import NAMES
from chaos.rows.planted import MISTAKES, Mistake
from chaos.stack import ROOT


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.name)
def test_a_mistake_finds_its_place_in_the_code(mistake: Mistake) -> None:
    text = (ROOT / "app" / mistake.file).read_text()
    assert [text.count(old) for old in (mistake.old, mistake.also[0]) if old] in ([1], [1, 1])
    assert mistake.row in NAMES


def test_every_row_has_its_module() -> None:
    assert all((Path(ROOT) / "chaos" / "rows" / f"{module}.py").is_file() for module in NAMES.values())
