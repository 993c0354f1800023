"""Deletes entries that no consumer needs any more, or may hold any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

TRIM_ROWS = 2000
# free pages are reused; only a file much larger than its content is made smaller, in steps
SHRINK_FROM_PAGES = 16_384
SHRINK_PAGES = 2000
# Consumers that may hold entries for so long only; then they are moved forward, and count what they
# have missed. The others, which is the store's, may hold the journal to its bound.
HOLD_MS = {"alerts": 3_600_000}


def trim(connection: sqlite3.Connection, now_ms: int) -> int:
    """Delete; return the number of entries deleted."""
    lowest = _lowest(connection, now_ms)
    if lowest is None:
        return 0
    deleted = 0
    while True:
        # small transactions: the writer waits for each
        count = connection.execute(
            "DELETE FROM entry WHERE id IN "
            "(SELECT id FROM entry WHERE id <= ? ORDER BY id LIMIT ?)",
            (lowest, TRIM_ROWS),
        ).rowcount
        deleted += count
        if count < TRIM_ROWS:
            break
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    if free > SHRINK_FROM_PAGES:
        connection.execute(f"PRAGMA incremental_vacuum({SHRINK_PAGES})").fetchall()
    return deleted


def _lowest(connection: sqlite3.Connection, now_ms: int) -> int | None:
    """Return up to where entries can go, ``None`` while there is no consumer."""
    hints = dict(connection.execute("SELECT consumer, position FROM hint").fetchall())
    for consumer, hold_ms in HOLD_MS.items():
        if consumer in hints:
            hints[consumer] = _older_than(connection, now_ms - hold_ms, hints[consumer])
    return min(hints.values(), default=None)


def _older_than(connection: sqlite3.Connection, time_ms: int, after: int) -> int:
    """Return the id of the newest entry received before ``time_ms``, at least ``after``.

    Entries come in the order of their times, so that no index is needed: halve.
    """
    last = connection.execute("SELECT max(id) FROM entry").fetchone()[0] or 0
    while after < last:
        middle = (after + last + 1) // 2
        entry_id, received_ms = connection.execute(
            "SELECT id, received_ms FROM entry WHERE id >= ? ORDER BY id LIMIT 1", (middle,)
        ).fetchone()
        if received_ms < time_ms:
            after = int(entry_id)
        else:
            last = middle - 1
    return after
