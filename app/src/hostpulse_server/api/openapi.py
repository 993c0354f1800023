"""The OpenAPI document, made from the schemas that also check."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from flask_smorest import Api as SmorestApi
from marshmallow import Schema, fields

from hostpulse_server import __version__

if TYPE_CHECKING:
    from flask import Flask


class ProblemSchema(Schema):
    """An error, RFC 9457."""

    type = fields.String(required=True)
    title = fields.String(required=True)
    status = fields.Integer(required=True)
    detail = fields.String(required=True)
    errors = fields.Dict(
        keys=fields.String(),
        values=fields.List(fields.String()),
        metadata={"description": "JSON pointer → messages."},
    )


class Api(SmorestApi):  # type: ignore[misc]  # flask-smorest has no types
    """flask-smorest for documents; errors are answered by ``problems``."""

    ERROR_SCHEMA = ProblemSchema

    def _register_error_handlers(self) -> None:
        """Leave errors alone."""


def make(app: Flask) -> Api:
    """Return the Api of ``app``; its document is at /openapi.json."""
    app.config.update(
        API_TITLE="hostpulse",
        API_VERSION=f"v1 ({__version__})",
        OPENAPI_VERSION="3.1.0",
        OPENAPI_URL_PREFIX="/",
        OPENAPI_JSON_PATH="openapi.json",
    )
    options: dict[str, Any] = {
        "info": {
            "description": "Keys: `Authorization: Bearer KEY` or `X-API-Key: KEY`. "
            "Errors are application/problem+json (RFC 9457).",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": ".", "description": "this server"}],
        "security": [{"key": []}, {"apiKey": []}],
    }
    api = Api(app, spec_kwargs=options)
    schemes = api.spec.components
    schemes.security_scheme("key", {"type": "http", "scheme": "bearer"})
    schemes.security_scheme("apiKey", {"type": "apiKey", "in": "header", "name": "X-API-Key"})
    return api
