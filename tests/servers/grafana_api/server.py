"""The stand-in's HTTP server: signs in, finds the handler, answers in JSON."""

from __future__ import annotations

import json
import re
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.servers.grafana_api import accounts, alerting, dashboards, datasources, folders, teams
from tests.servers.grafana_api.api import (
    NOBODY,
    SERVER_ADMIN,
    Answer,
    ApiError,
    Call,
    Identity,
    Route,
    refuse,
    said,
)
from tests.servers.grafana_api.file_checks import FileError

if TYPE_CHECKING:
    from tests.servers.grafana_api.provisioning import Provisioning
    from tests.servers.grafana_api.settings import Settings
    from tests.servers.grafana_api.state import State

# What is imitated, and when that was written down (tests/servers/grafana_exchanges.json).
VERSION, NOTED = "10.0.0", "2026-11-30"


def _health(call: Call) -> dict[str, str]:
    call.state.all("user")
    return {"commit": "stand-in", "database": "ok", "version": VERSION}


def _settings(call: Call) -> Any:
    return call.settings.shown()


def _signup(call: Call) -> dict[str, Any]:
    if not call.settings.switch("users", "allow_sign_up"):
        raise ApiError(401, "User signup is disabled")
    return said("User sign up completed successfully")


def _metrics(call: Call) -> Answer:
    if not call.settings.switch("metrics", "enabled"):
        raise ApiError(404, "Not found")
    return Answer(200, "go_goroutines 1\n")


def _reload_dashboards(call: Call) -> dict[str, Any]:
    call.server.provisioning.read_dashboards()
    return said("Dashboards config reloaded")


def _reload_alerting(call: Call) -> Answer:
    try:
        call.server.provisioning.read_alerting()
    except FileError as fault:
        raise ApiError(500, str(fault)) from fault
    return Answer(202, said("Alerting config reloaded"))


ROUTES = (
    Route("GET", "/api/health", NOBODY, _health),
    Route("GET", "/metrics", NOBODY, _metrics),
    Route("POST", "/api/user/signup", NOBODY, _signup),
    Route("POST", "/api/user/signup/step2", NOBODY, _signup),
    Route("GET", "/api/admin/settings", SERVER_ADMIN, _settings),
    Route("POST", "/api/admin/provisioning/dashboards/reload", SERVER_ADMIN, _reload_dashboards),
    Route("POST", "/api/admin/provisioning/alerting/reload", SERVER_ADMIN, _reload_alerting),
    *accounts.ROUTES,
    *alerting.ROUTES,
    *dashboards.ROUTES,
    *datasources.ROUTES,
    *folders.ROUTES,
    *teams.ROUTES,
)
_PATTERNS = [
    (route, re.compile(re.escape(route.path).replace(r"\{\}", "([^/]+)"))) for route in ROUTES
]


class Server(ThreadingHTTPServer):
    """Listens; ``provisioning`` is what a request may have read anew."""

    daemon_threads = True

    def __init__(self, settings: Settings, state: State, provisioning: Provisioning) -> None:
        address = (settings.text("server", "http_addr"), settings.number("server", "http_port"))
        super().__init__(address, Handler)
        self.settings = settings
        self.state = state
        self.provisioning = provisioning
        self.prefix = settings.sub_path()


class Handler(BaseHTTPRequestHandler):
    """Answers one request."""

    server: Server
    protocol_version = "HTTP/1.1"
    server_version = "stand-in"

    def _handle(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length)
        try:
            answer = self._answer(body)
        except ApiError as refused:
            answer = Answer(refused.status, refused.body)
        status, found = answer if isinstance(answer, Answer) else Answer(200, answer)
        text = isinstance(found, str)
        sent = (found if text else json.dumps(found)).encode()
        self.send_response(status)
        self.send_header("Content-Type", "text/plain" if text else "application/json")
        self.send_header("Content-Length", str(len(sent)))
        self.send_header("X-Stand-In", f"of Grafana's HTTP API {VERSION}, noted {NOTED}")
        self.end_headers()
        self.wfile.write(sent)

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _handle  # noqa: N815 - the library's names

    def _answer(self, body: bytes) -> Any:
        parts = urlsplit(self.path)
        path = parts.path
        if self.server.prefix:
            if not path.startswith(f"{self.server.prefix}/"):
                raise ApiError(404, "Not found")
            path = path.removeprefix(self.server.prefix)
        who = self._identity()
        for route, pattern in _PATTERNS:
            found = pattern.fullmatch(path)
            if not found or route.method != self.command:
                continue
            if who.rank < route.rank:
                if who.kind == "nobody" and not who.role:
                    raise ApiError(401, "Unauthorized")
                refuse(f"{route.method} {route.path}")
            call = Call(
                self.server.state, self.server.settings, who, parse_qs(parts.query),
                self._parsed(body), self.server,
            )  # fmt: skip
            return route.answer(call, *map(unquote, found.groups()))
        raise ApiError(404 if who.rank else 401, "Not found" if who.rank else "Unauthorized")

    def _parsed(self, body: bytes) -> Any:
        if not body:
            return None
        if self.command == "GET":
            raise ApiError(400, "a GET has no body")
        if self.headers.get_content_type() != "application/json":
            raise ApiError(415, "the body is not declared as application/json")
        try:
            return json.loads(body)
        except ValueError as fault:
            raise ApiError(400, "bad request data") from fault

    def _identity(self) -> Identity:
        return accounts.identify(
            self.server.state,
            self.headers.get("Authorization") or "",
            anonymous=self.server.settings.switch("auth.anonymous", "enabled"),
        )

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the library's name
        """Write a line a request where the settings want them."""
        if self.server.settings.text("log", "level") in ("info", "debug"):
            sys.stderr.write(f"{self.address_string()} {format % args}\n")
