"""Background tasks of the engine: slow work that must not hold up its loop."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.runtime.clock import Clock

log = logging.getLogger(__name__)


def run_in_background(action: Callable[[], None]) -> None:
    """Run ``action`` in a thread of its own, which does not keep the process from ending."""
    threading.Thread(target=action, name="alerts-background", daemon=True).start()


class BackgroundTask:
    """Does ``action`` every so many seconds, never twice at once."""

    def __init__(
        self,
        action: Callable[[], None],
        seconds: float,
        clock: Clock,
        start: Callable[[Callable[[], None]], None] = run_in_background,
    ) -> None:
        self._action = action
        self._seconds = seconds
        self._clock = clock
        self._start = start
        self._next = clock.monotonic()
        self._busy = threading.Lock()

    def turn(self) -> None:
        """Begin if it is time and the last one has ended."""
        if self._clock.monotonic() < self._next or not self._busy.acquire(blocking=False):
            return
        self._next = self._clock.monotonic() + self._seconds
        self._start(self._run)

    def _run(self) -> None:
        try:
            self._action()
        except Exception:
            log.exception("a background task of the alert engine failed")
        finally:
            self._busy.release()
