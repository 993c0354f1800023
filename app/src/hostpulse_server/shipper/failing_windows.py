"""Rollup windows that fail alone: they are set aside, so that those of other servers go on.

A failed window is no evidence while the store is failing. Only a window that was rolled up after it
shows which of the two was at fault; what is at fault again and again is given up.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from hostpulse_server.store.base import RollupWindow

# how long a window rests that was found at fault so many times; after as many it is given up
RESTS_SECONDS = (60.0, 300.0, 900.0)


class WindowFault(NamedTuple):
    """A window that others show to be at fault; without a ``rest`` it is to be given up."""

    window: RollupWindow
    error: str
    rest: float | None


class _Record:
    """What is held against one window."""

    def __init__(self) -> None:
        self.faults = 0
        self.is_open = False
        self.rest = self.until = 0.0
        self.error = ""


class FailingWindows:
    """Windows that failed on their own; times are those of a monotonic clock. Not kept on disk."""

    def __init__(self) -> None:
        self._records: dict[RollupWindow, _Record] = {}

    def windows(self) -> set[RollupWindow]:
        """Return those that are to be tried on their own only."""
        return set(self._records)

    def is_at_fault(self, window: RollupWindow) -> bool:
        """Return whether it is known that the window fails while others do not."""
        return window in self._records and self._records[window].faults > 0

    def due(self, now: float) -> list[RollupWindow]:
        """Return those that rested long enough to be tried again, each on its own."""
        return [window for window, record in self._records.items() if record.until <= now]

    def failed(self, window: RollupWindow, error: Exception, now: float) -> None:
        """Note that a window failed on its own."""
        record = self._records.setdefault(window, _Record())
        record.is_open, record.error = True, str(error)
        record.rest = RESTS_SECONDS[record.faults]
        record.until = now + record.rest

    def worked(self, windows: Iterable[RollupWindow]) -> list[WindowFault]:
        """Note that windows were rolled up; return those that are thereby known to be at fault."""
        self.forget(windows)
        found = []
        for window, record in self._records.items():
            if record.is_open:
                record.is_open = False
                record.faults += 1
                is_last = record.faults == len(RESTS_SECONDS)
                found.append(WindowFault(window, record.error, None if is_last else record.rest))
        self.forget(fault.window for fault in found if fault.rest is None)
        return found

    def forget(self, windows: Iterable[RollupWindow]) -> None:
        """Hold nothing against windows any more."""
        for window in windows:
            self._records.pop(window, None)
