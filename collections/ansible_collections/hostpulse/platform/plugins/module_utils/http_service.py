"""Talk to a server over HTTP without proxies and redirections; errors that say what to do."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import closing
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit

from ansible.module_utils.urls import Request

OK = range(200, 300)
UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404

# For http://, where without a context each request would read the host's authorities.
TRUST_NOBODY = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)


class ServiceError(Exception):
    """What was asked cannot be done; the message says what to do."""


class NotThereError(ServiceError):
    """Something that an earlier step makes is not there; a dry run takes it for still to come."""


class NotFoundError(ServiceError):
    """The server knows no such object."""


class HttpService:
    """The HTTP interface of one server; every method raises ``ServiceError``.

    ``program`` is what has to run there, for messages.
    """

    program = "the server"

    def __init__(self, url: str, *, ca_file: str = "", timeout: float = 30) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise ServiceError(
                f"url: {parts.scheme}://{parts.hostname} is not http://HOST:PORT or"
                " https://HOST:PORT without a user name"
            )
        path = parts.path.rstrip("/")
        self.url = f"{parts.scheme}://{parts.netloc}{path}"
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        port = "" if parts.port is None else f":{parts.port}"
        self._address = f"{parts.scheme}://{host}{port}{quote(path)}"
        self._timeout = timeout
        self._context = _tls(ca_file) if parts.scheme == "https" else TRUST_NOBODY

    def send(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, str]:
        """Return (status, cookie, body) of one request to ``target``, whatever the status."""
        try:
            with closing(self._open(method, target, body, headers)) as response:
                cookie = response.headers.get("Set-Cookie") or ""
                return response.code, cookie, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as fault:
            raise self._unreachable(fault) from fault

    def _open(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Any:
        # One for each request: it keeps cookies, and a session must not go along with a token.
        request = Request(
            use_proxy=False,
            use_netrc=False,
            follow_redirects="none",
            timeout=self._timeout,
            context=self._context,
        )
        try:
            return request.open(method, self._address + target, data=body, headers=headers)
        except HTTPError as answer:
            return answer

    def _unreachable(self, fault: Exception) -> ServiceError:
        if isinstance(fault, URLError) and isinstance(fault.reason, Exception):
            fault = fault.reason
        if isinstance(fault, ssl.SSLCertVerificationError):
            return ServiceError(
                f"the certificate of {self.url} is not trusted: {fault.verify_message}; give the"
                " authority that signed it as ca_file, and a host name that it holds in url"
            )
        if isinstance(fault, ssl.SSLError):
            return ServiceError(
                f"{self.url} does not speak TLS ({fault.reason}); use http://, or turn TLS on there"
            )
        if isinstance(fault, socket.timeout):  # TimeoutError only since Python 3.10
            return ServiceError(
                f"{self.url} did not answer within {self._timeout:g} s; look at the server's load"
                " and at firewalls, or raise timeout"
            )
        return NotThereError(
            f"{self.url} cannot be reached: {fault}; is {self.program} running, and does it"
            " listen there?"
        )


def _tls(ca_file: str) -> ssl.SSLContext:
    # By hand, for Ansible's own context also trusts authorities outside the host's store.
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except OSError as fault:
        raise NotThereError(f"ca_file {ca_file} cannot be read: {fault}") from fault


def parsed(answer: str) -> Any:
    """Return what an answer holds: JSON, text, or ``None`` if it is empty."""
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except ValueError:
        return answer
