"""Workflow files from outside the package, as modules of a package of their own. A child process finds them by it too."""

from __future__ import annotations

import sys
from pathlib import Path
from types import ModuleType

PACKAGE = "callslip_workflows"


def mount(folder: Path) -> ModuleType:
    """Makes `folder/x.py` importable as `callslip_workflows.x`, whatever else is called `x`."""
    package = sys.modules.get(PACKAGE)
    if package is None or list(package.__path__) != [str(folder)]:
        for name in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
            del sys.modules[name]
        package = ModuleType(PACKAGE, f"The workflows in {folder}.")
        package.__path__ = [str(folder)]
        sys.modules[PACKAGE] = package
    return package
