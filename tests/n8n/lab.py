"""One n8n of the test's own: fresh data, free ports, the workflows under test published; stopped by its own pid."""

from __future__ import annotations

import json
import os
import secrets
import signal
import socket
import subprocess
import time
from pathlib import Path
from typing import Any

import httpx

SWITCHED_OFF = "mcp-registry,mcp,instance-ai,community-packages,chat-hub,agents"


def free_port() -> int:
    """A port of the loopback that nobody holds now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class N8n:
    """An n8n that can be filled, started, stopped and killed. `lab` holds the program, `data` this one's own things."""

    def __init__(self, lab: Path, data: Path) -> None:
        self.lab, self.data = lab, data
        self.port, self.broker_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.api_key = ""
        self.process: subprocess.Popen[bytes] | None = None
        self.password = f"Aa1-{secrets.token_hex(12)}"
        self.environment = self._environment()
        data.mkdir(parents=True, exist_ok=True)

    def fill(self, credentials: list[dict[str, Any]], workflows: list[dict[str, Any]]) -> None:
        """Imports credentials and workflows with n8n's own command line, while it stands still."""
        secret = self.data / "credentials.json"
        secret.write_text(json.dumps(credentials))
        secret.chmod(0o600)
        folder = self.data / "workflows"
        folder.mkdir(exist_ok=True)
        for workflow in workflows:
            (folder / f"{workflow['id']}.json").write_text(json.dumps(workflow))
        self._run("import:credentials", f"--input={secret}")
        self._run("import:workflow", "--separate", f"--input={folder}")
        secret.unlink()

    def start(self) -> None:
        """Starts it and returns when it says that it is ready."""
        with (self.data / "n8n.log").open("a") as out:
            self.process = subprocess.Popen(
                self._command("start"),
                cwd=self.data,
                env=self.environment,
                stdout=out,
                stderr=out,
                start_new_session=True,
            )
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            if _status(f"{self.url}/healthz/readiness") == 200 and _status(f"{self.url}/rest/settings") == 200:
                return
            time.sleep(0.2)
        raise AssertionError("n8n does not start:\n" + (self.data / "n8n.log").read_text()[-3000:])

    def publish(self, workflow_ids: list[str]) -> None:
        """Makes the owner and an API key on the first call, and the workflows live."""
        if not self.api_key:
            self.api_key = self._owner()
        for workflow_id in workflow_ids:
            answer = self.api("POST", f"/workflows/{workflow_id}/activate")
            assert answer.status_code == 200, answer.text

    def api(self, method: str, path: str, **more: Any) -> httpx.Response:
        """One call of n8n's public API."""
        key = {"X-N8N-API-KEY": self.api_key}
        return httpx.request(method, f"{self.url}/api/v1{path}", headers=key, timeout=30, **more)

    def execution(self, execution_id: str) -> dict[str, Any]:
        """What n8n says about one execution."""
        answer: dict[str, Any] = self.api("GET", f"/executions/{execution_id}").json()
        return answer

    def wait_for_webhook(self, path: str) -> None:
        """Returns once `path` is live: to a GET, n8n then names the right method."""
        deadline = time.monotonic() + 60
        while "POST" not in httpx.get(f"{self.url}/webhook/{path}", timeout=10).text:
            assert time.monotonic() < deadline, f"webhook {path} is not live"
            time.sleep(0.1)

    def stop(self) -> None:
        """Ends it in order; its running executions finish first."""
        self._end(signal.SIGTERM)

    def kill(self) -> None:
        """Ends it as a power cut would."""
        self._end(signal.SIGKILL)

    def _end(self, how: signal.Signals) -> None:
        process, self.process = self.process, None
        if process is None or process.poll() is not None:
            return
        if how is signal.SIGKILL:
            os.killpg(process.pid, signal.SIGKILL)  # its own session: n8n and its task runner
        else:
            process.send_signal(how)
        try:
            process.wait(45)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def _owner(self) -> str:
        with httpx.Client(base_url=self.url, timeout=30) as client:
            who = {"email": "lab@example.com", "password": self.password, "firstName": "Lab", "lastName": "Owner"}
            client.post("/rest/owner/setup", json=who).raise_for_status()
            scopes = client.get("/rest/api-keys/scopes").json()["data"]
            asked = client.post("/rest/api-keys", json={"label": "test", "expiresAt": None, "scopes": scopes})
            asked.raise_for_status()
            key: str = asked.json()["data"]["rawApiKey"]
            return key

    def _command(self, *words: str) -> list[str]:
        return [str(self.lab / "bin" / "node"), str(self.lab / "app/node_modules/n8n/bin/n8n"), *words]

    def _run(self, *words: str) -> None:
        done = subprocess.run(
            self._command(*words),
            check=False,
            cwd=self.data,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": f"{self.lab / 'bin'}:{os.environ['PATH']}",
            "HOME": str(self.data),
            "N8N_USER_FOLDER": str(self.data),
            "N8N_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_HOST": "127.0.0.1",
            "N8N_PORT": str(self.port),
            "N8N_RUNNERS_BROKER_PORT": str(self.broker_port),
            "N8N_RUNNERS_BROKER_LISTEN_ADDRESS": "127.0.0.1",
            "N8N_ENCRYPTION_KEY": secrets.token_hex(16),
            "N8N_SECURE_COOKIE": "false",
            "N8N_DIAGNOSTICS_ENABLED": "false",
            "N8N_VERSION_NOTIFICATIONS_ENABLED": "false",
            "N8N_TEMPLATES_ENABLED": "false",
            "N8N_PERSONALIZATION_ENABLED": "false",
            "N8N_HIRING_BANNER_ENABLED": "false",
            "N8N_COMMUNITY_PACKAGES_ENABLED": "false",
            "N8N_DISABLED_MODULES": SWITCHED_OFF,
            "GENERIC_TIMEZONE": "UTC",
            "TZ": "UTC",
            "NODE_ENV": "production",
        }


def _status(url: str) -> int:
    try:
        return httpx.get(url, timeout=2).status_code
    except httpx.HTTPError:
        return 0
