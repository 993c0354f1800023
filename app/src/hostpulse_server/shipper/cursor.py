"""How far shipping has come, when newer entries may overtake a backlog; pure.

Entries are dealt with in order up to ``position``. Behind it lie spans of entries that went ahead
of the backlog: at each overtaking one begins at the journal's newest entry, and only the last one
grows. When the position reaches a span it jumps to its end.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Sequence

MAX_SPANS = 100


class Span(NamedTuple):
    """Entries with ``after`` < id ≤ ``last``, all dealt with; none while both are equal."""

    after: int
    last: int


@dataclass(frozen=True, slots=True)
class JournalCursor:
    """``position``, and the spans above it in order; a consumer may lose what is below both."""

    position: int = 0
    ahead: tuple[Span, ...] = ()

    @classmethod
    def of(cls, position: int, spans: Sequence[tuple[int, int]]) -> JournalCursor:
        """Return the cursor that a position and spans kept in any order make."""
        return cls(0, tuple(Span(*one) for one in sorted(spans))).moved(position)

    @property
    def until(self) -> int | None:
        """Where the backlog ends, ``None`` if nothing has gone ahead of it."""
        return self.ahead[0].after if self.ahead else None

    def moved(self, position: int) -> JournalCursor:
        """Return the cursor once all up to ``position`` is dealt with; spans it reaches join it."""
        ahead = list(self.ahead)
        while ahead and ahead[0].after <= position:
            position = max(position, ahead.pop(0).last)
        return JournalCursor(position, tuple(ahead))

    def overtaking(self, newest: int) -> JournalCursor | None:
        """Return the cursor with a span from ``newest`` on, ``None`` if there are too many."""
        kept = [span for span in self.ahead if span.last > span.after]
        if len(kept) >= MAX_SPANS:
            return None
        return JournalCursor(self.position, (*kept, Span(newest, newest)))

    def advanced(self, last: int) -> JournalCursor:
        """Return the cursor with its last span grown up to ``last``."""
        return JournalCursor(self.position, (*self.ahead[:-1], self.ahead[-1]._replace(last=last)))
