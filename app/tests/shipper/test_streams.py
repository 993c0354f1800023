"""A backlog and what arrives meanwhile: two streams, one ledger, whatever happens in between."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.shipper.conftest import MINUTE, T0, Bench, FlakyStore, drain, pile_up, spans
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hostpulse_server.errors import (
    StoreFailedError,
    StoreRejectedError,
)
from hostpulse_server.journal import Journal
from hostpulse_server.shipper.last_seen import LastSeenReader
from hostpulse_server.shipper.state import ShipperState

if TYPE_CHECKING:
    from collections.abc import Sequence

    from hostpulse_server.shipper.loop import Shipper
    from hostpulse_server.values.points import StorePoint


def test_what_arrives_now_overtakes_a_backlog(bench: Bench) -> None:
    """With 30,000 points waiting a fresh one is in the store after one batch time, not six."""
    pile_up(bench, 300)
    shipper = bench.shipper()
    shipper.turn()
    bench.send(1, server="live")
    shipper.turn()
    bench.clock.ms += 5000
    shipper.turn()
    assert bench.stored()["live"]
    assert len(bench.stored()["late"]) == 15_000
    assert max(bench.store.batches) == 5000
    drain(bench, shipper)
    assert len(bench.stored()["late"]) == 30_000
    assert bench.store.batches.count(5000) == 6
    assert spans(bench) == []


def test_a_backlog_drains_without_a_rest(bench: Bench) -> None:
    """While a batch waits the loop does not sleep, though nothing new arrives."""
    bench.config = type(bench.config)(max_batch_points=100)
    pile_up(bench, 20)
    bench.idle_seconds = 1.0
    shipper = bench.shipper()
    started = time.monotonic()
    while len(bench.store.batches) < 20:
        shipper.turn()
    assert time.monotonic() - started < 10


def test_a_busy_shipper_that_keeps_up_has_one_lane(bench: Bench) -> None:
    """Many points at once are no backlog while none of them waits for long."""
    shipper = bench.shipper()
    for first in range(1, 12_000, 100):
        bench.send(*range(first, first + 100))
    shipper.turn()
    assert shipper._live is None
    assert bench.store.batches == [5000]


def test_the_journal_keeps_the_backlog_until_it_is_stored(bench: Bench) -> None:
    """What the live stream stored does not let the journal forget what lies before it."""
    pile_up(bench, 120)
    shipper = bench.shipper()
    shipper.turn()
    bench.send(*range(1, 101), server="live")
    bench.clock.ms += MINUTE
    shipper.turn()
    status = bench.seen.status()
    assert status is not None
    assert bench.stored()["live"]
    assert status.position == 100
    assert bench.journal.stats().oldest_id == 101


def test_a_restart_goes_on_in_both_lanes(bench: Bench) -> None:
    """Nothing that went ahead is shipped again, nothing behind it is left out."""
    pile_up(bench, 120)
    shipper = bench.shipper()
    shipper.turn()
    bench.send(*range(1, 101), server="live")
    shipper.turn()
    assert spans(bench) == [(120, 121)]
    shipped = sum(bench.store.batches)
    drain(bench, bench.shipper())
    assert sum(bench.store.batches) - shipped == 12_000 - 10_000
    assert len(bench.stored()["late"]) == 12_000
    assert bench.seen.ledger("late")[0].missing == 0


def test_a_batch_that_nobody_takes_does_not_hold_up_the_live_lane(bench: Bench) -> None:
    """All of it makes the store fail: it waits, with its reason shown, and newer entries pass."""

    def fail(points: Sequence[StorePoint]) -> None:
        if any(point.server_id == "late" for point in points):
            raise StoreFailedError("500: it does not like late ones")

    bench.store.before_write = fail
    for seq in range(1, 101):
        bench.send(*range(100 * seq, 100 * seq + 100), server="late")
    shipper = bench.shipper()
    shipper.turn()
    bench.clock.ms += 10_000
    bench.send(1, server="live")
    shipper.turn()
    bench.clock.ms += 10_000
    bench.send(2, server="live")
    shipper.turn()
    bench.clock.ms += 10_000
    shipper.turn()
    assert [value for _, value in bench.stored()["live"]] == [2.0]
    status = bench.seen.status()
    assert status is not None
    assert "late ones" in status.store_error
    assert status.quarantine_points == 0
    bench.store.before_write = lambda _: None
    drain(bench, shipper)
    assert len(bench.stored()["late"]) == 10_000
    assert len(bench.stored()["live"]) == 2


def test_many_refused_points_leave_the_live_lane_its_turns(bench: Bench) -> None:
    """A backlog of 10,000 points, each refused by itself: each turn ends after a second of it."""

    def refuse(points: Sequence[StorePoint]) -> None:
        bench.clock.ms += 10
        if any(point.server_id == "bad" for point in points):
            raise StoreRejectedError("not those")

    pile_up(bench, 100, server="bad")
    bench.store.before_write = refuse
    shipper = bench.shipper()
    shipper.turn()
    sent_ms = bench.clock.ms
    bench.send(1, server="live")
    while "live" not in bench.stored():
        shipper.turn()
        assert bench.clock.ms < sent_ms + 10_000
    drain(bench, shipper)
    status = bench.seen.status()
    assert status is not None
    assert status.set_aside == {"refused by the store": 10_000}


def test_a_foreign_epoch_forgets_what_went_ahead(bench: Bench) -> None:
    """Positions of another journal mean nothing: all of this one is shipped."""
    pile_up(bench, 120)
    shipper = bench.shipper()
    shipper.turn()
    bench.send(*range(1, 101), server="live")
    shipper.turn()
    assert spans(bench)
    bench.journal = bench.open_journal("restored.db")
    for seq in range(1, 131):
        bench.send(seq, server="restored")
    drain(bench, bench.shipper())
    assert len(bench.stored()["restored"]) == 130
    assert spans(bench) == []


def test_a_hole_at_the_end_of_the_backlog_ends_it(bench: Bench) -> None:
    """Entries that are gone for good (a journal cut by hand) are not waited for."""
    pile_up(bench, 120)
    shipper = bench.shipper()
    shipper.turn()
    bench.send(*range(1, 101), server="live")
    shipper.turn()
    with closing(sqlite3.connect(bench.directory / "journal.db")) as connection, connection:
        connection.execute("DELETE FROM entry WHERE id BETWEEN 110 AND 120")
    drain(bench, bench.shipper())
    assert len(bench.stored()["late"]) in (10_900, 12_000)
    assert spans(bench) == []


DEATHS: dict[str, tuple[Any, str]] = {
    "before the books": (ShipperState, "commit"),
    "before the hint": (Journal, "hint"),
    "before a rollup": (FlakyStore, "rollup"),
    "after a rollup": (ShipperState, "clean"),
}
steps = st.lists(
    st.sampled_from(["arrive", "pile", "turn", "wait", "down", "up", "crash", *DEATHS]), max_size=60
)


@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(steps=steps)
def test_whatever_happens_all_is_stored_and_the_ledger_says_so(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """Arrivals, outages, restarts and deaths between store and books, in any order."""
    bench = Bench(tmp_path_factory.mktemp("streams"))
    bench.config = type(bench.config)(batch_points=5, max_batch_points=20)
    sent = 0
    with bench.open:
        shipper = bench.shipper()
        for step in steps:
            if step in ("arrive", "pile"):
                for _ in range(1 if step == "arrive" else 30):
                    bench.send(sent + 1, sent + 2)
                    sent += 2
            elif step == "wait":
                bench.clock.ms += 6000
            elif step in ("down", "up"):
                bench.store.down = step == "down"
            elif step == "crash":
                shipper = bench.shipper()
            elif step in DEATHS:
                die(shipper, *DEATHS[step])
                shipper = bench.shipper()
            else:
                shipper.turn()
        bench.store.down = False
        bench.clock.ms += 20_000
        shipper.turn()
        drain_quietly(bench, shipper)
        assert len(bench.stored().get("web-01", [])) == sent
        if sent:
            (report,) = bench.seen.ledger("web-01")
            assert (report.stored, report.missing) == (sent, 0)
        assert spans(bench) == []
        bench.clock.ms += 24 * 60 * MINUTE
        for _ in range(3):
            shipper.turn()
            bench.clock.ms += 1000
        windows = bench.stored("max", 300_000, 2 * T0).get("web-01", [])
        newest = {seq // 30: float(seq) for seq in range(1, sent + 1)}  # of each window
        assert [value for _, value in windows] == list(newest.values())


@pytest.mark.parametrize("death", ["before a rollup", "after a rollup"])
def test_a_death_around_a_rollup_loses_no_dirty_window(bench: Bench, death: str) -> None:
    """The window is forgotten only once its rollup is in the store."""
    bench.send(1, 2, 3)
    shipper = bench.shipper()
    bench.flush(shipper)
    bench.clock.ms += 60 * MINUTE
    die(shipper, *DEATHS[death])
    assert bench.seen.raw_from_ms() == T0
    bench.shipper().turn()
    assert bench.seen.raw_from_ms() is None
    assert bench.stored("mean", 300_000, 2 * T0) == {"web-01": [(T0, 2.0)]}


def drain_quietly(bench: Bench, shipper: Shipper) -> None:
    """Turn until the backlog is gone and nothing waits."""
    for _ in range(400):
        shipper.turn()
        bench.clock.ms += 6000
        status = LastSeenReader(bench.directory / "shipper.db").status()
        position = 0 if status is None else status.position
        if not bench.journal.read(position, 1, 1):
            return
    pytest.fail("it does not drain")


def die(shipper: Shipper, owner: Any, step: str) -> None:
    """Turn once, and end where this step would begin."""
    real = getattr(owner, step)

    def end(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    setattr(owner, step, end)
    try:
        shipper.turn()
    except KeyboardInterrupt:
        pass
    finally:
        setattr(owner, step, real)
