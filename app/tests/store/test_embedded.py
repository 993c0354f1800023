"""What is special about the embedded store: its file, its processes, its end by force."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.errors import StoreUnavailableError
from hostpulse_server.store import sql
from hostpulse_server.store.base import Query, RollupWindow
from hostpulse_server.store.embedded import EmbeddedStore
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

T0 = 1_795_387_200_000
DAY = 86_400_000
WINDOW = 300_000
EVERYTHING = Query(None, "cpu", (), (), 0, 2 * T0, 1000, "last")

WRITER = """
import sys
from pathlib import Path
from hostpulse_server.values.points import StorePoint
from hostpulse_server.store.embedded import EmbeddedStore

store = EmbeddedStore(Path(sys.argv[1]))
for batch in range(int(sys.argv[2]), 10**9):
    store.write([
        StorePoint(f"host-{host}", "cpu", (), 1_795_387_200_000 + batch * 1000, {"a": batch})
        for host in range(100)
    ])
    print(batch, flush=True)
"""


def point(value: float, time_ms: int = T0) -> StorePoint:
    """Make a point of one field."""
    return StorePoint("web-01", "cpu", (), time_ms, {"usage_percent": value})


def values(store: EmbeddedStore, raw_from: int = 0) -> list[tuple[int, float]]:
    """Return all windows of the series that ``point`` makes."""
    query = Query(None, "cpu", (), (), T0 - 3 * DAY, T0 + DAY, WINDOW, "last", raw_from)
    return [value for series in store.query(query) for value in series.points]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[EmbeddedStore]:
    """Give an empty embedded store."""
    with closing(EmbeddedStore(tmp_path / "store.db")) as made:
        yield made


@pytest.mark.integration
def test_a_kill_at_any_time_keeps_what_was_written_and_corrupts_nothing(tmp_path: Path) -> None:
    """Four SIGKILLs into a stream of batches: what was reported is there, whole and sound."""
    path = tmp_path / "store.db"
    reported = -1
    for delay in (0.0, 0.011, 0.023, 0.047):
        with subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path), str(reported + 1)],
            stdout=subprocess.PIPE,
            text=True,
        ) as writer:
            assert writer.stdout is not None
            first = int(writer.stdout.readline())
            until = time.monotonic() + delay
            while time.monotonic() < until:
                pass
            writer.send_signal(signal.SIGKILL)
            reported = max([first, *(int(line) for line in writer.stdout if line.endswith("\n"))])
        with closing(EmbeddedStore(path)) as store:
            found = store.query(EVERYTHING)
        assert len(found) == 100
        lengths = {len(one.points) for one in found}
        assert len(lengths) == 1
        assert lengths.pop() in (reported + 1, reported + 2)
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_reader_in_another_object_sees_what_was_written(tmp_path: Path) -> None:
    """The api reads beside the shipper, and can not write."""
    path = tmp_path / "store.db"
    with closing(EmbeddedStore(path)) as writer:
        reader = EmbeddedStore(path, read_only=True)
        writer.write([point(1.0)])
        assert [list(one.points) for one in reader.query(EVERYTHING)] == [[(T0, 1.0)]]
        with pytest.raises(StoreUnavailableError, match="reading only"):
            reader.write([point(2.0)])


def test_the_file_is_its_owners_alone(tmp_path: Path) -> None:
    """Nobody else on the machine reads samples past the api."""
    path = tmp_path / "store.db"
    with closing(EmbeddedStore(path)) as store:
        store.write([point(1.0)])
        assert path.stat().st_mode & 0o777 == 0o600


def test_before_the_first_write_a_query_says_what_is_missing(tmp_path: Path) -> None:
    """The message names the service that makes the store."""
    with pytest.raises(StoreUnavailableError, match="hostpulse-shipper"):
        EmbeddedStore(tmp_path / "store.db").query(EVERYTHING)


def test_a_file_that_is_no_database_is_unavailable_and_recovers(tmp_path: Path) -> None:
    """Reading and writing both say so; once it is out of the way, writing goes on."""
    path = tmp_path / "store.db"
    path.write_bytes(b"this is no database" * 1000)
    with closing(EmbeddedStore(path)) as store:
        with pytest.raises(StoreUnavailableError, match="store\\.db does not work"):
            store.write([point(1.0)])
        with pytest.raises(StoreUnavailableError, match="store\\.db does not work"):
            store.query(EVERYTHING)
        path.rename(tmp_path / "damaged")
        store.write([point(1.0)])
        assert len(store.query(EVERYTHING)) == 1


def test_a_full_disk_is_unavailable_and_keeps_nothing_half(tmp_path: Path) -> None:
    """SQLite's page limit stands in for the disk: the batch fails whole, later ones work."""
    with closing(EmbeddedStore(tmp_path / "store.db")) as store:
        store.write([point(1.0)])
        assert store._writer is not None
        store._writer.execute("PRAGMA max_page_count = 8")
        with pytest.raises(StoreUnavailableError, match="full"):
            store.write([point(2.0, T0 + 1000 * index) for index in range(10_000)])
        store.write([point(3.0, T0 + 500)])
        assert [list(one.points) for one in store.query(EVERYTHING)] == [[(T0, 3.0)]]


