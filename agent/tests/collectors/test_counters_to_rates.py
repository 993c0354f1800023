"""Counters become rates over real time, and nothing where nothing can be known."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostpulse_agent.collectors.counters import Counters, put_rates

COUNTS = st.integers(0, 2**64)
TIMES = st.floats(0, 1e9, allow_nan=False)


def test_a_first_reading_is_no_rate() -> None:
    """The first value of a counter gives no rate."""
    assert Counters().change("sda", 1.0, (10**12,)) is None


def test_a_rate_is_over_the_time_that_really_passed() -> None:
    """A late tick divides by its own length."""
    counters = Counters()
    counters.change("sda", 5.0, (100, 7))
    change = counters.change("sda", 17.5, (350, 7))
    assert change is not None
    assert (change.rate(0), change.rate(1)) == (20.0, 0.0)


def test_a_key_that_was_not_kept_starts_anew() -> None:
    """A device that returns is another device."""
    counters = Counters()
    counters.change("usb", 1.0, (1,))
    counters.keep(["sda"])
    assert counters.change("usb", 2.0, (5,)) is None


def test_readings_of_one_moment_or_another_shape_are_no_change() -> None:
    """A retry within a tick must not divide by zero; a new kernel may have other columns."""
    counters = Counters()
    counters.change("a", 1.0, (1,))
    assert counters.change("a", 1.0, (3,)) is None
    assert counters.change("a", 2.0, (1, 2)) is None


@given(st.lists(st.tuples(TIMES, COUNTS), min_size=2, max_size=20))
def test_no_sequence_of_readings_gives_a_negative_rate(readings: list[tuple[float, int]]) -> None:
    """Each known rate is the difference to the last good reading; going back gives none."""
    counters = Counters()
    last: tuple[float, int] | None = None
    for at, value in readings:
        fields: dict[str, float] = {}
        put_rates(fields, ("rate",), counters.change("x", at, (value,)))
        if last is None or at <= last[0] or value < last[1]:
            assert fields == {}
        else:
            assert fields["rate"] == (value - last[1]) / (at - last[0])
            assert fields["rate"] >= 0
        if last is None or at > last[0]:
            last = (at, value)
