"""When samples are taken."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.schedule import Schedule, phase


@given(st.text(min_size=1), st.floats(1.0, 3600.0))
def test_the_phase_lies_within_the_interval(server_id: str, interval: float) -> None:
    """Every host has a phase, the same at each start, inside its interval."""
    assert 0.0 <= phase(server_id, interval) < interval
    assert phase(server_id, interval) == phase(server_id, interval)


def test_phases_of_many_hosts_are_spread() -> None:
    """A thousand hosts come in every tenth of the interval, none of them crowded."""
    tenths = [int(phase(f"web-{n:03}", 10.0)) for n in range(1000)]
    assert all(60 <= tenths.count(tenth) <= 150 for tenth in range(10))


@given(st.floats(1.6e9, 2e9), st.floats(0, 1e7))
def test_the_first_tick_is_in_phase_and_not_at_once(wall: float, now: float) -> None:
    """The first sample has at least a tenth of the interval to measure rates over."""
    schedule = Schedule.in_phase("web-01", 10.0, wall, now)
    ahead = schedule.wait(now)
    assert 1.0 <= ahead <= 11.0
    apart = abs((wall + ahead) % 10.0 - phase("web-01", 10.0))
    assert min(apart, 10.0 - apart) == pytest.approx(0.0, abs=1e-3)


def test_missed_ticks_are_counted_and_never_bunched() -> None:
    """After a standstill one tick is due, the skipped ones are counted, the rhythm is kept."""
    schedule = Schedule(100.0, 10.0)
    assert schedule.take(99.9) is None
    first = schedule.take(100.1)
    assert first is not None
    assert (first.at, first.missed) == (100.0, 0)
    late = schedule.take(147.0)
    assert late is not None
    assert (late.at, late.missed) == (140.0, 3)
    assert schedule.take(147.0) is None
    assert schedule.wait(147.0) == pytest.approx(3.0)


@given(st.lists(st.floats(0.0, 100.0), max_size=50))
def test_taken_and_missed_ticks_add_up(pauses: list[float]) -> None:
    """However the loop is held up, every tick is either taken or counted as missed."""
    schedule, now, taken, missed = Schedule(0.0, 10.0), 0.0, 0, 0
    for pause in pauses:
        now += pause
        tick = schedule.take(now)
        if tick is not None:
            taken += 1
            missed += tick.missed
    due = int(now // 10.0) + 1 if taken else 0
    assert taken + missed in (due, due - (now % 10.0 == 0.0))
