"""Every setting: typed, frozen, read from the environment and then from `.env`. A wrong one stops the start in words."""

from __future__ import annotations

import difflib
import os
import re
import sys
from collections.abc import Iterator, Mapping
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from dotenv import dotenv_values
from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from app.core.setting_types import (
    HOW_TO_MAKE_ONE,
    ByteRate,
    DatabaseUrl,
    Duration,
    HttpUrl,
    JobRate,
    NamedKeys,
    Period,
    RedisUrl,
    Schedule,
    Secret,
    Secrets,
    SigningSecrets,
    Size,
    Upper,
    durable,
)

ENV_FILE = Path(".env")
WORKFLOWS_FILE = Path("workflows.toml")
_MENTION = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
WILDCARD_HOSTS = {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}  # noqa: S104 - looked up, not bound


def reachable(host: str) -> str:
    """The host part of an address at which a server bound to `host` answers on this machine."""
    address = WILDCARD_HOSTS.get(host, host)
    return f"[{address}]" if ":" in address else address


def _public_url(known: dict[str, Any]) -> str:
    return f"http://{reachable(known['host'])}:{known['port']}"


def _database_url(known: dict[str, Any]) -> str:
    return f"sqlite:///{known['data_dir']}/callslip.db"


def _checkpoints(known: dict[str, Any]) -> Path:
    return Path(known["data_dir"]) / "checkpoints.jsonl"


def _signing_key_file(known: dict[str, Any]) -> Path:
    return Path(known["data_dir"]) / "signing.key"


def _seconds(*values: float) -> tuple[timedelta, ...]:
    return tuple(timedelta(seconds=value) for value in values)


