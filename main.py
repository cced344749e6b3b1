"""The ASGI entry: `uvicorn main:app`."""

from app.core import collector

with collector.paused():
    from app.bootstrap.asgi import application

    app = application()
