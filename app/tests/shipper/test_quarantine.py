"""What could not be shipped: kept with its reason, bounded, sent again, dropped, taken over."""

from __future__ import annotations

import sqlite3
import zlib
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.errors import (
    JournalUnavailableError,
    QuarantineError,
    ShipperStateUnavailableError,
    StoreRejectedError,
)
from hostpulse_server.shipper import quarantine
from hostpulse_server.shipper.cursor import JournalCursor
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.quarantine import PUSHED_OUT, Quarantine, QuarantinedEntry
from hostpulse_server.shipper.state import ShipperState

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from app.tests.shipper.conftest import Bench

    from hostpulse_server.values.points import StorePoint

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000
FIRST_RELEASE = Path(__file__).with_name("first_release.sql")


def here(bench: Bench) -> Quarantine:
    """Return the bench's quarantine as a command sees it."""
    return Quarantine(bench.directory / "shipper.db")


def refuse_forty(points: Sequence[StorePoint]) -> None:
    """Refuse the value 40."""
    if any(point.fields["usage_percent"] == 40.0 for point in points):
        raise StoreRejectedError("forty is not liked")


def counts(bench: Bench) -> tuple[int, Mapping[str, int]]:
    """Return how many rows wait, and what was set aside since ever."""
    status = bench.seen.status()
    assert status is not None
    return status.quarantine_points, status.set_aside


class TestRows:
    """What is kept of what."""

    def test_a_refused_point_is_there_with_all_that_is_known(self, bench: Bench) -> None:
        """When, whose, what, why, and the point itself."""
        bench.store.before_write = refuse_forty
        bench.send(*range(1, 65))
        bench.flush(bench.shipper())
        (row,) = here(bench).rows()
        assert (row.at_ms, row.received_ms) == (T0 + 5000, T0)
        assert (row.kind, row.server_id, row.measurement) == ("point", "web-01", "cpu")
        assert (row.reason, row.detail) == ("refused by the store", "forty is not liked")
        assert bench.seen.quarantined("web-01") == {"refused by the store": 1}
        assert bench.seen.quarantined("web-02") == {}
        assert row.point == {
            "server_id": "web-01",
            "measurement": "cpu",
            "tags": {"core": "total"},
            "time": T0 + 400_000,
            "fields": {"usage_percent": 40.0},
        }
        assert counts(bench) == (1, {"refused by the store": 1})

    def test_an_entry_that_cannot_be_read_is_there_whole(self, bench: Bench) -> None:
        """Its body is kept as it came."""
        bench.journal.append(b"{not json", "samples", T0)
        bench.flush(bench.shipper())
        (row,) = here(bench).rows()
        assert (row.kind, row.reason, row.body, row.point) == (
            "samples",
            "undecodable",
            b"{not json",
            None,
        )

    def test_text_that_is_no_unicode_is_written_out(self, bench: Bench) -> None:
        """Half a surrogate pair anywhere stops neither the shipper nor the list."""
        bench.send(1, points=[
            {"measurement": "c\ud800", "tags": {"x": "\ud800"}, "fields": {"a": 1.0}}
        ])  # fmt: skip
        bench.flush(bench.shipper())
        (row,) = here(bench).rows()
        assert row.measurement == "c\\ud800"
        assert row.point is not None
        assert row.point["tags"] == {"x": "\ud800"}

    def test_rows_come_newest_first_and_by_id(self, bench: Bench) -> None:
        """An id that is not there is named."""
        for _ in range(5):
            bench.journal.append(b"?", "samples", T0)
        bench.flush(bench.shipper())
        assert [row.id for row in here(bench).rows(limit=2)] == [5, 4]
        assert [row.id for row in here(bench).rows(ids=[1, 3])] == [3, 1]
        with pytest.raises(QuarantineError, match="holds no 9, 11;"):
            here(bench).rows(ids=[9, 1, 11])

    def test_a_quarantine_without_a_file_is_empty(self, tmp_path: Path) -> None:
        """Nothing was shipped yet; nothing is made."""
        assert Quarantine(tmp_path / "shipper.db").rows() == []
        assert Quarantine(tmp_path / "shipper.db").drop([1]) == 0
        assert list(tmp_path.iterdir()) == []

    def test_a_file_that_cannot_be_used_says_what_to_do(self, tmp_path: Path) -> None:
        """Of another release, or none at all."""
        (tmp_path / "shipper.db").touch()
        with pytest.raises(ShipperStateUnavailableError, match="must have been started once"):
            Quarantine(tmp_path / "shipper.db").rows()


