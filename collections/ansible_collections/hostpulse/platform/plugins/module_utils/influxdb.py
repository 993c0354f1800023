"""Talk to an InfluxDB 2 server: its HTTP interface, and errors that say what to do."""

from __future__ import annotations

import base64
import json
import re
from typing import Any
from urllib.parse import urlencode

from ansible_collections.hostpulse.platform.plugins.module_utils.http_service import (
    FORBIDDEN,
    NOT_FOUND,
    OK,
    UNAUTHORIZED,
    HttpService,
    NotFoundError,
    NotThereError,
    ServiceError,
    parsed,
)

OLDEST = (2, 1)
PAGE = 100


class Client(HttpService):
    """The HTTP interface of one server; every method raises ``ServiceError``."""

    program = "influxd"

    def __init__(
        self, url: str, *, ca_file: str = "", timeout: float = 30, token_file: str = ""
    ) -> None:
        super().__init__(url, ca_file=ca_file, timeout=timeout)
        self.token = ""
        self._token_file = token_file

    def sign_in(self, token: str) -> None:
        """Send this token from now on."""
        token = token.strip()
        if not (token.isascii() and token.isprintable() and " " not in token):
            raise ServiceError(f"{self._token_file} holds no token: one word of ASCII is expected")
        self.token = token

    def check_version(self) -> str:
        """Return the server's version; raise if it is not a ready InfluxDB 2."""
        status, answer = self.exchange("GET", "/health")
        found = parsed(answer)
        if not isinstance(found, dict) or found.get("name") != "influxdb":
            raise ServiceError(
                f"{self.url} answered {status}, but not as InfluxDB 2 does; check url (http or"
                " https, port)"
            )
        version = str(found.get("version", ""))
        numbers = re.match(r"v?(\d+)\.(\d+)", version)
        if numbers and not OLDEST <= (int(numbers[1]), int(numbers[2])) < (3, 0):
            raise ServiceError(
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
        if status in OK:
            return parsed(answer)
        found = parsed(answer)
        reason = str(found.get("message", "") if isinstance(found, dict) else answer)[:300]
        if status == UNAUTHORIZED and not self._token_opens():
            raise ServiceError(
                f"{self.url} does not know the token in {self._token_file}; put the server's"
                " operator token there"
            )
        if status in (UNAUTHORIZED, FORBIDDEN):
            raise ServiceError(
                f"the token in {self._token_file} has too few rights ({reason}); put the server's"
                " operator token there"
            )
        kind = NotFoundError if status == NOT_FOUND else ServiceError
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
        raise ServiceError(f"{self.url} has several organizations: say org, one of {names}")

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
        status, _, answer = self.send(method, target, body, headers)
        return status, answer

    def signs_in(self, name: str, password: str) -> bool:
        """Tell whether the user can sign in with the password; the session ends at once."""
        pair = base64.b64encode(f"{name}:{password}".encode()).decode()
        basic = {"Authorization": f"Basic {pair}"}
        status, session, _ = self.send("POST", "/api/v2/signin", None, basic)
        if status not in OK:
            return False
        cookie = {"Cookie": session.partition(";")[0]}
        self.send("POST", "/api/v2/signout", None, cookie)
        return True

    def _token_opens(self) -> bool:
        return self.exchange("GET", "/api/v2/orgs?limit=1")[0] in OK
