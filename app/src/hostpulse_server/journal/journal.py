"""SQLite as a log: WAL, synchronous=FULL, ids that are never used again."""

from __future__ import annotations

import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostpulse_server.journal import database, retention
from hostpulse_server.journal.wakeup import WakeupReceiver
from hostpulse_server.journal.writer import Bounds, JournalWriter

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.runtime.expiry import ExpiryGuard

# a datagram may be lost between two processes; then this is how long a consumer sleeps on
LISTEN_SECONDS = 1.0


@dataclass(frozen=True)
class Entry:
    """One record: ``body`` as it was appended, ``received_ms`` epoch milliseconds."""

    id: int
    kind: str
    received_ms: int
    body: bytes


@dataclass(frozen=True)
class JournalStats:
    """``bytes`` used; ids are 0 and ``oldest_ms`` is ``None`` while there is no entry."""

    bytes: int
    entries: int
    oldest_id: int
    newest_id: int
    oldest_ms: int | None


class Journal:
    """The durable log. One object a process; every method may be called from any thread.

    Open it after the last fork: threads and SQLite connections do not survive one.
    """

    def __init__(self, path: Path, bounds: Bounds, clock: Clock, epoch: str) -> None:
        self.epoch = epoch
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._lock = threading.Lock()
        self._reader: sqlite3.Connection | None = None
        self._writer: JournalWriter | None = None
        self._ears: list[WakeupReceiver] = []
        self._closed = False

    @classmethod
    def open(cls, path: Path, *, max_bytes: int, min_free_bytes: int, clock: Clock) -> Journal:
        """Open or make the journal at ``path``; raise JournalUnavailableError."""
        return cls(path, Bounds(max_bytes, min_free_bytes), clock, database.prepare(path))

    def append(self, entry: bytes, kind: str, received_ms: int, *, packed: bool = False) -> int:
        """Block until ``entry`` is on disk and return its id.

        ``packed``: the bytes are already gzip or zlib; readers get them unpacked. Raises
        JournalFullError at a bound and JournalUnavailableError when the disk refuses; in both
        cases nothing was kept.
        """
        writer = self._writer or self._start_writer()
        return writer.append(entry, kind, received_ms, packed=packed)

    def read(self, after: int, limit: int, max_bytes: int) -> list[Entry]:
        """Return entries with ids above ``after``, oldest first.

        At most ``limit`` entries and about ``max_bytes`` of bodies, but one if there is any.
        """
        entries: list[Entry] = []
        size = 0
        with self._lock:
            rows = self._execute(
                "SELECT id, kind, received_ms, packed, body FROM entry WHERE id > ? "
                "ORDER BY id LIMIT ?",
                (after, limit),
            )
            try:
                for entry_id, kind, received_ms, packed, body in rows:
                    plain = database.unpack(packed, body)
                    size += len(plain)
                    if entries and size > max_bytes:
                        break
                    entries.append(Entry(entry_id, kind, received_ms, plain))
            except sqlite3.Error as error:
                raise database.unavailable(self._path, error) from error
            finally:
                rows.close()
        return entries

    def wait(self, after: int, timeout: float) -> bool:
        """Block until an entry above ``after`` exists (True) or ``timeout`` s went (False)."""
        deadline = time.monotonic() + timeout
        ear = self._borrow_ear()
        try:
            while not self._newest() > after:
                left = deadline - time.monotonic()
                if left <= 0 or self._closed:
                    return False
                ear.listen(min(left, LISTEN_SECONDS))
            return True
        finally:
            self._return_ear(ear)

    def hint(self, consumer: str, position: int) -> None:
        """Note that ``consumer`` no longer needs entries up to ``position``."""
        with self._lock:
            self._execute(
                "INSERT INTO hint VALUES (?, ?) "
                "ON CONFLICT (consumer) DO UPDATE SET position = excluded.position",
                (consumer, position),
            ).close()

    def trim(self, expiry: ExpiryGuard | None = None) -> int:
        """Delete what no consumer needs; return the number of entries deleted.

        With ``expiry`` also what a consumer has held for longer than it may.
        """
        with self._lock:
            try:
                return retention.trim(self._connect(), self._clock.now_ms(), expiry)
            except sqlite3.Error as error:
                raise database.unavailable(self._path, error) from error

    def stats(self) -> JournalStats:
        """Return size and ends of the journal."""
        with self._lock:
            oldest, newest = self._one("SELECT min(id), max(id) FROM entry")
            first = self._one("SELECT received_ms FROM entry WHERE id = ?", (oldest or 0,))
            # trimming takes from the lower end and a rolled back group gives its ids back: no holes
            return JournalStats(
                bytes=database.used_bytes(self._connect()),
                entries=newest - oldest + 1 if oldest else 0,
                oldest_id=oldest or 0,
                newest_id=newest or 0,
                oldest_ms=first[0] if first else None,
            )

    def last_id(self) -> int:
        """Return the id of the newest entry ever appended, which may be gone; 0 if none was."""
        return self._newest()

    def waiting_seconds(self, after: int) -> float:
        """Return the age of the oldest entry above ``after``, 0 if there is none."""
        with self._lock:
            row = self._one("SELECT received_ms FROM entry WHERE id > ? ORDER BY id", (after,))
        return max(0, self._clock.now_ms() - row[0]) / 1000 if row else 0.0

    def check(self) -> None:
        """Return if an append would be tried; raise JournalUnavailableError otherwise."""
        with self._lock:
            try:
                connection = self._connect()
                connection.execute("BEGIN IMMEDIATE").close()
                connection.execute("ROLLBACK").close()
            except sqlite3.Error as error:
                raise database.unavailable(self._path, error) from error

    def close(self) -> None:
        """Write what waits, stop the writer and close all files."""
        self._closed = True
        with self._lock:
            writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
        with self._lock:
            if self._reader is not None:
                self._reader.close()
                self._reader = None
            while self._ears:
                self._ears.pop().close()

    def _start_writer(self) -> JournalWriter:
        with self._lock:
            if self._closed:
                raise database.unavailable(self._path, RuntimeError("it is closed"))
            if self._writer is None:
                self._writer = JournalWriter(self._path, self._bounds, self._clock)
            return self._writer

    def _connect(self) -> sqlite3.Connection:
        if self._reader is None:
            if self._closed:
                raise database.unavailable(self._path, RuntimeError("it is closed"))
            # hints and trims may be lost with the power: they are made again
            self._reader = database.connect(self._path, durable=False)
        return self._reader

    def _execute(self, statement: str, values: tuple[object, ...] = ()) -> sqlite3.Cursor:
        try:
            return self._connect().execute(statement, values)
        except sqlite3.Error as error:
            raise database.unavailable(self._path, error) from error

    def _one(self, statement: str, values: tuple[object, ...] = ()) -> tuple[Any, ...]:
        cursor = self._execute(statement, values)
        try:
            row: tuple[Any, ...] = cursor.fetchone() or ()
            return row
        finally:
            cursor.close()

    def _newest(self) -> int:
        with self._lock:
            # not max(id) of the entries: all may have been trimmed
            row = self._one("SELECT seq FROM sqlite_sequence WHERE name = 'entry'")
        return int(row[0] or 0) if row else 0

    def _borrow_ear(self) -> WakeupReceiver:
        with self._lock:
            if self._ears:
                return self._ears.pop()
        return WakeupReceiver(self._path)

    def _return_ear(self, ear: WakeupReceiver) -> None:
        with self._lock:
            if not self._closed:
                self._ears.append(ear)
                return
        ear.close()