class TestBounds:
    """However much is refused, the file stays small and the numbers stay right."""

    @pytest.mark.parametrize(
        ("bound", "value"), [("MAX_ROWS", 50), ("MAX_BYTES", 50 * len(zlib.compress(b"?")))]
    )
    def test_the_oldest_are_pushed_out_and_counted(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch, bound: str, value: int
    ) -> None:
        """By number as by size."""
        monkeypatch.setattr(quarantine, bound, value)
        for _ in range(110):
            bench.journal.append(b"?", "samples", T0)
        shipper = bench.shipper()
        bench.flush(shipper)
        assert counts(bench) == (50, {"undecodable": 110, PUSHED_OUT: 60})
        assert [row.id for row in here(bench).rows()] == list(range(110, 60, -1))

    def test_a_body_that_is_too_large_leaves_its_reason_behind(
        self, bench: Bench, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It cannot be sent again, which retry says."""
        monkeypatch.setattr(quarantine, "MAX_BODY_BYTES", 10)
        bench.journal.append(b"a body of more than ten bytes", "samples", T0)
        bench.flush(bench.shipper())
        (row,) = here(bench).rows()
        assert (row.body, row.point) == (b"", None)
        with pytest.raises(QuarantineError, match=r"of 1 was too large .* drop it"):
            here(bench).retry([row], bench.journal, bench.clock)

    def test_ids_are_never_used_again(self, bench: Bench) -> None:
        """What an operator read off a list a minute ago means the same row or none."""
        shipper = bench.shipper()
        bench.journal.append(b"?", "samples", T0)
        bench.flush(shipper)
        assert here(bench).drop([1]) == 1
        bench.journal.append(b"?", "samples", T0)
        bench.flush(shipper)
        assert [row.id for row in here(bench).rows()] == [2]


class TestRetry:
    """Once what was in the way is out of it."""

    def test_a_retried_point_arrives_and_leaves_the_quarantine(self, bench: Bench) -> None:
        """Beside a running shipper; its window is rolled up again."""
        bench.store.before_write = refuse_forty
        bench.send(*range(1, 65))
        shipper = bench.shipper()
        bench.flush(shipper)
        bench.store.before_write = lambda _: None
        assert here(bench).retry(here(bench).rows(), bench.journal, bench.clock) == 1
        assert counts(bench)[0] == 0
        bench.flush(shipper)
        assert len(bench.stored()["web-01"]) == 64
        bench.clock.ms += 3_600_000
        shipper.turn()
        assert len(bench.stored("max", 300_000, 2 * T0)["web-01"]) == 3

    def test_what_is_refused_again_comes_back(self, bench: Bench) -> None:
        """Under a new id."""
        bench.store.before_write = refuse_forty
        bench.send(40, 41)
        shipper = bench.shipper()
        bench.flush(shipper)
        here(bench).retry(here(bench).rows(), bench.journal, bench.clock)
        bench.flush(shipper)
        assert [row.id for row in here(bench).rows()] == [2]
        assert counts(bench) == (1, {"refused by the store": 2})

    def test_an_entry_is_sent_again_as_it_came(self, bench: Bench) -> None:
        """A release that can read it counts its samples for the stream."""
        bench.send(1)
        (entry,) = bench.journal.read(0, 1, 1)
        item = QuarantinedEntry(
            entry.id, entry.kind, entry.received_ms, "undecodable", "", entry.body
        )
        shipper = bench.shipper()
        with closing(ShipperState(bench.directory / "shipper.db", 300_000)) as shipper_state:
            shipper_state.commit(bench.journal.epoch, JournalCursor(1), [], [item], at_ms=T0)
        shipper = bench.shipper()
        assert here(bench).retry(here(bench).rows(), bench.journal, bench.clock) == 1
        bench.flush(shipper)
        assert bench.seen.ledger("web-01")[0].stored == 1

    def test_a_journal_that_takes_nothing_leaves_the_rows(self, bench: Bench) -> None:
        """First in the journal, then out of the quarantine."""
        bench.journal.append(b"?", "samples", T0)
        bench.flush(bench.shipper())
        bench.journal.close()
        with pytest.raises(JournalUnavailableError):
            here(bench).retry(here(bench).rows(), bench.journal, bench.clock)
        assert len(here(bench).rows()) == 1


class TestFirstRelease:
    """The file that is there when this release is installed."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        """Give the path of such a file."""
        path = tmp_path / "shipper.db"
        with closing(sqlite3.connect(path)) as connection:
            connection.executescript(FIRST_RELEASE.read_text())
        return path

    def test_it_is_taken_over_in_place(self, path: Path) -> None:
        """Position, ledger and dirty windows stay; what was set aside is in the quarantine."""
        with closing(ShipperState(path, 300_000)) as shipper_state:
            assert shipper_state.cursor("e1") == JournalCursor(42)
            assert len(shipper_state.dirty(2 * T0, 10)) == 1
        reader = LastSeenReader(path)
        assert reader.ledger("web-01")[0].stored == 9
        status = reader.status()
        assert status is not None
        assert status.quarantine_points == 3
        large, point, entry = Quarantine(path).rows()
        assert (entry.kind, entry.body) == ("samples", b"{not json")
        assert entry.detail == "ValueError: bad \\ud800"
        assert (point.kind, point.server_id, point.measurement) == ("point", "web-01", "cpu")
        assert (point.reason, point.at_ms) == ("refused by the store", 2000)
        assert point.point is not None
        assert point.point["tags"] == {"core": "\ud800"}
        assert point.point["fields"] == {"usage_percent": 1.5}
        assert large.body == b""

    def test_it_is_taken_over_once(self, path: Path) -> None:
        """And again after the first release ran in between (a rollback), which made its table."""
        for _ in range(2):
            ShipperState(path, 300_000).close()
        assert len(Quarantine(path).rows()) == 3
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(
                "CREATE TABLE set_aside (id INTEGER PRIMARY KEY, entry, kind, received_ms, reason, "
                "body)"
            )
            connection.execute(
                "INSERT INTO set_aside (entry, kind, received_ms, reason, body) "
                "VALUES (50, 'samples', 1, '[\"undecodable\", \"x\"]', x'')"
            )
        ShipperState(path, 300_000).close()
        assert len(Quarantine(path).rows()) == 4

    def test_a_reader_waits_for_the_shipper_to_take_it_over(self, path: Path) -> None:
        """The api of this release starts first: it knows nothing yet and does not fail."""
        assert LastSeenReader(path).status() is None
