"""Reports: templates, what a sentence must show to stand in one, and the canonical Markdown. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from app.domain.sentences import supports
from app.domain.tools import Sentence, Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Section:
    """One section to be written: its name in the template, its heading, what it is to say, and in how many sentences."""

    name: str
    heading: str
    instructions: str
    sentences: int = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A kind of report."""

    name: str
    title: str
    description: str
    sections: tuple[Section, ...]


class Templates(Protocol):
    """The kinds of reports there are."""

    def all(self) -> Sequence[Template]:
        """In the order of their names."""
        ...

    def get(self, name: str) -> Template:
        """Raises ToolRefused, naming the ones there are."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Checked:
    """A sentence with the sources that were found to contain it; none: it was said, and stands in no named source."""

    text: str
    sources: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """One section with its sentences."""

    heading: str
    sentences: tuple[Checked, ...]


def chosen(template: Template, wishes: Sequence[Mapping[str, str]]) -> tuple[Section, ...]:
    """The sections wished for, in that order and under these headings; all of the template's where nothing is wished.
    A name that the template does not have is a section of its own, about what its heading says."""
    known = {section.name: section for section in template.sections}
    return tuple(_section(known.get(wish["name"]), wish) for wish in wishes) or template.sections


def _section(known: Section | None, wish: Mapping[str, str]) -> Section:
    heading = wish.get("heading") or (known.heading if known else wish["name"])
    instructions = wish.get("instructions") or (known.instructions if known else heading)
    sentences = known.sentences if known else 6
    return Section(name=wish["name"], heading=heading, instructions=instructions, sentences=sentences)


def checked(sentence: Sentence, texts: Mapping[int, str]) -> Checked:
    """Of the sources that a sentence names, those that exist and contain what it claims."""
    found = (number for number in dict.fromkeys(sentence.sources) if supports(texts.get(number, ""), sentence.text))
    return Checked(text=sentence.text, sources=tuple(found))


def in_order_of_citation(sections: Sequence[Written], sources: Sequence[Source]) -> dict[int, Source]:
    """The sources that are cited, by the number under which the report cites them: from 1, as they come up."""
    by_number = {source.number: source for source in sources}
    cited = (number for section in sections for sentence in section.sentences for number in sentence.sources)
    return {at: by_number[number] for at, number in enumerate(dict.fromkeys(cited), 1)}


_WORDS = {
    "en": ("not found in its sources", "Nothing in the sources fits this section.", "Sentences", "sources", "not found in their sources"),
    "de": ("nicht in den Quellen gefunden", "Zu diesem Abschnitt sagen die Quellen nichts.", "Sätze", "Quellen", "nicht in ihren Quellen gefunden"),
    "fr": ("introuvable dans ses sources", "Les sources ne disent rien à ce sujet.", "Phrases", "sources", "introuvables dans leurs sources"),
    "es": ("no está en sus fuentes", "Las fuentes no dicen nada al respecto.", "Frases", "fuentes", "que no están en sus fuentes"),
}  # fmt: skip


def markdown(title: str, writer: str, sections: Sequence[Written], cited: Mapping[int, Source], language: str) -> str:
    """The report. Every sentence carries its sources as footnotes; one that has none is marked where it stands."""
    words = _WORDS.get(language.partition("-")[0].lower(), _WORDS["en"])
    numbers = {source.number: at for at, source in cited.items()}
    sentences = [sentence for section in sections for sentence in section.sentences]
    lost = sum(not sentence.sources for sentence in sentences)
    summary = f"{words[2]}: {len(sentences)}; {words[3]}: {len(cited)}; {words[4]}: {lost}. ({escaped(writer)})"
    blocks = [f"# {escaped(title)}", f"> {summary}"]
    for section in sections:
        told = " ".join(_cited(sentence, numbers, words[0]) for sentence in section.sentences)
        blocks += [f"## {escaped(section.heading)}", told or f"*{words[1]}*"]
    return "\n\n".join([*blocks, *_notes(cited)]) + "\n"


def _cited(sentence: Checked, numbers: Mapping[int, int], mark: str) -> str:
    if not sentence.sources:
        return f"{escaped(sentence.text)} **[{mark}]**"
    return escaped(sentence.text) + "".join(f"[^{numbers[number]}]" for number in sentence.sources)


def _notes(cited: Mapping[int, Source]) -> Iterator[str]:
    for at, source in cited.items():
        day = f", {source.published_at:%Y-%m-%d}" if source.published_at else ""
        if source.url.startswith(("http://", "https://")):
            address = re.sub(r"[<>\s\\]", lambda match: f"%{ord(match[0]):02X}", source.url)
            yield f"[^{at}]: [{escaped(source.title)}](<{address}>){day}"
        else:
            yield f"[^{at}]: {escaped(source.title)} ({escaped(source.url)}){day}"


def escaped(text: str) -> str:
    """Text as one line of Markdown that reads as the same text, wherever it stands in a paragraph."""
    line = re.sub(r"([\\`*_\[\]<>|&~$])", r"\\\1", " ".join(text.split()))
    return re.sub(r"^([-+#=]|\d+(?=[.)]))", lambda match: _held_back(match[1]), line)


def _held_back(beginning: str) -> str:
    """What begins a line like a list, a heading or a rule, and is none. A number is not escaped itself: its dot is."""
    return f"{beginning}\\" if beginning[0].isdigit() else f"\\{beginning}"
