"""Rules about the code itself that no linter knows. Who may import whom stands in pyproject.toml, for import-linter."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from app.bootstrap.services import VERSION
from tests.conftest import PLACES

ROOT = Path(__file__).parents[1]
CODE = [*(ROOT / "app").rglob("*.py"), *(ROOT / "callslip_client").rglob("*.py"), *(ROOT / "demo").rglob("*.py")]
TESTS = [*(ROOT / "tests").rglob("*.py")]
VAGUE_NAMES = {"utils", "helpers", "common", "base", "managers"}
LONGEST_FILE = 400
MOST_METHODS = 6
# Handed out by JobFeed, FileStore, CheckpointBook and StepRunner, and tried in their suites.
PARTS = {"Watch", "StoredContent", "CheckpointPage", "Work"}


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def methods(node: ast.ClassDef) -> set[str]:
    """With their parameters, as `turn(self)`; properties are attributes, and stand here without."""
    defined = [item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef)]
    return {_signature(item) for item in defined if not item.name.startswith("_")}


def _signature(method: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    given = [argument.arg for argument in (*method.args.args, *method.args.kwonlyargs)]
    is_property = any(isinstance(one, ast.Name) and one.id == "property" for one in method.decorator_list)
    return method.name if is_property else f"{method.name}({', '.join(given)})"


def classes(folder: Path) -> Iterator[tuple[Path, ast.ClassDef]]:
    for path in sorted(folder.glob("*.py")):
        yield from ((path, node) for node in parsed(path).body if isinstance(node, ast.ClassDef))


def members(node: ast.ClassDef) -> set[str]:
    """What instances have: a property of a Protocol may be an attribute of its adapter."""
    starts = (item for item in node.body if isinstance(item, ast.FunctionDef) and item.name == "__init__")
    own = (each for start in starts for each in ast.walk(start) if isinstance(each, ast.Attribute) and _is_set(each))
    of_class = (item.targets[0] for item in node.body if isinstance(item, ast.Assign))
    names = {each.id for each in of_class if isinstance(each, ast.Name)}
    return methods(node) | names | {each.attr for each in own if isinstance(each.value, ast.Name)}


def _is_set(node: ast.Attribute) -> bool:
    return isinstance(node.ctx, ast.Store)


@cache
def protocols() -> dict[str, set[str]]:
    return {
        node.name: methods(node)
        for _, node in classes(ROOT / "app" / "domain")
        if any(isinstance(parent, ast.Name) and parent.id == "Protocol" for parent in node.bases)
    }


@cache
def adapters() -> dict[str, tuple[str, list[str]]]:
    """Each public class of the infrastructure that has all members of a Protocol: its module, and these Protocols."""
    promised = {name: wanted for name, wanted in protocols().items() if name not in PARTS}
    found = {
        node.name: (path.stem, [name for name, wanted in promised.items() if wanted <= members(node)])
        for path, node in classes(ROOT / "app" / "infrastructure")
        if not node.name.startswith("_")
    }
    return {name: (module, kept) for name, (module, kept) in found.items() if kept}


@cache
def names_in(folder: Path) -> set[str]:
    nodes = (node for path in folder.rglob("*.py") for node in ast.walk(parsed(path)))
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute)
    }


@pytest.mark.parametrize("adapter", adapters())
def test_every_adapter_is_under_a_contract(adapter):
    _, kept = adapters()[adapter]
    assert adapter in names_in(ROOT / "tests" / "contracts"), (
        f"no contract suite runs {adapter}, which looks like {kept}"
    )


def test_every_protocol_has_an_adapter():
    assert set(protocols()) - {name for _, kept in adapters().values() for name in kept} == PARTS


def settings_of_the_project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def test_adapters_do_not_know_each_other():
    contracts = settings_of_the_project()["tool"]["importlinter"]["contracts"]
    (apart,) = [set(one["modules"]) for one in contracts if one["name"] == "Adapters do not know each other"]
    assert {f"app.infrastructure.{module}" for module, _ in adapters().values()} <= apart


def test_the_service_and_the_package_have_one_version():
    assert settings_of_the_project()["project"]["version"] == VERSION


@pytest.mark.parametrize(("name", "wanted"), protocols().items(), ids=protocols())
def test_a_protocol_has_at_most_six_methods(name, wanted):
    assert 1 <= len(wanted) <= MOST_METHODS


def test_no_module_has_a_name_that_says_nothing():
    named = {path: {path.stem, *path.relative_to(ROOT).parts[:-1]} for path in [*CODE, *TESTS]}
    assert [path for path, names in named.items() if names & VAGUE_NAMES] == []


def test_no_file_is_longer_than_it_can_be_read():
    assert {p.name: n for p in [*CODE, *TESTS] if (n := len(p.read_text().splitlines())) > LONGEST_FILE} == {}


def test_the_files_that_begin_the_suite_exist():
    assert [path for path in PLACES if not path.exists()] == []


def test_the_programs_that_measure_find_all_that_they_import():
    program = (
        "import bench.rows.table, chaos.rows; [__import__(f'chaos.rows.{name}') for name in chaos.rows.NAMES.values()]"
    )
    told = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert told.returncode == 0, told.stderr[-1000:]


def test_nothing_is_mocked():
    def imports(path: Path) -> Iterator[str]:
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Import):
                yield from (alias.name for alias in node.names)
            if isinstance(node, ast.ImportFrom):
                yield from (f"{node.module}.{alias.name}" for alias in node.names)

    assert [
        p for p in [*CODE, *TESTS] if any("mock" in name.split(".") or "pytest_mock" in name for name in imports(p))
    ] == []


def test_every_module_opens_with_one_line_that_says_what_it_holds():
    silent = [path for path in CODE if parsed(path).body and not ast.get_docstring(parsed(path))]
    assert silent == []


def test_the_domain_speaks_no_http():
    words = ("status_code", "http_status", "HTTPException")
    assert [p for p in (ROOT / "app" / "domain").glob("*.py") if any(word in p.read_text() for word in words)] == []


def test_decisions_are_numbered_one_after_the_other_and_begin_with_their_number():
    pages = sorted((ROOT / "docs" / "decisions").glob("*.md"))
    assert [page.name[:5] for page in pages] == [f"{number:04d}-" for number in range(1, len(pages) + 1)]
    assert [page.name for page in pages if not page.read_text().startswith(f"# {int(page.name[:4])}. ")] == []
