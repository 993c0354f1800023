"""Talk to a server over HTTP without proxies and redirections; errors that say what to do."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlsplit

OK = range(200, 300)
UNAUTHORIZED, FORBIDDEN, NOT_FOUND = 401, 403, 404


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
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self._parts = parts
        self._timeout = timeout
        self._context = None
        if parts.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=ca_file or None)
            except OSError as fault:
                raise NotThereError(f"ca_file {ca_file} cannot be read: {fault}") from fault

    def send(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, str]:
        """Return (status, cookie, body) of one request to ``target``, whatever the status."""
        path = quote(self._parts.path.rstrip("/")) + target
        try:
            with closing(self._connection()) as connection:
                connection.request(method, path, body, headers)
                response = connection.getresponse()
                cookie = response.getheader("Set-Cookie") or ""
                return response.status, cookie, response.read().decode(errors="replace")
        except (OSError, http.client.HTTPException) as fault:
            raise self._unreachable(fault) from fault

    def _connection(self) -> http.client.HTTPConnection:
        host, port = self._parts.hostname or "", self._parts.port
        if self._context is None:
            return http.client.HTTPConnection(host, port, timeout=self._timeout)
        return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)

    def _unreachable(self, fault: Exception) -> ServiceError:
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


def parsed(answer: str) -> Any:
    """Return what an answer holds: JSON, text, or ``None`` if it is empty."""
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except ValueError:
        return answer
