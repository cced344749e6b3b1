"""RQ Dashboard as an ASGI application, made safe to mount: rq-dashboard 0.9.0, which is a Flask application.

As it comes it unpickles what it finds in Redis, shows it unescaped, and takes changes from any site, some of them by
GET. Authentication is the business of whoever mounts it.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

import rq_dashboard  # type: ignore[import-untyped]  # it has none
from a2wsgi import WSGIMiddleware
from flask import Flask, Response, current_app, request
from jinja2 import ChoiceLoader, FunctionLoader
from redis import Redis
from redis.exceptions import RedisError
from rq import Queue, Worker, requeue_job
from rq.exceptions import DeserializationError, NoSuchJobError
from rq.job import Job
from rq.serializers import JSONSerializer
from rq_dashboard import web

from app.infrastructure import doorbell_rq as doorbell

WORKERS: Final = 4
READS: Final = frozenset({"GET", "HEAD"})

# Its pages compile their templates in the browser, so inline script and eval must stay; nothing may leave, though.
HEADERS: Final = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; font-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'self'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class _JsonJob(Job):
    """Never unpickles."""

    def __init__(self, id: str | None = None, connection: Redis | None = None, serializer: Any = None) -> None:  # noqa: A002, ARG002
        super().__init__(id, connection, JSONSerializer)


class _JsonWorker(Worker):
    job_class = _JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"serializer": JSONSerializer, "job_class": _JsonJob})


class _JsonQueue(Queue):
    job_class = _JsonJob

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs | {"serializer": JSONSerializer, "job_class": _JsonJob})


def dashboard(url: str, queue_name: str, *, write: bool) -> WSGIMiddleware:
    """The pages of the queue at `url`. Without `write`, nothing can be changed through them; with it, only from them."""
    _teach_json()
    folder = Path(rq_dashboard.__file__).parent
    app = Flask("rq_dashboard", root_path=str(folder), static_folder=folder / "static")
    # The page shows this text as the address; the real one is nobody's business.
    app.config.update(RQ_DASHBOARD_REDIS_URL=[queue_name], RQ_DASHBOARD_DISABLE_DELETE=not write)
    vars(app)["redis_conn"] = doorbell.connect(url)  # where rq-dashboard looks for it
    app.jinja_env.loader = ChoiceLoader([FunctionLoader(partial(_escaping, folder / "templates"))])
    app.before_request(partial(_refusal, write=write))
    app.after_request(_with_headers)
    app.register_blueprint(rq_dashboard.blueprint, url_prefix="")
    for kind, status in ((NoSuchJobError, 404), (LookupError, 404), (DeserializationError, 502), (RedisError, 503)):
        app.register_error_handler(kind, partial(_apology, status))
    return WSGIMiddleware(app, workers=WORKERS)  # type: ignore[arg-type]  # two spellings of WSGI's types


def _teach_json() -> None:
    # These are module globals of rq-dashboard; setting them again changes nothing.
    web.config.serializer = JSONSerializer
    web.Job, web.Worker, web.Queue = _JsonJob, _JsonWorker, _JsonQueue
    web.requeue_job = partial(requeue_job, serializer=JSONSerializer)
    web.from_url = lambda *_, **__: (None, current_app.redis_conn)  # type: ignore[attr-defined]


def _escaping(templates: Path, name: str) -> str | None:
    """Load a template with every value escaped that the browser fills in, but for those that are already."""
    path = templates / name
    if not path.is_file():
        return None
    return re.sub(r"<%=(?! *\$\()", "<%-", path.read_text(encoding="utf-8"))


def _refusal(*, write: bool) -> Response | None:
    if request.path.startswith("/requeue/") and request.method in READS:
        return Response("not by GET", 405)
    if request.method in READS:
        return None
    if not write:
        return Response("this dashboard is read-only", 403)
    return None if _same_origin() else Response("only from the dashboard's own pages", 403)


def _same_origin() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    return urlsplit(request.headers.get("Origin", "")).netloc == request.host


def _with_headers(response: Response) -> Response:
    response.headers.update(HEADERS)
    if "Cache-Control" not in response.headers:
        response.headers["Cache-Control"] = "private, max-age=300"
    return response


def _apology(status: int, error: Exception) -> Response:
    return Response(f"{type(error).__name__}\n", status, mimetype="text/plain")
