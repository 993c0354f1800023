"""Every error as RFC 9457 ``application/problem+json``."""

from __future__ import annotations

import json
import logging
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Flask, Response, g
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException

from hostpulse_server import errors
from hostpulse_server.values import json_pointer

if TYPE_CHECKING:
    from collections.abc import Mapping

CONTENT_TYPE = "application/problem+json"
RETRY_STORE_SECONDS = 10.0

_STATUS: dict[type[errors.HostpulseError], int] = {
    errors.NotJsonError: 400,
    errors.IncompleteBodyError: 408,
    errors.TooLargeError: 413,
    errors.UnsupportedMediaError: 415,
    errors.AuthenticationError: 401,
    errors.PermissionDeniedError: 403,
    errors.UnknownServerError: 404,
    errors.MachineConflictError: 409,
    errors.UnknownKeyError: 404,
    errors.UnknownAlertError: 404,
    errors.UnknownSilenceError: 404,
    errors.AlertOverError: 409,
    errors.InvalidItemError: 422,
    errors.RegistryError: 409,
    errors.QueryError: 422,
    errors.JournalFullError: 503,
    errors.JournalUnavailableError: 503,
    errors.StateUnavailableError: 503,
    errors.StoreUnavailableError: 503,
    errors.ShipperStateUnavailableError: 503,
    errors.StateUnavailableError: 503,
}

log = logging.getLogger(__name__)


class ProblemError(errors.HostpulseError):
    """An answer other than 2xx that a view wants to give."""

    def __init__(
        self,
        status: int,
        detail: str,
        errors: Mapping[str, list[str]] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = errors
        self.headers = headers


def problem(
    status: int,
    detail: str,
    errors: Mapping[str, list[str]] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Return the response; ``errors`` maps JSON pointers to lists of messages."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
    }
    if errors:
        body["errors"] = errors
    response = Response(json.dumps(body), status=status, content_type=CONTENT_TYPE)
    for name, value in (headers or {}).items():
        response.headers[name] = value
    g.problem = detail
    return response


def retry_after(seconds: float) -> dict[str, str]:
    """Return the Retry-After header for ``seconds``, rounded up, at least 1."""
    return {"Retry-After": str(max(1, -int(-seconds // 1)))}


def _known(error: errors.HostpulseError) -> Response:
    status = next((_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS), 500)
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        return _unexpected(error)
    headers: dict[str, str] = {}
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = 'Bearer realm="hostpulse"'
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        asked = getattr(error, "retry_after", None)
        headers = retry_after(RETRY_STORE_SECONDS if asked is None else asked)
    return problem(status, str(error), _pointers_of(error), headers)


def _pointers_of(error: errors.HostpulseError) -> dict[str, list[str]] | None:
    if isinstance(error, errors.QueryError):
        return {f"/{error.field}": [str(error)]}
    return error.errors if isinstance(error, errors.InvalidItemError) else None


def _unexpected(error: Exception) -> Response:
    log.error("unexpected error", exc_info=error)
    return problem(500, "The server failed; its log has the cause under this X-Request-ID.")


def _http(error: HTTPException) -> Response:
    status = error.code or 500
    headers = {
        name: value
        for name, value in error.get_headers()
        if name in {"Allow", "Retry-After", "Location", "WWW-Authenticate"}
    }
    data = getattr(error, "data", None)  # flask-smorest puts the messages of a schema here
    messages = data.get("messages") if isinstance(data, dict) else None
    found = json_pointer.flattened(_without_location(messages)) if messages else None
    detail = "Some values are wrong." if found else str(error.description or "")
    return problem(status, detail, found, headers)


def _without_location(messages: Any) -> Any:
    # webargs nests messages below where it found the value: json, query, …
    if isinstance(messages, dict) and set(messages) <= {"json", "query", "query_and_headers"}:
        merged: dict[str, Any] = {}
        for nested in messages.values():
            merged.update(nested if isinstance(nested, dict) else {"_schema": nested})
        return merged
    return messages


def register(app: Flask) -> None:
    """Make ``app`` answer every error as a problem."""
    app.register_error_handler(
        ProblemError, lambda error: problem(error.status, error.detail, error.errors, error.headers)
    )
    app.register_error_handler(errors.HostpulseError, _known)
    app.register_error_handler(
        ValidationError,
        lambda error: problem(
            422, "Some values are wrong.", json_pointer.flattened(error.messages)
        ),
    )
    app.register_error_handler(HTTPException, _http)
    app.register_error_handler(Exception, _unexpected)
