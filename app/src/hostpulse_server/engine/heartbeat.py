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
    """Asks for ``url`` while ``is_healthy``; a streak of failures is logged once.

    While messages do not get out it asks for ``fail_url``, for nothing where there is none.
    """

    def __init__(
        self,
        url: str,
        is_healthy: Callable[[], bool],
        fail_url: str = "",
        is_stuck: Callable[[], bool] = lambda: False,
    ) -> None:
        self._url = url
        self._is_healthy = is_healthy
        self._fail_url = fail_url
        self._is_stuck = is_stuck
        self._is_failing = False

    def beat(self) -> None:
        """Send one, by POST where the monitor takes no GET."""
        if not (self._url or self._fail_url) or not self._is_healthy():
            return
        url = self._fail_url if self._is_stuck() else self._url
        if not url:
            return
        try:
            answer = requests.get(url, timeout=TIMEOUT_SECONDS)
            if answer.status_code in _NOT_FOR_GET:
                answer = requests.post(url, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
        except requests.RequestException as error:
            if not self._is_failing:
                log.warning("heartbeat failed: %s", redact.text(str(error)))
            self._is_failing = True
            return
        if self._is_failing:
            log.info("heartbeat recovered")
        self._is_failing = False
