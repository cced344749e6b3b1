"""Local workflows, one file each, and all that such a file imports.

What stands in `__all__` is the whole surface for workflows of one's own (docs/workflows.md): its names and promises stay
where they are, wherever the code behind them moves.
"""

from app.domain.errors import FieldProblem, Invalid, ToolRefused, ToolTrouble
from app.domain.models import Json
from app.domain.tools import (
    Brief,
    CodeHost,
    DocumentReader,
    Documents,
    LanguageModel,
    PageReader,
    Search,
    Source,
    Uploads,
    Usage,
)
from app.domain.work import Work
from app.domain.workflow import Anonymous, FileRules, Step, Workflow
from app.workflows.declaration import local_workflow, step

__all__ = [
    "Anonymous",
    "Brief",
    "CodeHost",
    "DocumentReader",
    "Documents",
    "FieldProblem",
    "FileRules",
    "Invalid",
    "Json",
    "LanguageModel",
    "PageReader",
    "Search",
    "Source",
    "Step",
    "ToolRefused",
    "ToolTrouble",
    "Uploads",
    "Usage",
    "Work",
    "Workflow",
    "local_workflow",
    "step",
]
