"""The store in a file: SQLite, for a first look, for tests and for a handful of hosts.

Rows are clustered by (bucket, series, time), a bucket being five minutes of raw values or a day of
rollups: a batch of fresh samples then writes to few pages, a series is read by one seek a bucket,
and what expires lies together at the front of the table. (Clustered by series alone, a batch of
100 hosts would dirty a page for each of its 13,000 values.)

One process writes; any number read, each query on a connection of its own.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from hostpulse_server.errors import StoreRejectedError, StoreUnavailableError
from hostpulse_server.store import sql
from hostpulse_server.store.base import Budget, OldestTimes, Query, RawQuery, RollupWindow, Series
from hostpulse_server.store.rollup import PartialWindow, ceil_to, floor_to, join
from hostpulse_server.values.points import StorePoint, Tags

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

EXPIRE_ROWS = 5000
QUERY_SECONDS = 30.0
_ROWS = 10_000  # fetched at a time
_PROGRESS_STEPS = 10_000  # virtual machine steps between two looks at a query's deadline
# what binding a value can raise: none of it goes away by waiting
_REJECTIONS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.InterfaceError,
    sqlite3.ProgrammingError,
    OverflowError,
    UnicodeError,
)

SeriesKey = tuple[str, str, Tags]


class EmbeddedStore:
    """A ``Store`` in one SQLite file; ``read_only`` leaves writing to another process."""

    def __init__(
        self, path: Path, *, read_only: bool = False, query_seconds: float = QUERY_SECONDS
    ) -> None:
        self._path = path
        self._read_only = read_only
        self._query_seconds = query_seconds
        self._writer: sqlite3.Connection | None = None
        self._ids: dict[SeriesKey, dict[str, int]] = {}

    def write(self, points: Sequence[StorePoint]) -> None:
        """Keep ``points`` in one transaction, on disk before this returns."""
        with self._transaction() as connection:
            rows = [
                (point.time_ms // sql.RAW_BUCKET_MS, series, point.time_ms, float(value))
                for point in points
                for series, value in self._numbered(connection, point)
            ]
            rows.sort()
            connection.executemany(sql.INSERT_RAW, rows)

    def query(self, query: Query) -> list[Series]:
        """Return the series that match; aggregation happens inside SQLite."""
        with self._reading() as connection:
            series = _matching_series(connection, query)
            parts: dict[int, dict[int, PartialWindow]] = {identity: {} for identity in series}
            budget = Budget()
            for row in _windows(connection, query, list(series)):
                budget.spend(1)
                windows = parts[row[0]]
                part = PartialWindow(row[2], row[3])
                known = windows.get(row[1])
                windows[row[1]] = join(query.aggregate, known, part) if known else part
        return [
            Series(server_id, query.measurement, field, tags, _ordered(parts[identity]))
            for identity, (server_id, tags, field) in series.items()
            if parts[identity]
        ]

    def raw(self, query: RawQuery) -> list[Series]:
        """Return the raw values that match; one statement reads them all."""
        budget = Budget()
        with self._reading() as connection:
            series = _series_of_server(connection, query)
            found: dict[int, list[tuple[int, float]]] = {identity: [] for identity in series}
            oldest, newest = connection.execute(sql.RAW_SPAN).fetchone()
            if oldest is not None and series:
                rows = connection.execute(
                    sql.RAW_VALUES,
                    {
                        "series": json.dumps(list(series)),
                        "first": max(query.start_ms // sql.RAW_BUCKET_MS, oldest),
                        "final": min((query.end_ms - 1) // sql.RAW_BUCKET_MS, newest),
                        "low": query.start_ms,
                        "high": query.end_ms,
                    },
                )
                while some := rows.fetchmany(_ROWS):
                    budget.spend(len(some))
                    for identity, time_ms, value in some:
                        found[identity].append((time_ms, value))
        return [
            Series(query.server_id, measurement, field, tags, sorted(found[identity]))
            for identity, (measurement, tags, field) in series.items()
            if found[identity]
        ]

    def rollup(self, windows: Sequence[RollupWindow], window_ms: int) -> None:
        """Make the rollups of ``windows`` anew; one without raw values keeps what it has."""
        with self._transaction() as connection:
            for server_id, start_ms in windows:
                end_ms = start_ms + window_ms
                connection.execute(
                    sql.MAKE_ROLLUP,
                    {
                        "server": server_id,
                        "start": start_ms,
                        "end": end_ms,
                        "first": start_ms // sql.RAW_BUCKET_MS,
                        "final": (end_ms - 1) // sql.RAW_BUCKET_MS,
                        "raw_bucket": sql.RAW_BUCKET_MS,
                        "rollup_bucket": sql.ROLLUP_BUCKET_MS,
                    },
                )

    def oldest(self) -> OldestTimes:
        """Return the starts of the oldest buckets."""
        with self._transaction() as connection:
            (raw, _), (rollup, _) = (
                connection.execute(span).fetchone() for span in (sql.RAW_SPAN, sql.ROLLUP_SPAN)
            )
        return OldestTimes(
            None if raw is None else raw * sql.RAW_BUCKET_MS,
            None if rollup is None else rollup * sql.ROLLUP_BUCKET_MS,
        )

    def expire(self, raw_before_ms: int, rollup_before_ms: int) -> bool:
        """Remove at most ``EXPIRE_ROWS`` of each kind; return whether more is left to remove."""
        with self._transaction() as connection:
            raw = connection.execute(
                sql.EXPIRE_RAW,
                {"bucket": raw_before_ms // sql.RAW_BUCKET_MS, "rows": EXPIRE_ROWS},
            ).rowcount
            rollups = connection.execute(
                sql.EXPIRE_ROLLUP,
                {"bucket": rollup_before_ms // sql.ROLLUP_BUCKET_MS, "rows": EXPIRE_ROWS},
            ).rowcount
        return EXPIRE_ROWS in (raw, rollups)

    def close(self) -> None:
        """Close the writing connection; queries have closed their own."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        """Yield the writing connection inside a transaction; undone when anything is raised."""
        try:
            connection = self._writer or self._open_writer()
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield connection
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
                self._ids = {}  # may hold numbers that the rollback took away
                raise
        except _REJECTIONS as error:
            raise StoreRejectedError(f"the embedded store cannot keep a value: {error}") from error
        except (sqlite3.Error, OSError) as error:
            self.close()
            raise StoreUnavailableError(self._advice(error)) from error

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """Yield a short-lived read-only connection that gives up at the query's deadline."""
        if not self._path.exists():
            raise StoreUnavailableError(
                f"there is no store at {self._path} yet: is hostpulse-shipper running?"
            )
        deadline = time.monotonic() + self._query_seconds
        try:
            with closing(
                sqlite3.connect(
                    f"{self._path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None
                )
            ) as connection:
                connection.set_progress_handler(
                    lambda: time.monotonic() > deadline, _PROGRESS_STEPS
                )
                yield connection
        except sqlite3.OperationalError as error:
            if str(error) == "interrupted":
                raise StoreUnavailableError(
                    f"the query took more than {self._query_seconds:g} s; ask for fewer series or "
                    "a shorter time"
                ) from error
            raise StoreUnavailableError(self._advice(error)) from error
        except sqlite3.DatabaseError as error:
            raise StoreUnavailableError(self._advice(error)) from error

    def _open_writer(self) -> sqlite3.Connection:
        if self._read_only:
            raise StoreUnavailableError(f"{self._path} was opened for reading only")
        self._path.touch(0o600)  # SQLite gives its -wal and -shm the same mode
        # handed from the thread that makes the store to the one that writes, never shared
        connection = sqlite3.connect(self._path, isolation_level=None, check_same_thread=False)
        try:
            connection.executescript(sql.SCHEMA)
        except sqlite3.Error:
            connection.close()
            raise
        self._writer = connection
        return connection

    def _numbered(
        self, connection: sqlite3.Connection, point: StorePoint
    ) -> Iterator[tuple[int, float]]:
        """Yield (series id, value) of each field; ids of series not seen before are made."""
        key = point[:3]
        known = self._ids.get(key)
        if known is None:
            known = self._ids[key] = dict(
                connection.execute(sql.FIND_SERIES, (*key[:2], _tags_text(key[2])))
            )
        for field, value in point.fields.items():
            identity = known.get(field)
            if identity is None:
                cursor = connection.execute(
                    sql.INSERT_SERIES, (*key[:2], _tags_text(key[2]), field)
                )
                identity = known[field] = int(cursor.lastrowid or 0)
            yield identity, value

    def _advice(self, error: Exception) -> str:
        return (
            f"the embedded store {self._path} does not work: {error}; check that its disk has "
            "room and that it belongs to the user hostpulse"
        )


