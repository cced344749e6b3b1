"""What FastAPI cannot see by itself in the API's description: problems, and bodies that are read as they stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi
from pydantic import BaseModel

from app.api.openapi_answers import complete
from app.api.problems import Problem

_REF = "#/components/schemas/{model}"

# A default answer on each router: FastAPI leaves out its own validation error then, which is never sent.
PROBLEMS: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "A problem (RFC 9457)",
        "content": {"application/problem+json": {"schema": {"$ref": _REF.format(model="Problem")}}},
    }
}

SUBMISSION: dict[str, Any] = {
    "parameters": [
        {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "description": "The same key with the same content answers with the same job.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255},
        }
    ],
    "requestBody": {
        "required": True,
        "content": {
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "file": {"type": "string", "format": "binary"},
                        "workflow": {"type": "string", "default": "n8n_notion"},
                    },
                    "additionalProperties": {"type": "string"},
                }
            },
            "application/json": {
                "schema": {
                    "type": "object",
                    "properties": {
                        "workflow": {"type": "string", "default": "n8n_notion"},
                        "params": {"type": "object", "additionalProperties": True},
                    },
                    "additionalProperties": False,
                }
            },
        },
    },
}

_PAYLOAD = {"schema": {"$ref": _REF.format(model="JobCallbackPayload")}}
CALLBACK: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            "application/json": _PAYLOAD,
            "application/x-www-form-urlencoded": _PAYLOAD,
            "multipart/form-data": _PAYLOAD,
        },
    }
}


def describe(app: FastAPI, models: Mapping[str, type[BaseModel]]) -> None:
    """Makes `/openapi.json` complete: adds the schemas of these models, which the routes name by themselves."""

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = get_openapi(title=app.title, version=app.version, description=app.description, routes=app.routes)
            components = schema.setdefault("components", {}).setdefault("schemas", {})
            named: dict[str, type[BaseModel]] = {"Problem": Problem, **models}
            for name, model in named.items():
                own = model.model_json_schema(ref_template=_REF)
                components.update(own.pop("$defs", {}))
                components[name] = own
            complete(schema)
            app.openapi_schema = schema
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
