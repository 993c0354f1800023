"""Talk to a Grafana server: its HTTP interface, and errors that say what to do."""

from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

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
from ansible_collections.hostpulse.platform.plugins.module_utils.secret_file import read_secret
from ansible_collections.hostpulse.platform.plugins.module_utils.service_module import (
    SERVICE,
    end,
)

if TYPE_CHECKING:
    from collections.abc import Callable

    from ansible.module_utils.basic import AnsibleModule

COMMON = {
    **SERVICE,
    "user": {"type": "str", "default": ""},
    # Paths, no secrets; what is in the files is never a parameter.
    "password_file": {"type": "path", "default": "", "no_log": False},
    "token_file": {"type": "path", "default": "", "no_log": False},
}
PERMISSIONS = {"view": 1, "edit": 2, "admin": 4}
# Grafana answers the right password as it answers a wrong one, so nobody can tell which it is.
LOCKED = (
    "after five wrong passwords, whoever tried them, Grafana takes none for five minutes: if"
    ' its journal has "too many consecutive incorrect login attempts", wait and run this again'
)
LEVELS = {number: name for name, number in PERMISSIONS.items()}


class Client(HttpService):
    """The HTTP interface of one server; every method raises ``ServiceError``."""

    program = "Grafana"

    def __init__(self, url: str, *, ca_file: str = "", timeout: float = 30) -> None:
        super().__init__(url, ca_file=ca_file, timeout=timeout)
        self.by_password = False
        self._authorization = ""

    def sign_in(self, secret: str, user: str = "") -> None:
        """Send this password of a user, or without one this token, from now on."""
        self.by_password = bool(user)
        self._authorization = _basic(user, secret) if user else f"Bearer {secret.strip()}"

    def signs_in(self, user: str, password: str) -> bool:
        """Tell whether a user can sign in with a password."""
        status, _, answer = self.send("GET", "/api/user", None, _headers(_basic(user, password)))
        if status in OK:
            return True
        if status == UNAUTHORIZED:
            return False
        raise ServiceError(f"{self.url} answered {status} to a sign-in: {answer[:300]}")

    def call(self, method: str, path: str, document: Any = None, **query: Any) -> Any:
        """Return the parsed answer, ``None`` if it is empty."""
        target = f"/api{path}" + (f"?{urlencode(query)}" if query else "")
        body = None if document is None else json.dumps(document).encode()
        status, _, answer = self.send(method, target, body, _headers(self._authorization))
        found = parsed(answer)
        if status in OK:
            return found
        reason = str(found.get("message", "") if isinstance(found, dict) else answer)[:300]
        if status == UNAUTHORIZED:
            raise ServiceError(
                f"{self.url} does not take the {'password' if self.by_password else 'token'} that"
                f" it was asked with ({reason}); correct it{f', or {LOCKED}' * self.by_password}"
            )
        if status == FORBIDDEN:
            raise ServiceError(
                f"{self.url} does not allow {method} {target} ({reason}); give a token of the role"
                " Admin"
            )
        kind = NotFoundError if status == NOT_FOUND else ServiceError
        raise kind(f"{self.url} answered {method} {target} with {status}: {reason}")

    def find(self, path: str) -> Any:
        """Return what a path names, ``None`` where that is nothing."""
        try:
            return self.call("GET", path)
        except NotFoundError:
            return None


def named(uid: str) -> str:
    """Return a uid as a part of a path."""
    return quote(uid, safe="")


def run(
    module: AnsibleModule,
    work: Callable[[AnsibleModule, Client], dict[str, Any]],
    **unknown: Any,
) -> None:
    """Do ``work``, signed in as the module's parameters say, and end the module."""
    given = module.params

    def signed_in() -> dict[str, Any]:
        client = Client(given["url"], ca_file=given["ca_file"], timeout=given["timeout"])
        path = given["password_file"] if given["user"] else given["token_file"]
        try:
            secret = read_secret(path, "what Grafana lets us in with")
        except FileNotFoundError as fault:
            raise NotThereError(str(fault)) from fault
        module.no_log_values.add(secret)
        client.sign_in(secret, given["user"])
        return work(module, client)

    end(module, signed_in, **unknown)


def _basic(user: str, password: str) -> str:
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def _headers(authorization: str) -> dict[str, str]:
    return {"Content-Type": "application/json", "Authorization": authorization}
