"""Where a report's sources are found, and how they are read: the steps before the writing."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.errors import ToolRefused, ToolTrouble
from app.domain.models import JobId, Json
from app.domain.tools import Documents, Found, Hit, Page, PageReader, Search, Source, Uploads
from app.domain.work import Work
from app.workflows.report_params import MOST_SOURCES, PLACES, UPLOAD

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
READABLE = ("text/*", "application/pdf", "application/zip", DOCX)
LARGEST_DOCUMENT = 50 * 1024 * 1024
LONGEST_SOURCE = 80_000  # characters that are kept of one
SNIPPET_IS_ENOUGH = 200  # an introduction of this length stands in for a page that cannot be read


async def gather(work: Work, search: Search, documents: Documents, uploads: Uploads) -> Json:
    """Where something about the topic stands."""
    topic, wanted = str(work.params["topic"]), _texts(work.params["sources"])
    hits = [Hit(url=url, title=url, snippet="") for url in wanted if url not in PLACES]
    missing: list[str] = []
    for place in [tool for name, tool in zip(PLACES, (search, documents, uploads), strict=True) if name in wanted]:
        found: Found = await place.find(topic, MOST_SOURCES - len(hits))
        hits += found.hits
        missing += found.missing
    if not hits:
        raise ToolRefused(" ".join(["no source was found for this topic.", *missing]))
    return {"hits": [plain(hit) for hit in hits[:MOST_SOURCES]], "missing": list(missing)}


async def read(work: Work, reader: PageReader, uploads: Uploads) -> Json:
    """The texts of what was found; one text twice is one source."""
    gathered: Any = work.outputs["gather"]
    hits = [Hit(**(hit | {"published_at": moment(hit["published_at"])})) for hit in gathered["hits"]]
    pages = await asyncio.gather(*(_page(hit, reader, uploads) for hit in hits))
    failed = [page for page in pages if not isinstance(page, Page)]
    missing = [*gathered["missing"], *map(str, failed)]
    sources = _numbered([page for page in pages if isinstance(page, Page)])
    if not sources:
        may_pass = any(isinstance(failure, ToolTrouble) for failure in failed)
        words = " ".join(["none of the sources could be read.", *missing])[:1000]
        raise ToolTrouble(words) if may_pass else ToolRefused(words)
    return {"sources": [plain(source) for source in sources], "missing": missing}


async def read_document(work: Work, uploads: Uploads) -> Json:
    """The text of the document that was handed in."""
    return {"sources": [plain(source) for source in _numbered([await uploads.read(work.job_id)])], "missing": []}


async def _page(hit: Hit, reader: PageReader, uploads: Uploads) -> Page | ToolRefused | ToolTrouble:
    """What a hit holds, or why it is missing, as a sentence."""
    if hit.text is not None:
        return Page(url=hit.url, title=hit.title, text=hit.text, published_at=hit.published_at)
    try:
        if hit.url.startswith(UPLOAD):
            return await uploads.read(JobId(UUID(hit.url.removeprefix(UPLOAD))))
        return await reader.read(hit.url)
    except (ToolRefused, ToolTrouble) as error:
        if len(hit.snippet) >= SNIPPET_IS_ENOUGH:
            return Page(url=hit.url, title=hit.title, text=hit.snippet, published_at=hit.published_at)
        return type(error)(f"{hit.url[:200]} could not be read: {error}.")


def _numbered(pages: Sequence[Page]) -> list[Source]:
    once = {hashlib.sha256(" ".join(page.text.split()).encode()).digest(): page for page in reversed(pages)}
    return [
        Source(
            number=at, url=page.url, title=page.title, text=page.text[:LONGEST_SOURCE], published_at=page.published_at
        )
        for at, page in enumerate(reversed(once.values()), 1)
    ]


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def plain(value: Any) -> dict[str, Json]:
    """A dataclass as JSON has it."""
    return {
        name: item.isoformat() if isinstance(item, datetime) else list(item) if isinstance(item, tuple) else item
        for name, item in asdict(value).items()
    }


def moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None
