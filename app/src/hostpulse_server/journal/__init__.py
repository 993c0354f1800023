"""The durable log between taking samples in and everything else.

Nothing outside this package knows that it is SQLite.
"""

from __future__ import annotations

from hostpulse_server.journal.factory import open_journal, room_bytes
from hostpulse_server.journal.journal import Entry, Journal, JournalStats
from hostpulse_server.journal.records import SamplesRecord

__all__ = ["Entry", "Journal", "JournalStats", "SamplesRecord", "open_journal", "room_bytes"]
