"""The ASGI entry: `uvicorn main:app`."""

from app.bootstrap.asgi import application

app = application()
