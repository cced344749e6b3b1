"""What reports and research are made with: who writes, where sources are found, and how they are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack
from typing import Any

from pydantic import SecretStr

from app.core.settings import Settings
from app.domain.report import Templates
from app.domain.tools import Brief, DocumentReader, Documents, Draft, LanguageModel, PageReader, Search
from app.infrastructure.document_reader import ThreadedDocumentReader
from app.infrastructure.http_client import build_client
from app.infrastructure.language_model_offline import ExtractiveWriter
from app.infrastructure.outside import Manners, Outside
from app.infrastructure.page_reader_web import WebPageReader
from app.infrastructure.report_templates import SHIPPED, FolderTemplates
from app.infrastructure.search_combined import CombinedSearch
from app.infrastructure.search_documents import DocumentsSearch
from app.infrastructure.search_newsapi import NewsApiSearch
from app.infrastructure.search_searxng import SearxngSearch
from app.infrastructure.search_serpapi import SerpApiSearch
from app.infrastructure.search_wikipedia import WikipediaSearch

CONNECTIONS = 50


def report_tools(settings: Settings, stack: AsyncExitStack) -> Mapping[Any, object]:
    """By type. What must be closed is closed by the stack."""
    agent = f"callslip (+{settings.public_url})"
    ours, anybodys = (
        _outside(settings, stack, guarded=False),
        _outside(settings, stack, guarded=not settings.pages_allow_private),
    )
    documents = [DocumentsSearch(settings.documents_dir)] if settings.documents_dir else []
    return {
        LanguageModel: _model(settings, ours, stack),
        Search: CombinedSearch([*documents, *_searches(settings, ours, agent)]),
        Documents: CombinedSearch(documents),
        PageReader: WebPageReader(anybodys, agent),
        DocumentReader: ThreadedDocumentReader(),
        Templates: report_templates(settings),
    }


def report_templates(settings: Settings) -> FolderTemplates:
    """The ones that came with the service, and the operator's own."""
    return FolderTemplates(SHIPPED, settings.data_dir / "templates")


def manners(settings: Settings) -> Manners:
    """How every far side of a step is treated."""
    return Manners(patience=settings.tool_timeout, pause=settings.tool_pause)


def _outside(settings: Settings, stack: AsyncExitStack, *, guarded: bool) -> Outside:
    """`guarded`: for addresses that the operator did not choose; only public ones are connected to."""
    client = build_client(verify=True, ca_file=None, connections=CONNECTIONS, allow_private=not guarded)
    stack.push_async_callback(client.aclose)
    return Outside(client, manners(settings))


def _searches(settings: Settings, outside: Outside, agent: str) -> Iterator[Search]:
    if settings.searxng_url:
        yield SearxngSearch(outside, settings.searxng_url)
    if settings.wikipedia_url:
        yield WikipediaSearch(outside, settings.wikipedia_url, agent)
    if settings.newsapi_key:
        yield NewsApiSearch(outside, settings.newsapi_key.get_secret_value())
    if settings.serpapi_key:
        yield SerpApiSearch(outside, settings.serpapi_key.get_secret_value())


def _model(settings: Settings, outside: Outside, stack: AsyncExitStack) -> LanguageModel:
    return ExtractiveWriter() if settings.llm_model is None else _Provided(settings, settings.llm_model, outside, stack)


class _Provided:
    """The provider's model, whose library is only loaded when something is to be written: 100 MiB that most processes
    spare."""

    def __init__(self, settings: Settings, model: str, outside: Outside, stack: AsyncExitStack) -> None:
        self.name = model
        self._settings, self._outside, self._stack = settings, outside, stack
        self._model: LanguageModel | None = None

    async def write(self, brief: Brief) -> Draft:
        if self._model is None:
            from app.infrastructure.language_model_pydantic_ai import PydanticAiModel  # noqa: PLC0415 - see above

            model = PydanticAiModel(
                self._outside,
                self.name,
                openai_key=_plain(self._settings.openai_api_key),
                openai_url=self._settings.openai_base_url,
                anthropic_key=_plain(self._settings.anthropic_api_key),
            )
            self._stack.push_async_callback(model.close)
            self._model = model
        return await self._model.write(brief)


def _plain(secret: SecretStr | None) -> str | None:
    return secret.get_secret_value() if secret else None
