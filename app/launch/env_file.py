"""The first `.env`: freshly made secrets, readable by their owner only. An existing file is never touched."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

_CONTENT = """\
# Made by `make run` on its first start. Every setting is described in .env.example; the environment wins over this file.

# Who may hand in jobs: name:key pairs with commas between.
CALLSLIP_API_KEYS=me:{}

# Signs links and callback tokens. To rotate, put a new one in front: NEW,OLD
SECRET_KEY={}

# What deliveries carry for the workflow's Header Auth, and what they are signed with.
N8N_WEBHOOK_TOKEN={}
N8N_WEBHOOK_SECRET={}

# With this, workflows may sign their callbacks instead of sending the job's own token.
CALLBACK_SECRET={}
"""


def ensure_env_file(path: Path) -> bool:
    """Makes the file if there is none, whole or not at all; says whether it did."""
    if path.exists():
        return False
    draft = path.with_name(f"{path.name}.{os.getpid()}.new")
    content = _CONTENT.format(*(secrets.token_urlsafe(32) for _ in range(5)))
    try:
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.link(draft, path)  # refuses, where a rename would replace what somebody else just wrote
    except FileExistsError:
        return False
    finally:
        draft.unlink(missing_ok=True)
    return True
