"""What a collector is: a catalogue of what it measures, and one call that measures it.

Plain ``NamedTuple`` classes instead of dataclasses: importing ``dataclasses`` pulls in
``inspect`` and costs an agent more than a mebibyte of resident memory.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Optional  # noqa: UP035 -- evaluated by NamedTuple on 3.9

INFINITY = float("inf")


class Field(NamedTuple):
    """One field of a measurement: its unit, its meaning and the range of sane values."""

    unit: str
    meaning: str
    low: float = 0.0
    high: float = INFINITY


class Catalogue(NamedTuple):
    """A measurement: name, one-sentence summary, tags (name -> meaning) and fields."""

    measurement: str
    summary: str
    tags: Dict[str, str]  # noqa: UP006
    fields: Dict[str, Field]  # noqa: UP006


class Point(NamedTuple):
    """One row of a measurement at the sample's time."""

    measurement: str
    tags: Dict[str, str]  # noqa: UP006
    fields: Dict[str, float]  # noqa: UP006


class Collector:
    """Base of all collectors; one instance lives as long as the agent and keeps its counters.

    ``catalogue`` declares every field that may be emitted. ``interval_s`` of ``None`` means every
    tick; a larger value lets the sampler call a costly collector less often. ``names`` are, by
    kind, the names of what the last ``collect`` counted or measured as ailing.
    """

    catalogue: Catalogue
    interval_s: Optional[float] = None  # noqa: UP045
    names: Dict[str, List[str]] = {}  # noqa: RUF012, UP006 -- replaced as a whole, never changed

    def collect(self, now: float) -> List[Point]:  # noqa: UP006
        """Measure at monotonic time ``now`` (seconds) and return the points.

        Raises ``OSError`` or ``ValueError`` when the host does not give what is needed; the
        sampler tries once more within the tick and carries on without this collector.
        """
        raise NotImplementedError
