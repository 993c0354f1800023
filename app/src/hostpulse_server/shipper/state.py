"""shipper.db: the state of the shipper, committed together with its cursor.

A batch that is in the store but not in shipper.db is shipped again after a crash, which changes
nothing in the store; so shipper.db never records more than the store holds.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

from hostpulse_server.errors import ShipperStateUnavailableError
from hostpulse_server.shipper import dirty_windows, quarantine, ranges, sql
from hostpulse_server.shipper.cursor import JournalCursor
from hostpulse_server.shipper.ranges import Range

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from hostpulse_server.shipper.deliveries import Delivery, Origin
    from hostpulse_server.shipper.quarantine import QuarantinedEntry
    from hostpulse_server.store.base import RollupWindow

BUSY_SECONDS = 10.0  # commands write to the file, too


class ShipperState:
    """The shipper's file; one object in one process.

    Raises ShipperStateUnavailableError throughout.
    """

    def __init__(self, path: Path, window_ms: int) -> None:
        self._path = path
        self._window_ms = window_ms
        self._ledgers: dict[tuple[str, str], list[Range]] = {}
        with self._explained():
            path.touch(0o600)  # SQLite gives its -wal and -shm the same mode
            # handed from the thread that opens to the one that ships, never shared
            self._connection = sqlite3.connect(
                path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
            )
            try:
                self._connection.executescript(sql.SCHEMA)
                quarantine.adopt_older_rows(self._connection)
                self._connection.execute("COMMIT")
            except BaseException:
                self._connection.close()
                raise

    def position(self, epoch: str) -> int:
        """Return the last id of the journal of ``epoch`` that is done; 0 for an unknown epoch."""
        return self.cursor(epoch).position

    def cursor(self, epoch: str) -> JournalCursor:
        """Return where to go on in the journal of ``epoch``; at its start in one not met before."""
        with self._explained():
            row = self._connection.execute("SELECT epoch, position FROM cursor").fetchone()
            spans = self._connection.execute("SELECT after, last FROM ahead").fetchall()
        return JournalCursor.of(int(row[1]), spans) if row and row[0] == epoch else JournalCursor()

    def commit(  # noqa: PLR0913 - all that has to be true at once
        self,
        epoch: str,
        cursor: JournalCursor,
        batch: Sequence[Delivery],
        aside: Sequence[QuarantinedEntry] = (),
        *,
        at_ms: int,
        store_error: str = "",
        store_write_ms: float = 0.0,
    ) -> None:
        """Record in one transaction that everything up to ``cursor`` is done."""
        with self._transaction() as connection:
            for delivery in batch:
                if delivery.origin is not None:
                    self._enter(connection, delivery.origin)
            dirty_windows.mark(connection, batch, self._window_ms)
            quarantine.insert(connection, aside, at_ms)
            connection.execute(sql.CONDITION, (store_error, store_write_ms))
            newest = max((point.time_ms for one in batch for point in one.points), default=0)
            connection.execute(sql.MOVE_CURSOR, (epoch, cursor.position, newest))
            connection.execute("DELETE FROM ahead")
            connection.executemany("INSERT INTO ahead VALUES (?, ?)", cursor.ahead)

    def see(self, origins: Iterable[Origin]) -> None:
        """Note that servers were seen, before their samples can be stored."""
        with self._transaction() as connection:
            connection.executemany(sql.SEE, [_seen_row(origin) for origin in origins])

    def pull_back(self, now_ms: int) -> None:
        """Let no server have been seen later than now: the clock was set back."""
        with self._transaction() as connection:
            connection.execute(sql.PULL_BACK, (now_ms,))

    def store_down(self, reason: str) -> None:
        """Note why the store is down; the next commit says whether it still is."""
        with self._transaction() as connection:
            connection.execute(sql.CONDITION, (reason, 0.0))

    def dirty(
        self, start_until_ms: int, limit: int, *, start_from_ms: int = 0
    ) -> list[RollupWindow]:
        """Return the oldest dirty windows that start between the two, both included."""
        with self._explained():
            return dirty_windows.between(self._connection, start_from_ms, start_until_ms, limit)

    def oldest_dirty_ms(self) -> int | None:
        """Return the start of the oldest dirty window; ``None`` if there is none."""
        with self._explained():
            return dirty_windows.oldest_ms(self._connection, None)

    def oldest_ms(self) -> int | None:
        """Return the time of the oldest sequence number in the ledger; ``None`` if it is empty."""
        with self._explained():
            row = self._connection.execute("SELECT min(first_ms) FROM ranges").fetchone()
        return None if row[0] is None else int(row[0])

    def clean(self, windows: Iterable[RollupWindow], reason: str = "") -> None:
        """Forget dirty windows; with a ``reason`` they are counted as given up."""
        with self._transaction() as connection:
            dirty_windows.clean(connection, windows, reason)

    def prune(self, before_ms: int) -> None:
        """Let sequence numbers older than ``before_ms`` fall out of the ledger."""
        with self._transaction() as connection:
            stale = connection.execute(
                "SELECT DISTINCT server_id, stream FROM ranges WHERE first_ms < ?", (before_ms,)
            ).fetchall()
            for key in stale:
                kept = ranges.prune(self._ledger(connection, key), before_ms)
                connection.execute("DELETE FROM ranges WHERE server_id = ? AND stream = ?", key)
                connection.executemany(
                    "INSERT INTO ranges VALUES (?, ?, ?, ?, ?, ?)", [(*key, *one) for one in kept]
                )
                self._ledgers[key] = kept
                if not kept:
                    del self._ledgers[key]
                    connection.execute(
                        "DELETE FROM dropped WHERE server_id = ? AND stream = ?", key
                    )

    def forget(self, server_ids: Iterable[str]) -> None:
        """Forget when servers were last seen; the rest about them falls out by its age."""
        with self._transaction() as connection:
            rows = [(server_id,) for server_id in server_ids]
            connection.executemany("DELETE FROM seen WHERE server_id = ?", rows)
            connection.executemany("DELETE FROM backlog WHERE server_id = ?", rows)

    def close(self) -> None:
        """Close the file."""
        self._connection.close()

    def _enter(self, connection: sqlite3.Connection, origin: Origin) -> None:
        key = (origin.server_id, origin.stream)
        ledger = self._ledger(connection, key)
        for new in ranges.runs(origin.samples):
            absorbed, merged = ranges.insert(ledger, new)
            connection.executemany(
                "DELETE FROM ranges WHERE server_id = ? AND stream = ? AND lo = ?",
                [(*key, lo) for lo in absorbed if lo != merged.lo],
            )
            connection.execute(
                "INSERT OR REPLACE INTO ranges VALUES (?, ?, ?, ?, ?, ?)", (*key, *merged)
            )
        connection.executemany(
            sql.DROP, [(*key, reason, count) for reason, count in origin.dropped.items()]
        )
        connection.execute(sql.SEE, _seen_row(origin))
        connection.execute(sql.WAIT, _backlog_row(origin))

    def _ledger(self, connection: sqlite3.Connection, key: tuple[str, str]) -> list[Range]:
        ledger = self._ledgers.get(key)
        if ledger is None:
            rows = connection.execute(
                "SELECT lo, hi, first_ms, last_ms FROM ranges "
                "WHERE server_id = ? AND stream = ? ORDER BY lo",
                key,
            )
            ledger = self._ledgers[key] = [Range(*row) for row in rows]
        return ledger

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._explained():
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:
                    self._connection.execute("ROLLBACK")
                self._ledgers = {}  # may hold ranges that the rollback took away
                raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise ShipperStateUnavailableError(
                f"{self._path} does not work: {error}; check that its disk has room and that it "
                "belongs to the user hostpulse"
            ) from error


def _seen_row(origin: Origin) -> tuple[str, int, int, int, str]:
    return (
        origin.server_id,
        max(time_ms for _, time_ms in origin.samples),
        origin.received_ms,
        origin.interval_ms,
        origin.agent_version,
    )


def _backlog_row(origin: Origin) -> tuple[str, int, int]:
    newest_ms = max(time_ms for _, time_ms in origin.samples)
    oldest_ms = newest_ms - round(1000 * (origin.spool_seconds or 0.0))
    return origin.server_id, newest_ms, max(0, oldest_ms)
