"""Reads webhook workflows from `workflows.toml` and the N8N_* settings: an entry, not a line of Python, adds one.

`n8n_notion` always comes from the settings; an entry of that name in the file changes what it names and leaves the
rest as the settings have it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from pydantic import ValidationError

from app.core.setting_types import HOW_TO_MAKE_ONE, http_url, secret_of, secrets_of
from app.domain.errors import Misconfigured
from app.domain.lifecycle import Periods
from app.domain.signing import secret_bytes
from app.domain.workflow import ANY_TYPE, FileRules, Workflow
from app.infrastructure.toml_lines import error_line, lines_of
from app.infrastructure.webhook_target import Auth, DeliveryMode, WebhookTarget
from app.infrastructure.workflow_entry import NAME, NOTION, VARIABLE, Entry, in_words
from app.infrastructure.workflow_parameters import compiled
from app.infrastructure.workflow_rules import rules

BUILT_IN = "n8n_notion"
SHORTEST = 24
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class N8nValues:
    """The N8N_* settings, checked already. Without a `url` there is no `n8n_notion`. Its repr shows no secret."""

    url: str | None
    token: str | None = field(default=None, repr=False)
    secrets: tuple[str, ...] = field(default=(), repr=False)
    auth: str = "header"
    delivery: str = "multipart"
    multipart_limit: int = 100_000_000
    timeout: timedelta = timedelta(seconds=120)
    api_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    in_flight: int = 8


def load_workflows(
    path: Path | None, n8n: N8nValues, env: Mapping[str, str], periods: Periods, max_file_size: int
) -> dict[str, tuple[Workflow, WebhookTarget]]:
    """Every configured workflow by name, the built-in first. Raises Misconfigured with one line for every problem,
    naming the file, the line and the entry, or the variable."""
    file = _File(path)
    entries = file.entries()
    if n8n.url is not None:
        own = entries.pop(BUILT_IN, Entry())
        changes = {key: getattr(own, key) for key in own.model_fields_set}
        entries = {BUILT_IN: NOTION.model_copy(update=changes), **entries}
    elif BUILT_IN in entries and entries[BUILT_IN].url is None:
        del entries[BUILT_IN]
    found = {}
    for name, entry in entries.items():
        reader = _Reader(file, name, entry, n8n, env)
        found[name] = (reader.workflow(periods, max_file_size), reader.target())
    if file.problems:
        raise Misconfigured(file.problems)
    return found


class _File:
    """The file's entries, and where what is wrong with them stands."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._lines: Mapping[tuple[str, ...], int] = {}
        self.problems: list[str] = []

    def entries(self) -> dict[str, Entry]:
        """What can be read as entries; the rest is reported."""
        content = self._content()
        for key in content.keys() - {"workflow"}:
            self.report((key,), f"unknown key '{key}': every entry begins with [workflow.<name>]")
        tables = content.get("workflow", {})
        if not isinstance(tables, dict):
            self.report(("workflow",), "every entry begins with [workflow.<name>], in single brackets")
            return {}
        found = {name: self._entry(name, table) for name, table in tables.items()}
        return {name: entry for name, entry in found.items() if entry is not None}

    def report(self, path: tuple[str, ...], message: str) -> None:
        """Adds a problem of the key at `path`, with the line of the nearest that the file names."""
        line = next((self._lines[path[:end]] for end in range(len(path), 0, -1) if path[:end] in self._lines), None)
        place = f"{self._path}:{line}: " if line else ""
        table = f"[workflow.{path[1]}] " if path[0] == "workflow" and len(path) > 1 else ""
        self.problems.append(f"{place}{table}{message}")

    def _content(self) -> dict[str, object]:
        if self._path is None:
            return {}
        try:
            text = self._path.read_text("utf-8")
            content = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            self.problems.append(f"{self._path}:{error_line(error, text)}: {error}")
        except (OSError, UnicodeDecodeError) as error:
            self.problems.append(
                f"{self._path} cannot be read: {getattr(error, 'strerror', None) or 'it is not UTF-8'}"
            )
        else:
            self._lines = lines_of(text)
            return content
        return {}

    def _entry(self, name: str, table: object) -> Entry | None:
        if not NAME.fullmatch(name):
            self.report(("workflow", name), "a workflow's name is a-z, 0-9, - and _, and begins with a letter")
            return None
        try:
            return Entry.model_validate(table)
        except ValidationError as error:
            for path, message in in_words(error):
                self.report(("workflow", name, *path), message)
            return None