def test_a_query_that_takes_too_long_ends_with_a_reason(tmp_path: Path) -> None:
    """The deadline is looked at while SQLite works."""
    with closing(EmbeddedStore(tmp_path / "store.db", query_seconds=0.0)) as store:
        store.write([point(1.0, T0 + 1000 * index) for index in range(20_000)])
        with pytest.raises(StoreUnavailableError, match="took more than"):
            store.query(EVERYTHING)


def test_closing_twice_is_harmless(tmp_path: Path) -> None:
    """A store that was closed opens again when it is written to."""
    store = EmbeddedStore(tmp_path / "store.db")
    store.close()
    store.write([point(1.0)])
    store.close()
    store.close()
    assert (tmp_path / "store.db").stat().st_size > 0


@pytest.mark.parametrize("statement", [sql.RAW_SPAN, sql.ROLLUP_SPAN])
def test_how_far_it_reaches_is_found_without_a_scan(store: EmbeddedStore, statement: str) -> None:
    """Every query asks for it: it must not take longer the more is stored."""
    store.write([point(1.0)])
    with closing(sqlite3.connect(store._path)) as connection:
        plan = [row[-1] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement}")]
    assert any(line.startswith("SEARCH") for line in plan)
    assert not [line for line in plan if line.startswith("SCAN") and "CONSTANT" not in line]


class TestExpiry:
    """What is older than its retention goes, in portions."""

    def test_old_values_go_and_new_ones_stay(self, store: EmbeddedStore) -> None:
        """The border may be kept up to a portion of the layout, never undercut."""
        old = T0 - 2 * DAY
        store.write([point(1.0, old), point(2.0)])
        store.rollup([RollupWindow("web-01", old), RollupWindow("web-01", T0)], WINDOW)
        while store.expire(T0, T0 - T0 % DAY):
            pass
        assert values(store) == [(T0, 2.0)]
        assert values(store, raw_from=2 * T0) == [(T0, 2.0)]

    def test_it_knows_how_old_its_oldest_values_are(self, store: EmbeddedStore) -> None:
        """To the bucket, and apart for raw values and rollups."""
        assert store.oldest() == (None, None)
        store.write([point(1.0, T0 + 1), point(2.0, T0 + DAY)])
        assert store.oldest() == (T0, None)
        store.rollup([RollupWindow("web-01", T0 + DAY)], WINDOW)
        assert store.oldest() == (T0, T0 + DAY - T0 % DAY)

    def test_a_lot_goes_in_several_portions(self, store: EmbeddedStore) -> None:
        """No single call has to remove it all."""
        store.write([point(1.0, T0 + index) for index in range(12_000)])
        calls = 1
        while store.expire(T0 + DAY, T0):
            calls += 1
        assert calls > 2
        assert values(store) == []

    def test_rollups_survive_the_raw_values(self, store: EmbeddedStore) -> None:
        """What expired raw is still there as rollup, and rolling up nothing does not erase it."""
        store.write([point(10.0)])
        store.rollup([RollupWindow("web-01", T0)], WINDOW)
        while store.expire(T0 + DAY, 0):
            pass
        store.rollup([RollupWindow("web-01", T0)], WINDOW)
        assert values(store) == []
        assert values(store, raw_from=2 * T0) == [(T0, 10.0)]
