"""The spool's file: SQLite, one transaction a change, set aside when damaged."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent.errors import SpoolBusyError
from hostpulse_agent.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

VERSION = 1
_SCHEMA = f"""
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE sample (
  id INTEGER PRIMARY KEY, stream TEXT NOT NULL, seq INTEGER NOT NULL, time_ms INTEGER NOT NULL,
  raw_bytes INTEGER NOT NULL, packed BLOB NOT NULL
);
CREATE TABLE state (id INTEGER PRIMARY KEY CHECK (id = 1), value TEXT NOT NULL);
PRAGMA user_version = {VERSION};
COMMIT;
"""
_COLUMNS = "id, stream, seq, time_ms, raw_bytes, packed"


class Row(NamedTuple):
    """A spooled sample: ``packed`` is its JSON as gzip, ``raw_bytes`` its size inflated."""

    id: int
    stream: str
    seq: int
    time_ms: int
    raw_bytes: int
    packed: bytes


class DamagedError(Exception):
    """The file is no spool, or SQLite found it malformed."""


class SpoolChange(NamedTuple):
    """One transaction: rows to delete (ids), rows to add, and the state after it."""

    delete: Collection[int]
    add: Iterable[Row]
    state: dict[str, Any]


class SpoolFile:
    """An open spool file. Methods raise ``sqlite3.Error``, or ``DamagedError``."""

    def __init__(self, path: str) -> None:
        if os.path.exists(path) and os.path.getsize(path) == 0:
            os.unlink(path)
        _make_private(path)
        self._db = sqlite3.connect(path, isolation_level=None, check_same_thread=False, timeout=2)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def _prepare(self) -> None:
        try:
            version = self._db.execute("PRAGMA user_version").fetchone()[0]
            if version not in (0, VERSION):
                raise DamagedError(f"it has the unknown version {version}")
            # FULL: a number once given out is never given out again, power cut or not.
            self._db.execute("PRAGMA synchronous = FULL")
            self._db.execute("PRAGMA cache_size = -256")
            self._db.execute("PRAGMA wal_autocheckpoint = 128")
            self._db.execute("PRAGMA journal_size_limit = 1048576")
            if version == 0:
                self._db.executescript(_SCHEMA)
            if self._db.execute("PRAGMA quick_check(1)").fetchone()[0] != "ok":
                raise DamagedError("its pages are malformed")
            Stream(self.state())
        except (ValueError, TypeError) as error:
            raise DamagedError(f"its state is malformed: {error}") from None
        except sqlite3.DatabaseError as error:
            _raise_if_damaged(error)
            raise

    def state(self) -> dict[str, Any]:
        """Return what the last change left, empty for a new file."""
        row = self._db.execute("SELECT value FROM state").fetchone()
        return dict(json.loads(row[0])) if row else {}

    def totals(self) -> tuple[int, int, int]:
        """Return rows, bytes of their packed samples, and the highest id."""
        row = self._db.execute(
            "SELECT count(*), coalesce(sum(length(packed)), 0), coalesce(max(id), 0) FROM sample"
        ).fetchone()
        return row[0], row[1], row[2]

    def rows(self, limit: int, skip: Collection[int], *, newest: bool = False) -> list[Row]:
        """Return up to ``limit`` rows by age, without the ids in ``skip``."""
        order = "DESC" if newest else "ASC"
        query = f"SELECT {_COLUMNS} FROM sample ORDER BY id {order}"  # noqa: S608 -- constants
        cursor = self._db.execute(query)
        found: list[Row] = []
        try:
            for values in cursor:
                if len(found) == limit:
                    break
                if values[0] not in skip:
                    found.append(Row(*values))
        except sqlite3.DatabaseError as error:
            _raise_if_damaged(error)
            raise
        finally:
            cursor.close()
        return found

    def apply(self, change: SpoolChange) -> None:
        """Do ``change`` in one transaction, durable on return, or not at all."""
        try:
            self._db.execute("BEGIN IMMEDIATE")
            self._db.executemany("DELETE FROM sample WHERE id = ?", [(i,) for i in change.delete])
            self._db.executemany("INSERT INTO sample VALUES (?, ?, ?, ?, ?, ?)", change.add)
            self._db.execute("REPLACE INTO state VALUES (1, ?)", (json.dumps(change.state),))
            self._db.execute("COMMIT")
        except sqlite3.DatabaseError as error:
            self._rollback()
            _raise_if_damaged(error)
            raise

    def _rollback(self) -> None:
        try:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
        except sqlite3.Error:
            pass  # SQLite has rolled back by itself after a full disk or an I/O error

    def shrink(self) -> None:
        """Give pages that a drained backlog left back to the file system."""
        # executescript, because the pragma frees a page a step and execute steps but once.
        self._db.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _make_private(path: str) -> None:
    """Make the file so that only its owner reads it; SQLite gives its companions the same mode."""
    with contextlib.suppress(OSError):  # SQLite says what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _raise_if_damaged(error: sqlite3.DatabaseError) -> None:
    # CORRUPT and NOTADB are the only codes that sqlite3 raises as plain DatabaseError.
    if type(error) is sqlite3.DatabaseError:
        raise DamagedError(str(error)) from error


def set_aside(path: str) -> str:
    """Rename a damaged spool and its companions; return the new name."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    for suffix in ("-wal", "-shm", ""):
        if os.path.exists(path + suffix):
            os.replace(path + suffix, aside + suffix)
    return aside


def read_only(path: str) -> sqlite3.Connection:
    """Open a spool for looking only; raise ``sqlite3.Error``."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, timeout=2)


def lock(path: str) -> int | None:
    """Take the spool for this process; ``None`` where no lock file can be made.

    Raises ``SpoolBusyError`` when another agent has it.
    """
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        descriptor = os.open(path + ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise SpoolBusyError(
            f"{path} is in use by another hostpulse-agent: stop it, or set another spool.path"
        ) from None
    return descriptor
