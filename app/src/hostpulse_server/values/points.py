"""Points as they go from the journal into a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

Tags = tuple[tuple[str, str], ...]


class StorePoint(NamedTuple):
    """One point as the shipper hands it over; ``tags`` are sorted by name."""

    server_id: str
    measurement: str
    tags: Tags
    time_ms: int
    fields: Mapping[str, float]
