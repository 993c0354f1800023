"""Asking the api on this machine whether it takes samples in."""

from __future__ import annotations

import http.client
import json
from typing import TYPE_CHECKING, Final

from hostpulse_server.errors import NotReadyError

if TYPE_CHECKING:
    from hostpulse_server.config import ServerConfig

TIMEOUT_SECONDS: Final = 3.0


def ask(config: ServerConfig) -> str:
    """Return the address that says the api is ready; raise NotReadyError if it does not."""
    # What it binds may be every address; loopback then reaches it.
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(config.api.host, config.api.host)  # noqa: S104 - a comparison
    where = f"http://{config.api.bind}/readyz"
    connection = http.client.HTTPConnection(host, config.api.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", "/readyz")
        response = connection.getresponse()
        body = response.read(65_536)
    except (OSError, http.client.HTTPException) as error:
        raise NotReadyError(
            f"{where} does not answer ({error}); is hostpulse-api running?"
        ) from None
    finally:
        connection.close()
    if response.status != http.client.OK:
        raise NotReadyError(f"{where} answers {response.status}: {_detail(body)}")
    return where


def _detail(body: bytes) -> str:
    """Return the detail of a problem document, or nothing of a page that is none."""
    try:
        return str(json.loads(body)["detail"])
    except (ValueError, TypeError, KeyError):
        return "not a hostpulse api"
