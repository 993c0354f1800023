"""Notes in the journal that a known server's samples reached us and were refused.

Without them the alert engine only knows that nothing arrives from that host.
"""

from __future__ import annotations

import json
import logging
import threading
from typing import TYPE_CHECKING, Final, cast

from flask import current_app, g, request
from marshmallow import ValidationError

from hostpulse_server.api.auth import key_of_request
from hostpulse_server.api.services import services
from hostpulse_server.errors import (
    HostpulseError,
    JournalFullError,
    JournalUnavailableError,
    StateUnavailableError,
)
from hostpulse_server.journal.records import REFUSED

if TYPE_CHECKING:
    from hostpulse_server.runtime.clock import Clock

EVERY_SECONDS: Final = 60.0
EXTENSION: Final = "hostpulse_refusals"
_MOST: Final = 4096
_LENGTH: Final = 200
# these are about us, not about the host
_OURS: Final = (JournalFullError, JournalUnavailableError, StateUnavailableError)

log = logging.getLogger(__name__)


class Throttle:
    """Lets each name pass once in so many seconds, without growing for ever."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._passed: dict[str, float] = {}

    def admits(self, name: str) -> bool:
        """Return whether it is time again."""
        now = self._clock.monotonic()
        with self._lock:
            if now - self._passed.get(name, float("-inf")) < EVERY_SECONDS:
                return False
            if len(self._passed) >= _MOST:
                self._passed.clear()
            self._passed[name] = now
            return True


def note_error(error: HostpulseError | ValidationError) -> None:
    """Note that the request at hand is refused for ``error``, if it is known whose it is."""
    if isinstance(error, _OURS):
        return
    reason = "its requests are not valid" if isinstance(error, ValidationError) else str(error)
    identity = g.get("identity")
    if identity is None:
        _trace(reason)
    elif identity.server_id is not None:
        note(identity.server_id, reason)


def note(server_id: str, reason: str) -> None:
    """Note it, once a minute; a journal that takes nothing keeps no notes either."""
    if not _throttle().admits(f"server {server_id}"):
        return
    parts = services()
    document = {"server_id": server_id, "reason": reason[:_LENGTH]}
    try:
        parts.journal.append(json.dumps(document).encode(), REFUSED, parts.clock.now_ms())
    except (JournalFullError, JournalUnavailableError) as error:
        log.warning("could not record that samples of %s were rejected: %s", server_id, error)


def _trace(reason: str) -> None:
    """Find the server of the key, which costs a database query: not for each request."""
    key, address = key_of_request(), request.remote_addr or ""
    if not _throttle().admits(f"address {address} {(key or '')[:16]}"):
        return
    try:
        found = services().registry.trace(key, address)
    except StateUnavailableError as error:
        log.warning("could not attribute a rejected request to a server: %s", error)
        return
    if found is not None:
        note(found.server_id, found.fault or reason)


def _throttle() -> Throttle:
    made = current_app.extensions.get(EXTENSION)
    if made is None:
        made = current_app.extensions.setdefault(EXTENSION, Throttle(services().clock))
    return cast("Throttle", made)
