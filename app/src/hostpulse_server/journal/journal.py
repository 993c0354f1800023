"""SQLite as a log: WAL, synchronous=FULL, ids that are never used again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from hostpulse_server.clock import Clock


@dataclass(frozen=True)
class Entry:
    """One record: ``body`` as it was appended, ``received_ms`` epoch milliseconds."""

    id: int
    kind: str
    received_ms: int
    body: bytes


@dataclass(frozen=True)
class JournalStats:
    """``bytes`` used; ids are 0 and ``oldest_ms`` is ``None`` while there is no entry."""

    bytes: int
    entries: int
    oldest_id: int
    newest_id: int
    oldest_ms: int | None


class Journal:
    """The durable log. One object a process; every method may be called from any thread."""

    epoch: str

    @classmethod
    def open(cls, path: Path, *, max_bytes: int, min_free_bytes: int, clock: Clock) -> Journal:
        """Open or make the journal at ``path``; raise JournalUnavailableError."""
        raise NotImplementedError

    def append(self, entry: bytes, kind: str, received_ms: int) -> int:
        """Block until ``entry`` is on disk and return its id.

        Raises JournalFullError at a bound and JournalUnavailableError when the disk refuses; in
        both cases nothing was kept.
        """
        raise NotImplementedError

    def read(self, after: int, limit: int, max_bytes: int) -> list[Entry]:
        """Return entries with ids above ``after``, oldest first, at least one if there is any."""
        raise NotImplementedError

    def wait(self, after: int, timeout: float) -> bool:
        """Block until an entry above ``after`` exists (True) or ``timeout`` s went (False)."""
        raise NotImplementedError

    def hint(self, consumer: str, position: int) -> None:
        """Say that ``consumer`` no longer needs entries up to ``position``."""
        raise NotImplementedError

    def trim(self) -> int:
        """Delete what no consumer needs; return the number of entries deleted."""
        raise NotImplementedError

    def stats(self) -> JournalStats:
        """Return size and ends of the journal."""
        raise NotImplementedError

    def close(self) -> None:
        """Stop the writer and close all files."""
        raise NotImplementedError
