"""Rules about the code itself that no linter knows. Who may import whom stands in pyproject.toml, for import-linter."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
CODE = [*(ROOT / "app").rglob("*.py"), *(ROOT / "callslip_client").rglob("*.py"), *(ROOT / "demo").rglob("*.py")]
TESTS = [*(ROOT / "tests").rglob("*.py")]
VAGUE_NAMES = {"utils", "helpers", "common", "base", "managers"}
LONGEST_FILE = 400
MOST_METHODS = 6
PARTS = {"Watch", "StoredContent"}  # handed out by JobFeed and FileStore, and tried in their suites


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def methods(node: ast.ClassDef) -> set[str]:
    defined = (item for item in node.body if isinstance(item, ast.FunctionDef | ast.AsyncFunctionDef))
    return {item.name for item in defined if not item.name.startswith("_")}


def classes(folder: Path, file: str = "*.py") -> Iterator[ast.ClassDef]:
    for path in sorted(folder.glob(file)):
        yield from (node for node in parsed(path).body if isinstance(node, ast.ClassDef))


def protocols(file: str = "*.py") -> dict[str, set[str]]:
    return {
        node.name: methods(node)
        for node in classes(ROOT / "app" / "domain", file)
        if any(isinstance(parent, ast.Name) and parent.id == "Protocol" for parent in node.bases)
    }


def adapters() -> dict[str, list[str]]:
    """Each public class of the infrastructure that has all methods of a Protocol, with these Protocols."""
    promised = {name: wanted for name, wanted in protocols("protocols.py").items() if name not in PARTS}
    found = {
        node.name: [name for name, wanted in promised.items() if wanted <= methods(node)]
        for node in classes(ROOT / "app" / "infrastructure")
        if not node.name.startswith("_")
    }
    return {name: kept for name, kept in found.items() if kept}


def names_in(folder: Path) -> set[str]:
    nodes = (node for path in folder.rglob("*.py") for node in ast.walk(parsed(path)))
    return {
        node.id if isinstance(node, ast.Name) else node.attr
        for node in nodes
        if isinstance(node, ast.Name | ast.Attribute)
    }


@pytest.mark.parametrize(("adapter", "kept"), adapters().items(), ids=adapters())
def test_every_adapter_is_under_a_contract(adapter, kept):
    assert adapter in names_in(ROOT / "tests" / "contracts"), (
        f"no contract suite runs {adapter}, which looks like {kept}"
    )


def test_every_protocol_has_an_adapter():
    assert set(protocols("protocols.py")) - {name for kept in adapters().values() for name in kept} == PARTS


@pytest.mark.parametrize(("name", "wanted"), protocols().items(), ids=protocols())
def test_a_protocol_has_at_most_six_methods(name, wanted):
    assert 1 <= len(wanted) <= MOST_METHODS


def test_no_module_has_a_name_that_says_nothing():
    named = {path: {path.stem, *path.relative_to(ROOT).parts[:-1]} for path in [*CODE, *TESTS]}
    assert [path for path, names in named.items() if names & VAGUE_NAMES] == []


def test_no_file_is_longer_than_it_can_be_read():
    assert {p.name: n for p in [*CODE, *TESTS] if (n := len(p.read_text().splitlines())) > LONGEST_FILE} == {}


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
