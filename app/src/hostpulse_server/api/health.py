"""What operators and machines ask about the service itself."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from flask import Blueprint, Response, current_app, jsonify, request
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from hostpulse_server import __version__
from hostpulse_server.api import prometheus_metrics, telemetry
from hostpulse_server.api.auth import identify
from hostpulse_server.api.problems import problem
from hostpulse_server.api.services import services
from hostpulse_server.errors import HostpulseError

if TYPE_CHECKING:
    from collections.abc import Callable

# Swagger UI styles elements and shows small pictures from data: addresses
DOCS_POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; object-src 'none'; form-action 'self'"
)

STATIC = Path(__file__).with_name("static")

blueprint = Blueprint("plumbing", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """Say that the process lives."""
    return jsonify({"status": "ok", "version": __version__})


@blueprint.get("/readyz")
def readyz() -> Response:
    """Say whether samples can be taken in: journal writable, state database reachable."""
    parts = services()
    checks: dict[str, Callable[[], Any]] = {
        "journal": parts.journal.check,
        "state": parts.registry.check,
    }
    faults: dict[str, list[str]] = {}
    for name, check in checks.items():
        try:
            check()
        except HostpulseError as error:
            faults[f"/{name}"] = [str(error)]
    if faults:
        names = " and ".join(name.strip("/") for name in faults)
        return problem(503, f"Not ready: {names}.", faults, {"Retry-After": "5"})
    return jsonify({"status": "ready"})


@blueprint.get("/metrics")
def metrics() -> Response:
    """Give own figures as Prometheus text, to loopback or a reader key."""
    if not _from_this_machine():
        identify().require("reader", "operator", "admin")
    counted = cast("telemetry.Telemetry", current_app.extensions[telemetry.EXTENSION])
    text = generate_latest(prometheus_metrics.registry(services(), counted.tally))
    return Response(text, content_type=CONTENT_TYPE_LATEST)


@blueprint.get("/docs")
def docs() -> Response:
    """Show the API's documentation, from this server alone."""
    response = current_app.send_static_file("docs.html")
    response.headers["Content-Security-Policy"] = DOCS_POLICY
    return response


def _from_this_machine() -> bool:
    # behind a proxy on this machine everything comes from loopback, until the proxy is trusted
    if "HTTP_X_FORWARDED_FOR" in request.environ and not _proxies_are_trusted():
        return False
    try:
        return ipaddress.ip_address(request.remote_addr or "").is_loopback
    except ValueError:
        return False


def _proxies_are_trusted() -> bool:
    return services().config.api.trusted_proxies > 0
