"""Dead man's switch: pings an external monitor while the engine is healthy."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import requests

from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Callable

SECONDS = 60.0
TIMEOUT_SECONDS = 10.0
_NOT_FOR_GET = {405, 501}

log = logging.getLogger(__name__)


class Heartbeat:
    """Asks for ``url`` while ``is_healthy``; a streak of failures is logged once."""

    def __init__(self, url: str, is_healthy: Callable[[], bool]) -> None:
        self._url = url
        self._is_healthy = is_healthy
        self._is_failing = False

    def beat(self) -> None:
        """Send one, by POST where the monitor takes no GET."""
        if not self._url or not self._is_healthy():
            return
        try:
            answer = requests.get(self._url, timeout=TIMEOUT_SECONDS)
            if answer.status_code in _NOT_FOR_GET:
                answer = requests.post(self._url, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            if not self._is_failing:
                log.warning("heartbeat failed: %s", redact.text(str(error)))
            self._is_failing = True
            return
        if self._is_failing:
            log.info("heartbeat recovered")
        self._is_failing = False
