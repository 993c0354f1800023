"""Parts that shipper tests share: a journal, books, a store that can be told to fail."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.clock import ManualClock

from hostpulse_server.config import RetentionConfig, ShipperConfig
from hostpulse_server.errors import StoreUnavailableError
from hostpulse_server.journal import Journal, SamplesRecord
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.loop import Shipper
from hostpulse_server.shipper.maintenance import Maintenance
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.store.base import (
    Aggregate,
    OldestTimes,
    Query,
    RawQuery,
    RollupWindow,
    Series,
    Store,
)
from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from hostpulse_server.values.points import StorePoint

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000
WINDOW = 300_000
MINUTE = 60_000


class FlakyStore:
    """A store with an outage to switch on and a hook before each write."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.down = False
        self.batches: list[int] = []
        self.before_write: Callable[[Sequence[StorePoint]], None] = lambda _: None

    def _check(self) -> None:
        if self.down:
            raise StoreUnavailableError("the store is switched off")

    def write(self, points: Sequence[StorePoint]) -> None:
        """Write unless switched off."""
        self._check()
        self.before_write(points)
        self.inner.write(points)
        self.batches.append(len(points))

    def query(self, query: Query) -> list[Series]:
        """Query."""
        return self.inner.query(query)

    def raw(self, query: RawQuery) -> list[Series]:
        """Read raw values."""
        return self.inner.raw(query)

    def rollup(self, windows: Sequence[RollupWindow], window_ms: int) -> None:
        """Roll up unless switched off."""
        self._check()
        self.inner.rollup(windows, window_ms)

    def oldest(self) -> OldestTimes:
        """Look unless switched off."""
        self._check()
        return self.inner.oldest()

    def expire(self, raw_before_ms: int, rollup_before_ms: int) -> bool:
        """Expire unless switched off."""
        self._check()
        return self.inner.expire(raw_before_ms, rollup_before_ms)

    def close(self) -> None:
        """Close."""
        self.inner.close()


class Bench:
    """A shipper on its own files, and what a test does with it."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.clock = ManualClock(T0)
        self.stop = threading.Event()
        self.open = ExitStack()
        self.store = FlakyStore(EmbeddedStore(directory / "store.db"))
        self.open.callback(self.store.close)
        self.store.inner.write([])
        self.journal = self.open_journal("journal.db")
        self.config = ShipperConfig()
        self.retention = RetentionConfig()
        self.idle_seconds = 0.0  # a test's turn does not wait for more

    def open_journal(self, name: str) -> Journal:
        """Open a journal in the bench's directory."""
        journal = Journal.open(
            self.directory / name, max_bytes=2**30, min_free_bytes=0, clock=self.clock
        )
        self.open.callback(journal.close)
        return journal

    def shipper_state(self) -> ShipperState:
        """Open the books."""
        shipper_state = ShipperState(self.directory / "shipper.db", WINDOW)
        self.open.callback(shipper_state.close)
        return shipper_state

    def shipper(self) -> Shipper:
        """Start a shipper on what is there, as a new process would."""
        shipper_state = self.shipper_state()
        return Shipper(
            self.config,
            journal=self.journal,
            store=self.store,
            shipper_state=shipper_state,
            upkeep=Maintenance(
                self.retention, store=self.store, shipper_state=shipper_state, clock=self.clock
            ),
            clock=self.clock,
            stop=self.stop,
            idle_seconds=self.idle_seconds,
        )

    @property
    def seen(self) -> LastSeenReader:
        """A reader with nothing cached."""
        return LastSeenReader(self.directory / "shipper.db", clock=self.clock)

    def send(
        self,
        *seqs: int,
        server: str = "web-01",
        stream: str = "s1",
        fields: Any = None,
        fields_of: Callable[[int], Any] = lambda seq: {"usage_percent": float(seq)},
        **more: Any,
    ) -> int:
        """Append one request with these sequence numbers, 10 s apart since T0."""
        record = SamplesRecord(
            server_id=server,
            received_ms=self.clock.now_ms(),
            agent={"version": "0.1.0", "stream": stream},
            samples=[
                {
                    "seq": seq,
                    "time": T0 + 10_000 * seq,
                    "interval_ms": 10_000,
                    "points": [
                        {
                            "measurement": "cpu",
                            "tags": {"core": "total"},
                            "fields": fields or fields_of(seq),
                        }
                    ],
                    **more,
                }
                for seq in seqs
            ],
        )
        return self.journal.append(record.encode(), SAMPLES, self.clock.now_ms())

    def flush(self, shipper: Shipper) -> None:
        """Let a batch's time pass and ship everything."""
        shipper.turn()
        self.clock.ms += 5000
        shipper.turn()

    def stored(
        self, aggregate: Aggregate = "last", step_ms: int = 1, raw_from_ms: int = 0
    ) -> dict[str, list[tuple[int, float]]]:
        """Return server → all points of ``cpu``."""
        found = self.store.query(
            Query(None, "cpu", (), (), 0, 2 * T0, step_ms, aggregate, raw_from_ms)
        )
        return {one.server_id: list(one.points) for one in found}


def pile_up(bench: Bench, requests: int, *, server: str = "late", each: int = 100) -> None:
    """Let requests of ``each`` points wait for a minute."""
    for first in range(1, requests * each, each):
        bench.send(*range(first, first + each), server=server)
    bench.clock.ms += MINUTE


def spans(bench: Bench) -> list[tuple[int, int]]:
    """Return what the books say has gone ahead."""
    with closing(sqlite3.connect(bench.directory / "shipper.db")) as connection:
        return connection.execute("SELECT after, last FROM ahead").fetchall()


def drain(bench: Bench, shipper: Shipper) -> None:
    """Turn until the journal is empty."""
    for _ in range(200):
        shipper.turn()
        bench.clock.ms += 5000
        if not bench.journal.stats().entries:
            return
    pytest.fail("it does not drain")


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """Give a bench with an empty journal and store."""
    made = Bench(tmp_path)
    with made.open:
        yield made
