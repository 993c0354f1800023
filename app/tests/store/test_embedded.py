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
from hostpulse_server.store.base import Query, StorePoint
from hostpulse_server.store.embedded import EmbeddedStore

if TYPE_CHECKING:
    from pathlib import Path

T0 = 1_795_387_200_000
EVERYTHING = Query(None, "cpu", (), (), 0, 2 * T0, 1000, "last")

WRITER = """
import sys
from pathlib import Path
from hostpulse_server.store.base import StorePoint
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
