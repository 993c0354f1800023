"""Maintenance between batches: rollups, expiry, pruning; each turn a small piece."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from hostpulse_server.errors import StoreMisconfiguredError, StoreUnavailableError
from hostpulse_server.runtime.clock_steps import ClockSteps
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.shipper.failing_windows import FailingWindows, WindowFault
from hostpulse_server.store.rollup import floor_to

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.config import RetentionConfig
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.shipper.state import ShipperState
    from hostpulse_server.store.base import RollupWindow, Store

# Samples of a window that just ended are still under way: agents send at once, batches wait 5 s.
GRACE_MS = 10_000
ROLLUP_SECONDS = 1.0
# Shipping waits meanwhile: a portion is as many windows as take about PORTION_SECONDS.
FIRST_PORTION = 10
MAX_PORTION = 300
PORTION_SECONDS = 1.0
# Under backlog windows are touched again and again: roll up now and then only, not each time.
BUSY_ROLLUP_SECONDS = 30.0
EXPIRE_SECONDS = 60.0
# Raw values outlive their retention by this much, so that a rollup never sees half a window.
RAW_MARGIN_MS = 3_600_000

log = logging.getLogger(__name__)


class Maintenance:
    """Keeps store and shipper.db to their retention and the rollups true."""

    def __init__(
        self,
        retention: RetentionConfig,
        *,
        store: Store,
        shipper_state: ShipperState,
        clock: Clock,
        expiry: ExpiryGuard | None = None,
    ) -> None:
        self._raw_ms = int(retention.raw * 1000)
        self._rollup_ms = int(retention.rollup * 1000)
        self._window_ms = int(retention.rollup_window * 1000)
        self._store = store
        self._state = shipper_state
        self._clock = clock
        self._expiry = expiry or ExpiryGuard(clock)
        # due at once, but not before a backlog that is there at the start
        self._rolled = clock.monotonic() - ROLLUP_SECONDS
        self._expired = clock.monotonic() - EXPIRE_SECONDS
        self._expiring = False
        self._clock_steps = ClockSteps(clock)
        self._portion = FIRST_PORTION
        self._failing = FailingWindows()

    def turn(self, *, caught_up: bool) -> bool:
        """Do a bounded piece of what is due; return whether more is due at once.

        Raises like the store and the shipper's state.
        """
        if self._clock_steps.turn() < 0:
            self._state.pull_back(self._clock.now_ms())
        pause = ROLLUP_SECONDS if caught_up else BUSY_ROLLUP_SECONDS
        more = False
        if self._clock.monotonic() - self._rolled >= pause:
            more = self._roll_up()
            if not more or not caught_up:
                self._rolled = self._clock.monotonic()
        if self._clock.monotonic() - self._expired >= EXPIRE_SECONDS:
            self._expired = self._clock.monotonic()
            self._expiring = True
            self._store.oldest()  # makes one that is a file: queries find none before
            # what was received by a wrong clock may come later, or at the start
            self._state.pull_back(self._clock.now_ms())
            before_ms = self._expiry.cutoff("ledger", self._raw_ms, self._state.oldest_ms)
            if before_ms is not None:
                self._state.prune(before_ms)
        if self._expiring:
            self._expiring = self._expire()
        return more or self._expiring

    def _expire(self) -> bool:
        """Remove a portion of what the store no longer keeps; return whether more is left."""
        kept_ms = self._raw_ms + RAW_MARGIN_MS
        raw_ms = self._expiry.cutoff("raw", kept_ms, lambda: self._store.oldest().raw_ms)
        rollup_ms = self._expiry.cutoff(
            "rollup", self._rollup_ms, lambda: self._store.oldest().rollup_ms
        )
        if raw_ms is None and rollup_ms is None:
            return False
        return self._store.expire(floor_to(raw_ms or 0, self._window_ms), rollup_ms or 0)

    def _roll_up(self) -> bool:
        """Roll up a portion of the dirty windows that have ended; return whether more wait."""
        portion, floor = self._portion, self._raw_floor()
        until = self._clock.now_ms() - self._window_ms - GRACE_MS
        failing = self._failing.windows()
        late = self._late(portion)
        if late:
            self._failing.forget(late)
            self._state.clean(late, "rollup older than raw retention")
        windows = self._state.dirty(until, portion + len(failing), start_from_ms=floor)
        whole = [window for window in windows if window not in failing][:portion]
        if whole:
            started = self._clock.monotonic()
            self._make(whole)
            self._portion = _next_portion(portion, self._clock.monotonic() - started)
        for window in self._failing.due(self._clock.monotonic())[:1]:
            self._make([window])
        return len(whole) + len(late) >= portion

    def _late(self, limit: int) -> list[RollupWindow]:
        """Return dirty windows whose raw values have expired.

        Those that only look as if they had, by a clock that was just set, wait.
        """
        kept_ms = self._raw_ms + RAW_MARGIN_MS
        before_ms = self._expiry.cutoff("dirty", kept_ms, self._state.oldest_dirty_ms)
        if before_ms is None:
            return []
        return self._state.dirty(floor_to(before_ms, self._window_ms) - 1, limit)

    def _make(self, windows: Sequence[RollupWindow]) -> None:
        """Roll up windows; on failure take fewer next time, and set one at fault aside."""
        try:
            self._store.rollup(windows, self._window_ms)
        except StoreMisconfiguredError:
            raise
        except StoreUnavailableError as error:
            self._portion = max(1, self._portion // 2)
            if len(windows) > 1:
                raise
            is_known = self._failing.is_at_fault(windows[0])
            self._failing.failed(windows[0], error, self._clock.monotonic())
            if not is_known:
                raise
        else:
            self._state.clean(windows)
            for fault in self._failing.worked(windows):
                self._report(fault)

    def _report(self, fault: WindowFault) -> None:
        """Name a window that fails while others do not, and give up one that always does."""
        (server_id, start_ms), error, rest = fault
        start = datetime.fromtimestamp(start_ms / 1000, UTC).isoformat()
        what = "it is given up" if rest is None else f"it is tried again in {rest:g} s"
        log.warning("no rollup of server %s at %s, %s: %s", server_id or "-", start, what, error)
        if rest is None:
            self._state.clean([fault.window], "rollup failed")

    def _raw_floor(self) -> int:
        return floor_to(self._clock.now_ms() - self._raw_ms - RAW_MARGIN_MS, self._window_ms)


def _next_portion(portion: int, seconds: float) -> int:
    """Return how many windows to take next, after ``portion`` of them took ``seconds``."""
    if seconds > PORTION_SECONDS:
        return max(1, portion // 2)
    if seconds < PORTION_SECONDS / 2:
        return min(MAX_PORTION, portion * 2)
    return portion
