"""A rollup window that fails for ever: the others go on, it is named, tried again, given up."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.shipper.conftest import T0, WINDOW, FlakyStore

from hostpulse_server.errors import (
    StoreFailedError,
    StoreMisconfiguredError,
    StoreUnavailableError,
)
from hostpulse_server.shipper.failing_windows import RESTS_SECONDS
from hostpulse_server.shipper.maintenance import Maintenance

if TYPE_CHECKING:
    from collections.abc import Sequence

    from app.tests.shipper.conftest import Bench

    from hostpulse_server.store.base import RollupWindow, Store

MINUTE = 60_000
SERVERS = [f"web-{number:02}" for number in range(20)]
BAD = SERVERS[7]


class Sick(FlakyStore):
    """A store that fails to roll up windows of ``bad`` servers."""

    def __init__(self, inner: Store) -> None:
        super().__init__(inner)
        self.bad: set[str] = {BAD}
        self.error: StoreUnavailableError = StoreFailedError("panic: a block is corrupt")

    def rollup(self, windows: Sequence[RollupWindow], window_ms: int) -> None:
        """Roll up, or fail for all windows together."""
        if self.bad & {window.server_id for window in windows}:
            raise self.error
        super().rollup(windows, window_ms)


@pytest.fixture
def store(bench: Bench) -> Sick:
    """Give the bench a store that cannot roll up one of twenty servers."""
    bench.store = sick = Sick(bench.store.inner)
    return sick


def keep_up(bench: Bench, upkeep: Maintenance, turns: int = 12) -> int:
    """Let it turn, a second between; return how many of them failed."""
    failures = 0
    for _ in range(turns):
        bench.clock.ms += 1000
        try:
            upkeep.turn(caught_up=True)
        except StoreUnavailableError:
            failures += 1
    return failures


def start(bench: Bench) -> Maintenance:
    """Ship a window of each server, let it end, and return what rolls it up."""
    for server in SERVERS:
        bench.send(1, 2, server=server)
    bench.flush(bench.shipper())
    bench.clock.ms += 10 * MINUTE
    return Maintenance(
        bench.retention, store=bench.store, shipper_state=bench.shipper_state(), clock=bench.clock
    )


def rolled(bench: Bench) -> set[str]:
    """Return the servers that have rollups."""
    return set(bench.stored("mean", WINDOW, 2 * T0))


def later(bench: Bench) -> None:
    """Store a window of another server as it is now, and let it end."""
    bench.send((bench.clock.ms - T0) // 10_000, server=SERVERS[0])
    bench.flush(bench.shipper())
    bench.clock.ms += 15 * MINUTE


def test_one_window_that_fails_is_found_and_the_others_are_rolled_up(
    bench: Bench, store: Sick, caplog: pytest.LogCaptureFixture
) -> None:
    """Portions are halved until it is alone; it stays dirty and the log names it."""
    assert store.bad == {BAD}
    failures = keep_up(bench, start(bench))
    assert 0 < failures < 8
    assert rolled(bench) == set(SERVERS) - {BAD}
    status = bench.seen.status()
    assert status is not None
    assert status.dirty_windows == 1
    (said,) = [one.getMessage() for one in caplog.records if "no rollup" in one.getMessage()]
    assert f"server {BAD} at 2026-11-2" in said
    assert f"tried again in {RESTS_SECONDS[0]:g} s: panic: a block is corrupt" in said


def test_what_heals_is_rolled_up_after_its_rest(bench: Bench, store: Sick) -> None:
    """It was tried again by itself, without a restart."""
    upkeep = start(bench)
    keep_up(bench, upkeep)
    store.bad = set()
    assert keep_up(bench, upkeep, 2) == 0
    assert BAD not in rolled(bench)
    bench.clock.ms += int(RESTS_SECONDS[0] * 1000)
    keep_up(bench, upkeep, 2)
    assert rolled(bench) == set(SERVERS)
    assert bench.seen.raw_from_ms() is None


def test_what_never_heals_is_given_up_and_counted(
    bench: Bench, store: Sick, caplog: pytest.LogCaptureFixture
) -> None:
    """After as many failures as there are rests, others working between them."""
    assert store.bad == {BAD}
    upkeep = start(bench)
    keep_up(bench, upkeep)
    for _ in RESTS_SECONDS[1:]:
        status = bench.seen.status()
        assert status is not None
        assert status.dirty_windows == 1
        later(bench)
        assert keep_up(bench, upkeep) == 0, "a window known to be at fault is no outage"
        later(bench)
        keep_up(bench, upkeep)
    status = bench.seen.status()
    assert status is not None
    assert status.dirty_windows == 0
    assert status.set_aside == {"rollup failed": 1}
    assert "it is given up: panic" in caplog.text


@pytest.mark.parametrize("error", [StoreUnavailableError("timed out"), StoreFailedError("panic")])
def test_a_store_that_is_sick_for_hours_costs_no_window(
    bench: Bench, store: Sick, caplog: pytest.LogCaptureFixture, error: StoreUnavailableError
) -> None:
    """While nothing works nothing is at fault; afterwards all are rolled up soon."""
    store.bad, store.error = set(SERVERS), error
    upkeep = start(bench)
    for _ in range(60):
        bench.clock.ms += 5 * MINUTE
        assert keep_up(bench, upkeep, 1) == 1
    store.bad = set()
    bench.clock.ms += int(RESTS_SECONDS[0] * 1000)
    assert keep_up(bench, upkeep, 2 * len(SERVERS)) == 0
    assert rolled(bench) == set(SERVERS)
    assert "given up" not in caplog.text


def test_a_wrong_setting_is_no_windows_fault(bench: Bench, store: Sick) -> None:
    """Nothing steps aside: all is rolled up as soon as the setting is right."""
    store.bad, store.error = set(SERVERS), StoreMisconfiguredError("no token")
    upkeep = start(bench)
    assert keep_up(bench, upkeep) == 12
    store.bad = set()
    keep_up(bench, upkeep, 2)
    assert rolled(bench) == set(SERVERS)


def test_what_is_too_old_when_its_rest_ends_is_given_up(bench: Bench, store: Sick) -> None:
    """Raw retention ends the wait; even if it heals then, half of its values may be gone."""
    upkeep = start(bench)
    keep_up(bench, upkeep)
    store.bad = set()
    bench.clock.ms += 8 * 24 * 60 * MINUTE
    keep_up(bench, upkeep)
    status = bench.seen.status()
    assert status is not None
    assert status.set_aside == {"rollup older than raw retention": 1}
    assert BAD not in rolled(bench)
    assert status.dirty_windows == 0