def _tags_text(tags: Tags) -> str:
    return json.dumps(tags, ensure_ascii=False, separators=(",", ":"))


def _matching_series(
    connection: sqlite3.Connection, query: Query
) -> dict[int, tuple[str, Tags, str]]:
    """Return id → (server, tags, field) of the series that match, in the order of the answer."""
    wanted = set(query.tags)
    rows = connection.execute(
        sql.MATCHING_SERIES,
        {
            "measurement": query.measurement,
            "servers": None if query.server_ids is None else json.dumps(query.server_ids),
            "fields": json.dumps(query.fields) if query.fields else None,
        },
    )
    found = []
    for identity, server_id, text, field in rows:
        tags: Tags = tuple((name, value) for name, value in json.loads(text))
        if wanted <= set(tags):
            found.append((server_id, tags, field, identity))
    return {
        identity: (server_id, tags, field) for server_id, tags, field, identity in sorted(found)
    }


def _series_of_server(
    connection: sqlite3.Connection, query: RawQuery
) -> dict[int, tuple[str, Tags, str]]:
    """Return id → (measurement, tags, field) of the series wanted, in the order of the answer."""
    found: list[tuple[str, Tags, str, int]] = [
        (measurement, tuple((name, value) for name, value in json.loads(text)), field, identity)
        for identity, measurement, text, field in connection.execute(
            sql.SERIES_OF_SERVER, (query.server_id,)
        )
        if field in query.fields.get(measurement, ())
    ]
    return {
        identity: (measurement, tags, field) for measurement, tags, field, identity in sorted(found)
    }


