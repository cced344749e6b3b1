"""What a report is asked for with: from JSON, or as text from a form."""

from __future__ import annotations

from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

Format = Literal["md", "html", "pdf", "docx"]
FORMATS: tuple[Format, ...] = ("md", "html", "pdf", "docx")
MOST_SOURCES = 40
PLACES = ("search", "documents", "uploads")
UPLOAD = "job:"  # and the id of the job with which it was handed in
_ID = "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}"
LONGEST_ADDRESS = 2008
# Its length is counted beside it: the expression that counts to 2000 by itself takes eight megabytes, in every process.
SOURCE = rf"^({'|'.join(PLACES)}|{UPLOAD}{_ID}|https?://\S+)$"


def _list(value: object) -> object:
    """Forms send text: entries with commas or on lines of their own."""
    return (
        [entry.strip() for entry in value.replace("\n", ",").split(",") if entry.strip()]
        if isinstance(value, str)
        else value
    )


def _wish(value: object) -> object:
    """`facts`, or `facts=What we found` to rename it."""
    if not isinstance(value, str):
        return value
    name, _, heading = value.partition("=")
    return {"name": name.strip(), "heading": heading.strip()}


def _known_language(value: str) -> str:
    """Anything that Unicode's CLDR has a name for; regions are taken as they come."""
    from babel import localedata  # noqa: PLC0415 - a quarter of a second that most processes spare

    language = value.partition("-")[0].lower()
    if not localedata.exists(language):
        raise ValueError("is not a language that is known here; en, de and pt-BR are examples")
    return value


def _with_host(value: str) -> str:
    if value.startswith("http") and not _host_of(value):
        raise ValueError("is not an address")
    return value


def _host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


class Wish(BaseModel):
    """A section by its name in the template, or a new one; with a heading it is renamed."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=100)
    heading: str = Field(default="", max_length=200)
    instructions: str = Field(default="", max_length=1000)


class DocumentReport(BaseModel):
    """What both kinds take."""

    topic: str = Field(min_length=1, max_length=500, title="Topic")
    template: str = Field(default="brief", pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$", title="Template")
    sections: Annotated[list[Annotated[Wish, BeforeValidator(_wish)]], BeforeValidator(_list)] = Field(
        default_factory=list,
        max_length=12,
        title="Sections",
        description="Chosen, renamed (name=heading), or of one's own, and in this order",
    )
    language: Annotated[str, AfterValidator(_known_language)] = Field(
        default="en", pattern=r"^[A-Za-z]{2,3}(-[A-Za-z0-9]{2,8}){0,2}$", title="Language"
    )
    formats: Annotated[list[Format], BeforeValidator(_list)] = Field(
        default_factory=lambda: list(FORMATS), min_length=1, max_length=4, title="Formats"
    )


class Report(DocumentReport):
    """With sources to be gathered."""

    sources: Annotated[
        list[Annotated[str, Field(pattern=SOURCE, max_length=LONGEST_ADDRESS), AfterValidator(_with_host)]],
        BeforeValidator(_list),
    ] = Field(
        default=["search"],
        min_length=1,
        max_length=MOST_SOURCES,
        title="Sources",
        description="search (all that is configured), documents (the folder only), uploads (files handed in before), job:<id> for one of them, or web addresses",
    )
