"""What the shipper does between batches: rollups, expiry, pruning; each turn a small piece."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.store.rollup import floor_to

if TYPE_CHECKING:
    from hostpulse_server.clock import Clock
    from hostpulse_server.config import RetentionConfig
    from hostpulse_server.shipper.books import Books
    from hostpulse_server.store.base import Store

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


class Upkeep:
    """Keeps store and books to their retention and the rollups true."""

    def __init__(
        self, retention: RetentionConfig, *, store: Store, books: Books, clock: Clock
    ) -> None:
        self._raw_ms = int(retention.raw * 1000)
        self._rollup_ms = int(retention.rollup * 1000)
        self._window_ms = int(retention.rollup_window * 1000)
        self._store = store
        self._books = books
        self._clock = clock
        # due at once, but not before a backlog that is there at the start
        self._rolled = clock.monotonic() - ROLLUP_SECONDS
        self._expired = clock.monotonic() - EXPIRE_SECONDS
        self._expiring = False
        self._portion = FIRST_PORTION

    def turn(self, *, caught_up: bool) -> bool:
        """Do a bounded piece of what is due; return whether more is due at once.

        Raises like the store and the books.
        """
        pause = ROLLUP_SECONDS if caught_up else BUSY_ROLLUP_SECONDS
        more = False
        if self._clock.monotonic() - self._rolled >= pause:
            more = self._roll_up()
            if not more or not caught_up:
                self._rolled = self._clock.monotonic()
        if self._clock.monotonic() - self._expired >= EXPIRE_SECONDS:
            self._expired = self._clock.monotonic()
            self._expiring = True
            self._books.prune(self._clock.now_ms() - self._raw_ms)
        if self._expiring:
            now_ms = self._clock.now_ms()
            self._expiring = self._store.expire(self._raw_floor(), now_ms - self._rollup_ms)
        return more or self._expiring

    def _roll_up(self) -> bool:
        """Roll up a portion of the dirty windows that have ended; return whether more wait."""
        portion = self._portion
        windows = self._books.dirty(self._clock.now_ms() - self._window_ms - GRACE_MS, portion)
        floor = self._raw_floor()
        late = [window for window in windows if window.start_ms < floor]
        whole = [window for window in windows if window.start_ms >= floor]
        if whole:
            started = self._clock.monotonic()
            self._portion = max(1, portion // 2)  # if it fails, too: it may have been too much
            self._store.rollup(whole, self._window_ms)
            self._portion = _next_portion(portion, self._clock.monotonic() - started)
            self._books.clean(whole)
        if late:
            self._books.clean(late, "rollup older than raw retention")
        return len(windows) == portion

    def _raw_floor(self) -> int:
        return floor_to(self._clock.now_ms() - self._raw_ms - RAW_MARGIN_MS, self._window_ms)


def _next_portion(portion: int, seconds: float) -> int:
    """Return how many windows to take next, after ``portion`` of them took ``seconds``."""
    if seconds > PORTION_SECONDS:
        return max(1, portion // 2)
    if seconds < PORTION_SECONDS / 2:
        return min(MAX_PORTION, portion * 2)
    return portion
