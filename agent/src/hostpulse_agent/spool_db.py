"""The spool on disk: a SQLite file, one transaction per change, and a buffer in front of it.

Knows files and failures, not numbering or bounds. Rows in memory are always newer than those in
the file. Not thread-safe; the spool holds its lock.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import json
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent.errors import SpoolBusyError
from hostpulse_agent.stream import Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable

    from hostpulse_agent.log import ProblemLog

VERSION = 1
FLUSH_AFTER_DELETIONS = 500
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
            # FULL: a sequence number is never used twice, not even after a power cut.
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
        """Return the state after the last change, empty for a new file."""
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
        """Apply ``change`` in one transaction; it is durable on return."""
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
        """Return the free pages of a drained backlog to the file system."""
        # executescript, because the pragma frees a page a step and execute steps but once.
        self._db.executescript("PRAGMA incremental_vacuum")

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _make_private(path: str) -> None:
    """Create the file readable by its owner only; SQLite gives -wal and -shm the same mode."""
    with contextlib.suppress(OSError):  # SQLite reports what is wrong
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def _raise_if_damaged(error: sqlite3.DatabaseError) -> None:
    # CORRUPT and NOTADB are the only codes that sqlite3 raises as plain DatabaseError.
    if type(error) is sqlite3.DatabaseError:
        raise DamagedError(str(error)) from error


def rename_damaged(path: str) -> str:
    """Rename a damaged spool with its -wal and -shm files; return the new name."""
    aside = f"{path}.damaged-{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}"
    for suffix in ("-wal", "-shm", ""):
        if os.path.exists(path + suffix):
            os.replace(path + suffix, aside + suffix)
    return aside


def read_only(path: str) -> sqlite3.Connection:
    """Open a spool read-only; raise ``sqlite3.Error``."""
    quoted = path.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return sqlite3.connect(f"file:{quoted}?mode=ro", uri=True, timeout=2)


def lock(path: str) -> int | None:
    """Lock the spool for this process; ``None`` if no lock file can be created.

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


