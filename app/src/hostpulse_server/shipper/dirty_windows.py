"""Dirty windows: rollup windows that new points touched and that are to be computed again.

They are rows of shipper.db, marked in the transaction that moves the cursor; these functions work
within the caller's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.shipper import sql
from hostpulse_server.store.base import RollupWindow
from hostpulse_server.store.rollup import touched

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Collection, Iterable

    from hostpulse_server.shipper.deliveries import Delivery


def mark(connection: sqlite3.Connection, batch: Iterable[Delivery], window_ms: int) -> None:
    """Mark the windows that the points of a batch touch."""
    connection.executemany("INSERT OR IGNORE INTO dirty VALUES (?, ?)", _rows(batch, window_ms))


def between(
    connection: sqlite3.Connection, start_from_ms: int, start_until_ms: int, limit: int
) -> list[RollupWindow]:
    """Return the oldest that start between the two, both included."""
    return [
        RollupWindow(server_id, start_ms)
        for start_ms, server_id in connection.execute(
            "SELECT start_ms, server_id FROM dirty WHERE start_ms BETWEEN ? AND ? "
            "ORDER BY start_ms, server_id LIMIT ?",
            (start_from_ms, start_until_ms, limit),
        )
    ]


def oldest_ms(connection: sqlite3.Connection, server_ids: Collection[str] | None) -> int | None:
    """Return the start of the oldest of these servers, or of any; ``None`` if there is none."""
    for start_ms, server_id in connection.execute(
        "SELECT start_ms, server_id FROM dirty ORDER BY start_ms, server_id"
    ):
        if server_ids is None or server_id in server_ids:
            return int(start_ms)
    return None


def count(connection: sqlite3.Connection) -> int:
    """Return how many there are."""
    (found,) = connection.execute("SELECT count(*) FROM dirty").fetchone()
    return int(found)


def clean(connection: sqlite3.Connection, windows: Iterable[RollupWindow], reason: str) -> None:
    """Forget windows; with a ``reason`` they are counted as given up."""
    rows = [(start_ms, server_id) for server_id, start_ms in windows]
    connection.executemany("DELETE FROM dirty WHERE start_ms = ? AND server_id = ?", rows)
    if reason:
        connection.execute(sql.COUNT, (reason, len(rows)))


def _rows(batch: Iterable[Delivery], window_ms: int) -> set[tuple[int, str]]:
    times: dict[str, set[int]] = {}
    for delivery in batch:
        for point in delivery.points:
            times.setdefault(point.server_id, set()).add(point.time_ms)
    return {
        (start_ms, server_id)
        for server_id, stamps in times.items()
        for start_ms in touched(stamps, window_ms)
    }
