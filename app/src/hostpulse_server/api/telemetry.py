"""What every request gets: an id, a count, a line in the log if it failed or was slow, headers."""

from __future__ import annotations

import logging
import random
import re
import time
from typing import TYPE_CHECKING

from flask import Flask, Response, current_app, g, request

from hostpulse_server.api import prometheus_metrics, request_line
from hostpulse_server.runtime import logs, shared_counters

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from hostpulse_server.api.services import Services
    from hostpulse_server.runtime.shared_counters import CounterRow

EXTENSION = "hostpulse_telemetry"
SLOW_SECONDS = 1.0
SECURITY_HEADERS = (
    (
        "Content-Security-Policy",
        (
            "default-src 'self'; frame-ancestors 'none'; base-uri 'none'; object-src 'none'; "
            "form-action 'self'"
        ),
    ),
    ("X-Content-Type-Options", "nosniff"),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
    ("Cache-Control", "no-store"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
ID = "hostpulse.request_id"
BEGAN = "hostpulse.began"

_FAILED = 400
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")

log = logging.getLogger("hostpulse_server.access")


class Telemetry:
    """Counts what this process does, beside the other processes of the api."""

    def __init__(self, services: Services) -> None:
        self.tally = shared_counters.SharedCounters(services.config.paths.counters)
        self.samples = self.tally.row(shared_counters.SAMPLES)
        self.rejected = self.tally.row(shared_counters.REJECTED)


class RequestContextMiddleware:
    """The outermost layer: every response, also of an error handler, gets an id and the headers."""

    def __init__(self, inner: WSGIApplication) -> None:
        self._inner = inner

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        given = environ.get("HTTP_X_REQUEST_ID", "")
        # no secret: it only identifies a request, and asking the kernel gives the interpreter away
        request_id = given if _REQUEST_ID.fullmatch(given) else f"{random.getrandbits(64):016x}"
        environ[ID], environ[BEGAN] = request_id, time.perf_counter()
        logs.request_id.set(request_id)

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: OptExcInfo | None = None
        ) -> Callable[[bytes], object]:
            present = {name.lower() for name, _ in headers}
            headers.extend(pair for pair in SECURITY_HEADERS if pair[0].lower() not in present)
            headers.append(("X-Request-ID", request_id))
            return start_response(status, headers, exc_info)

        return self._inner(environ, start)


def register(app: Flask, services: Services) -> Telemetry:
    """Count and log the requests of ``app`` and give its answers their headers."""
    telemetry = Telemetry(services)
    app.extensions[EXTENSION] = telemetry
    log_all = services.config.api.access_log == "all"
    rows: dict[tuple[str, str, int], tuple[CounterRow, CounterRow]] = {}

    def finish(response: Response) -> Response:
        current = request._get_current_object()  # type: ignore[attr-defined]  # noqa: SLF001  # a proxy looks it up each time
        endpoint = current.endpoint
        status = response.status_code
        took = time.perf_counter() - current.environ[BEGAN]
        of = (endpoint or "unknown", current.method if endpoint else "any", status)
        found = rows.get(of)
        if found is None:
            found = rows[of] = (
                telemetry.tally.row(shared_counters.REQUESTS, *map(str, of)),
                telemetry.tally.row(shared_counters.SECONDS, of[0]),
            )
        found[0].add(1)
        found[1].observe(took, prometheus_metrics.bucket(took), prometheus_metrics.TOTAL)
        if log_all or status >= _FAILED or took >= SLOW_SECONDS:
            _write_line(status, took)
        return response

    app.after_request(finish)
    app.wsgi_app = RequestContextMiddleware(app.wsgi_app)  # type: ignore[method-assign]  # Flask's documented way
    return telemetry


def _write_line(status: int, took: float) -> None:
    identity = g.get("identity")
    path = request_line.path_of(
        request.path,
        request.url_rule,
        request.view_args or {},
        current_app.url_map.iter_rules(),
    )
    log.log(
        logging.ERROR if status >= 500 and status != 503 else logging.INFO,  # noqa: PLR2004
        "%s %s %d",
        request.method,
        path,
        status,
        extra={
            "method": request.method,
            "path": path,
            "query": request_line.query_of(request.query_string.decode("latin-1")),
            "status": status,
            "ms": round(took * 1000, 1),
            "address": request.remote_addr,
            "key_id": identity.key_id if identity is not None else None,
            "problem": g.get("problem"),
        },
    )
