"""Cross-origin reads for the origins that the configuration lists; off by default."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flask import Flask, Response, request

if TYPE_CHECKING:
    from collections.abc import Collection

_PREFLIGHT = {
    "Access-Control-Allow-Methods": "GET, POST, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, Content-Type, X-API-Key",
    "Access-Control-Max-Age": "600",
}


def register(app: Flask, origins: Collection[str]) -> None:
    """Let pages of ``origins`` read answers; keys travel in headers, so no credentials mode."""
    if not origins:
        return
    allowed = frozenset(origins)

    def preflight() -> Response | None:
        asked = "Access-Control-Request-Method" in request.headers
        if request.method == "OPTIONS" and asked and request.headers.get("Origin") in allowed:
            return Response(status=204, headers=_PREFLIGHT)
        return None

    def allow(response: Response) -> Response:
        response.vary.add("Origin")
        origin = request.headers.get("Origin")
        if origin in allowed:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = "X-Request-ID, Retry-After"
            response.headers["Cross-Origin-Resource-Policy"] = "cross-origin"
        return response

    app.before_request(preflight)
    app.after_request(allow)
