"""Which rollup windows are read together; the bound of one answer."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.errors import QueryError
from hostpulse_server.store.base import Budget, RollupWindow
from hostpulse_server.store.influxdb.rollups import MAX_WINDOWS, RollupGroup, groups

WINDOW = 300_000


def test_many_hosts_of_one_window_are_one_request() -> None:
    """The usual case: a window ended."""
    found = groups([RollupWindow(f"h{number:02}", 0) for number in range(50)], WINDOW)
    assert [len(group.server_ids) for group in found] == [50]


def test_a_gap_of_one_host_is_read_in_a_row() -> None:
    """What was replayed makes as few requests as their bound allows."""
    found = groups([RollupWindow("a", index * WINDOW) for index in range(MAX_WINDOWS + 1)], WINDOW)
    end = MAX_WINDOWS * WINDOW
    assert found == [RollupGroup(("a",), 0, end), RollupGroup(("a",), end, end + WINDOW)]


@given(
    st.lists(
        st.builds(RollupWindow, st.sampled_from("abc"), st.integers(0, 400).map(WINDOW.__mul__))
    )
)
def test_exactly_these_windows_are_read_in_bounded_requests(windows: list[RollupWindow]) -> None:
    """None is left out, none is read that nobody asked for, none twice."""
    read = [
        RollupWindow(server, start)
        for group in groups(windows, WINDOW)
        for server in group.server_ids
        for start in range(group.start_ms, group.end_ms, WINDOW)
    ]
    assert sorted(read) == sorted(set(windows))
    for group in groups(windows, WINDOW):
        size = len(group.server_ids) * (group.end_ms - group.start_ms) // WINDOW
        assert size <= MAX_WINDOWS


def test_an_answer_without_measure_is_refused_with_what_to_narrow() -> None:
    """The parameter at fault is named."""
    budget = Budget(10)
    budget.spend(10)
    with pytest.raises(QueryError, match="longer step") as caught:
        budget.spend(1)
    assert caught.value.field == "step"
