"""Templates and static files become responses, with the headers that keep a page from doing anything else."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Final

from fastapi import APIRouter, Request
from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse, Response

from app.web import words
from app.web.markdown import markdown

CONTENT_SECURITY_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_TYPES: Final = {".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}
_FOLDER = Path(__file__).parent / "static"
_ASSETS = {path.name: path.read_bytes() for path in _FOLDER.iterdir() if path.suffix in _TYPES}
_VERSIONS = {name: hashlib.sha256(content).hexdigest()[:12] for name, content in _ASSETS.items()}

_HEADERS: Final = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "Cache-Control": "no-store",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=()",
}
_HEADERS_OF_PRIVATE: Final = _HEADERS | {"Referrer-Policy": "no-referrer"}

static = APIRouter(include_in_schema=False)


@static.get("/static/{name}")
async def asset(name: str) -> Response:
    """A style, a script or the icon. Its address changes with its content, so it may be kept for ever."""
    content = _ASSETS.get(name)
    if content is None:
        raise HTTPException(404)
    headers = {"Cache-Control": "public, max-age=31536000, immutable", "ETag": f'"{_VERSIONS[name]}"'}
    return Response(content, headers=headers, media_type=_TYPES[Path(name).suffix])


def address_of(name: str) -> str:
    """Where an asset is."""
    return f"/static/{name}?v={_VERSIONS[name]}"


def _environment() -> Environment:
    made = Environment(
        loader=PackageLoader("app.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.globals["static"] = address_of
    made.filters |= {
        "size": words.size,
        "kinds": words.kinds,
        "span": words.span,
        "clock": words.clock,
        "iso": words.iso,
        "pretty": words.pretty,
        "markdown": markdown,
        "short": words.short,
        "sentence": words.sentence,
    }
    return made


_TEMPLATES = _environment()


def html(template: str, **values: Any) -> str:
    """A template with its values filled in."""
    return _TEMPLATES.get_template(template).render(**values)


def page(
    request: Request, template: str, status: int = 200, *, private_address: bool = False, **values: Any
) -> HTMLResponse:
    """A whole page or a fragment, made now."""
    values.setdefault("visitor", None)
    text = html(template, here=request.url.path, **values)
    return ready(text, status, private_address=private_address)


def ready(text: str, status: int = 200, *, private_address: bool = False) -> HTMLResponse:
    """HTML as a response. `private_address`: its address holds a token, so it is told to nobody.

    The other pages tell it to ourselves: a browser that withholds it sends forms with `Origin: null`.
    """
    return HTMLResponse(text, status, _HEADERS_OF_PRIVATE if private_address else _HEADERS)
