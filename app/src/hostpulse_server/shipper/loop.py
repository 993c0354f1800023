"""The loop that carries entries from the journal into the store.

An entry is dealt with in this order: the store has its points on disk, the books (cursor, ledger,
last seen, dirty windows) are committed in one transaction, the journal gets its hint. A crash
between two of these repeats work and loses none.
"""

from __future__ import annotations

import json
import logging
import random
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from hostpulse_server.errors import (
    BooksUnavailableError,
    JournalUnavailableError,
    StoreRejectedError,
    StoreUnavailableError,
)
from hostpulse_server.shipper.books import SetAside
from hostpulse_server.shipper.records import Delivery, Origin, UndecodableError, decode

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Sequence

    from hostpulse_server.clock import Clock
    from hostpulse_server.config import ShipperConfig
    from hostpulse_server.journal import Entry, Journal
    from hostpulse_server.shipper.books import Books
    from hostpulse_server.shipper.upkeep import Upkeep
    from hostpulse_server.store.base import Store, StorePoint

CONSUMER = "shipper"
READ_ENTRIES = 100
READ_BYTES = 262_144
LOOK_AHEAD_READS = 16
LOOK_AHEAD_SECONDS = 1.0
# how often the loop turns, feeds the watchdog and looks at a stop while nothing comes
IDLE_SECONDS = 1.0
FIRST_BACKOFF = 0.1
TRIM_SECONDS = 5.0
_WAITING = (StoreUnavailableError, BooksUnavailableError, JournalUnavailableError)

log = logging.getLogger(__name__)


class StopRequestedError(Exception):
    """A stop was asked for while something waited; raised and caught in this module."""


