"""The arithmetic of the ledger, against plain sets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server.shipper.ranges import Range, expected, insert, prune, runs, stored

seqs = st.integers(0, 300)


def clocked(some: set[int]) -> list[tuple[int, int]]:
    """Give each sequence number its time."""
    return [(seq, 1000 * seq) for seq in some]


def members(ranges: list[Range]) -> set[int]:
    """Return every number the ranges hold."""
    return {seq for one in ranges for seq in range(one.lo, one.hi + 1)}


def sound(ranges: list[Range]) -> bool:
    """Tell whether ranges are sorted, do not touch, and know the times of their ends."""
    apart = all(left.hi + 1 < right.lo for left, right in pairwise(ranges))
    timed = all((one.first_ms, one.last_ms) == (1000 * one.lo, 1000 * one.hi) for one in ranges)
    return apart and timed and all(one.lo <= one.hi for one in ranges)


@given(batches=st.lists(st.sets(seqs, max_size=30), max_size=12))
def test_ranges_hold_what_was_inserted_in_any_order(batches: list[set[int]]) -> None:
    """Newest first, twice, with gaps: the ranges are the set of all numbers."""
    ledger: list[Range] = []
    shadow: dict[int, Range] = {}
    for batch in batches:
        for new in runs(clocked(batch)):
            absorbed, merged = insert(ledger, new)
            for lo in absorbed:
                del shadow[lo]
            shadow[merged.lo] = merged
    everything = set().union(*batches)
    assert members(ledger) == everything
    assert sound(ledger)
    assert sorted(shadow.values()) == ledger  # what a table keyed by lo ends up with
    assert stored(ledger) == len(everything)
    assert expected(ledger) == (max(everything) - min(everything) + 1 if everything else 0)


@given(some=st.sets(seqs, min_size=1), border=st.integers(-1, 301))
def test_pruning_takes_what_is_older_and_nothing_else(some: set[int], border: int) -> None:
    """With even times the cut is exact, and pruning again changes nothing."""
    ledger = runs(clocked(some))
    kept = prune(ledger, 1000 * border)
    assert members(kept) <= {seq for seq in some if seq >= border}
    assert len(members(kept)) >= len({seq for seq in some if seq >= border}) - 1
    assert prune(kept, 1000 * border) == kept


def test_a_range_is_cut_where_its_times_cross_the_border() -> None:
    """Ten numbers a second apart lose those of the first four seconds."""
    assert prune([Range(1, 11, 0, 10_000)], 4000) == [Range(6, 11, 4000, 10_000)]


def test_uneven_times_never_cut_a_range_to_nothing_or_below_its_end() -> None:
    """The newest number of a range that reaches over the border stays."""
    assert prune([Range(1, 2, 0, 10_000)], 9999) == [Range(2, 2, 9999, 10_000)]
    assert prune([Range(5, 5, 100, 100)], 100) == [Range(5, 5, 100, 100)]


def test_a_gap_that_is_older_than_the_border_no_longer_counts() -> None:
    """With the range before the gap, the gap falls out of the reckoning."""
    kept = prune([Range(1, 5, 0, 4000), Range(50, 60, 49_000, 59_000)], 10_000)
    assert stored(kept) == expected(kept) == 11
