"""Makes a virtual environment and installs pinned requirements: `python3 scripts/environment.py .venv requirements.txt`.

Standard library only. Also works where the system's Python came without ensurepip (Debian without python3-venv): then pip
itself is fetched from the package index that pip is configured for, and checked against the hash that the index states.
"""

from __future__ import annotations

import base64
import configparser
import fcntl
import hashlib
import importlib.util
import os
import re
import ssl
import subprocess
import sys
import tempfile
import venv
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit
from urllib.request import HTTPSHandler, ProxyHandler, Request, build_opener

PIP = ("-m", "pip", "--quiet", "--quiet", "--disable-pip-version-check", "--no-input")
INSTALL = (*PIP, "install", "--only-binary", ":all:", "--no-warn-script-location")


def main(folder: Path, requirements: Path) -> None:
    """Makes the environment if there is no sound one, and installs the requirements into it."""
    with requirements.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # two makes at once
        python = folder / "bin" / "python"
        if not _has_pip(python):
            _make(folder, python)
        sys.stderr.write(f"Installing {requirements.name} into {folder} ...\n")
        _run(python, *INSTALL, "--requirement", requirements)


def _run(*command: str | Path) -> None:
    if status := subprocess.run(command, check=False).returncode:  # noqa: S603 - our own command line
        sys.exit(status)


def _has_pip(python: Path) -> bool:
    if not python.exists():
        return False
    return not subprocess.run([python, "-c", "import pip"], check=False, capture_output=True).returncode  # noqa: S603


def _make(folder: Path, python: Path) -> None:
    ensurepip = importlib.util.find_spec("ensurepip") is not None
    venv.create(folder, clear=True, symlinks=True, with_pip=ensurepip)
    if ensurepip:
        return
    with tempfile.TemporaryDirectory() as scratch:
        wheel = _download_pip(Path(scratch))
        _run(python, f"{wheel}/pip", *INSTALL[2:], "--no-index", wheel)


class _Links(HTMLParser):
    """The files of one project on a simple index (PEP 503), as (address, Python that it needs)."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.page = page
        self.files: list[tuple[str, str]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = {name: value or "" for name, value in attrs}
        if tag == "a" and "href" in found and "data-yanked" not in found:
            self.files.append((urljoin(self.page, found["href"]), found.get("data-requires-python", "")))


def _download_pip(into: Path) -> Path:
    """The newest pip that this Python may run, checked against its stated SHA-256."""
    troubles: list[str] = []
    candidates = [file for index in _indexes() for file in _wheels(index, troubles)]
    if not candidates:
        sys.exit("\n".join(["No package index offers pip. Install python3-venv, or set PIP_INDEX_URL.", *troubles]))
    address, fragment = urldefrag(max(candidates)[1])
    content = _read(address)
    if fragment != f"sha256={hashlib.sha256(content).hexdigest()}":
        sys.exit(f"{_shown(address)} does not have the SHA-256 that its index states; nothing was installed.")
    wheel = into / Path(unquote(urlsplit(address).path)).name
    wheel.write_bytes(content)
    return wheel


def _wheels(index: str, troubles: list[str]) -> list[tuple[tuple[int, ...], str]]:
    page = f"{index.rstrip('/')}/pip/"
    try:
        content = _read(page if not page.startswith("file:") else f"{page}index.html")
    except OSError as error:
        troubles.append(f"{_shown(page)}: {error}")
        return []
    links = _Links(page)
    links.feed(content.decode())
    return [
        (tuple(int(number) for number in match[1].split(".")), address)
        for address, needed in links.files
        if (match := re.search(r"/pip-(\d+(?:\.\d+)*)-py3-none-any\.whl#sha256=", address)) and _allowed(needed)
    ]


def _allowed(needed: str) -> bool:
    lowest = re.search(r">=\s*(\d+)\.(\d+)", needed)
    return lowest is None or sys.version_info[:2] >= (int(lowest[1]), int(lowest[2]))


def _indexes() -> list[str]:
    main_index = _configured("index-url") or "https://pypi.org/simple"
    return [*main_index.split(), *(_configured("extra-index-url") or "").split()]


def _configured(option: str) -> str | None:
    """What pip would take: the environment before the files, the user's file before the machine's."""
    if value := os.environ.get("PIP_" + option.upper().replace("-", "_")):
        return value
    user = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    places = [
        Path(os.environ.get("PIP_CONFIG_FILE", "/dev/null")),
        user / "pip/pip.conf",
        Path.home() / ".pip/pip.conf",
    ]
    for place in [*places, Path("/etc/xdg/pip/pip.conf"), Path("/etc/pip.conf")]:
        parser = configparser.RawConfigParser()
        parser.read(place)
        for section in ("install", "global"):
            if value := parser.get(section, option, fallback=None):
                return value
    return None


def _read(address: str) -> bytes:
    parts = urlsplit(address)
    request = Request(address)  # noqa: S310 - an index that the user configured
    if parts.username is not None:
        secret = f"{unquote(parts.username)}:{unquote(parts.password or '')}".encode()
        place = parts.netloc.rpartition("@")[2]
        request = Request(parts._replace(netloc=place).geturl())  # noqa: S310 - as above
        request.add_header("Authorization", "Basic " + base64.b64encode(secret).decode())
    proxy = _configured("proxy")
    proxies = ProxyHandler({"http": proxy, "https": proxy}) if proxy else ProxyHandler()
    context = ssl.create_default_context(cafile=_configured("cert") or os.environ.get("REQUESTS_CA_BUNDLE"))
    with build_opener(proxies, HTTPSHandler(context=context)).open(request, timeout=60) as answer:
        return bytes(answer.read())


def _shown(address: str) -> str:
    return re.sub(r"//[^/@]*@", "//", address)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
