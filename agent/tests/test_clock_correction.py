"""What the server's clock says about the host's."""

from __future__ import annotations

import pytest
from agent.tests.conftest import ManualClock
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.clock import Clock, ServerClock

HOUR_MS = 3_600_000.0


def test_nothing_is_corrected_before_the_server_has_spoken() -> None:
    """The host's clock is believed."""
    clock = ManualClock()
    assert ServerClock(clock).offset_ms() is None
    assert ServerClock(clock).stamp_ms() == clock.wall


def test_the_round_trip_is_taken_into_account() -> None:
    """The server is assumed to have answered half way."""
    clock = ManualClock()
    server = ServerClock(clock)
    sent = clock.boot_ms()
    clock.advance(0.4)
    server.observe(clock.wall - 200.0 + 5_000.0, sent, clock.boot_ms())
    assert server.offset_ms() == pytest.approx(5_000.0)
    assert server.stamp_ms() == clock.wall


@given(st.floats(-1e10, 1e10))
def test_samples_bear_the_servers_time_when_the_host_is_a_minute_off(offset: float) -> None:
    """Under a minute the host's own time stands."""
    clock = ManualClock()
    server = ServerClock(clock)
    server.observe(clock.wall + offset, clock.boot_ms(), clock.boot_ms())
    expected = clock.wall + (offset if abs(offset) > 60_001 else 0.0)
    if not 59_999 <= abs(offset) <= 60_001:
        assert server.stamp_ms() == pytest.approx(expected, abs=2.0)


def test_a_step_of_the_hosts_clock_moves_the_offset_not_the_stamp() -> None:
    """No answer is needed to notice the step, because the boot clock does not step."""
    clock = ManualClock()
    server = ServerClock(clock)
    server.observe(clock.wall, clock.boot_ms(), clock.boot_ms())
    true = clock.wall
    clock.wall -= 2 * HOUR_MS
    assert server.offset_ms() == pytest.approx(2 * HOUR_MS)
    assert server.stamp_ms() == true


@pytest.mark.parametrize("offset", [-HOUR_MS, 50 * HOUR_MS])
@pytest.mark.parametrize("synchronised", [True, False, None])
def test_a_synchronised_host_keeps_its_own_time(
    offset: float, *, synchronised: bool | None
) -> None:
    """Then the server's clock is wrong; the offset is shown all the same."""
    clock = ManualClock()
    clock.synchronised = synchronised
    server = ServerClock(clock)
    server.observe(clock.wall + offset, clock.boot_ms(), clock.boot_ms())
    assert server.stamp_ms() == clock.wall + (0 if synchronised else offset)
    assert server.is_wrong() == bool(synchronised)
    assert server.offset_ms() == offset


def test_a_slow_answer_does_not_spoil_what_is_known() -> None:
    """It counts only while nothing better is there."""
    clock = ManualClock()
    server = ServerClock(clock)
    server.observe(clock.wall, clock.boot_ms() - 30_000, clock.boot_ms())
    assert server.offset_ms() == pytest.approx(15_000)
    server.observe(clock.wall, clock.boot_ms(), clock.boot_ms())
    server.observe(clock.wall, clock.boot_ms() - 30_000, clock.boot_ms())
    assert server.offset_ms() == pytest.approx(0.0)


def test_the_hosts_clocks_run() -> None:
    """The real ones agree with each other in unit and direction."""
    clock = Clock()
    first = (clock.wall_ms(), clock.monotonic(), clock.boot_ms())
    second = (clock.wall_ms(), clock.monotonic(), clock.boot_ms())
    assert first[1] <= second[1]
    assert first[2] <= second[2]
    assert second[0] > 1.7e12
