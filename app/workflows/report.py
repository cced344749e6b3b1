"""Reports about a topic, written from sources, in which every sentence says where it stands.

Two workflows of the same steps: `report` gathers its sources, `document_report` is about the document handed in.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from app.domain.errors import FieldProblem, Invalid, ToolRefused
from app.domain.models import Json
from app.domain.report import Checked, Section, Templates, Written, checked, chosen, in_order_of_citation, markdown
from app.domain.tools import Brief, LanguageModel, Sentence, Source
from app.domain.work import Work
from app.domain.workflow import FileRules
from app.workflows.declaration import local_workflow, step
from app.workflows.report_params import FORMATS, DocumentReport, Report
from app.workflows.report_sources import LARGEST_DOCUMENT, READABLE, gather, moment, plain, read, read_document

LARGEST_REPORT = 200_000  # bytes of Markdown: a result is 256 KiB at most


async def plan(work: Work, templates: Templates) -> Json:
    """Which sections there will be."""
    template = templates.get(str(work.params["template"]))
    wishes: Any = work.params["sections"]
    return {"template": template.title, "sections": [asdict(section) for section in chosen(template, wishes)]}


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
    listed = [plain(source) | {"number": at} for at, source in cited.items()]
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
            "sentences": [plain(checked(_sentence(one), texts)) for one in section["sentences"]],
        }
        for section in sections
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
    return [Source(**(one | {"published_at": moment(one["published_at"])})) for one in made["sources"]]


def _planned(work: Work) -> list[Section]:
    made: Any = work.outputs["plan"]
    return [Section(**one) for one in made["sections"]]


def _written(section: dict[str, Any]) -> Written:
    sentences = tuple(Checked(text=one["text"], sources=tuple(one["sources"])) for one in section["sentences"])
    return Written(heading=section["heading"], sentences=sentences)


def _sentence(found: dict[str, Any]) -> Sentence:
    return Sentence(text=found["text"], sources=tuple(found["sources"]))


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
