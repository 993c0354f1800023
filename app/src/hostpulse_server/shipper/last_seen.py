"""When each server was last seen, and shipping status: read-only and safe across processes."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from hostpulse_server.errors import ShipperStateUnavailableError
from hostpulse_server.runtime.clock import SYSTEM, Clock
from hostpulse_server.shipper import dirty_windows, ranges, sql
from hostpulse_server.shipper.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

CACHE_SECONDS = 1.0

Answer = TypeVar("Answer")


@dataclass(frozen=True, slots=True)
class LastSeen:
    """One server as last stored; times are epoch ms, completeness is 0-100 or ``None``."""

    server_id: str
    last_sample_ms: int
    last_received_ms: int
    interval_ms: int
    agent_version: str
    completeness_percent: float | None


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The ledger of one stream: ``ranges`` are what is stored, ``missing`` the gaps between."""

    stream: str
    ranges: tuple[Range, ...]
    stored: int
    missing: int
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ShipperStatus:
    """How shipping goes: the cursor, what waits, what was set aside and why.

    ``set_aside`` counts by reason since the file was made, ``quarantine_points`` is how many of
    them wait in the quarantine. ``store_error`` is why the store is down, ``""`` while it works.
    """

    epoch: str
    position: int
    newest_stored_ms: int
    dirty_windows: int
    set_aside: Mapping[str, int]
    store_error: str
    store_write_ms: float
    quarantine_points: int

    def position_in(self, epoch: str) -> int:
        """Return the last id of the journal of ``epoch`` that is done; 0 for another epoch."""
        return self.position if self.epoch == epoch else 0


class LastSeenReader:
    """Reads shipper.db with own short-lived read-only connections; answers are ≤ 1 s old.

    A missing file means that nothing has been shipped yet: everything is empty. Raises
    ShipperStateUnavailableError when the file is there and cannot be read.
    """

    def __init__(self, path: Path, *, clock: Clock = SYSTEM) -> None:
        self._path = path
        self._clock = clock
        self._lock = threading.Lock()
        self._cached: dict[str, LastSeen] = {}
        self._cached_at: float | None = None

    def get(self, server_ids: Iterable[str] | None = None) -> dict[str, LastSeen]:
        """Return what is known of the given servers (default all); unknown ids are absent."""
        with self._lock:
            now = self._clock.monotonic()
            if self._cached_at is None or now - self._cached_at >= CACHE_SECONDS:
                self._cached = self._read(_all_seen, {})
                self._cached_at = now
            known = self._cached
        if server_ids is None:
            return dict(known)
        return {one: known[one] for one in server_ids if one in known}

    def ledger(self, server_id: str) -> list[StreamReport]:
        """Return the ledger of one server, a report a stream, the newest stream last."""
        return self._read(lambda connection: _ledger(connection, server_id), [])

    def quarantined(self, server_id: str) -> dict[str, int]:
        """Return how many points of one server are in the quarantine, by reason."""
        return self._read(lambda one: dict(one.execute(sql.OF_SERVER, (server_id,))), {})

    def completeness(self, from_ms: int, until_ms: int) -> dict[str, float]:
        """Return the stored share of what servers sampled within a time, as 0-100.

        A server is absent that sampled nothing then, or that may yet send some of it.
        """
        return self._read(lambda connection: _recent(connection, from_ms, until_ms), {})

    def raw_from_ms(self, server_ids: Iterable[str] | None = None) -> int | None:
        """Return the start of the oldest window not rolled up yet, ``None`` if there is none."""
        wanted = None if server_ids is None else set(server_ids)
        return self._read(lambda connection: dirty_windows.oldest_ms(connection, wanted), None)

    def status(self) -> ShipperStatus | None:
        """Return how shipping goes, ``None`` before the first batch is done."""
        return self._read(_status, None)

    def _read(self, question: Callable[[sqlite3.Connection], Answer], nothing: Answer) -> Answer:
        if not self._path.exists():
            return nothing
        address = f"{self._path.absolute().as_uri()}?mode=ro"
        try:
            with closing(sqlite3.connect(address, uri=True, isolation_level=None)) as connection:
                connection.execute("BEGIN")
                return question(connection)
        except sqlite3.Error as error:
            if "no such table" in str(error):
                return nothing  # the shipper is just making the file
            raise ShipperStateUnavailableError(f"{self._path} cannot be read: {error}") from error


def _all_seen(connection: sqlite3.Connection) -> dict[str, LastSeen]:
    completeness = dict(connection.execute(sql.COMPLETENESS))
    return {
        server_id: LastSeen(
            server_id=server_id,
            last_sample_ms=last_sample_ms,
            last_received_ms=last_received_ms,
            interval_ms=interval_ms,
            agent_version=agent_version,
            completeness_percent=completeness.get(server_id),
        )
        for (
            server_id,
            last_sample_ms,
            last_received_ms,
            interval_ms,
            agent_version,
        ) in connection.execute(sql.ALL_SEEN)
    }


def _recent(connection: sqlite3.Connection, from_ms: int, until_ms: int) -> dict[str, float]:
    taken: dict[str, float] = {}
    missing: dict[str, float] = {}
    rows = connection.execute(sql.RECENT, (from_ms, until_ms))
    for server_id, lo, hi, first_ms, last_ms, before, before_ms in rows:
        gap = None if before is None else (before, before_ms)
        counted, lost = ranges.between(Range(lo, hi, first_ms, last_ms), gap, from_ms, until_ms)
        taken[server_id] = taken.get(server_id, 0.0) + counted
        missing[server_id] = missing.get(server_id, 0.0) + lost
    return {
        server_id: 100.0 * (1 - missing[server_id] / counted)
        for server_id, counted in taken.items()
        if counted >= 1
    }


def _ledger(connection: sqlite3.Connection, server_id: str) -> list[StreamReport]:
    streams: dict[str, list[Range]] = {}
    for stream, *numbers in connection.execute(sql.RANGES, (server_id,)):
        streams.setdefault(stream, []).append(Range(*numbers))
    dropped: dict[str, dict[str, int]] = {}
    for stream, reason, count in connection.execute(sql.DROPPED, (server_id,)):
        dropped.setdefault(stream, {})[reason] = count
    return [
        StreamReport(
            stream=stream,
            ranges=tuple(known),
            stored=ranges.stored(known),
            missing=ranges.expected(known) - ranges.stored(known),
            dropped=dropped.get(stream, {}),
        )
        for stream, known in sorted(streams.items(), key=lambda item: item[1][-1].last_ms)
    ]


def _status(connection: sqlite3.Connection) -> ShipperStatus | None:
    cursor = connection.execute("SELECT epoch, position, newest_stored_ms FROM cursor").fetchone()
    condition = connection.execute("SELECT store_error, store_write_ms FROM condition").fetchone()
    if cursor is None and condition is None:
        return None
    (waiting,) = connection.execute("SELECT count(*) FROM quarantine").fetchone()
    epoch, position, newest_stored_ms = cursor or ("", 0, 0)
    store_error, store_write_ms = condition or ("", 0.0)
    return ShipperStatus(
        epoch=epoch,
        position=position,
        newest_stored_ms=newest_stored_ms,
        dirty_windows=dirty_windows.count(connection),
        set_aside=dict(connection.execute("SELECT reason, count FROM counts")),
        store_error=store_error,
        store_write_ms=store_write_ms,
        quarantine_points=waiting,
    )
