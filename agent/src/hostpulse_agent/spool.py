"""The spool: holds every sample until the server has acknowledged it.

Numbers samples and enforces the bounds: past any of them the oldest sample is dropped and counted
by reason. Thread-safe: the sampler appends, the sender takes and acknowledges.
"""

from __future__ import annotations

import os
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

from hostpulse_agent import spool_db, wire
from hostpulse_agent.clock import Clock
from hostpulse_agent.log import ProblemLog
from hostpulse_agent.sample_ages import SampleAges
from hostpulse_agent.spool_db import Row, SpoolBuffer
from hostpulse_agent.stream import SampleId, Stream

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from hostpulse_agent.config import SpoolConfig

MEMORY_BYTES = 2 << 20
REOPEN_EVERY = 6  # appends between attempts to open a file that could not be opened


class SpoolStats(NamedTuple):
    """Waiting samples: number, packed bytes, oldest time, number only in memory; and drops."""

    samples: int
    bytes: int
    oldest_ms: int | None
    in_memory: int
    stream: str
    last_seq: int
    dropped: dict[str, int]


class Spool:
    """Samples in order of sampling.

    ``dropped_total`` counts drops over the spool's life; ``notes`` is a small dictionary that is
    kept with the samples. Raises ``SpoolBusyError`` when another process has the file; any
    other error of the file is logged once, and samples stay in memory.
    """

    def __init__(
        self,
        config: SpoolConfig,
        problems: ProblemLog | None = None,
        free_bytes: Callable[[str], int] | None = None,
        clock: Clock | None = None,
        boot_id: str = "",
    ) -> None:
        self._config = config
        self._problems = problems or ProblemLog()
        self._mutex = threading.RLock()
        self._in_flight: set[int] = set()  # ids taken by the sender; the bounds do not drop them
        self._saved_stream = ""  # stream whose numbering the file continues
        self._since_open = 0
        path = os.path.abspath(config.path)
        self._lock = spool_db.lock(path)
        self._buffer = SpoolBuffer(
            path, config.min_free_bytes, self._problems, free_bytes or _free_bytes
        )
        state = self._buffer.state
        self.stream = Stream(state)
        self.notes: dict[str, Any] = dict(state.get("notes") or {})
        self._ages = SampleAges(clock or Clock(), boot_id, self.notes.get("ages"))
        self.dropped_total = int(state.get("dropped_total", 0))
        if state:
            self._saved_stream = self.stream.id

    # -- the sampler's side

    def append(self, stamp_ms: int, make: Callable[[SampleId], bytes]) -> SampleId:
        """Store a sample taken at ``stamp_ms``: it is given an id, and ``make`` encodes it."""
        with self._mutex:
            self._reopen()
            self._ages.observe(self._buffer.last_id + 1, stamp_ms)
            self._make_room()
            row, sample_id = self._put(stamp_ms, make)
            if not self._flush() and self._saved_stream == self.stream.id:
                # The file would continue with this number after a restart: begin a new stream.
                self._buffer.forget(row)
                self.stream.renew()
                _, sample_id = self._put(stamp_ms, make)
            return sample_id

    def _put(self, stamp_ms: int, make: Callable[[SampleId], bytes]) -> tuple[Row, SampleId]:
        sample_id = self.stream.next_id(stamp_ms)
        raw = make(sample_id)
        number = self._buffer.last_id + 1
        row = Row(
            number, sample_id.stream, sample_id.seq, sample_id.time_ms, len(raw), wire.compress(raw)
        )
        self._buffer.put(row)
        return row, sample_id

    def _reopen(self) -> None:
        self._since_open += 1
        # Not while rows are in flight: opening may give those in memory new ids.
        if not self._buffer.is_open and self._since_open >= REOPEN_EVERY and not self._in_flight:
            self._since_open = 0
            self._buffer.open()

    def _make_room(self) -> None:
        config, buffer = self._config, self._buffer
        while len(buffer) >= config.max_samples and self._drop_oldest("spool_full"):
            pass
        while buffer.bytes >= config.max_bytes and self._drop_oldest("spool_bytes"):
            pass
        while buffer.memory_bytes >= MEMORY_BYTES and self._drop_oldest("no_disk", memory=True):
            pass
        before_ms = self._ages.cutoff_ms(config.max_age * 1000, self._oldest_present_ms)
        while before_ms is not None and self._drop_oldest("spool_age", before_ms=before_ms):
            pass

    def _oldest_present_ms(self) -> float | None:
        rows = self._buffer.oldest(1, self._in_flight)
        return self._present_ms(rows[0]) if rows else None

    def _present_ms(self, row: Row) -> float:
        return self._ages.present_ms(row.id, row.time_ms)

    def _drop_oldest(
        self, reason: str, *, memory: bool = False, before_ms: float | None = None
    ) -> bool:
        find = self._buffer.oldest_in_memory if memory else self._buffer.oldest
        rows = find(1, self._in_flight)
        if not rows or (before_ms is not None and self._present_ms(rows[0]) >= before_ms):
            return False
        self._buffer.forget(rows[0])
        self._count_drop(reason)
        return True

    def _count_drop(self, reason: str, count: int = 1) -> None:
        self.stream.drop(reason, count)
        self.dropped_total += count
        self._problems.begin(
            f"drop {reason}", f"samples are being dropped ({reason}): see `hostpulse-agent status`"
        )

    def _flush(self) -> bool:
        done = self._buffer.flush(self._state())
        if done:
            self._saved_stream = self.stream.id
        self._count_lost()
        return done

    def _state(self) -> dict[str, Any]:
        self.notes["ages"] = self._ages.to_data()
        counts = {"notes": self.notes, "dropped_total": self.dropped_total}
        return {**self.stream.to_data(), **counts}

    def _count_lost(self) -> None:
        """Begin a new stream after a damaged file was replaced, and count the lost samples."""
        if self._buffer.lost:
            self._in_flight.clear()
            self.stream.renew()
            self._count_drop("spool_damaged", self._buffer.lost)
            self._buffer.lost = 0

    # -- the sender's side

    def newest(self, after_id: int) -> Row | None:
        """Take the newest sample if its id is above ``after_id``."""
        with self._mutex:
            if self._buffer.last_id <= after_id:
                return None
            row = self._buffer.newest(self._in_flight)
            self._count_lost()
            if row is None or row.id <= after_id:
                return None
            self._in_flight.add(row.id)
            return row

    def oldest(self, limit: int, max_packed: int, max_raw: int) -> list[Row]:
        """Take the oldest samples of one stream, within both byte bounds but at least one."""
        with self._mutex:
            taken: list[Row] = []
            for row in self._buffer.oldest(limit, self._in_flight):
                max_packed -= len(row.packed)
                max_raw -= row.raw_bytes
                foreign = taken and row.stream != taken[0].stream
                if taken and (foreign or max_packed < 0 or max_raw < 0):
                    break
                taken.append(row)
            self._count_lost()
            self._in_flight.update(row.id for row in taken)
            return taken

    def acknowledge(self, rows: Iterable[Row]) -> None:
        """Delete delivered samples; the file deletes them with its next change."""
        with self._mutex:
            self._release(rows, forget=True)
            if self._buffer.wants_flush:
                self._flush()
            if not len(self._buffer):
                for key in [key for key in self._problems.open if key.startswith("drop ")]:
                    self._problems.end(key, "the spool is empty again: no more samples are dropped")

    def reject(self, row: Row, reason: str) -> None:
        """Drop a sample that the server refuses, and count it."""
        with self._mutex:
            self._release([row], forget=True)
            self._count_drop(reason)

    def release(self, rows: Iterable[Row]) -> None:
        """Return samples that could not be delivered now to the spool."""
        with self._mutex:
            self._release(rows, forget=False)

    def _release(self, rows: Iterable[Row], *, forget: bool) -> None:
        for row in rows:
            # No longer in flight: its file was found damaged meanwhile, and it was counted lost.
            if row.id in self._in_flight:
                self._in_flight.remove(row.id)
                if forget:
                    self._buffer.forget(row)

    # -- both

    def __len__(self) -> int:
        """Count the samples that wait."""
        return len(self._buffer)

    def stats(self) -> SpoolStats:
        """Return what waits for delivery."""
        with self._mutex:
            buffer = self._buffer
            oldest = buffer.oldest(1, ())
            return SpoolStats(
                samples=len(buffer),
                bytes=buffer.bytes,
                oldest_ms=oldest[0].time_ms if oldest else None,
                in_memory=buffer.in_memory,
                stream=self.stream.id,
                last_seq=self.stream.next_seq - 1,
                dropped=dict(self.stream.dropped),
            )

    def close(self) -> None:
        """Flush, and close the file."""
        with self._mutex:
            self._buffer.close(self._state())
            if self._lock is not None:
                os.close(self._lock)
                self._lock = None


def _free_bytes(directory: str) -> int:
    status = os.statvfs(directory)
    return status.f_bavail * status.f_frsize
