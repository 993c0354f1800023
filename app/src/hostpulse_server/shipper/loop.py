"""The loop that carries entries from the journal into the store.

An entry is dealt with in this order: the store has its points on disk, shipper.db (cursor, ledger,
last seen, dirty windows, quarantine) is committed in one transaction, the journal gets its hint.
A crash between two of these repeats work and loses none.

While entries are behind, those that arrive now overtake them in a stream of their own, and the
two streams, live and backlog, take turns.
"""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from hostpulse_server.backoff import Backoff
from hostpulse_server.errors import (
    JournalUnavailableError,
    ShipperStateUnavailableError,
    StoreUnavailableError,
)
from hostpulse_server.runtime.expiry import ExpiryGuard
from hostpulse_server.shipper.deliveries import Origin, UndecodableError, decode
from hostpulse_server.shipper.stream import READ_BYTES, READ_ENTRIES, Stream

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from hostpulse_server.config import ShipperConfig
    from hostpulse_server.journal import Entry, Journal
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.shipper.maintenance import Maintenance
    from hostpulse_server.shipper.quarantine import QuarantinedEntry
    from hostpulse_server.shipper.state import ShipperState
    from hostpulse_server.store.base import Store

CONSUMER = "shipper"
LOOK_AHEAD_READS = 16
LOOK_AHEAD_SECONDS = 1.0
# how often the loop turns, feeds the watchdog and looks at a stop while nothing comes
IDLE_SECONDS = 1.0
# how long one stream may write before the other has its turn
SLICE_SECONDS = 1.0
TRIM_SECONDS = 5.0
# what a turn does, each with a patience of its own
LIVE, BACKLOG, UPKEEP, REST = _PARTS = ("live", "backlog", "upkeep", "rest")
_WAITING = (StoreUnavailableError, ShipperStateUnavailableError, JournalUnavailableError)

log = logging.getLogger(__name__)


class _Trouble(NamedTuple):
    """What is wrong, in words: the error itself would keep all that it went through in memory."""

    text: str
    is_of_store: bool


