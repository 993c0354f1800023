"""Talk to an InfluxDB 2 server: its HTTP interface, and errors that say what to do."""

from __future__ import annotations

import base64
import http.client
import json
import re
import socket
import ssl
from contextlib import closing
from typing import Any
from urllib.parse import quote, urlencode, urlsplit

OLDEST = (2, 1)
PAGE = 100
_OK = range(200, 300)
_UNAUTHORIZED, _FORBIDDEN, _NOT_FOUND = 401, 403, 404


class InfluxdbError(Exception):
    """What was asked cannot be done; the message says what to do."""


class NotThereError(InfluxdbError):
    """Something that an earlier step makes is not there; a dry run takes it for still to come."""


class NotFoundError(InfluxdbError):
    """The server knows no such object."""


class Client:
    """The HTTP interface of one server; every method raises ``InfluxdbError``."""

    def __init__(
        self, url: str, *, ca_file: str = "", timeout: float = 30, token_file: str = ""
    ) -> None:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.username:
            raise InfluxdbError(
                f"url: {parts.scheme}://{parts.hostname} is not http://HOST:PORT or"
                " https://HOST:PORT without a user name"
            )
        self.url = f"{parts.scheme}://{parts.netloc}{parts.path.rstrip('/')}"
        self.token = ""
        self._parts = parts
        self._timeout = timeout
        self._token_file = token_file
        self._context = None
        if parts.scheme == "https":
            try:
                self._context = ssl.create_default_context(cafile=ca_file or None)
            except OSError as fault:
                raise NotThereError(f"ca_file {ca_file} cannot be read: {fault}") from fault

    def sign_in(self, token: str) -> None:
        """Send this token from now on."""
        token = token.strip()
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise InfluxdbError(f"{self._token_file} holds no token: one word of ASCII is expected")
        self.token = token

    def check_version(self) -> str:
        """Return the server's version; raise if it is not a ready InfluxDB 2."""
        status, answer = self.exchange("GET", "/health")
        found = _parsed(answer)
        if not isinstance(found, dict) or found.get("name") != "influxdb":
            raise InfluxdbError(
                f"{self.url} answered {status}, but not as InfluxDB 2 does; check url (http or"
                " https, port)"
            )
        version = str(found.get("version", ""))
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        if numbers and not OLDEST <= (int(numbers[1]), int(numbers[2])) < (3, 0):
            raise InfluxdbError(
                f"{self.url} is InfluxDB {version}; this needs InfluxDB 2, from"
                f" {OLDEST[0]}.{OLDEST[1]} on"
            )
        if found.get("status") != "pass":
            raise NotThereError(
                f"{self.url} is not ready: {found.get('message')}; look at influxd's log"
            )
        return version

    def call(self, method: str, path: str, document: Any = None, **query: Any) -> Any:
        """Return the parsed answer, ``None`` if it is empty."""
        target = f"/api/v2{path}" + (f"?{urlencode(query)}" if query else "")
        status, answer = self.exchange(method, target, document)
        if status in _OK:
            return _parsed(answer)
        found = _parsed(answer)
        reason = str(found.get("message", "") if isinstance(found, dict) else answer)[:300]
        if status == _UNAUTHORIZED and not self._token_opens():
            raise InfluxdbError(
                f"{self.url} does not know the token in {self._token_file}; put the server's"
                " operator token there"
            )
        if status in (_UNAUTHORIZED, _FORBIDDEN):
            raise InfluxdbError(
                f"the token in {self._token_file} has too few rights ({reason}); put the server's"
                " operator token there"
            )
        kind = NotFoundError if status == _NOT_FOUND else InfluxdbError
        raise kind(f"{self.url} answered {method} /api/v2{path} with {status}: {reason}")

    def find(self, path: str, key: str, **query: Any) -> dict[str, Any] | None:
        """Return the one object that the server names so, or ``None``."""
        try:
            found = self.call("GET", path, **query)[key]
        except NotFoundError:
            return None
        return dict(found[0]) if found else None

    def pages(self, path: str, key: str, **query: Any) -> list[dict[str, Any]]:
        """Return all objects; the server gives at most 100 at once."""
        found: list[dict[str, Any]] = []
        offset = 0
        # Until a page is empty: a page with objects that the token may not see is shorter.
        while page := self.call("GET", path, limit=PAGE, offset=offset, **query)[key]:
            found += page
            offset += PAGE
        return found

    def organization(self, name: str) -> dict[str, Any]:
        """Return the organization of this name; of no name, the only one there is."""
        found = self.find("/orgs", "orgs", org=name) if name else None
        if found:
            return found
        every = self.pages("/orgs", "orgs")
        if not name and len(every) == 1:
            return every[0]
        names = ", ".join(sorted(org["name"] for org in every)) or "none"
        if name:
            raise NotThereError(
                f"{self.url} has no organization {name!r} that the token may see (it has: {names});"
                " make it with influxdb_organization, or correct org"
            )
        raise InfluxdbError(f"{self.url} has several organizations: say org, one of {names}")

    def bucket(self, org: dict[str, Any], name: str) -> dict[str, Any]:
        """Return the organization's bucket of this name."""
        found = self.find("/buckets", "buckets", orgID=org["id"], name=name)
        if found is None:
            raise NotThereError(
                f"organization {org['name']!r} has no bucket {name!r}; make it with"
                " influxdb_bucket, or correct its name"
            )
        return found

    def exchange(self, method: str, target: str, document: Any = None) -> tuple[int, str]:
        """Return (status, body) of one request to ``target``, whatever the status."""
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        body = None if document is None else json.dumps(document).encode()
        status, _, answer = self._request(method, target, body, headers)
        return status, answer

    def signs_in(self, name: str, password: str) -> bool:
        """Tell whether the user can sign in with the password; the session ends at once."""
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        basic = {"Authorization": f"Basic {pair}"}
        status, session, _ = self._request("POST", "/api/v2/signin", None, basic)
        if status not in _OK:
            return False
        cookie = {"Cookie": session.partition(";")[0]}
        self._request("POST", "/api/v2/signout", None, cookie)
        return True

    def _request(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str]
    ) -> tuple[int, str, str]:
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

    def _token_opens(self) -> bool:
        return self.exchange("GET", "/api/v2/orgs?limit=1")[0] in _OK

    def _unreachable(self, fault: Exception) -> InfluxdbError:
        if isinstance(fault, ssl.SSLCertVerificationError):
            return InfluxdbError(
                f"the certificate of {self.url} is not trusted: {fault.verify_message}; give the"
                " authority that signed it as ca_file, and a host name that it holds in url"
            )
        if isinstance(fault, ssl.SSLError):
            return InfluxdbError(
                f"{self.url} does not speak TLS ({fault.reason}); use http://, or turn TLS on there"
            )
        if isinstance(fault, socket.timeout):  # TimeoutError only since Python 3.10
            return InfluxdbError(
                f"{self.url} did not answer within {self._timeout:g} s; look at the server's load"
                " and at firewalls, or raise timeout"
            )
        return NotThereError(
            f"{self.url} cannot be reached: {fault}; is influxd running, and does it listen there?"
        )


def _parsed(answer: str) -> Any:
    if not answer.strip():
        return None
    try:
        return json.loads(answer)
    except ValueError:
        return answer
