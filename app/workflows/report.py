"""Reports about a topic, written from sources, in which every sentence says where it stands.

Two workflows of the same steps: `report` gathers its sources, `document_report` is about the document handed in.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Any
from uuid import UUID

from app.domain.errors import FieldProblem, Invalid, ToolRefused, ToolTrouble
from app.domain.models import JobId, Json
from app.domain.report import Checked, Section, Templates, Written, checked, chosen, in_order_of_citation, markdown
from app.domain.tools import (
    Brief,
    DocumentReader,
    Documents,
    Found,
    Hit,
    LanguageModel,
    Page,
    PageReader,
    Search,
    Sentence,
    Source,
    Uploads,
)
from app.domain.work import Work
from app.domain.workflow import FileRules
from app.workflows.declaration import local_workflow, step
from app.workflows.report_params import FORMATS, MOST_SOURCES, UPLOAD, DocumentReport, Report

DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
READABLE = ("text/*", "application/pdf", "application/zip", DOCX)
LONGEST_SOURCE = 80_000  # characters that are kept of one
SNIPPET_IS_ENOUGH = 200  # an introduction of this length stands in for a page that cannot be read
LARGEST_DOCUMENT = 50 * 1024 * 1024
LARGEST_REPORT = 200_000  # bytes of Markdown: a result is 256 KiB at most


async def plan(work: Work, templates: Templates) -> Json:
    """Which sections there will be."""
    template = templates.get(str(work.params["template"]))
    wishes: Any = work.params["sections"]
    return {"template": template.title, "sections": [asdict(section) for section in chosen(template, wishes)]}


async def gather(work: Work, search: Search, documents: Documents) -> Json:
    """Where something about the topic stands."""
    topic, wanted = str(work.params["topic"]), _texts(work.params["sources"])
    hits = [Hit(url=url, title=url, snippet="") for url in wanted if url not in ("search", "documents")]
    missing: list[str] = []
    for place in [tool for name, tool in (("search", search), ("documents", documents)) if name in wanted]:
        found: Found = await place.find(topic, MOST_SOURCES - len(hits))
        hits += found.hits
        missing += found.missing
    if not hits:
        raise ToolRefused(" ".join(["no source was found for this topic.", *missing]))
    return {"hits": [_plain(hit) for hit in hits[:MOST_SOURCES]], "missing": list(missing)}


async def read(work: Work, reader: PageReader, uploads: Uploads, documents: DocumentReader) -> Json:
    """The texts of what was found; one text twice is one source."""
    gathered: Any = work.outputs["gather"]
    hits = [Hit(**(hit | {"published_at": _moment(hit["published_at"])})) for hit in gathered["hits"]]
    pages = await asyncio.gather(*(_page(hit, reader, uploads, documents) for hit in hits))
    failed = [page for page in pages if not isinstance(page, Page)]
    missing = [*gathered["missing"], *map(str, failed)]
    sources = _numbered([page for page in pages if isinstance(page, Page)])
    if not sources:
        may_pass = any(isinstance(failure, ToolTrouble) for failure in failed)
        words = " ".join(["none of the sources could be read.", *missing])[:1000]
        raise ToolTrouble(words) if may_pass else ToolRefused(words)
    return {"sources": [_plain(source) for source in sources], "missing": missing}


async def read_document(work: Work, reader: DocumentReader) -> Json:
    """The text of the document that was handed in."""
    async with work.open() as content:
        data = b"".join([chunk async for chunk in content.chunks()])
    page = await reader.extract(work.file.filename if work.file else "", data)
    return {"sources": [_plain(source) for source in _numbered([page])], "missing": []}


async def write(work: Work, model: LanguageModel) -> Json:
    """Section by section; what one says, the next does not say again."""
    sources, planned = _sources(work), _planned(work)
    sections: list[Json] = []
    said: list[str] = []
    for done, section in enumerate(planned):
        await work.progress(done / len(planned), f"Writing: {section.heading}")
        draft = await model.write(_brief(work, section, sources, said))
        work.used(draft.usage)
        said += [sentence.text for sentence in draft.sentences]
        sentences: list[Json] = [{"text": one.text, "sources": list(one.sources)} for one in draft.sentences]
        sections.append({"heading": section.heading, "sentences": sentences})
    return {"writer": model.name, "sections": sections}


async def check(work: Work) -> Json:
    """Each sentence against the sources that it names."""
    written: Any = work.outputs["write"]
    texts = {source.number: source.text for source in _sources(work)}
    return await work.off_loop(check_all, written["sections"], texts)


async def finish(work: Work) -> Json:
    """The report, with its sources numbered as they come up."""
    found: Any = work.outputs
    sections = [_written(section) for section in found["check"]]
    cited = in_order_of_citation(sections, _sources(work))
    title, language, writer = str(work.params["topic"]), str(work.params["language"]), found["write"]["writer"]
    text = markdown(title, writer, sections, cited, language)
    if len(text.encode()) > LARGEST_REPORT:
        raise ToolRefused("the report is too long; ask for fewer sections")
    sentences = [sentence for section in sections for sentence in section.sentences]
    unsupported = sum(not sentence.sources for sentence in sentences)
    listed = [_plain(source) | {"number": at} for at, source in cited.items()]
    data: dict[str, Json] = {
        "title": title,
        "template": found["plan"]["template"],
        "language": language,
        "writer": writer,
        "formats": work.params["formats"],
        "markdown": text,
        "sources": [{key: one[key] for key in ("number", "title", "url", "published_at")} for one in listed],
        "sentences": len(sentences),
        "unsupported": unsupported,
        "missing": found[_reading(work)]["missing"][:20],
    }
    words = f"{len(sentences)} sentences from {len(cited)} sources; {unsupported} not found in them"
    return {"message": words, "data": data}


def check_all(sections: list[dict[str, Any]], texts: Mapping[int, str]) -> list[Json]:
    """Runs in a process of its own."""
    return [
        {
            "heading": section["heading"],
            "sentences": [_plain(checked(_sentence(one), texts)) for one in section["sentences"]],
        }
        for section in sections
    ]


async def _page(
    hit: Hit, reader: PageReader, uploads: Uploads, documents: DocumentReader
) -> Page | ToolRefused | ToolTrouble:
    """What a hit holds, or why it is missing, as a sentence."""
    if hit.text is not None:
        return Page(url=hit.url, title=hit.title, text=hit.text, published_at=hit.published_at)
    try:
        if hit.url.startswith(UPLOAD):
            upload = await uploads.read(JobId(UUID(hit.url.removeprefix(UPLOAD))), LARGEST_DOCUMENT)
            return await documents.extract(upload.name, upload.content)
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


def _brief(work: Work, section: Section, sources: Sequence[Source], said: Sequence[str]) -> Brief:
    return Brief(
        topic=str(work.params["topic"]),
        heading=section.heading,
        instructions=section.instructions,
        sources=sources,
        language=str(work.params["language"]),
        max_sentences=section.sentences,
        said=tuple(said),
    )


def _reading(work: Work) -> str:
    return "read" if "read" in work.outputs else "read_document"


def _sources(work: Work) -> list[Source]:
    made: Any = work.outputs[_reading(work)]
    return [Source(**(one | {"published_at": _moment(one["published_at"])})) for one in made["sources"]]


def _planned(work: Work) -> list[Section]:
    made: Any = work.outputs["plan"]
    return [Section(**one) for one in made["sections"]]


def _written(section: dict[str, Any]) -> Written:
    sentences = tuple(Checked(text=one["text"], sources=tuple(one["sources"])) for one in section["sentences"])
    return Written(heading=section["heading"], sentences=sentences)


def _sentence(found: dict[str, Any]) -> Sentence:
    return Sentence(text=found["text"], sources=tuple(found["sources"]))


def _plain(value: Any) -> dict[str, Json]:
    """A dataclass as JSON has it."""
    return {
        name: item.isoformat() if isinstance(item, datetime) else list(item) if isinstance(item, tuple) else item
        for name, item in asdict(value).items()
    }


def _moment(text: str | None) -> datetime | None:
    return datetime.fromisoformat(text) if text else None


def _texts(value: Json) -> list[str]:
    return [str(item) for item in value] if isinstance(value, list) else []


def known_names(params: Mapping[str, Json], templates: Templates) -> None:
    """Refuses a template that there is not, and a section that it does not have and nobody described."""
    try:
        template = templates.get(str(params["template"]))
    except ToolRefused as error:
        raise Invalid("refused: template", [FieldProblem("template", str(error))]) from None
    wishes: Any = params["sections"]
    known = [section.name for section in template.sections]
    words = f"{template.name} has no such section; there are: {', '.join(known)}. One of your own needs a heading"
    problems = [
        FieldProblem(f"sections.{at}", words)
        for at, wish in enumerate(wishes)
        if wish["name"] not in known and not wish["heading"]
    ]
    if problems:
        raise Invalid("refused: sections", problems)


def _same_question(params: Mapping[str, Json]) -> str:
    return hashlib.sha256(json.dumps(params, sort_keys=True).encode()).hexdigest()


_WRITING = (
    step("Writing", write, weight=6),
    step("Checking every sentence", check, weight=2),
    step("Putting it together", finish),
)
WORKFLOWS = (
    local_workflow(
        "report",
        "Report on a topic",
        Report,
        [
            step("Planning", plan),
            step("Gathering sources", gather, weight=2),
            step("Reading", read, weight=3),
            *_WRITING,
        ],
        door=known_names,
        dedup=_same_question,
        formats=FORMATS,
    ),
    local_workflow(
        "document_report",
        "Report on a document",
        DocumentReport,
        [step("Planning", plan), step("Reading", read_document, weight=2), *_WRITING],
        door=known_names,
        file=FileRules(media_types=READABLE, max_size=LARGEST_DOCUMENT),
        formats=FORMATS,
    ),
)
