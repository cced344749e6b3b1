"""What the steps of a local workflow may use of the outside, each with its promises.

A step function asks for a tool by naming its Protocol in an annotation; the composition root decides which adapter it
gets. Every call raises `ToolTrouble` when the outside did not answer this time (the step may be tried again) and
`ToolRefused` when it will not (a wrong key, a request it does not take): never an adapter's own error.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from enum import StrEnum
from typing import Protocol

from app.domain.models import JobId


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """One text that a report stands on. `number` is how the report cites it, from 1; `url` may be a file's name."""

    number: int
    url: str
    title: str
    text: str
    published_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sentence:
    """One sentence of a text, and the numbers of the sources that are said to contain it."""

    text: str
    sources: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a call to a model took: tokens read and written, and its price in US dollars where it is known."""

    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Brief:
    """What is to be written: `instructions` in words, from these sources only, in `language` (BCP 47), at most so long.

    `said` is what stands in the report already and is not to be said again.
    """

    topic: str
    heading: str
    instructions: str
    sources: Sequence[Source]
    language: str = "en"
    max_sentences: int = 8
    said: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """What was written, sentence by sentence."""

    sentences: tuple[Sentence, ...]
    usage: Usage = field(default_factory=Usage)


class LanguageModel(Protocol):
    """Writes from sources."""

    @property
    def name(self) -> str:
        """Who writes, as a report tells it: a model's name, or that sentences are quoted and not written."""
        ...

    async def write(self, brief: Brief) -> Draft:
        """A text that answers the brief. Every sentence names the sources that it stands on, and only existing numbers;
        whether they say so is checked by the caller."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Hit:
    """One thing that a search found. `text` is its whole text where the search has it already (a folder of documents)."""

    url: str
    title: str
    snippet: str
    published_at: datetime | None = None
    text: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What a search found, the best first. `missing` says in words, one sentence each, which of the places that were to
    be searched did not answer."""

    hits: tuple[Hit, ...] = ()
    missing: tuple[str, ...] = ()


class Search(Protocol):
    """Finds sources about a topic."""

    async def find(self, query: str, limit: int) -> Found:
        """At most `limit` hits; none is no error. Raises only when no place at all answered."""
        ...


class Documents(Protocol):
    """The operator's own documents, and nothing else."""

    async def find(self, query: str, limit: int) -> Found:
        """As Search."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The readable part of a web page."""

    url: str
    title: str
    text: str
    published_at: datetime | None = None


class PageReader(Protocol):
    """Reads web pages as people would: the article, not what stands around it."""

    async def read(self, url: str) -> Page:
        """The page behind `url`. Raises ToolRefused where there is no readable text."""
        ...


class DocumentReader(Protocol):
    """Reads documents: text, Markdown, HTML, PDF, DOCX."""

    async def extract(self, name: str, content: bytes) -> Page:
        """The prose of the document called `name`, whose ending says what it is. Raises ToolRefused where there is none."""
        ...


class Uploads(Protocol):
    """Files that were handed in with jobs of this service, whoever did so."""

    async def read(self, job_id: JobId) -> Page:
        """The prose of a job's file, by its content where its name does not say what it is; its address is its name.
        Raises ToolRefused where there is no file (any more), or none that can be read."""
        ...

    async def find(self, query: str, limit: int) -> Found:
        """As Search, in the newest of them. A file that was handed in twice is one."""
        ...


class Renderer(Protocol):
    """Turns a report's Markdown (CommonMark with tables and footnotes) into one other form. Nothing in the text can make
    it read a file, fetch an address, or put live markup into the document."""

    @property
    def media_type(self) -> str:
        """Of what it makes."""
        ...

    async def render(self, title: str, markdown: str, language: str = "en") -> bytes:
        """The whole document, the same bytes for the same input. Does its work outside the event loop."""
        ...


class ContributionKind(StrEnum):
    """What a person did on a code host."""

    PULL_REQUEST = "pull_request"
    REVIEW = "review"  # a pull request of somebody else that they reviewed, dated by when it was opened
    ISSUE = "issue"


@dataclass(frozen=True, slots=True, kw_only=True)
class Contribution:
    """One pull request or issue. `repository` is `owner/name`; `state` is open, closed or merged."""

    repository: str
    number: int
    created_at: datetime
    state: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Contributions:
    """What was found, the oldest first; `complete` is False where the host gave only a part."""

    items: tuple[Contribution, ...] = ()
    complete: bool = True


class CodeHost(Protocol):
    """Knows who did what in public repositories."""

    async def contributions(self, username: str, kind: ContributionKind, since: date, until: date) -> Contributions:
        """What this user did that was opened on these days (UTC, both included). Only what everybody may see.

        A far side's limit is ToolTrouble with the time to wait; ToolRefused where there is no such user.
        """
        ...
