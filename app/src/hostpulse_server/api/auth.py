"""Who is calling: keys in headers, roles on views."""

from __future__ import annotations

from functools import wraps
from typing import TYPE_CHECKING, Any, TypeVar, cast

from flask import g, request

from hostpulse_server.api import limits
from hostpulse_server.api.services import services
from hostpulse_server.errors import AuthenticationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.registry import Identity

View = TypeVar("View", bound="Callable[..., Any]")


def key_of_request() -> str | None:
    """Return the key text of the request, from ``Authorization: Bearer`` or ``X-API-Key``."""
    environ = request.environ
    header = cast("str", environ.get("HTTP_AUTHORIZATION", ""))
    if header[:7].lower() == "bearer ":
        return header[7:].strip()
    return cast("str | None", environ.get("HTTP_X_API_KEY"))


def identify() -> Identity:
    """Authenticate the request and put the identity into ``flask.g.identity``.

    Raises AuthenticationError, or ProblemError 429 when this address has failed too often; a valid
    key is never refused for the failures of others behind its address.
    """
    address = request.remote_addr or ""
    try:
        identity = services().registry.authenticate(key_of_request(), address)
    except AuthenticationError:
        limits.count_failure(address)
        raise
    g.identity = identity
    return identity


def require(*roles: str) -> Callable[[View], View]:
    """Let only keys with one of ``roles`` reach the view; the identity is ``g.identity``."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            identity = identify()
            identity.require(*roles)
            limits.count_request(identity.key_id)
            return view(*args, **kwargs)

        return cast("View", guarded)

    return decorate
