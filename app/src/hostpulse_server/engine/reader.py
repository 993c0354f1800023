"""The engine's position in the journal: where it resumes, what it missed, what it releases."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from hostpulse_server.engine.checkpoint import EngineCursor, load_cursor
from hostpulse_server.state import reading

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from sqlalchemy import Engine as Database

    from hostpulse_server.journal import Entry, Journal
    from hostpulse_server.runtime.clock import Clock

CONSUMER = "alerts"
READ_ENTRIES = 200
READ_BYTES = 2**20
HINT_SECONDS = 1.0

log = logging.getLogger(__name__)


class JournalReader:
    """Reads on from ``cursor``, which is the engine's to write down.

    Raises JournalUnavailableError, and ``open`` StateUnavailableError.
    """

    def __init__(self, journal: Journal, database: Database, clock: Clock) -> None:
        self._journal = journal
        self._database = database
        self._clock = clock
        self._is_new_journal = False
        self._notices: list[str] = []
        self._hinted = -1
        self._hinted_at = float("-inf")
        self.cursor = EngineCursor()
        self.is_open = False

    def open(self) -> EngineCursor:
        """Find where to go on: behind the cursor, or at the oldest entry of an unknown journal."""
        with reading(self._database) as session:
            cursor = load_cursor(session) or EngineCursor()
        is_other = cursor.epoch != self._journal.epoch
        self._is_new_journal = is_other or cursor.position > self._journal.last_id()
        if self._is_new_journal:
            if cursor.epoch:
                log.warning("the journal was replaced, evaluation begins at its oldest entry")
            cursor.epoch, cursor.position = self._journal.epoch, 0
        self.cursor = cursor
        self.is_open = True
        return cursor

    def read(self) -> Sequence[Entry]:
        """Return entries that were not read yet, and move the cursor behind them."""
        entries = self._read()
        if not entries:
            last_id = self._journal.last_id()
            if last_id <= self.cursor.position:
                return entries
            entries = self._read()  # it may have come since
            if not entries:
                self._note_gap(last_id + 1)
                return entries
        self._note_gap(entries[0].id)
        self.cursor.position = entries[-1].id
        return entries

    def lag(self) -> float:
        """Return the age in seconds of the oldest entry that was not read yet."""
        return self._journal.waiting_seconds(self.cursor.position)

    def wait(self, seconds: float) -> None:
        """Wait for an entry."""
        self._journal.wait(self.cursor.position, seconds)

    def notices(self) -> list[str]:
        """Return the notices for people; each is returned once."""
        found, self._notices = self._notices, []
        return found

    def again(self, entry_ids: Iterable[int]) -> Iterator[Entry]:
        """Yield entries that were read before, as far as this journal has them."""
        for entry_id in sorted(set(entry_ids)):
            if entry_id <= self.cursor.position:
                found = self._journal.read(entry_id - 1, 1, READ_BYTES)
                yield from (entry for entry in found if entry.id == entry_id)

    def release(self, still_needed: int | None = None) -> None:
        """Let the journal forget what is committed, up to the first entry that is still needed."""
        now, position = self._clock.monotonic(), self.cursor.position
        if still_needed is not None:
            position = min(position, still_needed - 1)
        if position != self._hinted and now - self._hinted_at >= HINT_SECONDS:
            self._journal.hint(CONSUMER, position)
            self._hinted, self._hinted_at = position, now

    def _read(self) -> Sequence[Entry]:
        return self._journal.read(self.cursor.position, READ_ENTRIES, READ_BYTES)

    def _note_gap(self, upcoming: int) -> None:
        """Count what is missing before the next entry, and note it for people."""
        missed = upcoming - self.cursor.position - 1
        self.cursor.position = upcoming - 1
        is_first, self._is_new_journal = self._is_new_journal, False
        if missed == 0 or is_first:
            return
        self.cursor.skipped += missed
        text = (
            f"{missed} entries of the journal were dropped before the alert engine had read them: "
            "it was away or behind for more than an hour. What happened meanwhile raised no alert."
        )
        log.error("%s", text)
        self._notices.append(text)
