"""The interface of stores, in values that know no engine.

Times are epoch milliseconds UTC and ranges are half open. A series is one field of one measurement
with one set of tags on one server; a value is identified by its series and time, so writing it
again overwrites it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

from hostpulse_server.errors import QueryError

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from hostpulse_server.values.points import StorePoint, Tags

Aggregate = Literal["mean", "min", "max", "last"]

MAX_VALUES = 1_000_000  # of one answer: about 35 MB of JSON


class OldestTimes(NamedTuple):
    """Times of the oldest raw value and rollup that expire; ``None``: there is none."""

    raw_ms: int | None
    rollup_ms: int | None


class RollupWindow(NamedTuple):
    """One server's rollup window, named by its start."""

    server_id: str
    start_ms: int


@dataclass(frozen=True, slots=True)
class Query:
    """What to read: every window of ``step_ms`` that overlaps ``[start_ms, end_ms)``, whole.

    ``server_ids`` is ``None`` for all servers; empty ``fields`` and ``tags`` do not filter.
    Rollups answer for times before ``raw_from_ms``, raw values from there on; it is a multiple of
    ``rollup_window_ms``, and so is ``step_ms`` where rollups take part.
    """

    server_ids: tuple[str, ...] | None
    measurement: str
    fields: tuple[str, ...]
    tags: Tags
    start_ms: int
    end_ms: int
    step_ms: int
    aggregate: Aggregate = "mean"
    raw_from_ms: int = 0


@dataclass(frozen=True, slots=True)
class RawQuery:
    """Which raw values of one server to read: ``fields`` are those of each measurement."""

    server_id: str
    fields: Mapping[str, Collection[str]]
    start_ms: int
    end_ms: int


@dataclass(frozen=True, slots=True)
class Series:
    """An answer's series: ``points`` are (window start in ms, value), ascending, no empty ones.

    In an answer with raw values, each has its own time.
    """

    server_id: str
    measurement: str
    field: str
    tags: Tags
    points: Sequence[tuple[int, float]]


class Budget:
    """Counts what one answer takes, so that no question makes the process run out of memory."""

    def __init__(self, values: int = MAX_VALUES) -> None:
        self._limit = self._left = values

    def spend(self, values: int) -> None:
        """Take so many values off; raise QueryError when there are more than one answer holds."""
        self._left -= values
        if self._left < 0:
            raise QueryError(
                "step",
                f"this is more than {self._limit} values; ask for fewer servers, fields or tags, "
                "a shorter time or a longer step",
            )


class Store(Protocol):
    """A place that keeps values and answers queries.

    Every method raises ``StoreUnavailableError`` when the engine does not answer, and the kinds of
    it that ``errors`` describes: the caller waits and repeats, which is harmless. ``write`` raises
    ``StoreRejectedError`` when some or all of these points will never go in as they are (the
    others may have been kept: writing them again is harmless) and ``StoreTooLargeError`` when they
    are more than go in at once.
    """

    def write(self, points: Sequence[StorePoint]) -> None:
        """Keep ``points``, on disk before this returns; a value that is there is overwritten."""
        ...

    def query(self, query: Query) -> list[Series]:
        """Return the series that match, ordered by server, tags and field."""
        ...

    def raw(self, query: RawQuery) -> list[Series]:
        """Return the raw values that match, ordered by measurement, tags and field."""
        ...

    def rollup(self, windows: Sequence[RollupWindow], window_ms: int) -> None:
        """Make the rollups of ``windows`` anew from the raw values that are there."""
        ...

    def oldest(self) -> OldestTimes:
        """Return how old what ``expire`` may remove is, to the precision of the layout."""
        ...

    def expire(self, raw_before_ms: int, rollup_before_ms: int) -> bool:
        """Remove a small portion of what is older; return whether more is left to remove."""
        ...

    def close(self) -> None:
        """Release connections and files; harmless when repeated."""
        ...
