"""Which sequence numbers of a stream are stored, as merged ranges; pure.

A list of ranges is sorted, and no two of its ranges touch. Sequence numbers and times of a stream
grow together, so each range also knows the times of its two ends.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


class Range(NamedTuple):
    """Sequence numbers ``lo``-``hi``, both stored as is all between, and their times in ms."""

    lo: int
    hi: int
    first_ms: int
    last_ms: int


def runs(samples: Iterable[tuple[int, int]]) -> list[Range]:
    """Return the ranges that (seq, time in ms) pairs in any order make; repeats are harmless."""
    made: list[Range] = []
    for seq, time_ms in sorted(samples):
        if made and seq <= made[-1].hi + 1:
            made[-1] = made[-1]._replace(hi=seq, last_ms=time_ms)
        else:
            made.append(Range(seq, seq, time_ms, time_ms))
    return made


def insert(ranges: list[Range], new: Range) -> tuple[list[int], Range]:
    """Merge ``new`` into ``ranges`` in place.

    Returns the ``lo`` of every range that went into the merged one, and the merged range.
    """
    start = bisect_left(ranges, new.lo - 1, key=lambda known: known.hi)
    stop = start
    while stop < len(ranges) and ranges[stop].lo <= new.hi + 1:
        stop += 1
    together = [*ranges[start:stop], new]
    lowest = min(together, key=lambda part: part.lo)
    highest = max(together, key=lambda part: part.hi)
    merged = Range(lowest.lo, highest.hi, lowest.first_ms, highest.last_ms)
    absorbed = [known.lo for known in ranges[start:stop]]
    ranges[start:stop] = [merged]
    return absorbed, merged


def prune(ranges: Sequence[Range], before_ms: int) -> list[Range]:
    """Return what is left when sequence numbers older than ``before_ms`` leave the reckoning.

    A range that reaches over the border is cut where its times, taken as evenly spread, cross it.
    """
    kept = []
    for known in ranges:
        if known.last_ms < before_ms:
            continue
        if known.first_ms < before_ms:
            share = (before_ms - known.first_ms) / (known.last_ms - known.first_ms)
            lo = known.lo + min(int(share * (known.hi - known.lo)) + 1, known.hi - known.lo)
            kept.append(Range(lo, known.hi, before_ms, known.last_ms))
        else:
            kept.append(known)
    return kept


def stored(ranges: Iterable[Range]) -> int:
    """Return how many sequence numbers the ranges hold."""
    return sum(known.hi - known.lo + 1 for known in ranges)


def expected(ranges: Sequence[Range]) -> int:
    """Return how many there are from the lowest to the highest."""
    return ranges[-1].hi - ranges[0].lo + 1 if ranges else 0


def between(
    known: Range, before: tuple[int, int] | None, from_ms: int, until_ms: int
) -> tuple[float, float]:
    """Return how many numbers of a range and the gap before it fall into a time, and are missing.

    ``before`` is the last number of the range before and its time. Numbers are taken as evenly
    spread.
    """
    numbers = (known.hi - known.lo) * _share(known.first_ms, known.last_ms, from_ms, until_ms)
    if before is None:
        return numbers, 0.0
    last, last_ms = before
    share = _share(last_ms, known.first_ms, from_ms, until_ms)
    return numbers + (known.lo - last) * share, (known.lo - last - 1) * share


def _share(begin_ms: int, end_ms: int, from_ms: int, until_ms: int) -> float:
    inside = min(end_ms, until_ms) - max(begin_ms, from_ms)
    return max(0, inside) / (end_ms - begin_ms) if end_ms > begin_ms else 0.0