class SpoolBuffer:
    """Rows by id, in the file or, while it cannot be written, in memory.

    ``state`` is what the file held when it was opened; empty without a file.
    """

    def __init__(
        self, path: str, min_free: int, problems: ProblemLog, free_bytes: Callable[[str], int]
    ) -> None:
        self._path = path
        self._min_free = min_free
        self._problems = problems
        self._free_bytes = free_bytes
        self._file: SpoolFile | None = None
        self._memory_rows: dict[int, Row] = {}
        self._deleted_ids: set[int] = set()  # still in the file, deleted with the next change
        self._file_rows = self._file_bytes = 0  # of rows in the file, without deleted ones
        self.memory_bytes = 0  # of rows in memory
        self.last_id = 0
        self.lost = 0  # rows lost with a damaged file, not yet counted as dropped
        self.state: dict[str, Any] = {}
        self.open()

    def __len__(self) -> int:  # noqa: D105 -- the number of rows
        return self._file_rows + len(self._memory_rows)

    @property
    def bytes(self) -> int:
        """Packed bytes of all rows."""
        return self._file_bytes + self.memory_bytes

    @property
    def in_memory(self) -> int:
        """Rows that the file does not have."""
        return len(self._memory_rows)

    @property
    def is_open(self) -> bool:
        """Whether there is a file at all."""
        return self._file is not None

    def open(self) -> None:
        """Open the file, or replace a damaged one; rows in memory get ids after those in it."""
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            self._file = self._open_or_replace()
            self.state = self._file.state()
            self._file_rows, self._file_bytes, last_id = self._file.totals()
        except (OSError, sqlite3.Error, DamagedError) as error:
            self._close_file()
            self._report_unusable(error)
            return
        if last_id >= min(self._memory_rows, default=last_id + 1):
            rows = self._memory_rows.values()
            self._memory_rows = {n: row._replace(id=n) for n, row in enumerate(rows, last_id + 1)}
        self.last_id = max(self.last_id, last_id + len(self._memory_rows))

    def _open_or_replace(self) -> SpoolFile:
        try:
            return SpoolFile(self._path)
        except DamagedError as error:
            self._keep_damaged_file(error)
            return SpoolFile(self._path)

    def put(self, row: Row) -> None:
        """Add a row, in memory until the next ``flush``."""
        self._memory_rows[row.id] = row
        self.memory_bytes += len(row.packed)
        self.last_id = row.id

    def forget(self, row: Row) -> None:
        """Delete a row; in the file with its next change."""
        if self._memory_rows.pop(row.id, None) is not None:
            self.memory_bytes -= len(row.packed)
        elif row.id not in self._deleted_ids:
            self._deleted_ids.add(row.id)
            self._file_rows -= 1
            self._file_bytes -= len(row.packed)

    def oldest(self, limit: int, skip: Collection[int]) -> list[Row]:
        """Return up to ``limit`` rows, oldest first, without the ids in ``skip``."""
        rows = self._read(limit, skip, newest=False) if self._file_rows else []
        return rows + self.oldest_in_memory(limit - len(rows), skip)

    def oldest_in_memory(self, limit: int, skip: Collection[int]) -> list[Row]:
        """Return up to ``limit`` rows that only memory holds."""
        rows = (row for row in self._memory_rows.values() if row.id not in skip)
        return list(itertools.islice(rows, limit))

    def newest(self, skip: Collection[int]) -> Row | None:
        """Return the newest row."""
        if self._memory_rows:
            return next(reversed(self._memory_rows.values()))
        rows = self._read(1, skip, newest=True) if self._file_rows else []
        return rows[0] if rows else None

    def _read(self, limit: int, skip: Collection[int], *, newest: bool) -> list[Row]:
        if self._file is None:
            return []
        try:
            return self._file.rows(limit, {*skip, *self._deleted_ids}, newest=newest)
        except DamagedError as error:
            self._replace(error)
        except sqlite3.Error as error:
            self._report_unusable(error)
        return []

    def flush(self, state: dict[str, Any], *, force: bool = False) -> bool:
        """Write deletions, rows in memory and ``state``; return whether ``state`` was written.

        While free space is under the minimum, rows stay in memory, unless ``force``.
        """
        if self._file is None:
            return False
        add = [] if not force and self._is_disk_low() else list(self._memory_rows.values())
        try:
            self._file.apply(SpoolChange(self._deleted_ids, add, state))
            if len(self._deleted_ids) >= FLUSH_AFTER_DELETIONS:
                self._file.shrink()
        except DamagedError as error:
            self._replace(error)
            return False
        except sqlite3.Error as error:
            self._report_unusable(error)
            return False
        self._deleted_ids.clear()
        if add:
            self._file_rows += len(add)
            self._file_bytes += self.memory_bytes
            self._memory_rows.clear()
            self.memory_bytes = 0
            self._problems.end("spool", f"the spool {self._path} is written again")
        return True

    @property
    def wants_flush(self) -> bool:
        """Whether enough rows of a draining backlog are deleted to be worth a write."""
        return len(self._deleted_ids) >= FLUSH_AFTER_DELETIONS

    def _is_disk_low(self) -> bool:
        try:
            low = self._free_bytes(os.path.dirname(self._path)) < self._min_free
        except OSError:
            return False  # the write itself reports what is wrong
        if low:
            self._problems.begin(
                "spool",
                f"less than {self._min_free >> 20} MiB free under {self._path}: samples stay in "
                "memory; free some space, or lower spool.min_free_bytes",
            )
        return low

    def _report_unusable(self, error: Exception) -> None:
        self._problems.begin(
            "spool",
            f"the spool {self._path} cannot be used ({error}): samples stay in memory; check free "
            "space and that the agent's user may write there",
        )

    def _replace(self, error: DamagedError) -> None:
        """Continue with a new file; rows only in the damaged one are lost."""
        self._close_file()
        self.lost += self._file_rows
        self._file_rows = self._file_bytes = 0
        self._deleted_ids.clear()
        try:
            self._keep_damaged_file(error)
            self._file = SpoolFile(self._path)
        except (OSError, sqlite3.Error, DamagedError) as second:
            self._report_unusable(second)

    def _keep_damaged_file(self, error: DamagedError) -> None:
        aside = rename_damaged(self._path)
        self._problems.begin(
            "damaged", f"the spool is damaged ({error}): kept as {aside}, going on with a new one"
        )

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self, state: dict[str, Any]) -> None:
        """Flush, and close the file."""
        self.flush(state, force=True)
        self._close_file()
