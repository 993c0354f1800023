"""Read the API of a hostpulse server that runs on a local test host."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

if TYPE_CHECKING:
    from pathlib import Path

TIMEOUT_S = 15
# A key has ten requests a second; who asks for more is told when to come again.
TRIES = 5


class ReaderError(Exception):
    """The API gave no usable answer; ``status`` is its HTTP status, 0 when there was no answer."""

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class Connection(http.client.HTTPSConnection):
    """Connects to one address while it checks the certificate for another name."""

    def __init__(self, name: str, address: tuple[str, int], context: ssl.SSLContext) -> None:
        super().__init__(name, timeout=TIMEOUT_S)
        self._address = address
        self._tls = context

    def connect(self) -> None:
        """Connect, and check who is there."""
        plain = socket.create_connection(self._address, TIMEOUT_S)
        self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)


class Reader:
    """A reader of the API: ``name`` is what the certificate says, ``address`` where it is."""

    def __init__(self, name: str, address: tuple[str, int], ca_file: Path, key: str) -> None:
        self._name = name
        self._address = address
        self._context = ssl.create_default_context(cafile=str(ca_file))
        self._key = key

    def get(self, path: str, **parameters: Any) -> Any:
        """Return the parsed answer to GET /api/v1/``path``; raises ReaderError."""
        for _ in range(TRIES - 1):
            try:
                return self._get(path, **parameters)
            except ReaderError as error:
                if error.status != http.HTTPStatus.TOO_MANY_REQUESTS:
                    raise
            time.sleep(1)
        return self._get(path, **parameters)

    def _get(self, path: str, **parameters: Any) -> Any:
        query = f"?{urlencode(parameters, doseq=True)}" if parameters else ""
        connection = Connection(self._name, self._address, self._context)
        try:
            connection.request(
                "GET", f"/api/v1/{path}{query}", headers={"Authorization": f"Bearer {self._key}"}
            )
            answer = connection.getresponse()
            body = answer.read()
            if answer.status != http.HTTPStatus.OK:
                raise ReaderError(f"GET {path}: {answer.status} {answer.reason}", answer.status)
            return json.loads(body)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ReaderError(f"GET {path}: {error}") from error
        finally:
            connection.close()

    def last(self, measurement: str, field: str, **parameters: Any) -> dict[str, Any]:
        """Return the newest value of a field by server id, of the first matching series each."""
        answer = self.get(
            "metrics", measurement=measurement, field=field, aggregate="last", **parameters
        )
        return {
            series["server_id"]: series["points"][-1][1]
            for series in reversed(answer["series"])
            if series["points"]
        }
