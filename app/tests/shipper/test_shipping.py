"""From the journal into the store: batches, books, crashes, outages, poison."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest
from tests.support.polling import wait_until

from hostpulse_server.errors import StoreRejectedError
from hostpulse_server.journal.records import INTERNAL, SAMPLES, encode_internal
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.state import ShipperState
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from app.tests.shipper.conftest import Bench

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000
HOUR = 3_600_000
_RECORD = (
    b'{"server_id": "%s", "agent": {"stream": "s", "version": "1"}, '
    b'"samples": [{"seq": %s, "time": 1, "interval_ms": 1, "points": []}]}'
)


class TestBatches:
    """When a batch goes."""

    def test_a_hundred_points_go_at_once(self, bench: Bench) -> None:
        """No waiting when a batch is full."""
        shipper = bench.shipper()
        bench.send(*range(1, 101))
        shipper.turn()
        assert len(bench.stored()["web-01"]) == 100

    def test_fewer_points_go_after_five_seconds(self, bench: Bench) -> None:
        """Nothing is written before, everything after."""
        shipper = bench.shipper()
        bench.send(1)
        shipper.turn()
        assert bench.store.batches == []
        bench.clock.ms += 4900
        bench.send(2)
        shipper.turn()
        assert bench.store.batches == []
        bench.clock.ms += 100
        shipper.turn()
        assert bench.store.batches == [2]

    def test_batches_grow_under_backlog_and_stay_bounded(self, bench: Bench) -> None:
        """12,000 points wait: they go in about three writes, none over 5,000."""
        for first in range(1, 12_001, 100):
            bench.send(*range(first, first + 100))
        shipper = bench.shipper()
        for _ in range(4):
            shipper.turn()
        bench.clock.ms += 5000
        shipper.turn()
        assert sum(bench.store.batches) == 12_000
        assert max(bench.store.batches) <= 5000
        assert len(bench.store.batches) <= 5

    def test_one_request_larger_than_a_batch_is_divided(self, bench: Bench) -> None:
        """Its cursor moves once all of it is stored."""
        bench.config = type(bench.config)(batch_points=10, max_batch_points=30)
        bench.send(*range(1, 101))
        bench.shipper().turn()
        assert bench.store.batches == [30, 30, 30, 10]

    def test_what_is_shipped_leaves_the_journal(self, bench: Bench) -> None:
        """The hint follows the cursor and the journal is trimmed."""
        shipper = bench.shipper()
        bench.send(1)
        bench.flush(shipper)
        assert bench.journal.stats().entries == 0

    def test_what_the_server_measures_itself_has_no_ledger(self, bench: Bench) -> None:
        """Internal entries are stored and nobody is seen by them."""
        point = StorePoint("web-01", "cpu", (("core", "x"),), T0, {"usage_percent": 1.0})
        bench.journal.append(encode_internal([point]), INTERNAL, T0)
        bench.flush(bench.shipper())
        assert bench.stored() == {"web-01": [(T0, 1.0)]}
        assert bench.seen.get() == {}


class TestBooks:
    """What is remembered about servers and streams."""

    def test_last_seen_tells_time_interval_and_version(self, bench: Bench) -> None:
        """Of the newest sample, also when a backlog arrives behind it."""
        shipper = bench.shipper()
        bench.clock.ms = T0 + 600_000
        bench.send(60)
        bench.send(*range(1, 6), interval_ms=77)
        bench.flush(shipper)
        seen = bench.seen.get()["web-01"]
        assert seen.last_sample_ms == T0 + 600_000
        assert seen.last_received_ms == T0 + 600_000
        assert seen.interval_ms == 10_000
        assert seen.agent_version == "0.1.0"

    def test_completeness_counts_gaps_until_they_are_filled(self, bench: Bench) -> None:
        """Two of ten are missing: 80 %; once they come, 100 %."""
        shipper = bench.shipper()
        bench.send(1, 2, 3, 6, 7, 8, 9, 10)
        bench.flush(shipper)
        assert bench.seen.get()["web-01"].completeness_percent == pytest.approx(80.0)
        (report,) = bench.seen.ledger("web-01")
        assert [(one.lo, one.hi) for one in report.ranges] == [(1, 3), (6, 10)]
        assert (report.stored, report.missing) == (8, 2)
        bench.send(5, 4)
        bench.flush(shipper)
        assert bench.seen.get()["web-01"].completeness_percent == 100.0
        assert [(one.lo, one.hi) for one in bench.seen.ledger("web-01")[0].ranges] == [(1, 10)]

    def test_completeness_sums_over_streams(self, bench: Bench) -> None:
        """A new spool is a new stream: 4 of 4 and 1 of 1, then 1 of 3."""
        shipper = bench.shipper()
        bench.send(1, 2, 3, 4)
        bench.send(100, stream="s2")
        bench.flush(shipper)
        assert bench.seen.get()["web-01"].completeness_percent == 100.0
        bench.send(102, stream="s2")
        bench.flush(shipper)
        percent = bench.seen.get()["web-01"].completeness_percent
        assert percent == pytest.approx(100 * 6 / 7)
        assert [one.stream for one in bench.seen.ledger("web-01")] == ["s1", "s2"]

    def test_absurd_numbers_of_one_host_hide_no_other(self, bench: Bench) -> None:
        """Two streams up to 2**63 - 1 sum to more than an integer of the database holds."""
        shipper = bench.shipper()
        bench.send(1)
        for stream in ("x1", "x2"):
            record = _RECORD.replace(b'"s"', b'"%s"' % stream.encode())
            for seq in (1, 2**63 - 1):
                body = record % (b"mad-01", b"%d" % seq)
                bench.journal.append(body, SAMPLES, bench.clock.now_ms())
        bench.flush(shipper)
        seen = bench.seen.get()
        assert seen["web-01"].completeness_percent == 100.0
        assert seen["mad-01"].completeness_percent == pytest.approx(0.0)

    def test_drops_are_the_highest_count_told(self, bench: Bench) -> None:
        """Counts are cumulative and may arrive newest first."""
        shipper = bench.shipper()
        bench.send(9, dropped={"spool_full": 7, "age": 1})
        bench.send(3, dropped={"spool_full": 2})
        bench.flush(shipper)
        assert bench.seen.ledger("web-01")[0].dropped == {"spool_full": 7, "age": 1}

    def test_old_numbers_fall_out_of_the_ledger(self, bench: Bench) -> None:
        """A gap that is older than raw retention costs nothing any more."""
        shipper = bench.shipper()
        bench.send(1, 3, dropped={"spool_full": 1})
        bench.send(1, stream="gone", dropped={"age": 1})
        bench.flush(shipper)
        assert bench.seen.get()["web-01"].completeness_percent == 75.0
        week = int(bench.retention.raw)
        bench.clock.ms = T0 + week * 1000 + 3 * 10_000
        bench.send(week // 10, week // 10 + 1)
        bench.flush(shipper)
        bench.clock.ms += 60_000
        shipper.turn()
        assert bench.seen.get()["web-01"].completeness_percent == 100.0
        assert [one.stream for one in bench.seen.ledger("web-01")] == ["s1"]

    def test_a_reader_without_a_file_knows_nothing(self, tmp_path: Path) -> None:
        """Before the shipper's first start everything is empty."""
        reader = LastSeenReader(tmp_path / "shipper.db")
        assert reader.get() == reader.get(["web-01"]) == {}
        assert reader.ledger("web-01") == []
        assert reader.raw_from_ms() is None
        assert reader.status() is None

    def test_a_reader_answers_from_its_cache_for_a_second(self, bench: Bench) -> None:
        """The api may ask as often as it likes."""
        shipper = bench.shipper()
        reader = bench.seen
        assert reader.get() == {}
        bench.send(1)
        shipper.turn()
        bench.config = type(bench.config)(batch_points=1)
        bench.shipper().turn()
        assert reader.get() == {}
        bench.clock.ms += 1000
        assert set(reader.get(["web-01", "nobody"])) == {"web-01"}


