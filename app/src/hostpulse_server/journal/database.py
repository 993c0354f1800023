"""The SQLite file behind the journal: connections, tables, size."""

from __future__ import annotations

import sqlite3
import uuid
import zlib
from typing import TYPE_CHECKING

from hostpulse_server.errors import JournalUnavailableError

if TYPE_CHECKING:
    from pathlib import Path

BUSY_SECONDS = 10.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS entry (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  kind TEXT NOT NULL,
  received_ms INTEGER NOT NULL,
  packed INTEGER NOT NULL,
  body BLOB NOT NULL
);
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS hint (consumer TEXT PRIMARY KEY, position INTEGER NOT NULL)
  WITHOUT ROWID;
"""

# zlib and gzip both start with a header that identifies them
_EITHER = zlib.MAX_WBITS | 32


def connect(path: Path, *, durable: bool) -> sqlite3.Connection:
    """Open the file; ``durable``: a commit returns only once it is on disk."""
    # autocommit: transactions are begun and ended by hand
    connection = sqlite3.connect(
        path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False
    )
    try:
        # before the first table, else it has no effect
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
        connection.execute("PRAGMA journal_size_limit=67108864")
    except BaseException:
        connection.close()
        raise
    return connection


def prepare(path: Path) -> str:
    """Make the tables if there are none and return the epoch of this journal."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(0o600)  # SQLite gives its -wal and -shm the same mode
        connection = connect(path, durable=True)
    except (OSError, sqlite3.Error) as error:
        raise unavailable(path, error) from error
    try:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT OR IGNORE INTO meta VALUES ('epoch', ?)", (str(uuid.uuid4()),))
        (epoch,) = connection.execute("SELECT value FROM meta WHERE name = 'epoch'").fetchone()
    except sqlite3.Error as error:
        raise unavailable(path, error) from error
    finally:
        connection.close()
    return str(epoch)


def used_bytes(connection: sqlite3.Connection) -> int:
    """Return the bytes that entries take, without pages that wait for reuse."""
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (free,) = connection.execute("PRAGMA freelist_count").fetchone()
    (page_size,) = connection.execute("PRAGMA page_size").fetchone()
    return int((pages - free) * page_size)


def unpack(packed: int, body: bytes) -> bytes:
    """Return the body as it was appended, ``packed`` being whether it was compressed.

    A damaged one comes as it lies: its reader sets it aside, the entries behind it go on.
    """
    if not packed:
        return body
    try:
        return zlib.decompress(body, _EITHER)
    except zlib.error:
        return body


def unavailable(path: Path, error: Exception) -> JournalUnavailableError:
    """Make the error that names the file that cannot be used, and the reason."""
    return JournalUnavailableError(f"the journal {path} cannot be used: {error}")