class _Reader:
    """Makes one workflow out of its entry and, for the built-in, the settings."""

    def __init__(self, file: _File, name: str, entry: Entry, n8n: N8nValues, env: Mapping[str, str]) -> None:
        self._file, self._name, self._entry, self._n8n, self._env = file, name, entry, n8n, env
        self._built_in = name == BUILT_IN and n8n.url is not None

    def workflow(self, periods: Periods, max_file_size: int) -> Workflow:
        """What the service knows about it."""
        entry, title = self._entry, self._entry.title or self._name
        parameters = entry.parameters or {}
        compiling = self._try("parameters", lambda: compiled(title, parameters))
        schema, check = compiling or compiled(title, {})
        return Workflow(
            name=self._name,
            title=title,
            schema=schema,
            check=check,
            file=self._file_rules(max_file_size),
            in_flight=entry.in_flight or self._n8n.in_flight,
            periods=self._periods(periods),
            **rules(entry, self._report),
        )

    def target(self) -> WebhookTarget:
        """Where it is delivered to."""
        entry, base = self._entry, self._n8n if self._built_in else N8nValues(url=None, timeout=self._n8n.timeout)
        auth = Auth(entry.auth or base.auth)
        token = base.token if entry.token is None else self._secret("token", entry.token)
        self._check_token(auth, token)
        secrets = base.secrets if entry.secret is None else self._secrets(entry.secret)
        if not secrets and entry.secret is None:
            self._report("secret", f"is missing: every delivery is signed with it; {HOW_TO_MAKE_ONE}")
        return WebhookTarget(
            url=self._url("url", entry.url) or base.url or self._missing_url(),
            auth=auth,
            token=token,
            secrets=tuple(secret_bytes(secret) for secret in secrets),
            delivery=DeliveryMode(entry.delivery or base.delivery),
            multipart_limit=entry.multipart_limit or self._n8n.multipart_limit,
            timeout=entry.timeout or base.timeout,
            **self._api(base),
        )

    def _file_rules(self, max_file_size: int) -> FileRules | None:
        entry = self._entry
        if entry.file == "none":
            for key in ("media_types", "max_size"):
                if getattr(entry, key) is not None:
                    self._report(key, "goes with file = 'required' only")
            return None
        if entry.max_size is not None and entry.max_size > max_file_size:
            self._report("max_size", f"is above what MAX_UPLOAD_SIZE allows ({max_file_size} bytes)")
        return FileRules(media_types=tuple(entry.media_types or ANY_TYPE), max_size=entry.max_size or max_file_size)

    def _periods(self, periods: Periods) -> Periods:
        entry = self._entry
        own = replace(
            periods,
            callback_timeout=entry.callback_timeout or periods.callback_timeout,
            callback_deadline=entry.callback_deadline or periods.callback_deadline,
        )
        if own.callback_deadline < own.callback_timeout:
            key = "callback_deadline" if entry.callback_deadline else "callback_timeout"
            self._report(key, "makes callback_deadline shorter than callback_timeout: a job is overdue before it fails")
        return own

    def _api(self, base: N8nValues) -> dict[str, str | None]:
        entry = self._entry
        if (entry.api_url is None) != (entry.api_key is None):
            self._report(
                "api_url" if entry.api_key is None else "api_key", "belongs with the other: api_url and api_key"
            )
        if entry.api_url is None or entry.api_key is None:
            return {"api_url": base.api_url, "api_key": base.api_key}
        return {"api_url": self._url("api_url", entry.api_url), "api_key": self._secret("api_key", entry.api_key)}

    def _check_token(self, auth: Auth, token: str | None) -> None:
        if auth is Auth.NONE or (token is None and self._entry.token is not None):  # the second is told already
            return
        if token is None:
            self._report("token", f"is missing, and auth = '{auth}' sends it; {HOW_TO_MAKE_ONE}")

    def _missing_url(self) -> str:
        if self._entry.url is None:
            self._report("url", "is missing")
        return ""

    def _url(self, key: str, text: str | None) -> str | None:
        if text is None:
            return None
        expanded = self._expanded(key, text)
        return None if expanded is None else self._try(key, lambda: str(http_url(expanded)))

    def _secret(self, key: str, text: str) -> str | None:
        expanded = self._expanded(key, text)
        if expanded is None:
            return None
        made = self._try(key, lambda: secret_of(SHORTEST)(expanded))
        return None if made is None else expanded.strip()

    def _secrets(self, text: str) -> tuple[str, ...]:
        expanded = self._expanded("secret", text)
        if expanded is None or self._try("secret", lambda: secrets_of(SHORTEST, only_sign=True)(expanded)) is None:
            return ()
        return tuple(secret.strip() for secret in expanded.split(","))

    def _expanded(self, key: str, text: str) -> str | None:
        missing = [name for name in VARIABLE.findall(text) if not self._env.get(name)]
        for name in missing:
            self._report(key, f"names ${{{name}}}, and the environment has no {name}")
        return None if missing else VARIABLE.sub(lambda match: self._env[match[1]], text)

    def _try(self, key: str, work: Callable[[], T]) -> T | None:
        try:
            return work()
        except ValueError as error:
            self._report(key, str(error))
            return None

    def _report(self, key: str, message: str) -> None:
        path = ("workflow", self._name, key)
        if key == "parameters":  # the message begins with the parameter's name
            parameter, _, rest = message.partition(": ")
            self._file.report((*path, parameter), f"parameter '{parameter}': {rest}")
        else:
            self._file.report(path, f"'{key}' {message}")
