"""A stream: one unbroken numbering of samples, with its last timestamp and its drop counters."""

from __future__ import annotations

import os
from typing import Any, NamedTuple

STEP_BACK_MS = 60_000


def new_uuid() -> str:
    """Return a random UUID (version 4) as text; the ``uuid`` module would cost memory."""
    raw = bytearray(os.urandom(16))
    raw[6] = raw[6] & 0x0F | 0x40
    raw[8] = raw[8] & 0x3F | 0x80
    text = raw.hex()
    return "-".join((text[:8], text[8:12], text[12:16], text[16:20], text[20:]))


class SampleId(NamedTuple):
    """Identity of a sample: stream, ``seq`` and ``time_ms``; and the stream's drops so far."""

    stream: str
    seq: int
    time_ms: int
    dropped: dict[str, int]


class Stream:
    """Numbers samples: ``seq`` grows by one, time strictly; drop counters are cumulative."""

    def __init__(self, data: dict[str, Any] | None = None) -> None:
        data = data or {}
        self.id: str = str(data.get("stream") or new_uuid())
        self.next_seq: int = int(data.get("next_seq", 1))
        self.last_ms: int = int(data.get("last_ms", 0))
        self.dropped: dict[str, int] = dict(data.get("dropped") or {})

    def to_data(self) -> dict[str, Any]:
        """Return what the constructor takes."""
        return {
            "stream": self.id,
            "next_seq": self.next_seq,
            "last_ms": self.last_ms,
            "dropped": self.dropped,
        }

    def renew(self) -> None:
        """Begin a new stream, because the old numbering or times cannot be continued."""
        self.id, self.next_seq, self.last_ms, self.dropped = new_uuid(), 1, 0, {}

    def next_id(self, stamp_ms: int) -> SampleId:
        """Return the id of the next sample, taken at ``stamp_ms``.

        If the clock was set back a little, the time is the next free millisecond. If it was set
        back by more than a minute, a new stream begins: times squeezed into milliseconds would
        stay wrong until the clock has caught up.
        """
        if stamp_ms < self.last_ms - STEP_BACK_MS:
            self.renew()
        time_ms = max(stamp_ms, self.last_ms + 1)
        sample_id = SampleId(self.id, self.next_seq, time_ms, dict(self.dropped))
        self.next_seq += 1
        self.last_ms = time_ms
        return sample_id

    def drop(self, reason: str, count: int = 1) -> None:
        """Count ``count`` samples that will never be delivered."""
        self.dropped[reason] = self.dropped.get(reason, 0) + count