class Settings(BaseSettings):
    """One field per variable; the variable is the field's name in capitals. `.env.example` says what each is for."""

    model_config = SettingsConfigDict(
        frozen=True, extra="ignore", env_ignore_empty=True, env_file_encoding="utf-8", hide_input_in_errors=True
    )

    # API
    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=1, le=65535)
    public_url: HttpUrl = Field(default_factory=_public_url)
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], Upper] = "INFO"
    log_format: Literal["auto", "json", "text"] = "auto"

    # Security
    callslip_api_keys: NamedKeys
    secret_key: Secrets
    callback_secret: SigningSecrets = ()
    link_ttl: Period = timedelta(days=7)

    # Files
    data_dir: Annotated[Path, AfterValidator(Path.absolute), Field(validate_default=True)] = Path(".data")
    max_upload_size: Size = 2 * 1024**3
    min_free_disk: Size = 256 * 1024**2
    keep_files_for: Duration = timedelta(days=30)
    keep_jobs_for: Duration = timedelta(0)
    orphan_age: Period = timedelta(hours=24)
    upload_max_concurrent: int = Field(default=200, ge=1)
    upload_min_rate: Size = 1024
    upload_rate_window: Period = timedelta(seconds=30)
    upload_idle_timeout: Period = timedelta(seconds=30)
    header_timeout: Period = timedelta(seconds=10)
    max_open_jobs: int = Field(default=0, ge=0)
    quota_jobs: JobRate | None = None
    quota_bytes: ByteRate | None = None
    quota_uploads: int = Field(default=0, ge=0)

    # Database
    database_url: DatabaseUrl = Field(default_factory=_database_url, repr=False)  # may carry a password
    sqlite_synchronous: Annotated[Literal["FULL", "EXTRA"], BeforeValidator(durable)] = "FULL"
    auto_migrate: bool = True

    # Record
    checkpoints: Path = Field(default_factory=_checkpoints)
    checkpoint_every: Period = timedelta(seconds=60)
    signing_key_file: Path = Field(default_factory=_signing_key_file)

    # Queue
    redis_url: RedisUrl | None = Field(default=None, repr=False)  # may carry a password
    queue_name: str = Field(default="callslip", pattern=r"^[A-Za-z0-9_.-]{1,64}$")
    worker_concurrency: int = Field(default=100, ge=1, le=10_000)
    in_flight: int = Field(default=8, ge=1, le=10_000)
    rq_dashboard: bool = True
    rq_dashboard_write: bool = False

    # n8n
    n8n_webhook_url: HttpUrl | None = None
    n8n_webhook_token: Secret | None = None
    n8n_webhook_secret: SigningSecrets = ()
    n8n_auth: Literal["header", "jwt", "none"] = "header"
    n8n_delivery: Literal["multipart", "link"] = "multipart"
    n8n_multipart_limit: Size = 100 * 1000**2
    n8n_timeout: Period = timedelta(seconds=120)
    n8n_api_url: HttpUrl | None = None
    n8n_api_key: SecretStr | None = None
    n8n_verify_tls: bool = True
    n8n_ca_file: Path | None = None
    n8n_allow_private: bool = True
    workflows_file: Path = WORKFLOWS_FILE

    # Local workflows
    workflows_dir: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    step_retry: Schedule = _seconds(1, 5)

    # Reports: who writes, and where sources are found
    llm_model: Annotated[str, Field(pattern=r"^[a-z0-9/_-]+:\S+$")] | None = None
    openai_api_key: SecretStr | None = None
    openai_base_url: HttpUrl | None = None
    anthropic_api_key: SecretStr | None = None
    documents_dir: Annotated[Path, AfterValidator(Path.absolute)] | None = None
    searxng_url: HttpUrl | None = None
    wikipedia_url: HttpUrl | None = None
    newsapi_key: SecretStr | None = None
    serpapi_key: SecretStr | None = None
    pages_allow_private: bool = False
    tool_timeout: Period = timedelta(seconds=15)
    tool_pause: Period = timedelta(milliseconds=500)

    # Periods
    callback_timeout: Period = timedelta(minutes=15)
    callback_deadline: Period = timedelta(hours=24)
    retry_schedule: Schedule = _seconds(5, 30, 120, 600, 1800, 7200, 18000)
    retry_jitter: float = Field(default=0.2, ge=0, lt=1)
    ambiguity_wait: Period = timedelta(seconds=60)
    refused_for: Period = timedelta(hours=1)
    lease: Period = timedelta(seconds=10)
    lease_renewal: Period = timedelta(seconds=3)
    sweep_every: Period = timedelta(seconds=1)
    feed_every: Period = timedelta(seconds=1)
    drain_timeout: Period = timedelta(seconds=12)
    sse_heartbeat: Period = timedelta(seconds=15)

    # Notices
    github_api_url: HttpUrl = "https://api.github.com"
    github_token: SecretStr | None = None

    notify_url: HttpUrl | None = None
    notify_secret: SigningSecrets = ()

    @model_validator(mode="after")
    def _fits_together(self) -> Self:
        if problems := list(_conflicts(self)):
            raise ValueError("\n".join(problems))
        return self


def _conflicts(settings: Settings) -> Iterator[str]:
    """What is right by itself and wrong together."""
    if settings.n8n_webhook_url and settings.n8n_auth != "none" and settings.n8n_webhook_token is None:
        yield f"N8N_WEBHOOK_TOKEN is missing, and N8N_AUTH={settings.n8n_auth} sends it; {HOW_TO_MAKE_ONE}"
    if settings.n8n_webhook_url and not settings.n8n_webhook_secret:
        yield f"N8N_WEBHOOK_SECRET is missing, and deliveries to N8N_WEBHOOK_URL are signed with it; {HOW_TO_MAKE_ONE}"
    if settings.notify_url and not settings.notify_secret:
        yield f"NOTIFY_SECRET is missing, and notices to NOTIFY_URL are signed with it; {HOW_TO_MAKE_ONE}"
    if (settings.n8n_api_url is None) != (settings.n8n_api_key is None):
        yield "N8N_API_URL and N8N_API_KEY belong together: set both or neither (n8n: Settings, n8n API, create a key)"
    if settings.n8n_ca_file is not None and not settings.n8n_verify_tls:
        yield "N8N_CA_FILE has no effect with N8N_VERIFY_TLS=false: remove one of them"
    if settings.n8n_ca_file is not None and not settings.n8n_ca_file.is_file():
        yield "N8N_CA_FILE names no file"
    if (
        settings.llm_model
        and settings.llm_model.startswith("openai")
        and not (settings.openai_api_key or settings.openai_base_url)
    ):
        yield "OPENAI_API_KEY is missing, and LLM_MODEL needs it (a server of your own: OPENAI_BASE_URL)"
    yield from _report_conflicts(settings)
    if settings.lease_renewal * 2 > settings.lease:
        yield "LEASE_RENEWAL must be at most half of LEASE: one missed renewal must not lose the job"
    if settings.callback_deadline < settings.callback_timeout:
        yield "CALLBACK_DEADLINE must not be shorter than CALLBACK_TIMEOUT: a job is overdue before it fails"


