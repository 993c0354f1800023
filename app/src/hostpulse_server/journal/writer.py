"""Group commit: one thread takes all that waits, one transaction, then releases the waiters."""

from __future__ import annotations

import os
import queue
import sqlite3
import threading
import zlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostpulse_server.errors import HostpulseError, JournalFullError, JournalUnavailableError
from hostpulse_server.journal import database
from hostpulse_server.journal.wakeup import WakeupSender

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_server.runtime.clock import Clock

MAX_GROUP = 256
MEASURE_SECONDS = 0.2
RETRY_SECONDS = 30.0
# below this a compressed body saves less than its zlib call costs
PACK_FROM = 256

_INSERT = "INSERT INTO entry (kind, received_ms, packed, body) VALUES "
_ROW = "(?, ?, ?, ?)"


@dataclass
class PendingAppend:
    """One append on its way; ``done`` is locked until ``id`` or ``error`` is set."""

    kind: str
    received_ms: int
    body: bytes
    packed: bool
    id: int = 0
    error: HostpulseError | None = None
    done: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True)
class Bounds:
    """How far the journal may grow, in bytes: its own size, and the disk's free space."""

    max_bytes: int
    min_free_bytes: int


class JournalWriter:
    """The thread that owns the writing connection."""

    def __init__(self, path: Path, bounds: Bounds, clock: Clock) -> None:
        self._path = path
        self._bounds = bounds
        self._clock = clock
        self._queue: queue.SimpleQueue[PendingAppend | None] = queue.SimpleQueue()
        self._connection: sqlite3.Connection | None = None
        self._used = 0
        self._free = 0
        self._measured = float("-inf")
        self._closed = False
        self._gate = threading.Lock()
        self._bell = WakeupSender(path)
        self._thread = threading.Thread(target=self._run, name="journal-writer", daemon=True)
        self._thread.start()

    def append(self, body: bytes, kind: str, received_ms: int, *, packed: bool) -> int:
        """Hand one body over and block until it is on disk; return its id."""
        if not packed and len(body) >= PACK_FROM:
            # here, where it runs beside other requests, and not in the one thread all wait for
            body, packed = zlib.compress(body, 1), True
        ticket = PendingAppend(kind, received_ms, body, packed)
        ticket.done.acquire()
        with self._gate:
            if self._closed:
                raise JournalUnavailableError("the journal is closed: the server is stopping")
            self._queue.put(ticket)
        ticket.done.acquire()  # released by the writer
        if ticket.error is not None:
            raise ticket.error
        return ticket.id

    def close(self) -> None:
        """Write what waits, then stop."""
        with self._gate:
            if self._closed:
                return
            self._closed = True
            self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        more = True
        while more:
            group, more = self._take()
            if group:
                self._finish(group)
        self._disconnect()
        self._bell.close()

    def _take(self) -> tuple[list[PendingAppend], bool]:
        group: list[PendingAppend] = []
        ticket = self._queue.get()
        while ticket is not None:
            group.append(ticket)
            if len(group) == MAX_GROUP:
                return group, True
            try:
                ticket = self._queue.get_nowait()
            except queue.Empty:
                return group, True
        return group, False

    def _finish(self, group: list[PendingAppend]) -> None:
        error: HostpulseError | None = None
        try:
            self._write(group)
        except HostpulseError as refused:
            error = refused
        except (sqlite3.Error, OSError) as failed:
            # after a failed sync nothing is known about this connection's pages: begin anew
            self._disconnect()
            error = database.unavailable(self._path, failed)
        except BaseException as unforeseen:  # noqa: BLE001  # a waiter must never wait for ever
            self._disconnect()
            error = JournalUnavailableError(f"the journal's writer failed: {unforeseen!r}")
        for ticket in group:
            ticket.error = error
            ticket.done.release()
        if error is None:
            self._bell.ring()

    def _write(self, group: list[PendingAppend]) -> None:
        connection = self._connect()
        self._refuse_past_bounds(connection, sum(len(ticket.body) for ticket in group))
        values: list[object] = []
        for ticket in group:
            values += (ticket.kind, ticket.received_ms, ticket.packed, ticket.body)
        # One statement, which is a transaction of its own: every call into SQLite gives the
        # interpreter away, and to go on means to wait for the thread that took it.
        cursor = connection.execute(_INSERT + ",".join([_ROW] * len(group)), values)
        cursor.close()
        last = cursor.lastrowid or 0
        for entry_id, ticket in enumerate(group, last - len(group) + 1):
            ticket.id = entry_id

    def _refuse_past_bounds(self, connection: sqlite3.Connection, added: int) -> None:
        now = self._clock.monotonic()
        if now - self._measured >= MEASURE_SECONDS:
            self._used = database.used_bytes(connection)
            disk = os.statvfs(self._path.parent)
            self._free = disk.f_bavail * disk.f_frsize
            self._measured = now
        if self._used + added > self._bounds.max_bytes:
            raise JournalFullError(
                f"the journal is at its bound of {self._bounds.max_bytes} bytes because the store "
                "does not keep up; nothing was kept, send it again later",
                RETRY_SECONDS,
            )
        if self._free - added < self._bounds.min_free_bytes:
            raise JournalFullError(
                f"the server's disk has less than {self._bounds.min_free_bytes} bytes free; "
                "nothing was kept, send it again later",
                RETRY_SECONDS,
            )
        self._used += added
        self._free -= added

    def _connect(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = database.connect(self._path, durable=True)
            self._measured = float("-inf")
        return self._connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            try:
                connection.close()
            except sqlite3.Error:
                return
