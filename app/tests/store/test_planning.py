"""Which step a query gets, and who answers it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.errors import QueryError
from hostpulse_server.store.planning import (
    COMFORTABLE_POINTS,
    MAX_POINTS,
    Horizon,
    QueryPlan,
    as_duration,
    plan,
)
from hostpulse_server.store.rollup import (
    PartialWindow,
    ceil_to,
    floor_to,
    join,
    touched,
    window_count,
)

HOUR = 3_600_000
DAY = 24 * HOUR
NOW = 1_795_387_200_000
WINDOW = 300_000
HORIZON = Horizon(NOW - 7 * DAY, WINDOW, floor_to(NOW - 1, WINDOW))


@pytest.mark.parametrize(
    ("span", "step"),
    [
        (HOUR, 10_000),
        (2 * HOUR, 10_000),
        (3 * HOUR, 30_000),
        (8 * HOUR, 30_000),
        (12 * HOUR, 60_000),
        (DAY, 300_000),
        (7 * DAY, 1_800_000),
        (30 * DAY, 3_600_000),
    ],
)
def test_the_default_step_gives_at_most_a_thousand_points(span: int, step: int) -> None:
    """At 10 s: 10 s, 30 s, 1 min, 5 min, 10 min, 30 min, 1 h."""
    assert plan(NOW - span, NOW, None, 10_000, HORIZON).step_ms == step


def test_short_ranges_are_raw() -> None:
    """Steps under the rollup window are answered from raw values alone."""
    assert plan(NOW - HOUR, NOW, None, 10_000, HORIZON) == QueryPlan(10_000, 0, "raw")


def test_from_the_rollup_window_on_rollups_serve_and_raw_the_rest() -> None:
    """The window that is not rolled up yet comes from raw values."""
    found = plan(NOW - DAY, NOW, WINDOW, 10_000, HORIZON)
    assert found == QueryPlan(WINDOW, NOW - WINDOW, "mixed")


def test_what_is_rolled_up_whole_is_rollup() -> None:
    """A range that ends before the oldest dirty window needs no raw value."""
    assert plan(NOW - DAY, NOW - HOUR, WINDOW, 10_000, HORIZON).resolution == "rollup"
    clean = Horizon(NOW - 7 * DAY, WINDOW, None)
    assert plan(NOW - DAY, NOW, WINDOW, 10_000, clean).resolution == "rollup"


def test_what_is_not_rolled_up_at_all_is_raw() -> None:
    """Everything asked for is newer than the oldest dirty window."""
    dirty = Horizon(NOW - 7 * DAY, WINDOW, NOW - 2 * DAY)
    assert plan(NOW - DAY, NOW, WINDOW, 10_000, dirty).resolution == "raw"


def test_a_dirty_window_older_than_raw_retention_does_not_ask_for_expired_values() -> None:
    """Raw values take over at the edge of their retention at the earliest."""
    dirty = Horizon(NOW - 7 * DAY, WINDOW, NOW - 20 * DAY)
    assert plan(NOW - 30 * DAY, NOW, HOUR, 10_000, dirty).raw_from_ms == NOW - 7 * DAY


def test_a_start_outside_raw_retention_is_answered_by_rollups() -> None:
    """A finer step is raised to the rollup window."""
    found = plan(NOW - 10 * DAY, NOW - 9 * DAY, 60_000, 10_000, HORIZON)
    assert found == QueryPlan(WINDOW, NOW - WINDOW, "rollup")


def test_a_step_between_rollup_windows_is_rounded_up() -> None:
    """7 min become 10: five-minute rollups cannot be cut."""
    assert plan(NOW - DAY, NOW, 420_000, 10_000, HORIZON).step_ms == 600_000


def test_too_many_points_name_the_smallest_step_that_fits() -> None:
    """7 days at 10 s are 60,480 points; 55 s would be 10,996."""
    with pytest.raises(
        QueryError, match=r"60480 points .* smallest step that fits is 55s"
    ) as error:
        plan(NOW - 7 * DAY, NOW, 10_000, 10_000, HORIZON)
    assert error.value.field == "step"


@given(
    start=st.integers(0, NOW),
    span=st.integers(1, 400 * DAY),
    step=st.integers(1, DAY),
    raw_since=st.integers(0, NOW),
)
def test_the_step_named_fits_and_no_whole_second_less_does(
    start: int, span: int, step: int, raw_since: int
) -> None:
    """Whatever is refused, the step in the message is accepted and one less is not."""
    horizon = Horizon(raw_since, WINDOW, None)
    try:
        found = plan(start, start + span, step, 10_000, horizon)
    except QueryError as error:
        text = str(error).rpartition(" ")[2]
        unit = {"s": 1000, "m": 60_000, "h": HOUR, "d": DAY}[text[-1]]
        fits = int(text[:-1]) * unit
        assert plan(start, start + span, fits, 10_000, horizon).step_ms == fits
        less = fits - (WINDOW if fits >= WINDOW or start < raw_since else 1000)
        if less > 0:
            with pytest.raises(QueryError):
                plan(start, start + span, less, 10_000, horizon)
    else:
        assert found.step_ms >= step
        assert window_count(start, start + span, found.step_ms) <= MAX_POINTS


@given(start=st.integers(0, NOW), span=st.integers(1, 10_000 * DAY), interval=st.integers(1, DAY))
def test_some_default_step_always_fits(start: int, span: int, interval: int) -> None:
    """A default step is found for any range and never gives more than a thousand points."""
    found = plan(start, start + span, None, interval, HORIZON)
    assert window_count(start, start + span, found.step_ms) <= COMFORTABLE_POINTS


@given(time_ms=st.integers(0, NOW), step=st.integers(1, DAY))
def test_floor_and_ceil_hold_the_time_between_them(time_ms: int, step: int) -> None:
    """Both are window starts, less than a window away."""
    low, high = floor_to(time_ms, step), ceil_to(time_ms, step)
    assert low % step == high % step == 0
    assert low <= time_ms <= high < time_ms + step
    assert time_ms - low < step


@given(times=st.lists(st.integers(0, NOW)), window=st.integers(1, DAY))
def test_every_time_lies_in_a_touched_window_and_every_window_has_one(
    times: list[int], window: int
) -> None:
    """No window is missed and none is made up."""
    starts = touched(times, window)
    assert all(any(start <= t < start + window for start in starts) for t in times)
    assert all(any(start <= t < start + window for t in times) for start in starts)


@given(values=st.lists(st.floats(-1e9, 1e9), min_size=2, max_size=40), data=st.data())
def test_joined_means_are_the_mean_of_all(values: list[float], data: st.DataObject) -> None:
    """Wherever a window is divided, joining by count gives the whole's mean."""
    cut = data.draw(st.integers(1, len(values) - 1))
    parts = [
        PartialWindow(len(some), sum(some) / len(some)) for some in (values[:cut], values[cut:])
    ]
    joined = join("mean", *parts)
    assert joined.weight == len(values)
    assert joined.value == pytest.approx(sum(values) / len(values), rel=1e-6, abs=1e-3)


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [(90_000, "90s"), (300_000, "5m"), (7_200_000, "2h"), (DAY, "1d"), (1500, "1500ms")],
)
def test_durations_are_written_as_they_are_read(milliseconds: int, text: str) -> None:
    """The largest unit that divides it."""
    assert as_duration(milliseconds) == text