def _report_conflicts(settings: Settings) -> Iterator[str]:
    model = settings.llm_model or ""
    if model and find_spec("pydantic_ai") is None:
        yield "LLM_MODEL is set, and what speaks with models is not installed: make llm"
    if model.startswith("anthropic:") and settings.anthropic_api_key is None:
        yield "ANTHROPIC_API_KEY is missing, and LLM_MODEL needs it"
    if settings.documents_dir is not None and not settings.documents_dir.is_dir():
        yield "DOCUMENTS_DIR names no folder"


class SettingsError(Exception):
    """The settings do not allow a start. `problems` holds one line each and no secret."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = tuple(problems)


def load_settings(env_file: Path = ENV_FILE) -> Settings:
    """The settings of this process, or SettingsError with a line for every problem."""
    try:
        problems = list(_unknown(dotenv_values(env_file, encoding="utf-8")))
        settings = Settings(_env_file=env_file)  # type: ignore[call-arg]  # mypy sees the fields only
    except ValidationError as error:
        raise SettingsError(problems + [line for problem in error.errors() for line in _lines(problem)]) from None
    except (OSError, UnicodeDecodeError):
        raise SettingsError([f"{env_file} cannot be read as text"]) from None
    if problems:
        raise SettingsError(problems)
    return settings


def settings_or_exit(env_file: Path = ENV_FILE) -> Settings:
    """For entry points: the settings, or the problems on standard error and exit status 2."""
    try:
        return load_settings(env_file)
    except SettingsError as error:
        sys.stderr.write("\n  ".join(["Callslip cannot start with these settings:", *error.problems]) + "\n")
        raise SystemExit(2) from None


_EXAMPLES = {"callslip_api_keys": f"write it as me:<key>; {HOW_TO_MAKE_ONE}"}


def _lines(problem: Mapping[str, Any]) -> list[str]:
    kind, message = problem["type"], str(problem["msg"]).removeprefix("Value error, ")
    if not problem["loc"]:
        return message.splitlines()
    field = str(problem["loc"][0])
    name = field.upper()
    if kind == "default_factory_not_called":  # only follows from another problem
        return []
    if kind == "missing":
        return [f"{name} is missing; {_EXAMPLES.get(field, HOW_TO_MAKE_ONE)}"]
    return [f"{name} {message[0].lower()}{message[1:]}"]


def _unknown(names: Mapping[str, str | None]) -> Iterator[str]:
    """Names in `.env` that nothing reads, most likely slips. workflows.toml takes its secrets from names of its own."""
    file = Path(os.environ.get("WORKFLOWS_FILE") or names.get("WORKFLOWS_FILE") or WORKFLOWS_FILE)
    mentioned = set(_MENTION.findall(file.read_text(encoding="utf-8"))) if file.is_file() else set()
    for name in names:
        if name.lower() not in Settings.model_fields and name not in mentioned:
            nearest = difflib.get_close_matches(name.lower(), Settings.model_fields, n=1)
            hint = f"did you mean {nearest[0].upper()}?" if nearest else "see .env.example"
            yield f"{name} in .env is not a setting; {hint}"
