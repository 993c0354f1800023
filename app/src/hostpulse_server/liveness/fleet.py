"""Most of the fleet silent at once: then it is hostpulse, or the network before it. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LEAST: Final = 3
WINDOW_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Outage:
    """``members`` went silent together, the first at ``start_ms``; ``total`` had been reporting."""

    members: frozenset[str]
    total: int
    start_ms: int

    def lasts(self, silent: int) -> bool:
        """Tell whether that many silent members are still most of the fleet."""
        return is_most(silent, self.total)

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"members": sorted(self.members), "total": self.total, "start_ms": self.start_ms}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Outage:
        """Return what ``document`` was made of."""
        return cls(frozenset(document["members"]), document["total"], document["start_ms"])


def is_most(silent: int, total: int) -> bool:
    """Tell whether ``silent`` of ``total`` are too many to be a coincidence."""
    return silent >= LEAST and 2 * silent > total


def find(silent: Iterable[tuple[int, str]], reporting: int) -> Outage | None:
    """Return the outage in the silent servers, given as (silent since, id), if there is one.

    Reporting when it began were those that still are, ``reporting`` in number, its members, and
    those that have gone silent after it.
    """
    ordered = sorted(silent)
    first = 0
    best: tuple[int, int, int] | None = None  # size, first, last
    for last, (at_ms, _) in enumerate(ordered):
        while at_ms - ordered[first][0] > WINDOW_MS:
            first += 1
        size = last - first + 1
        total = reporting + len(ordered) - first
        if is_most(size, total) and (best is None or size >= best[0]):
            best = (size, first, last)
    if best is None:
        return None
    _, first, last = best
    members = frozenset(server_id for _, server_id in ordered[first : last + 1])
    return Outage(members, reporting + len(ordered) - first, ordered[first][0])
