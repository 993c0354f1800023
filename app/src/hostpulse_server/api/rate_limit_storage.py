"""Counters of fixed windows in memory, for limits of one process.

The ``memory://`` storage of limits starts a timer thread again and again under load, up to a
hundred a second, each of which walks over all keys. This one sweeps once a minute, in a request.
"""

from __future__ import annotations

import threading
import time

from limits.storage import Storage

SCHEME = "hostpulse-memory"
SWEEP_SECONDS = 60.0


class CounterStorage(Storage):
    """A storage as limits wants it (``incr``, ``get``, …), for the strategy ``fixed-window``."""

    STORAGE_SCHEME = [SCHEME]  # noqa: RUF012  # so the base class declares it

    def __init__(
        self, uri: str | None = None, *, wrap_exceptions: bool = False, **options: str
    ) -> None:
        super().__init__(uri, wrap_exceptions=wrap_exceptions, **options)
        self._lock = threading.Lock()
        self._windows: dict[str, tuple[int, float]] = {}  # key → count, end in epoch seconds
        self._sweep_at = 0.0

    @property
    def base_exceptions(self) -> type[Exception]:
        """Return what this storage raises when it fails: nothing."""
        return ValueError

    def incr(self, key: str, expiry: float, amount: int = 1) -> int:
        """Count ``amount`` in the window of ``key``, ``expiry`` seconds long; return the count."""
        now = time.time()
        with self._lock:
            count, end = self._windows.get(key, (0, 0.0))
            if end <= now:
                count, end = 0, now + expiry
            count += amount
            self._windows[key] = (count, end)
        if self._sweep_at <= now:
            self.sweep()
        return count

    def sweep(self) -> None:
        """Drop the windows that are over."""
        now = time.time()
        with self._lock:
            self._sweep_at = now + SWEEP_SECONDS
            self._windows = {
                name: window for name, window in self._windows.items() if window[1] > now
            }

    def get(self, key: str) -> int:
        """Return the count of the window of ``key``."""
        count, end = self._windows.get(key, (0, 0.0))
        return count if end > time.time() else 0

    def get_expiry(self, key: str) -> float:
        """Return when the window of ``key`` ends, in epoch seconds."""
        return self._windows.get(key, (0, time.time()))[1]

    def check(self) -> bool:
        """Return that memory is always available."""
        return True

    def reset(self) -> int | None:
        """Forget all windows; return how many there were."""
        with self._lock:
            count = len(self._windows)
            self._windows = {}
        return count

    def clear(self, key: str) -> None:
        """Forget the window of ``key``."""
        with self._lock:
            self._windows.pop(key, None)