class Shipper:
    """Consumes one journal. ``turn`` does a bounded piece of work; ``run`` repeats it."""

    def __init__(  # noqa: PLR0913 - the parts it connects, each replaceable in a test
        self,
        config: ShipperConfig,
        *,
        journal: Journal,
        store: Store,
        shipper_state: ShipperState,
        upkeep: Maintenance,
        clock: Clock,
        stop: threading.Event,
        beat: Callable[[], None] = lambda: None,
        idle_seconds: float = IDLE_SECONDS,
        expiry: ExpiryGuard | None = None,
    ) -> None:
        self._config = config
        self._journal = journal
        self._store = store
        self._state = shipper_state
        self._upkeep = upkeep
        self._expiry = expiry or ExpiryGuard(clock)
        self._clock = clock
        self._stop = stop
        self._beat = beat
        self._idle_seconds = idle_seconds
        self._cursor = shipper_state.cursor(journal.epoch)
        self._backlog = Stream(self._cursor.position, config, clock)
        self._live: Stream | None = None
        if self._cursor.ahead:
            self._live = Stream(self._cursor.ahead[-1].last, config, clock)
        self._backoffs = {part: Backoff(config.max_backoff) for part in _PARTS}
        self._troubles: dict[str, _Trouble] = {}
        self._noted = ""
        self._grace_until = 0.0
        self._busy = False
        self._trimmed = 0.0
        self._looked = -LOOK_AHEAD_SECONDS
        self._looked_to = self._cursor.position
        journal.hint(CONSUMER, self._cursor.position)

    def run(self) -> None:
        """Ship until the stop event is set; what is not shipped then stays in the journal."""
        while not self._stop.is_set():
            self.turn()

    def turn(self) -> None:
        """Let each stream read, and ship if it has enough or waited enough; else wait for more."""
        self._attempt(LIVE, self._attend_live)
        self._attempt(BACKLOG, self._attend_backlog)
        self._attempt(UPKEEP, self._keep_up)
        self._attempt(REST, self._rest)

    def _attempt(self, part: str, action: Callable[[], bool]) -> None:
        """Do a part of the turn, unless it failed and its time to try again has not come.

        ``action`` returns whether it did what may fail.
        """
        self._beat()
        backoff = self._backoffs[part]
        if self._clock.monotonic() < backoff.until:
            return
        try:
            has_worked = action()
        except _WAITING as error:
            asked = error.retry_after if isinstance(error, StoreUnavailableError) else None
            self._complain(part, error, backoff.failed(self._clock.monotonic(), asked))
            return
        if has_worked and backoff.failing:
            for each in self._backoffs.values():
                each.retry_now()
            backoff.worked()
            self._troubles.pop(part, None)
            self._note()

    def _attend_live(self) -> bool:
        if self._live is None:
            return False
        self._live.read(self._journal, None)
        is_behind = self._is_behind(LIVE, self._live)
        if not self._backoffs[LIVE].failing:
            has_grace = self._clock.monotonic() < self._grace_until
            if is_behind and not has_grace and self._overtake(self._live):
                return False
            return self._send(self._live)
        try:
            has_worked = self._send(self._live)
        except _WAITING:
            # Only now that the store is known to be away still: what has arrived since it came
            # back would wait for the whole backlog.
            if is_behind:
                self._overtake(self._live)
            raise
        if has_worked:
            # what arrived between two attempts is behind and wants its time, too
            patience = self._config.max_backoff + self._config.batch_seconds
            self._grace_until = self._clock.monotonic() + patience
        return has_worked

    def _attend_backlog(self) -> bool:
        self._backlog.read(self._journal, self._cursor.until)
        is_failing = self._backoffs[BACKLOG].failing
        is_behind = self._live is None and self._is_behind(BACKLOG, self._backlog)
        if is_behind and self._overtake(self._backlog) and is_failing:
            # with other points in the batch it shows whether the store or the batch is at fault
            self._backlog.rewind()
            self._backlog.read(self._journal, self._cursor.until)
        return self._send(self._backlog)

    def _is_behind(self, part: str, stream: Stream) -> bool:
        is_stuck = stream.more or stream.is_sending or self._backoffs[part].failing
        return is_stuck and stream.is_late()

    def _overtake(self, stream: Stream) -> bool:
        """Let what arrives from now on pass ``stream``; return whether anything will."""
        newest = self._journal.stats().newest_id
        cursor = self._cursor.overtaking(newest) if newest > stream.read_to else None
        if cursor is None:
            return False
        if self._live is None:
            log.info("entries up to %d are behind, newer ones overtake them", newest)
        self._cursor = cursor
        self._live = Stream(newest, self._config, self._clock)
        return True

    def _send(self, stream: Stream) -> bool:
        """Write a batch that is due, for a slice of time; return whether that finished it."""
        if not stream.is_due(self._cursor.until if stream is self._backlog else None):
            return False
        deadline = self._clock.monotonic() + SLICE_SECONDS
        if not stream.send(
            self._store, lambda: self._stop.is_set() or self._clock.monotonic() >= deadline
        ):
            return False
        self._finish(stream)
        return True

    def _finish(self, stream: Stream) -> None:
        """Record a batch that the store has in shipper.db, then release it."""
        is_backlog = stream is self._backlog
        step = self._cursor.moved if is_backlog else self._cursor.advanced
        cursor = step(stream.read_to)
        store_error = self._store_error(but=BACKLOG if is_backlog else LIVE)
        self._state.commit(
            self._journal.epoch,
            cursor,
            stream.deliveries,
            stream.aside,
            at_ms=self._clock.now_ms(),
            store_error=store_error,
            store_write_ms=stream.write_ms,
        )
        self._cursor, self._noted = cursor, store_error
        _report(stream.aside)
        stream.done()
        if is_backlog:
            self._release(cursor.position)

    def _release(self, position: int) -> None:
        """Let the journal forget what is done; at the end of a backlog one stream is left."""
        if self._live is not None and not self._cursor.ahead:
            self._backlog, self._live = self._live, None
            self._backoffs[LIVE].worked()
            self._troubles.pop(LIVE, None)
            log.info("the backlog is in the store")
        elif position != self._backlog.start:
            self._backlog.restart(position)
        self._journal.hint(CONSUMER, position)
        if self._clock.monotonic() - self._trimmed >= TRIM_SECONDS:
            self._trimmed = self._clock.monotonic()
            self._journal.trim(self._expiry)

    def _keep_up(self) -> bool:
        self._busy = False  # while it fails nothing is due at once
        self._busy = self._upkeep.turn(caught_up=self._live is None and not self._backlog.more)
        return True

    def _rest(self) -> bool:
        """Wait until something is due or arrives, not past the watchdog's time."""
        if self._backoffs[BACKLOG].failing or self._backoffs[LIVE].failing:
            self._look_ahead()
        part, front = (BACKLOG, self._backlog) if self._live is None else (LIVE, self._live)
        seconds = min(self._patience(BACKLOG, self._backlog), self._patience(part, front))
        seconds = min(seconds, 0.0 if self._busy else self._idle_seconds)
        if seconds <= 0:
            return True
        if front.is_sending or self._backoffs[part].failing:
            self._stop.wait(seconds)
        else:
            self._journal.wait(front.read_to, seconds)
        return True

    def _patience(self, part: str, stream: Stream) -> float:
        held = self._backoffs[part].until - self._clock.monotonic()
        return held if held > 0 else stream.patience()

    def _complain(self, part: str, error: Exception, seconds: float) -> None:
        """Log each new fault once, and record that the store is at fault."""
        trouble = _Trouble(str(error), isinstance(error, StoreUnavailableError))
        if trouble not in self._troubles.values():
            log.error("shipping waits %.1f s and tries again; nothing is lost: %s", seconds, error)
        self._troubles[part] = trouble
        self._note()

    def _note(self) -> None:
        """Write down why the store is down, or that it is back, when that has changed."""
        store_error = self._store_error()
        if store_error != self._noted:
            with suppress(ShipperStateUnavailableError):
                self._state.store_down(store_error)
                self._noted = store_error

    def _store_error(self, but: str = "") -> str:
        for part, trouble in self._troubles.items():
            if part != but and trouble.is_of_store:
                return trouble.text
        return ""

    def _look_ahead(self) -> None:
        """Note who reports while entries wait: a store that is down is no host down."""
        now = self._clock.monotonic()
        if now - self._looked < LOOK_AHEAD_SECONDS:
            return
        self._looked = now
        self._looked_to = max(self._looked_to, self._cursor.position)
        with suppress(ShipperStateUnavailableError, JournalUnavailableError):
            for _ in range(LOOK_AHEAD_READS):
                entries = self._journal.read(self._looked_to, READ_ENTRIES, READ_BYTES)
                if not entries:
                    return
                self._state.see(_origins(entries))
                self._looked_to = entries[-1].id


def _report(aside: Sequence[QuarantinedEntry]) -> None:
    """Log what went into the quarantine, a line for each reason."""
    for reason, count in Counter(item.reason for item in aside).items():
        first = next(item for item in aside if item.reason == reason)
        log.warning(
            "%d in the quarantine, %s; the first of entry %d, server %s: %s",
            count,
            reason,
            first.entry,
            first.server_id or "unknown",
            first.detail,
        )


def _origins(entries: Sequence[Entry]) -> list[Origin]:
    found = []
    for entry in entries:
        with suppress(UndecodableError):  # counted when its turn to be shipped comes
            origin = decode(entry).origin
            if origin is not None:
                found.append(origin)
    return found
