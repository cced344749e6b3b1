"""The local workflows: each module of `app.workflows`, and each file in WORKFLOWS_DIR, that has a WORKFLOW."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Container, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import app.workflows
from app.domain.errors import Misconfigured
from app.domain.lifecycle import Periods
from app.domain.workflow import Workflow
from app.infrastructure import workflow_folder


def local_workflows(folder: Path | None, periods: Periods, taken: Container[str] = ()) -> Mapping[str, Workflow]:
    """Every local workflow by name. Raises Misconfigured, with a line for each file or name that cannot be taken."""
    found: dict[str, Workflow] = {}
    problems: list[str] = []
    for module in _modules(folder, problems):
        for workflow in _declared(module):
            if workflow.name in found or workflow.name in taken:
                problems.append(f"{module.__name__}: there is a workflow {workflow.name} already")
            found[workflow.name] = replace(workflow, periods=periods)
    if problems:
        raise Misconfigured(problems)
    return found


def _modules(folder: Path | None, problems: list[str]) -> Iterator[ModuleType]:
    packages = [app.workflows]
    if folder is not None and not folder.is_dir():
        problems.append(f"WORKFLOWS_DIR: there is no folder {folder}")
    elif folder is not None:
        packages.append(workflow_folder.mount(folder))
    for package in packages:
        for info in sorted(pkgutil.iter_modules(package.__path__), key=lambda info: info.name):
            try:
                yield importlib.import_module(f"{package.__name__}.{info.name}")
            except Exception as error:  # noqa: BLE001 - a file of somebody else's may do anything
                problems.append(f"{package.__name__}.{info.name} cannot be loaded: {type(error).__name__}: {error}")


def _declared(module: ModuleType) -> tuple[Workflow, ...]:
    one = getattr(module, "WORKFLOW", None)
    return (one,) if isinstance(one, Workflow) else tuple(getattr(module, "WORKFLOWS", ()))
