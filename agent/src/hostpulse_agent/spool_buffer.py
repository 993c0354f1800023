"""Where spooled rows lie: in the file, or in memory while the file cannot take them.

Knows files and failures, not numbering or bounds. Rows in memory are always newer than those in
the file. Not thread-safe; the spool holds its lock.
"""

from __future__ import annotations

import itertools
import os
import sqlite3
from typing import TYPE_CHECKING, Any

from hostpulse_agent import spool_db
from hostpulse_agent.spool_db import DamagedError, Row, SpoolChange, SpoolFile

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from hostpulse_agent.log import ProblemLog

FLUSH_AFTER_DELETIONS = 500


class SpoolBuffer:
    """Rows by id. ``state`` is what the file held when it was opened; empty without one."""

    def __init__(
        self, path: str, min_free: int, problems: ProblemLog, free_bytes: Callable[[str], int]
    ) -> None:
        self._path = path
        self._min_free = min_free
        self._problems = problems
        self._free_bytes = free_bytes
        self._file: SpoolFile | None = None
        self._waiting: dict[int, Row] = {}
        self._gone: set[int] = set()  # still in the file, deleted with the next change
        self._filed = self._filed_bytes = 0  # rows in the file that are not gone
        self.held_bytes = 0  # of rows in memory
        self.last_id = 0
        self.lost = 0  # rows that went with a damaged file, not yet told of
        self.state: dict[str, Any] = {}
        self.open()

    def __len__(self) -> int:  # noqa: D105 -- says what it says
        return self._filed + len(self._waiting)

    @property
    def bytes(self) -> int:
        """Packed bytes of all rows."""
        return self._filed_bytes + self.held_bytes

    @property
    def in_memory(self) -> int:
        """Rows that the file does not have."""
        return len(self._waiting)

    @property
    def is_open(self) -> bool:
        """Whether there is a file at all."""
        return self._file is not None

    def open(self) -> None:
        """Open the file, or a new one in place of a damaged one; rows in memory stay behind it."""
        try:
            os.makedirs(os.path.dirname(self._path), mode=0o700, exist_ok=True)
            self._file = self._open_or_replace()
            self.state = self._file.state()
            self._filed, self._filed_bytes, last_id = self._file.totals()
        except (OSError, sqlite3.Error, DamagedError) as error:
            self._close_file()
            self._report_unusable(error)
            return
        if last_id >= min(self._waiting, default=last_id + 1):
            rows = self._waiting.values()
            self._waiting = {n: row._replace(id=n) for n, row in enumerate(rows, last_id + 1)}
        self.last_id = max(self.last_id, last_id + len(self._waiting))

    def _open_or_replace(self) -> SpoolFile:
        try:
            return SpoolFile(self._path)
        except DamagedError as error:
            self._set_aside(error)
            return SpoolFile(self._path)

    def put(self, row: Row) -> None:
        """Lay a new row down, in memory until the next ``flush``."""
        self._waiting[row.id] = row
        self.held_bytes += len(row.packed)
        self.last_id = row.id

    def forget(self, row: Row) -> None:
        """Take a row away; from the file with its next change."""
        if self._waiting.pop(row.id, None) is not None:
            self.held_bytes -= len(row.packed)
        elif row.id not in self._gone:
            self._gone.add(row.id)
            self._filed -= 1
            self._filed_bytes -= len(row.packed)

    def oldest(self, limit: int, skip: Collection[int]) -> list[Row]:
        """Return up to ``limit`` rows, oldest first, without the ids in ``skip``."""
        rows = self._read(limit, skip, newest=False) if self._filed else []
        return rows + self.oldest_in_memory(limit - len(rows), skip)

    def oldest_in_memory(self, limit: int, skip: Collection[int]) -> list[Row]:
        """Return up to ``limit`` rows that only memory holds."""
        rows = (row for row in self._waiting.values() if row.id not in skip)
        return list(itertools.islice(rows, limit))

    def newest(self, skip: Collection[int]) -> Row | None:
        """Return the newest row."""
        if self._waiting:
            return next(reversed(self._waiting.values()))
        rows = self._read(1, skip, newest=True) if self._filed else []
        return rows[0] if rows else None

    def _read(self, limit: int, skip: Collection[int], *, newest: bool) -> list[Row]:
        if self._file is None:
            return []
        try:
            return self._file.rows(limit, {*skip, *self._gone}, newest=newest)
        except DamagedError as error:
            self._replace(error)
        except sqlite3.Error as error:
            self._report_unusable(error)
        return []

    def flush(self, state: dict[str, Any], *, force: bool = False) -> bool:
        """Bring the file up to date; whether ``state`` is in it now.

        While free space is under the floor rows stay in memory, unless ``force``.
        """
        if self._file is None:
            return False
        add = [] if not force and self._is_disk_low() else list(self._waiting.values())
        try:
            self._file.apply(SpoolChange(self._gone, add, state))
            if len(self._gone) >= FLUSH_AFTER_DELETIONS:
                self._file.shrink()
        except DamagedError as error:
            self._replace(error)
            return False
        except sqlite3.Error as error:
            self._report_unusable(error)
            return False
        self._gone.clear()
        if add:
            self._filed += len(add)
            self._filed_bytes += self.held_bytes
            self._waiting.clear()
            self.held_bytes = 0
            self._problems.end("spool", f"the spool {self._path} is written again")
        return True

    @property
    def wants_flush(self) -> bool:
        """Whether enough rows are gone from a draining backlog to be worth a change."""
        return len(self._gone) >= FLUSH_AFTER_DELETIONS

    def _is_disk_low(self) -> bool:
        try:
            low = self._free_bytes(os.path.dirname(self._path)) < self._min_free
        except OSError:
            return False  # the write itself will say what is wrong
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
        """Go on with a new file; what only the damaged one held is lost."""
        self._close_file()
        self.lost += self._filed
        self._filed = self._filed_bytes = 0
        self._gone.clear()
        try:
            self._set_aside(error)
            self._file = SpoolFile(self._path)
        except (OSError, sqlite3.Error, DamagedError) as second:
            self._report_unusable(second)

    def _set_aside(self, error: DamagedError) -> None:
        aside = spool_db.set_aside(self._path)
        self._problems.begin(
            "damaged", f"the spool is damaged ({error}): kept as {aside}, going on with a new one"
        )

    def _close_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None

    def close(self, state: dict[str, Any]) -> None:
        """Write what the file can take, and close it."""
        self.flush(state, force=True)
        self._close_file()
