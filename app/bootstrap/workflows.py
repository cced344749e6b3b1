"""The workflows that the settings and `workflows.toml` name. Imports little: the launcher checks them before it starts."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping

from dotenv import dotenv_values

from app.core.settings import ENV_FILE, Settings
from app.domain.errors import Misconfigured
from app.domain.lifecycle import Periods
from app.domain.workflow import Workflow
from app.infrastructure.webhook_target import WebhookTarget
from app.infrastructure.workflow_config import N8nValues, load_workflows


def check_workflows_or_exit(settings: Settings) -> None:
    """For entry points: a line on standard error for every mistake, and exit status 2."""
    try:
        taken = configured_workflows(settings)
        if settings.workflows_dir is not None:
            from app.bootstrap.local_workflows import local_workflows  # noqa: PLC0415 - runs whatever stands in the files

            local_workflows(settings.workflows_dir, periods_of(settings), taken)
    except Misconfigured as error:
        sys.stderr.write("\n  ".join(["Callslip cannot start with these workflows:", *error.problems]) + "\n")
        raise SystemExit(2) from None


def configured_workflows(settings: Settings) -> Mapping[str, tuple[Workflow, WebhookTarget]]:
    """Every workflow by name. Raises Misconfigured."""
    path = settings.workflows_file if settings.workflows_file.exists() else None
    variables = {name: value for name, value in dotenv_values(ENV_FILE).items() if value} | dict(os.environ)
    return load_workflows(path, _n8n(settings), variables, periods_of(settings), settings.max_upload_size)


def periods_of(settings: Settings) -> Periods:
    return Periods(
        schedule=settings.retry_schedule,
        jitter=settings.retry_jitter,
        lease=settings.lease,
        ambiguity_wait=settings.ambiguity_wait,
        refused_for=settings.refused_for,
        callback_timeout=settings.callback_timeout,
        callback_deadline=settings.callback_deadline,
    )


def _n8n(settings: Settings) -> N8nValues:
    token, api_key = settings.n8n_webhook_token, settings.n8n_api_key
    return N8nValues(
        url=settings.n8n_webhook_url,
        token=token.get_secret_value() if token else None,
        secrets=tuple(secret.get_secret_value() for secret in settings.n8n_webhook_secret),
        auth=settings.n8n_auth,
        delivery=settings.n8n_delivery,
        multipart_limit=settings.n8n_multipart_limit,
        timeout=settings.n8n_timeout,
        api_url=settings.n8n_api_url,
        api_key=api_key.get_secret_value() if api_key else None,
        in_flight=settings.in_flight,
    )
