"""Deletes entries that no consumer needs any more, or may hold any longer."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sqlite3

    from hostpulse_server.runtime.expiry import ExpiryGuard

TRIM_ROWS = 2000
# free pages are reused; only a file much larger than its content is made smaller, in steps
SHRINK_FROM_PAGES = 16_384
SHRINK_PAGES = 2000
# Consumers that may hold entries for so long only; then they are moved forward, and count what they
# have missed. The others, which is the store's, may hold the journal to its bound.
_LAST_ID = 2**63 - 1
HOLD_MS = {"alerts": 3_600_000}


def trim(connection: sqlite3.Connection, now_ms: int, expiry: ExpiryGuard | None = None) -> int:
    """Delete; return the number of entries deleted. Without ``expiry`` nothing is for its age."""
    lowest = _lowest(connection, now_ms, expiry)
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


def _lowest(connection: sqlite3.Connection, now_ms: int, expiry: ExpiryGuard | None) -> int | None:
    """Return up to where entries can go, ``None`` while there is no consumer."""
    hints = dict(connection.execute("SELECT consumer, position FROM hint").fetchall())
    for consumer, hold_ms in HOLD_MS.items():
        if expiry is None or consumer not in hints:
            continue
        before_ms = expiry.cutoff(
            f"journal {consumer}", hold_ms, lambda: _oldest_ms(connection, now_ms)
        )
        if before_ms is not None:
            hints[consumer] = _older_than(connection, before_ms, now_ms, hints[consumer])
    return min(hints.values(), default=None)


def _oldest_ms(connection: sqlite3.Connection, now_ms: int) -> int | None:
    row = connection.execute(
        "SELECT received_ms FROM entry WHERE received_ms <= ? ORDER BY id LIMIT 1", (now_ms,)
    ).fetchone()
    return int(row[0]) if row else None


def _older_than(connection: sqlite3.Connection, before_ms: int, now_ms: int, after: int) -> int:
    """Return the id of the newest entry before which all are older, at least ``after``.

    Entries come in the order of their ids; by their times only while the clock is not set. So
    the first young entry ends the search, whatever the times behind it. A time beyond now says
    nothing about the age: such an entry goes with an old one behind it. What is read is deleted
    next, so no index is needed.
    """
    young = connection.execute(
        "SELECT id FROM entry WHERE id > ? AND received_ms BETWEEN ? AND ? ORDER BY id LIMIT 1",
        (after, before_ms, now_ms),
    ).fetchone()
    old = connection.execute(
        "SELECT id FROM entry WHERE id > ? AND id < ? AND received_ms < ? ORDER BY id DESC LIMIT 1",
        (after, young[0] if young else _LAST_ID, before_ms),
    ).fetchone()
    return int(old[0]) if old else after