class TestCrashes:
    """A stop at any point loses nothing and counts nothing twice."""

    def test_a_crash_between_store_and_books_ships_again(self, bench: Bench) -> None:
        """The store takes the same values once more; ledger and store agree afterwards."""
        bench.send(1, 2, 3)
        shipper = bench.shipper()
        commit = ShipperState.commit

        def crash(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        ShipperState.commit = crash  # type: ignore[method-assign] # the process dies here
        try:
            with pytest.raises(KeyboardInterrupt):
                bench.flush(shipper)
        finally:
            ShipperState.commit = commit  # type: ignore[method-assign] # back again
        assert len(bench.stored()["web-01"]) == 3
        assert bench.seen.get() == {}
        bench.flush(bench.shipper())
        assert len(bench.stored()["web-01"]) == 3
        assert bench.seen.ledger("web-01")[0].stored == 3

    def test_a_new_process_goes_on_where_the_books_stand(self, bench: Bench) -> None:
        """Nothing already shipped is read again."""
        bench.send(1)
        bench.flush(bench.shipper())
        bench.send(2)
        bench.flush(bench.shipper())
        assert bench.store.batches == [1, 1]

    def test_a_foreign_epoch_starts_at_the_oldest_entry(self, bench: Bench) -> None:
        """After the journal was replaced by another its positions mean something else."""
        for seq in range(1, 6):
            bench.send(seq)
        bench.flush(bench.shipper())
        bench.journal = bench.open_journal("restored.db")
        bench.send(6)
        bench.flush(bench.shipper())
        assert len(bench.stored()["web-01"]) == 6

    def test_dirty_windows_survive_a_restart(self, bench: Bench) -> None:
        """They were committed with the cursor; the next process rolls them up."""
        bench.send(1, 2, 3)
        bench.flush(bench.shipper())
        assert bench.seen.raw_from_ms() == bench.seen.raw_from_ms(["web-01"]) == T0
        assert bench.seen.raw_from_ms(["other"]) is None
        bench.clock.ms = T0 + HOUR
        bench.shipper().turn()
        assert bench.seen.raw_from_ms() is None
        assert bench.stored("mean", 300_000, 2 * T0) == {"web-01": [(T0, 2.0)]}


class TestRollups:
    """Windows are rolled up once they ended, and again when something comes late."""

    def test_a_window_that_is_open_is_not_rolled_up(self, bench: Bench) -> None:
        """It would be made anew with every sample."""
        shipper = bench.shipper()
        bench.send(1)
        bench.flush(shipper)
        assert bench.stored("mean", 300_000, 2 * T0) == {}

    def test_a_late_sample_repairs_its_window(self, bench: Bench) -> None:
        """A day later, in the middle of a window that was rolled up long ago."""
        shipper = bench.shipper()
        bench.send(1, 3)
        bench.flush(shipper)
        bench.clock.ms = T0 + 24 * HOUR
        shipper.turn()
        assert bench.stored("mean", 300_000, 2 * T0) == {"web-01": [(T0, 2.0)]}
        bench.send(2, fields={"usage_percent": 8.0})
        bench.flush(shipper)
        bench.clock.ms += 1000
        shipper.turn()
        assert bench.stored("mean", 300_000, 2 * T0) == {"web-01": [(T0, 4.0)]}

    def test_a_window_older_than_raw_retention_is_given_up_and_counted(self, bench: Bench) -> None:
        """Half of its values may be gone: a rollup would be wrong."""
        shipper = bench.shipper()
        bench.send(1)
        bench.clock.ms = T0 + 8 * 24 * HOUR
        bench.flush(shipper)
        status = bench.seen.status()
        assert status is not None
        assert status.set_aside == {"rollup older than raw retention": 1}
        assert status.dirty_windows == 0


class TestOutages:
    """The store is down: entries wait, hosts do not look down, nothing is lost."""

    def test_everything_arrives_after_an_outage(self, bench: Bench) -> None:
        """The loop waits in short steps, notes the reason, and goes on by itself."""
        bench.config = type(bench.config)(batch_points=1, max_backoff=0.05)
        bench.idle_seconds = 0.01
        bench.store.down = True
        shipper = bench.shipper()
        bench.send(1, 2)
        worker = threading.Thread(target=shipper.run)
        worker.start()
        try:
            wait_until(lambda: (s := bench.seen.status()) and s.store_error, "an error is noted")
            wait_until(lambda: "web-01" in bench.seen.get(), "web-01 is seen")
            assert bench.store.batches == []
            bench.send(3, server="web-02")
            bench.clock.ms += 10_000
            wait_until(lambda: "web-02" in bench.seen.get(), "web-02 is seen")
            bench.store.down = False
            bench.clock.ms += 10_000
            wait_until(lambda: set(bench.stored()) == {"web-01", "web-02"}, "both are stored")
            wait_until(lambda: (s := bench.seen.status()) and not s.store_error, "no error")
        finally:
            bench.stop.set()
            worker.join()

    def test_a_stop_during_an_outage_is_prompt_and_loses_nothing(self, bench: Bench) -> None:
        """What was not shipped is still in the journal."""
        bench.config = type(bench.config)(batch_points=1, max_backoff=3600.0)
        bench.idle_seconds = 0.01
        bench.store.down = True
        bench.send(1)
        worker = threading.Thread(target=bench.shipper().run)
        worker.start()
        wait_until(bench.seen.status, "the shipper has a status")
        bench.stop.set()
        worker.join(10)
        assert not worker.is_alive()
        assert bench.journal.stats().entries == 1


class TestPoison:
    """What cannot be read or kept costs itself only."""

    @pytest.mark.parametrize(
        ("kind", "body"),
        [
            ("samples", b"{not json"),
            ("samples", b"\xff\xfe"),
            ("samples", b"[]"),
            ("samples", b'{"server_id": "a", "agent": {}, "samples": [{"seq": 1}]}'),
            ("samples", _RECORD % (b"\\ud800", b"1")),
            ("samples", _RECORD % (b"a", b"1e400")),
            ("samples", _RECORD % (b"a", b"99999999999999999999")),
            ("internal", b'{"points": [{}]}'),
            ("unheard-of", b"{}"),
        ],
    )  # fmt: skip
    def test_an_entry_that_cannot_be_read_is_set_aside(
        self, bench: Bench, kind: str, body: bytes
    ) -> None:
        """It is counted with its reason and the entries around it arrive."""
        bench.send(1)
        bench.journal.append(body, kind, T0)
        bench.send(2)
        bench.flush(bench.shipper())
        assert len(bench.stored()["web-01"]) == 2
        status = bench.seen.status()
        assert status is not None
        assert status.set_aside == {"undecodable": 1}

    def test_a_point_that_the_store_refuses_is_found_by_halving(self, bench: Bench) -> None:
        """One of 64 is refused: 63 arrive, one is counted, in few writes."""

        def refuse(points: Sequence[StorePoint]) -> None:
            if any(point.fields["usage_percent"] == 40.0 for point in points):
                raise StoreRejectedError("forty is not liked")

        bench.store.before_write = refuse
        bench.send(*range(1, 65))
        bench.flush(bench.shipper())
        values = [value for _, value in bench.stored()["web-01"]]
        assert values == [float(seq) for seq in range(1, 65) if seq != 40]
        status = bench.seen.status()
        assert status is not None
        assert status.set_aside == {"refused by the store": 1}
        assert len(bench.store.batches) <= 7

    def test_the_real_store_refuses_what_sqlite_cannot_hold(self, bench: Bench) -> None:
        """Half a surrogate pair in a tag costs its point."""
        bench.send(1, points=[
            {"measurement": "cpu", "tags": {"core": "\ud800"}, "fields": {"a": 1.0}},
            {"measurement": "cpu", "tags": {"core": "0"}, "fields": {"a": 2.0}},
        ])  # fmt: skip
        bench.flush(bench.shipper())
        assert bench.stored() == {"web-01": [(T0 + 10_000, 2.0)]}


def test_a_server_was_not_seen_later_than_now(bench: Bench) -> None:
    """Its last sample came while the clock was an hour ahead; then the clock was set back."""
    shipper = bench.shipper()
    bench.clock.set(3600)
    bench.send(1)
    bench.flush(shipper)
    bench.clock.set(-3600)
    for _ in range(3):
        bench.clock.move(1)
        shipper.turn()
    assert bench.seen.get()["web-01"].last_received_ms <= bench.clock.ms