def _windows(
    connection: sqlite3.Connection, query: Query, identities: list[int]
) -> Iterator[tuple[int, int, float, float]]:
    """Yield (series, window start, weight, value) from the rollups, then from the raw values."""
    start = floor_to(query.start_ms, query.step_ms)
    end = ceil_to(query.end_ms, query.step_ms)
    border = min(max(query.raw_from_ms, start), end)
    sources = (
        (sql.ROLLUP_WINDOWS[query.aggregate], sql.ROLLUP_SPAN, sql.ROLLUP_BUCKET_MS, start, border),
        (sql.RAW_WINDOWS[query.aggregate], sql.RAW_SPAN, sql.RAW_BUCKET_MS, border, end),
    )
    for statement, span, bucket_ms, low, high in sources:
        oldest, newest = connection.execute(span).fetchone()
        if low >= high or oldest is None:
            continue
        yield from connection.execute(
            statement,
            {
                "series": json.dumps(identities),
                "first": max(low // bucket_ms, oldest),
                "final": min((high - 1) // bucket_ms, newest),
                "low": low,
                "high": high,
                "step": query.step_ms,
            },
        )


def _ordered(windows: dict[int, PartialWindow]) -> list[tuple[int, float]]:
    """Return the points in time order, without means that overflowed (JSON has no infinity)."""
    return [
        (start, part.value) for start, part in sorted(windows.items()) if math.isfinite(part.value)
    ]
