"""What the shipper knows about each server, for the api: read-only and safe across processes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostpulse_server.clock import SYSTEM, Clock

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path


@dataclass(frozen=True, slots=True)
class Seen:
    """One server as last stored; times are epoch ms, completeness is 0-100 or ``None``."""

    server_id: str
    last_sample_ms: int
    last_received_ms: int
    interval_ms: int
    agent_version: str
    completeness_percent: float | None


@dataclass(frozen=True, slots=True)
class StreamReport:
    """The ledger of one stream: stored ``ranges`` are (lowest seq, highest seq, times of both)."""

    stream: str
    ranges: tuple[tuple[int, int, int, int], ...]
    stored: int
    missing: int
    dropped: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class ShipperStatus:
    """How shipping goes: where the cursor stands, what waits, what was set aside and why."""

    epoch: str
    position: int
    newest_stored_ms: int
    dirty_windows: int
    set_aside: Mapping[str, int]
    store_error: str
    store_write_ms: float


class SeenReader:
    """Reads shipper.db with own short-lived read-only connections; answers are ≤ 1 s old.

    A missing file means that nothing has been shipped yet: everything is empty.
    """

    def __init__(self, path: Path, *, clock: Clock = SYSTEM) -> None:
        self._path = path
        self._clock = clock

    def get(self, server_ids: Iterable[str] | None = None) -> dict[str, Seen]:
        """Return what is known of the given servers (default all); unknown ids are absent."""
        raise NotImplementedError

    def ledger(self, server_id: str) -> list[StreamReport]:
        """Return the ledger of one server, a report a stream, the newest stream last."""
        raise NotImplementedError

    def raw_from_ms(self, server_ids: Iterable[str] | None = None) -> int | None:
        """Return the start of the oldest window not rolled up yet, ``None`` if there is none."""
        raise NotImplementedError

    def status(self) -> ShipperStatus | None:
        """Return how shipping goes, ``None`` before the shipper's first start."""
        raise NotImplementedError
