"""One stretch of the journal on its way into the store: read, decoded, written as one batch."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from hostpulse_server.errors import StoreFailedError, StoreUnavailableError
from hostpulse_server.shipper.deliveries import Delivery, UndecodableError, decode
from hostpulse_server.shipper.quarantine import QuarantinedEntry
from hostpulse_server.shipper.sending import AttributedPoint, WriteBatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.config import ShipperConfig
    from hostpulse_server.journal import Entry, Journal
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.store.base import Store

READ_ENTRIES = 100
READ_BYTES = 262_144
MAX_BATCH_BYTES = 8 * 2**20
UNDECODABLE = "undecodable"


class Stream:
    """Entries after ``start``; the batch gathered so far reaches up to ``read_to``.

    ``more`` is whether the journal had more than the batch took, or was not read yet;
    ``oldest_ms`` when the first entry of the batch was received, ``None`` while it is empty.
    """

    def __init__(self, start: int, config: ShipperConfig, clock: Clock) -> None:
        self._config = config
        self._clock = clock
        self.write_ms = 0.0
        self._unread: deque[Entry] = deque()
        self._batch: WriteBatch | None = None
        self._is_away = False
        self.restart(start)

    def restart(self, start: int) -> None:
        """Forget what was read and begin after ``start``."""
        self.start = self.read_to = start
        self.more = True
        self._unread.clear()
        self._begin()

    def rewind(self) -> None:
        """Take back a batch that is not taken, so that it grows by what came since."""
        self._batch = None

    def done(self) -> None:
        """Go on behind the batch, which was written and recorded in shipper.db."""
        self.start = self.read_to
        self._is_away = False
        self._begin()

    def _begin(self) -> None:
        self.deliveries: list[Delivery] = []
        self.oldest_ms: int | None = None
        self._points = 0  # an entry without any counts as one
        self._bytes = 0
        self._since = 0.0
        self._undecodable: list[QuarantinedEntry] = []
        self._batch = None

    @property
    def aside(self) -> list[QuarantinedEntry]:
        """What the batch leaves behind: entries that cannot be read, points not taken."""
        return self._undecodable + (self._batch.aside if self._batch else [])

    @property
    def is_empty(self) -> bool:
        """Whether nothing is gathered."""
        return self.read_to == self.start

    @property
    def is_sending(self) -> bool:
        """Whether the batch is on its way."""
        return self._batch is not None

    def read(self, journal: Journal, until: int | None) -> None:
        """Gather entries, none behind ``until``, as far as they fit into one batch."""
        if self._batch is not None:
            return
        while True:
            if not self._unread:
                self._unread.extend(journal.read(self.read_to, READ_ENTRIES, READ_BYTES))
            if not self._unread or (until is not None and self._unread[0].id > until):
                # what is missing up to there will not come any more
                self.read_to = max(self.read_to, until or 0)
                self._unread.clear()
                self.more = False
                return
            if not self._take(self._unread[0]):
                self.more = True
                return
            self.read_to = self._unread.popleft().id

    def _take(self, entry: Entry) -> bool:
        """Add an entry to the batch; return False if it is for the next one."""
        most = self._config.batch_points if self._is_away else self._config.max_batch_points
        if self._points >= most or self._bytes >= MAX_BATCH_BYTES:
            return False
        try:
            delivery = decode(entry)
        except UndecodableError as error:
            self._undecodable.append(
                QuarantinedEntry(
                    entry.id, entry.kind, entry.received_ms, UNDECODABLE, str(error), entry.body
                )
            )
            self._count(entry, 1)
            return True
        if self._points and self._points + len(delivery.points) > most:
            return False
        self._count(entry, len(delivery.points) or 1)
        self.deliveries.append(delivery)
        return True

    def _count(self, entry: Entry, points: int) -> None:
        if self.oldest_ms is None:
            self._since = self._clock.monotonic()
            self.oldest_ms = entry.received_ms
        self._points += points
        self._bytes += len(entry.body)

    def is_due(self, until: int | None) -> bool:
        """Return whether the batch goes: it is large enough, has waited, or nothing follows it."""
        if self.is_empty:
            return False
        return (
            self.more
            or self._is_away
            or self.read_to == until
            or self._points >= self._config.batch_points
            or self._clock.monotonic() - self._since >= self._config.batch_seconds
        )

    def send(self, store: Store, pause: Callable[[], bool]) -> bool:
        """Write the batch; return whether it is done. Raises as ``WriteBatch.send``.

        While the store is away nothing is held in memory: the journal has it, and a small batch
        is enough to find out that the store is back.
        """
        if self._batch is None:
            points = [
                AttributedPoint(point, one.entry) for one in self.deliveries for point in one.points
            ]
            self._batch = WriteBatch(points, self._config.max_batch_points)
        started = self._clock.monotonic()
        try:
            is_done = self._batch.send(store, pause)
        except StoreFailedError:
            raise
        except StoreUnavailableError:
            if self._batch.is_whole:
                self.restart(self.start)
                self._is_away = True
            raise
        self.write_ms = (self._clock.monotonic() - started) * 1000
        return is_done

    def patience(self) -> float:
        """Return for how many seconds the batch may wait for more, infinite while it is empty."""
        if self.is_sending or self.more:
            return 0.0
        if self.is_empty:
            return float("inf")
        if self._is_away:
            return 0.0
        return max(0.0, self._since + self._config.batch_seconds - self._clock.monotonic())

    def is_late(self) -> bool:
        """Return whether its oldest entry has waited longer than a batch may."""
        if self.oldest_ms is None:
            return False
        return self._clock.now_ms() - self.oldest_ms > self._config.batch_seconds * 1000
