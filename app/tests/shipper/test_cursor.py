"""The arithmetic of two streams, against plain sets of entries."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.shipper.cursor import MAX_SPANS, JournalCursor, Span

steps = st.lists(
    st.tuples(st.sampled_from(["arrive", "backlog", "live", "overtake"]), st.integers(1, 9))
)


@given(steps=steps)
def test_every_entry_is_dealt_with_and_none_is_said_to_be_that_is_not(
    steps: list[tuple[str, int]],
) -> None:
    """However arrivals, both streams and overtakings interleave, cursor and truth agree."""
    cursor, newest, done = JournalCursor(), 0, set[int]()
    for kind, count in steps:
        if kind == "arrive":
            newest += count
        elif kind == "overtake":
            front = cursor.ahead[-1].last if cursor.ahead else cursor.position
            if newest > front:
                cursor = cursor.overtaking(newest) or cursor
        elif kind == "live" and cursor.ahead:
            front = cursor.ahead[-1].last
            last = min(newest, front + count)
            done |= set(range(front + 1, last + 1))
            cursor = cursor.advanced(last)
        elif kind == "backlog":
            until = newest if cursor.until is None else cursor.until
            last = min(until, cursor.position + count)
            done |= set(range(cursor.position + 1, last + 1))
            cursor = cursor.moved(last)
        said = set(range(1, cursor.position + 1)).union(
            *(range(span.after + 1, span.last + 1) for span in cursor.ahead)
        )
        assert said == done
        assert JournalCursor.of(cursor.position, cursor.ahead[::-1]) == cursor


def test_the_position_jumps_over_what_went_ahead() -> None:
    """At the end of the first span it goes on to the next, at the end of the last all is one."""
    cursor = JournalCursor(0, (Span(10, 20), Span(30, 40)))
    assert cursor.until == 10
    assert cursor.moved(9) == JournalCursor(9, cursor.ahead)
    assert cursor.moved(10) == JournalCursor(20, (Span(30, 40),))
    assert cursor.moved(10).moved(30) == JournalCursor(40)


def test_an_overtaking_that_got_nowhere_is_replaced_by_the_next() -> None:
    """An outage leaves no trail of empty spans."""
    first = JournalCursor(5).overtaking(10)
    assert first is not None
    assert first.overtaking(20) == JournalCursor(5, (Span(20, 20),))


def test_spans_are_bounded() -> None:
    """Past the bound nothing overtakes any more; what is dealt with is never forgotten."""
    cursor = JournalCursor(0)
    for number in range(MAX_SPANS):
        ahead = cursor.overtaking(10 * number + 5)
        assert ahead is not None
        cursor = ahead.advanced(10 * number + 6)
    assert cursor.overtaking(10_000) is None
