"""Two backtests of the same samples compared: which alerts are gone, new or different."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

from hostpulse_server.formatting import rule_duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from hostpulse_server.rule_testing.backtest import Episode
    from hostpulse_server.values.alert import AlertIdentity

Spells = tuple["Episode", ...]


@dataclass(frozen=True, slots=True)
class BacktestComparison:
    """``only`` are the episodes of each side during which the other has none.

    ``changed`` are those of both sides that fire together, with other starts, ends or severities;
    ``same`` is how many do so without.
    """

    only: tuple[Spells, Spells]
    changed: tuple[tuple[Spells, Spells], ...]
    same: int


def compare(first: Sequence[Episode], second: Sequence[Episode]) -> BacktestComparison:
    """Compare what two sides have found in the same samples."""
    only: tuple[list[Episode], list[Episode]] = ([], [])
    changed = []
    same = 0
    for before, after in sorted(_together(first, second), key=_first):
        if not (before and after):
            only[0].extend(before)
            only[1].extend(after)
        elif list(map(_shape, before)) == list(map(_shape, after)):
            same += len(before)
        else:
            changed.append((before, after))
    return BacktestComparison((tuple(only[0]), tuple(only[1])), tuple(changed), same)


def difference(before: Spells, after: Spells, end_ms: int) -> str:
    """Return in words how what fires after differs; what is not over lasts until ``end_ms``."""
    if len(before) != len(after):
        return f"fires {_times(after)} instead of {_times(before)}"
    found = []
    for one, other in zip(before, after, strict=True):
        start_ms = other.from_ms - one.from_ms
        lasted_ms = _lasted(other, end_ms) - _lasted(one, end_ms)
        if start_ms:
            found.append(f"starts {_by(start_ms, 'later', 'earlier')}")
        if lasted_ms:
            found.append(f"lasts {_by(lasted_ms, 'longer', 'less')}")
        if (one.until_ms is None) != (other.until_ms is None):
            found.append("is over" if one.until_ms is None else "is not over")
        if one.severity != other.severity:
            found.append(f"{other.severity} instead of {one.severity}")
    return ", ".join(dict.fromkeys(found))


def _together(
    first: Iterable[Episode], second: Iterable[Episode]
) -> Iterator[tuple[Spells, Spells]]:
    """Yield what fires together, of each side; a side's episodes of an alert do not overlap."""
    by_identity: dict[AlertIdentity, list[tuple[Episode, int]]] = defaultdict(list)
    for number, spells in enumerate((first, second)):
        for spell in spells:
            by_identity[spell.identity].append((spell, number))
    for found in by_identity.values():
        group: tuple[list[Episode], list[Episode]] = ([], [])
        for spell, number in sorted(found, key=lambda item: item[0].from_ms):
            if not any(spell.overlaps(other) for other in group[1 - number]) and any(group):
                yield tuple(group[0]), tuple(group[1])
                group = ([], [])
            group[number].append(spell)
        yield tuple(group[0]), tuple(group[1])


def _first(sides: tuple[Spells, Spells]) -> tuple[int, AlertIdentity]:
    return min((spell.from_ms, spell.identity) for spells in sides for spell in spells)


def _shape(spell: Episode) -> tuple[int, int | None, str]:
    return spell.from_ms, spell.until_ms, spell.severity


def _lasted(spell: Episode, end_ms: int) -> int:
    return (end_ms if spell.until_ms is None else spell.until_ms) - spell.from_ms


def _by(milliseconds: int, more: str, less: str) -> str:
    return f"{rule_duration(abs(milliseconds), 2)} {more if milliseconds > 0 else less}"


def _times(spells: Spells) -> str:
    return "once" if len(spells) == 1 else f"{len(spells)} times"
