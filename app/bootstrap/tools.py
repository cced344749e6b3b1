"""What the steps of local workflows are given: an adapter for each type that they name in an annotation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from datetime import datetime
from typing import Any

from app.bootstrap.report_tools import manners, report_tools
from app.core.settings import Settings
from app.domain.tools import CodeHost, Uploads
from app.infrastructure.answer_cache_sql import SqlAnswerCache
from app.infrastructure.code_host_github import GithubCodeHost
from app.infrastructure.http_client import build_client
from app.infrastructure.outside import Outside
from app.infrastructure.sql_database import SqlDatabase


def tools(
    settings: Settings, stack: AsyncExitStack, database: SqlDatabase, clock: Callable[[], datetime], uploads: Uploads
) -> Mapping[Any, object]:
    """By type. What must be closed is closed by the stack."""
    client = build_client(verify=True, ca_file=None, connections=settings.worker_concurrency)
    stack.push_async_callback(client.aclose)
    github = GithubCodeHost(
        Outside(client, manners(settings)),
        client,
        SqlAnswerCache(database),
        clock,
        url=settings.github_api_url,
        token=settings.github_token.get_secret_value() if settings.github_token else None,
    )
    return {CodeHost: github, Uploads: uploads, **report_tools(settings, stack)}