class Shipper:
    """Consumes one journal. ``turn`` does a bounded piece of work; ``run`` repeats it."""

    def __init__(  # noqa: PLR0913 - the parts it connects, each replaceable in a test
        self,
        config: ShipperConfig,
        *,
        journal: Journal,
        store: Store,
        books: Books,
        upkeep: Upkeep,
        clock: Clock,
        stop: threading.Event,
        beat: Callable[[], None] = lambda: None,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self._config = config
        self._journal = journal
        self._store = store
        self._books = books
        self._upkeep = upkeep
        self._clock = clock
        self._stop = stop
        self._beat = beat
        self._idle_seconds = idle_seconds
        self._position = books.position(journal.epoch)
        self._pending: list[Delivery] = []
        self._aside: list[SetAside] = []
        self._read_to = self._looked_to = self._position
        self._points = 0
        self._since = 0.0
        self._trimmed = 0.0
        self._looked = -LOOK_AHEAD_SECONDS
        self._busy = False
        self._write_ms = 0.0
        self._store_error = ""
        self._trouble = ""
        journal.hint(CONSUMER, self._position)

    def run(self) -> None:
        """Ship until the stop event is set; what is not shipped then stays in the journal."""
        try:
            while not self._stop.is_set():
                self._persist(self.turn)
        except StopRequestedError:
            return

    def turn(self) -> None:
        """Read, ship if there is enough or it has waited enough, else wait for more."""
        self._beat()
        more = self._read()
        if more:
            self._look_ahead()
        if self._due():
            self._ship()
        elif not (more or self._busy):
            self._journal.wait(self._read_to, self._patience())
        self._busy = self._upkeep.turn(caught_up=not more)

    def _read(self) -> bool:
        """Decode what waits, up to a full batch; return whether the journal has more."""
        while self._points < self._config.max_batch_points:
            entries = self._journal.read(self._read_to, READ_ENTRIES, READ_BYTES)
            if not entries:
                return False
            if self._read_to == self._position:
                self._since = self._clock.monotonic()
            for entry in entries:
                self._take(entry)
            self._read_to = entries[-1].id
        return True

    def _take(self, entry: Entry) -> None:
        try:
            delivery = decode(entry)
        except UndecodableError as error:
            log.warning("entry %d cannot be read and is set aside: %s", entry.id, error)
            self._aside.append(SetAside(entry, "undecodable", str(error), entry.body))
        else:
            self._pending.append(delivery)
            self._points += len(delivery.points)

    def _due(self) -> bool:
        if self._read_to == self._position:
            return False
        waited = self._clock.monotonic() - self._since
        return self._points >= self._config.batch_points or waited >= self._config.batch_seconds

    def _patience(self) -> float:
        """Return how long to wait for more: not past the batch's time, nor the watchdog's."""
        if self._read_to == self._position:
            return self._idle_seconds
        left = self._since + self._config.batch_seconds - self._clock.monotonic()
        return max(0.0, min(left, self._idle_seconds))

    def _ship(self) -> None:
        by_point = [(point, one.entry) for one in self._pending for point in one.points]
        size = self._config.max_batch_points
        for start in range(0, len(by_point), size):
            self._persist(partial(self._write_part, by_point[start : start + size]))
        self._persist(self._commit)
        self._pending, self._aside, self._points = [], [], 0
        self._position = self._read_to
        self._journal.hint(CONSUMER, self._position)
        if self._clock.monotonic() - self._trimmed >= TRIM_SECONDS:
            self._trimmed = self._clock.monotonic()
            self._journal.trim()

    def _commit(self) -> None:
        self._books.commit(
            self._journal.epoch, self._read_to, self._pending, self._aside, self._write_ms
        )
        if self._store_error:
            log.warning("the store is back")
            self._store_error = ""

    def _write_part(self, points: Sequence[tuple[StorePoint, Entry]]) -> None:
        started = self._clock.monotonic()
        self._aside += self._write(points)
        self._write_ms = (self._clock.monotonic() - started) * 1000

    def _write(self, points: Sequence[tuple[StorePoint, Entry]]) -> list[SetAside]:
        """Write; halve what the store refuses until the single points at fault are found."""
        try:
            self._store.write([point for point, _ in points])
        except StoreRejectedError as error:
            if len(points) > 1:
                middle = len(points) // 2
                return self._write(points[:middle]) + self._write(points[middle:])
            point, entry = points[0]
            log.warning("a point of entry %d is set aside: %s", entry.id, error)
            return [SetAside(entry, "refused by the store", str(error), json.dumps(point).encode())]
        return []

    def _persist(self, action: Callable[[], None]) -> None:
        """Repeat ``action`` until it works, waiting with full jitter; raise on a stop."""
        attempt = 0
        while True:
            try:
                action()
            except _WAITING as error:
                bound = min(self._config.max_backoff, FIRST_BACKOFF * 2 ** min(attempt, 16))
                attempt += 1
                self._hold(error, random.uniform(0, bound))  # noqa: S311 - spreads load only
            else:
                self._trouble = ""
                return

    def _hold(self, error: Exception, seconds: float) -> None:
        self._complain(error, seconds)
        until = self._clock.monotonic() + seconds
        while True:
            self._beat()
            self._look_ahead()
            left = until - self._clock.monotonic()
            if self._stop.wait(min(max(left, 0.0), self._idle_seconds)):
                raise StopRequestedError
            if left <= 0:
                return

    def _complain(self, error: Exception, seconds: float) -> None:
        """Log each new trouble once, and write down that the store is the one at fault."""
        if str(error) != self._trouble:
            self._trouble = str(error)
            log.error("shipping waits %.1f s and tries again; nothing is lost: %s", seconds, error)
        if isinstance(error, StoreUnavailableError) and str(error) != self._store_error:
            with suppress(BooksUnavailableError):
                self._books.store_down(str(error))
                self._store_error = str(error)

    def _look_ahead(self) -> None:
        """Note who reports while entries wait: a store that is down or behind is no host down."""
        now = self._clock.monotonic()
        if now - self._looked < LOOK_AHEAD_SECONDS:
            return
        self._looked = now
        self._looked_to = max(self._looked_to, self._position)
        with suppress(BooksUnavailableError, JournalUnavailableError):
            for _ in range(LOOK_AHEAD_READS):
                entries = self._journal.read(self._looked_to, READ_ENTRIES, READ_BYTES)
                if not entries:
                    return
                self._books.see(_origins(entries))
                self._looked_to = entries[-1].id


def _origins(entries: Sequence[Entry]) -> list[Origin]:
    found = []
    for entry in entries:
        with suppress(UndecodableError):  # counted when its turn to be shipped comes
            origin = decode(entry).origin
            if origin is not None:
                found.append(origin)
    return found
