"""Watches whether samples arrive at all: if none can, silence is no evidence about hosts."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hostpulse_server.engine import api_readiness
from hostpulse_server.engine.background import BackgroundTask, run_in_background
from hostpulse_server.errors import HostpulseError, JournalUnavailableError
from hostpulse_server.journal import room_bytes
from hostpulse_server.liveness import Ingest

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ServerConfig
    from hostpulse_server.journal import Journal
    from hostpulse_server.runtime.clock import Clock

ASK_SECONDS = 5.0
# an engine that was away for longer cannot know whether samples came in meanwhile
AWAY_MS = 60_000
# a journal is full for a body that does not fit: judge by the largest that are common
ROOM_BYTES = 65_536

log = logging.getLogger(__name__)


class IngestMonitor:
    """Since when the api answers and the journal has room; ``since_ms`` is ``None`` while not."""

    def __init__(
        self,
        config: ServerConfig,
        journal: Journal,
        clock: Clock,
        *,
        ask: Callable[[ServerConfig], object] = api_readiness.ask,
        start: Callable[[Callable[[], None]], None] = run_in_background,
    ) -> None:
        self._config = config
        self._journal = journal
        self._clock = clock
        self._ask_api = ask
        self._api_fault = "the api was not asked yet"
        self._has_asked = False
        self._task = BackgroundTask(self._ask, ASK_SECONDS, clock, start)
        self._room_fault = ""
        self._measured = float("-inf")
        self._resumed_ms: int | None = None
        self.fault = self._api_fault
        self.since_ms: int | None = None

    def resume(self, since_ms: int | None, alive_ms: int) -> None:
        """Go on with what an engine that last worked at ``alive_ms`` has found."""
        now_ms = self._clock.now_ms()
        if since_ms is not None and 0 <= now_ms - alive_ms < AWAY_MS:
            self._resumed_ms = min(since_ms, now_ms)

    def turn(self) -> None:
        """Look whether it still holds."""
        self._task.turn()
        self._measure()
        # what a restart alone interrupts goes on where it was
        broken = self._room_fault or (self._api_fault if self._has_asked else "")
        if broken:
            self._resumed_ms = None
        self.fault = broken or self._api_fault
        if self.fault:
            self.since_ms = None
        elif self.since_ms is None:
            self.since_ms = self._resumed_ms or self._clock.now_ms()
            self._resumed_ms = None

    def state(self, *, is_caught_up: bool) -> Ingest:
        """Return what liveness goes by."""
        return Ingest(
            is_working=self.since_ms is not None,
            since_ms=self.since_ms or 0,
            is_caught_up=is_caught_up,
            reason=self.fault,
        )

    def _measure(self) -> None:
        now = self._clock.monotonic()
        if now - self._measured < ASK_SECONDS:
            return
        self._measured = now
        self._room_fault = ""
        try:
            if room_bytes(self._config, self._journal.stats().bytes) < ROOM_BYTES:
                self._room_fault = "the journal is full, samples are refused"
        except (OSError, JournalUnavailableError) as error:
            self._room_fault = str(error)

    def _ask(self) -> None:
        fault = ""
        try:
            self._ask_api(self._config)
        except HostpulseError as error:
            fault = str(error)
        self._api_fault, self._has_asked = fault, True
