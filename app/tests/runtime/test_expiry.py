"""Up to when data may be deleted for its age, by a clock that may be wrong."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import given
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from hostpulse_server.runtime.expiry import ExpiryGuard

HOUR = 3600.0
HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS
KEEP_MS = 7 * DAY_MS


@dataclass
class Data:
    """Something with a retention of a week: only the time of its oldest row is of interest."""

    oldest_ms: int
    clock: ManualClock = field(default_factory=ManualClock)

    def __post_init__(self) -> None:
        """Start what expires it."""
        self.guard = ExpiryGuard(self.clock)

    def expire(self) -> int:
        """Delete what may go; return how many milliseconds of data went."""
        before_ms = self.guard.cutoff("data", KEEP_MS, lambda: self.oldest_ms)
        if before_ms is None or before_ms <= self.oldest_ms:
            return 0
        gone_ms, self.oldest_ms = before_ms - self.oldest_ms, before_ms
        return gone_ms


def kept(extra_ms: int = 0) -> Data:
    """Make data as of a service that has run: its oldest row is as old as retention allows."""
    return Data(ManualClock().ms - KEEP_MS - extra_ms)


def test_nothing_expires_for_an_hour_after_the_start() -> None:
    """The clock may be wrong from the start on, and be corrected soon."""
    data = kept(HOUR_MS)
    data.clock.move(HOUR - 1)
    assert data.expire() == 0
    data.clock.move(1)
    assert data.expire() == 2 * HOUR_MS
    data.clock.move(60)
    assert data.expire() == 60_000


def test_a_clock_ahead_for_a_while_costs_nothing() -> None:
    """It is corrected within the hour; an hour after that all goes on as ever."""
    data = kept()
    data.clock.move(HOUR)
    data.expire()
    data.clock.set(30 * 24 * HOUR)
    for _ in range(59):
        assert data.expire() == 0
        data.clock.move(60)
    data.clock.set(-30 * 24 * HOUR)
    for _ in range(60):
        assert data.expire() == 0
        data.clock.move(60)
    assert data.expire() == 119 * 60_000


def test_a_clock_that_stays_ahead_costs_a_day_of_data_an_hour() -> None:
    """Somebody has hours to see it; if nobody does, the clock is believed."""
    data = kept()
    data.clock.move(HOUR)
    data.expire()
    data.clock.set(3 * 24 * HOUR)
    gone = []
    for _ in range(5):
        gone.append(sum(data.expire() for _ in range(10)))
        data.clock.move(HOUR)
    assert gone[:4] == [0, DAY_MS, DAY_MS, DAY_MS]
    assert gone[4] == 4 * HOUR_MS


def test_a_clock_set_back_holds_expiry_too() -> None:
    """Which of the two times was wrong is not known."""
    data = kept()
    data.clock.move(HOUR)
    data.clock.set(-HOUR)
    assert data.expire() == 0
    data.clock.move(HOUR - 1)
    assert data.guard.cutoff("data", 0, lambda: 0) is None
    data.clock.move(1)
    assert data.guard.cutoff("data", 0, lambda: 0) == DAY_MS


def test_each_kind_of_data_has_an_allowance_of_its_own() -> None:
    """What is empty has none, until there is something."""
    clock = ManualClock()
    guard = ExpiryGuard(clock)
    clock.move(HOUR)
    assert guard.cutoff("empty", 0, lambda: None) is None
    assert guard.cutoff("old", 0, lambda: 5) == 5 + DAY_MS
    assert guard.cutoff("old", 0, lambda: 9) == 5 + DAY_MS
    assert guard.cutoff("young", 0, lambda: clock.ms - 1) == clock.ms
    assert guard.cutoff("empty", 0, lambda: 7) == 7 + DAY_MS


@given(
    st.lists(
        st.tuples(
            st.integers(1, 5000), st.sampled_from([0, 0, 0, 0, 0, 0, 1, -1]), st.integers(6, 10**7)
        ),
        max_size=60,
    )
)
def test_however_the_clock_steps_an_hour_costs_a_day_at_most(
    moves: list[tuple[int, int, int]],
) -> None:
    """And within an hour after a step nothing."""
    data = kept(400 * DAY_MS)
    events: list[tuple[float, int]] = []
    stepped = data.clock.monotonic()
    for seconds, way, by in moves:
        data.clock.move(seconds)
        if way:
            data.clock.set(way * by)
            stepped = data.clock.monotonic()
        gone = data.expire()
        assert not gone or data.clock.monotonic() - stepped >= HOUR
        events.append((data.clock.monotonic(), gone))
    grants = [(at, gone) for at, gone in events if gone]
    for at, _ in grants:
        assert sum(gone for then, gone in grants if at <= then < at + HOUR) <= 2 * DAY_MS
