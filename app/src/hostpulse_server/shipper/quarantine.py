"""The quarantine: points that the store refused, kept to be inspected, sent again or dropped.

The rows lie in shipper.db. The shipper adds to them in the transaction that moves its cursor;
commands work on them beside it.
"""

from __future__ import annotations

import json
import sqlite3
import zlib
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import QuarantineError, ShipperStateUnavailableError
from hostpulse_server.journal.records import INTERNAL, point_document
from hostpulse_server.shipper import sql
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from pathlib import Path

    from hostpulse_server.journal import Journal
    from hostpulse_server.runtime.clock import Clock

POINT = "point"
MAX_ROWS = 10_000
MAX_BYTES = 64 * 2**20
MAX_BODY_BYTES = 262_144
PUSHED_OUT = "pushed out of the quarantine"
BUSY_SECONDS = 10.0
RETRY_POINTS = 500


@dataclass(frozen=True, slots=True)
class QuarantinedEntry:
    """What is given up so that the rest can go on.

    A ``kind`` of POINT has one point in ``body``, as an ``internal`` entry has it; any other is the
    kind of a whole entry that could not be read. ``server_id`` and ``measurement`` are ``""`` where
    they are not known.
    """

    entry: int
    kind: str
    received_ms: int
    reason: str
    detail: str
    body: bytes
    server_id: str = ""
    measurement: str = ""


@dataclass(frozen=True, slots=True)
class QuarantineRow:
    """A row of the quarantine; ``packed`` is empty where the body was too large to be kept."""

    id: int
    at_ms: int
    kind: str
    received_ms: int
    server_id: str
    measurement: str
    reason: str
    detail: str
    packed: bytes

    @property
    def body(self) -> bytes:
        """The point or entry as it came, ``b""`` where it was not kept."""
        return zlib.decompress(self.packed) if self.packed else b""

    @property
    def point(self) -> dict[str, Any] | None:
        """The point, ``None`` for an entry that could not be read."""
        document: dict[str, Any] | None = (
            json.loads(self.body) if self.kind == POINT and self.packed else None
        )
        return document


def insert(connection: sqlite3.Connection, items: Sequence[QuarantinedEntry], at_ms: int) -> None:
    """Add ``items`` and count them; what goes past the bounds is pushed out, oldest first."""
    for item in items:
        connection.execute(sql.COUNT, (item.reason, 1))
        body = zlib.compress(item.body)
        connection.execute(
            sql.QUARANTINE,
            (
                at_ms,
                item.entry,
                item.kind,
                item.received_ms,
                _storable(item.server_id),
                _storable(item.measurement),
                item.reason,
                _storable(item.detail),
                body if len(body) <= MAX_BODY_BYTES else b"",
            ),
        )
    if items:
        pushed = connection.execute(sql.PUSH_OUT, (MAX_ROWS, MAX_BYTES)).rowcount
        if pushed:
            connection.execute(sql.COUNT, (PUSHED_OUT, pushed))


def adopt_older_rows(connection: sqlite3.Connection) -> None:
    """Move what the first release had set aside into the quarantine; within a transaction."""
    if connection.execute(sql.HAS_SET_ASIDE).fetchone() is None:
        return
    for entry, kind, received_ms, reason, body in connection.execute(sql.SET_ASIDE).fetchall():
        title, detail = json.loads(reason)
        server_id = measurement = ""
        if title != "undecodable" and body:
            server_id, measurement, tags, time_ms, fields = json.loads(zlib.decompress(body))
            document = point_document(StorePoint(server_id, measurement, tags, time_ms, fields))
            body, kind = zlib.compress(json.dumps(document).encode()), POINT  # noqa: PLW2901 - the new form of both
        connection.execute(
            sql.QUARANTINE,
            (
                received_ms,
                entry,
                kind,
                received_ms,
                _storable(server_id),
                _storable(measurement),
                title,
                _storable(detail),
                body,
            ),
        )
    connection.execute("DROP TABLE set_aside")


class Quarantine:
    """The rows for an operator, beside a shipper that may be running.

    Raises ShipperStateUnavailableError throughout.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def rows(
        self, limit: int | None = None, ids: Sequence[int] | None = None
    ) -> list[QuarantineRow]:
        """Return rows, newest first: all or those of ``ids``, at most ``limit``.

        Raises QuarantineError, which names the ids that are not there.
        """
        chosen = None if ids is None else json.dumps(ids)
        with self._open() as connection:
            found = (
                []
                if connection is None
                else connection.execute(
                    sql.ROWS, (chosen, -1 if limit is None else limit)
                ).fetchall()
            )
        rows = [QuarantineRow(*row) for row in found]
        if ids is not None:
            absent = sorted(set(ids) - {row.id for row in rows})
            if absent:
                raise QuarantineError(
                    f"the quarantine holds no {', '.join(map(str, absent))}; see quarantine list"
                )
        return rows

    def retry(self, rows: Iterable[QuarantineRow], journal: Journal, clock: Clock) -> int:
        """Hand ``rows`` to the shipper again through the journal; return how many.

        A row leaves the quarantine once it is in the journal: what a crash between the two leaves
        behind is sent twice, which is harmless. Raises QuarantineError for rows whose content was
        too large to be kept, and what appending raises.
        """
        rows = list(rows)
        lost = [row.id for row in rows if not row.packed]
        if lost:
            raise QuarantineError(
                f"the content of {', '.join(map(str, lost))} was too large to be kept and cannot "
                "be sent again; drop it"
            )
        points = [row for row in rows if row.kind == POINT]
        for start in range(0, len(points), RETRY_POINTS):
            part = points[start : start + RETRY_POINTS]
            body = b'{"points":[%s]}' % b",".join(row.body for row in part)
            journal.append(body, INTERNAL, clock.now_ms())
            self.drop(row.id for row in part)
        for row in rows:
            if row.kind != POINT:
                journal.append(row.body, row.kind, row.received_ms)
                self.drop([row.id])
        return len(rows)

    def drop(self, ids: Iterable[int]) -> int:
        """Delete rows for good; return how many there were."""
        with self._open() as connection:
            if connection is None:
                return 0
            return connection.execute(sql.RELEASE, (json.dumps(list(ids)),)).rowcount

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection | None]:
        """Yield a connection, ``None`` where no shipper has made the file yet."""
        if not self._path.exists():
            yield None
            return
        try:
            with closing(
                sqlite3.connect(self._path, timeout=BUSY_SECONDS, isolation_level=None)
            ) as connection:
                yield connection
        except sqlite3.Error as error:
            raise ShipperStateUnavailableError(
                f"the quarantine in {self._path} cannot be used: {error}; run this as root or the "
                "user of hostpulse-shipper, which must have been started once in this release"
            ) from error


def _storable(text: str) -> str:
    """Return ``text`` as SQLite can keep it: half a surrogate pair is written out."""
    return text.encode("utf-8", "backslashreplace").decode()
