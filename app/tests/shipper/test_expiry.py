"""What store and ledger keep when the clock was set."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from hostpulse_server.shipper.maintenance import Maintenance

if TYPE_CHECKING:
    from app.tests.shipper.conftest import Bench

T0 = 1_795_387_200_000 - 1_795_387_200_000 % 300_000
WINDOW = 300_000
HOUR = 3600
DAY = 24 * HOUR


class Site:
    """A bench with a day of samples, of which the newest windows are not rolled up yet."""

    def __init__(self, bench: Bench) -> None:
        self.bench = bench
        state = bench.shipper_state()
        self.maintenance = Maintenance(
            bench.retention, store=bench.store, shipper_state=state, clock=bench.clock
        )
        self.store_window(0)
        bench.clock.ms = T0 + 1000 * DAY
        self.run(1)
        self.store_window(DAY)

    def store_window(self, at: int) -> None:
        """Store a window of samples of ``at`` seconds."""
        bench = self.bench
        bench.clock.ms = T0 + 1000 * at
        bench.send(*range(at // 10, at // 10 + 30))
        bench.clock.ms += 60_000
        bench.flush(bench.shipper())

    def run(self, minutes: int) -> None:
        """Let the maintenance work, each minute."""
        for _ in range(minutes):
            while self.maintenance.turn(caught_up=True):
                pass
            self.bench.clock.move(60)

    def numbers(self) -> int:
        """Return how many sequence numbers the ledger says are stored."""
        return self.count("SELECT coalesce(sum(hi - lo + 1), 0) FROM ranges")

    def given_up(self) -> int:
        """Return how many rollups were given up."""
        return self.count("SELECT coalesce(sum(count), 0) FROM counts")

    def count(self, statement: str) -> int:
        """Return a number out of shipper.db."""
        with closing(sqlite3.connect(self.bench.directory / "shipper.db")) as connection:
            return int(connection.execute(statement).fetchone()[0])

    def raw(self) -> int:
        """Return how many raw values are stored."""
        return sum(map(len, self.bench.stored().values()))

    def rollups(self) -> int:
        """Return how many rollups are stored."""
        return sum(map(len, self.bench.stored("mean", WINDOW, 2 * T0).values()))


@pytest.fixture
def site(bench: Bench) -> Site:
    """Give a day of samples."""
    return Site(bench)


def test_a_clock_ahead_deletes_nothing_for_an_hour(site: Site) -> None:
    """No value, rollup, or entry of the ledger; and once it is right the rollups are made."""
    site.bench.clock.set(400 * DAY)
    site.run(59)
    assert (site.raw(), site.numbers(), site.rollups()) == (60, 60, 1)
    site.bench.clock.set(-400 * DAY)
    site.run(180)
    assert (site.raw(), site.numbers(), site.rollups(), site.given_up()) == (60, 60, 2, 0)


def test_a_clock_that_stays_ahead_deletes_a_day_an_hour(site: Site) -> None:
    """The first window goes after an hour, the second, a day younger, an hour later."""
    site.run(10)
    assert (site.raw(), site.rollups()) == (60, 2)
    site.bench.clock.set(400 * DAY)
    site.run(65)
    assert (site.raw(), site.rollups()) == (30, 1)
    assert 28 <= site.numbers() <= 31
    site.run(120)
    assert (site.raw(), site.numbers(), site.rollups()) == (0, 0, 0)


def test_after_a_restart_nothing_goes_for_an_hour(site: Site) -> None:
    """The clock may be wrong, and be corrected soon."""
    site.bench.clock.ms += 400 * DAY * 1000
    site.maintenance = Maintenance(
        site.bench.retention,
        store=site.bench.store,
        shipper_state=site.bench.shipper_state(),
        clock=site.bench.clock,
    )
    site.run(59)
    assert (site.raw(), site.numbers()) == (60, 60)
    site.run(60)
    assert site.raw() == 30
