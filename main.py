"""The ASGI entry: `uvicorn main:app`."""

from app.bootstrap import application

app = application()
