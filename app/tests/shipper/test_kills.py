"""SIGKILL under load, full disks: what was acknowledged is stored, once, and the books agree."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import threading
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.support.polling import wait_until

from hostpulse_server.config import load
from hostpulse_server.journal import Journal, SamplesRecord
from hostpulse_server.journal.records import SAMPLES
from hostpulse_server.runtime.clock import SYSTEM
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.store.base import Query
from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from pathlib import Path

    from app.tests.shipper.conftest import Bench

pytestmark = pytest.mark.integration

KILLS = 3
BACKLOG = 3000
SHIP = (
    "import os; from hostpulse_server.config import load\n"
    "from hostpulse_server.services.shipper import run\n"
    "run(load(None, os.environ))"
)


def test_kills_under_load_lose_nothing_and_count_nothing_twice(tmp_path: Path) -> None:
    """Samples overtake a backlog while the shipper is killed and started again."""
    environ = {
        "HOSTPULSE_DATA_DIR": str(tmp_path),
        "HOSTPULSE_SHIPPER_BATCH_SECONDS": "0.05",
        "HOSTPULSE_SHIPPER_BATCH_POINTS": "50",
        "HOSTPULSE_SHIPPER_MAX_BATCH_POINTS": "50",  # small, so that kills meet the backlog
        "HOSTPULSE_JOURNAL_MIN_FREE_BYTES": "1MiB",
    }
    config = load(None, environ)
    start_ms = SYSTEM.now_ms() - 3_600_000
    reader = LastSeenReader(config.paths.shipper)
    sent = 0
    overtaken = 0

    def send(journal: Journal, received_ms: int) -> None:
        nonlocal sent
        sent += 1
        points = [{"measurement": "cpu", "tags": {}, "fields": {"a": sent}}]
        sample = {"seq": sent, "time": start_ms + sent, "interval_ms": 1, "points": points}
        record = SamplesRecord("web-01", received_ms, {"version": "1", "stream": "s"}, [sample])
        journal.append(record.encode(), SAMPLES, received_ms)

    def stored() -> int:
        reports = reader.ledger("web-01")
        return reports[0].stored if reports else 0

    def is_ahead() -> bool:
        """Tell whether the books say that samples went ahead of others."""
        if not config.paths.shipper.exists():
            return False
        with closing(sqlite3.connect(config.paths.shipper, timeout=10)) as connection:
            (known,) = connection.execute(
                "SELECT count(*) FROM sqlite_schema WHERE name = 'ahead'"
            ).fetchone()
            spans = "SELECT count(*) FROM ahead WHERE last > after"
            return bool(known and connection.execute(spans).fetchone()[0])

    journal = Journal.open(
        config.paths.journal, max_bytes=2**30, min_free_bytes=0, clock=SYSTEM
    )  # fmt: skip
    with closing(journal):
        for _ in range(BACKLOG):
            send(journal, start_ms)
        for killed in range(KILLS + 1):
            before = stored()
            with subprocess.Popen(
                [sys.executable, "-c", SHIP], env={**os.environ, **environ}
            ) as process:
                # under way when the kill comes: some of this life's samples are stored
                while stored() <= before or (killed == 0 and not is_ahead()):
                    send(journal, SYSTEM.now_ms())
                    threading.Event().wait(0.005)  # leaves the processor to the shipper
                if killed == KILLS:
                    wait_until(lambda: stored() == sent, "every sample is stored", 120)
                process.send_signal(signal.SIGTERM if killed == KILLS else signal.SIGKILL)
            overtaken += is_ahead()
    assert overtaken
    (report,) = reader.ledger("web-01")
    assert (report.stored, report.missing) == (sent, 0)
    store = EmbeddedStore(config.paths.store, read_only=True)
    (series,) = store.query(Query(None, "cpu", (), (), start_ms, SYSTEM.now_ms(), 1, "last"))
    assert list(series.points) == [(start_ms + seq, float(seq)) for seq in range(1, sent + 1)]


def test_books_on_a_full_disk_wait_and_then_agree_with_the_store(bench: Bench) -> None:
    """The transaction fails whole; ranges that it had made in memory are forgotten with it."""
    shipper = bench.shipper()
    bench.send(1, 2, 4, 5)
    bench.flush(shipper)
    connection = shipper._state._connection
    connection.execute("PRAGMA max_page_count = 1")
    bench.send(3)
    for seq in range(10, 400, 2):
        bench.send(seq, server=f"host-{seq}", stream="x" * 200)
    shipper.turn()
    assert "full" in shipper._troubles["backlog"].text
    assert bench.seen.ledger("web-01")[0].stored == 4
    connection.execute("PRAGMA max_page_count = 1000000")
    bench.clock.ms += 5000
    shipper.turn()
    assert bench.seen.ledger("web-01")[0].stored == 5
    assert len(bench.seen.ledger("web-01")[0].ranges) == 1
    assert bench.seen.ledger("host-10")[0].stored == 1


def test_a_store_on_a_full_disk_holds_the_cursor(bench: Bench) -> None:
    """Nothing is written down as shipped until it is; then it goes on from there."""
    shipper = bench.shipper()
    assert isinstance(bench.store.inner, EmbeddedStore)
    writer = bench.store.inner._writer
    assert writer is not None
    writer.execute("PRAGMA max_page_count = 8")
    bench.send(*range(1, 2001))
    shipper.turn()
    assert "full" in shipper._troubles["backlog"].text
    assert bench.seen.ledger("web-01") == []
    assert bench.stored() == {}
    bench.clock.ms += 5000
    shipper.turn()
    assert len(bench.stored()["web-01"]) == 2000
