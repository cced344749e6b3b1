"""Report templates as TOML files: the ones that come with the service, and the operator's own beside them."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from app.domain.errors import ToolRefused
from app.domain.report import Section, Template

SHIPPED = Path(__file__).parents[1] / "workflows" / "report_templates"
_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
MOST_SECTIONS, MOST_SENTENCES = 12, 12
LARGEST = 64 * 1024


class FolderTemplates:
    """Files are read when they are asked for, so that a changed one counts at once. Of two with one name, the later
    folder's counts. A file that cannot be used is left out of the list, and refused in words where it is asked for."""

    def __init__(self, *folders: Path) -> None:
        self._folders = folders

    def all(self) -> Sequence[Template]:
        return list(self._usable())

    def get(self, name: str) -> Template:
        path = self._files().get(name)
        if path is None:
            there = ", ".join(template.name for template in self.all())
            raise ToolRefused(f"there is no report template of this name; there are: {there}")
        return _read(name, path)

    def _usable(self) -> Iterator[Template]:
        for name, path in sorted(self._files().items()):
            try:
                yield _read(name, path)
            except ToolRefused:
                continue

    def _files(self) -> dict[str, Path]:
        return {
            path.stem: path
            for folder in self._folders
            for path in sorted(folder.glob("*.toml"))
            if _NAME.fullmatch(path.stem)
        }


def _read(name: str, path: Path) -> Template:
    try:
        if path.stat().st_size > LARGEST:
            raise ToolRefused(f"the report template {name} is too large")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
        sections = tuple(_section(one) for one in found["sections"])
        title, description = str(found.get("title", name)), str(found.get("description", ""))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ToolRefused(f"the report template {name} cannot be read: {error}") from error
    except (KeyError, TypeError, ValueError):
        raise ToolRefused(f"the report template {name} needs [[sections]], each with a name and a heading") from None
    if not 1 <= len(sections) <= MOST_SECTIONS:
        raise ToolRefused(f"the report template {name} must have 1 to {MOST_SECTIONS} sections")
    return Template(name=name, title=title, description=description, sections=sections)


def _section(found: dict[str, Any]) -> Section:
    heading = str(found["heading"])
    return Section(
        name=str(found["name"]),
        heading=heading,
        instructions=str(found.get("instructions", heading)),
        sentences=min(max(int(found.get("sentences", 6)), 1), MOST_SENTENCES),
    )
