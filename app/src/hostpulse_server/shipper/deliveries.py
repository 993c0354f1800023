"""Turns journal entries into deliveries, the shipper's unit of work; pure.

Three kinds of entry are known. ``samples`` is what an agent sent, as far as it was accepted.
``internal`` is what the server measures about itself: ``{"points": [{"server_id", "measurement",
"tags", "time", "fields"}]}``, which has no stream and no ledger. ``refused`` holds no points.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from hostpulse_server.errors import HostpulseError
from hostpulse_server.journal.records import INTERNAL, REFUSED, SAMPLES, SamplesRecord
from hostpulse_server.values.points import StorePoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostpulse_server.journal import Entry

_INTEGER_LIMIT = 2**63
_LONGEST_SECONDS = 10**9


class UndecodableError(HostpulseError):
    """An entry cannot be read; the message has the reason."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where samples came from: one stream of one server. Times are epoch ms.

    ``spool_seconds`` is how old the oldest sample was that the agent had not sent by the newest of
    these, ``None`` where that does not say.
    """

    server_id: str
    stream: str
    agent_version: str
    received_ms: int
    interval_ms: int
    samples: tuple[tuple[int, int], ...]
    dropped: Mapping[str, int] = field(default_factory=dict)
    spool_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Delivery:
    """One entry, read: its points and, if an agent sent samples, their origin."""

    entry: Entry
    points: list[StorePoint]
    origin: Origin | None = None


def decode(entry: Entry) -> Delivery:
    """Read ``entry``; raise UndecodableError when it is not what its kind says."""
    if entry.kind == REFUSED:
        return Delivery(entry, [])
    try:
        if entry.kind == SAMPLES:
            return _samples(entry)
        if entry.kind == INTERNAL:
            points = json.loads(entry.body)["points"]
            return Delivery(
                entry, [_point(_text(p["server_id"]), _whole(p["time"]), p) for p in points]
            )
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        RecursionError,
    ) as error:
        raise UndecodableError(f"{type(error).__name__}: {error}") from error
    raise UndecodableError(f"unknown kind {entry.kind!r}")


def _samples(entry: Entry) -> Delivery:
    record = SamplesRecord.decode(entry)
    server_id = _text(record.server_id)
    points = [
        _point(server_id, time_ms, point)
        for sample in record.samples
        for time_ms in (_whole(sample["time"]),)
        for point in sample["points"]
    ]
    if not record.samples:
        return Delivery(entry, points)
    newest = max(record.samples, key=lambda sample: int(sample["seq"]))
    return Delivery(
        entry,
        points,
        Origin(
            server_id=server_id,
            stream=_text(record.agent["stream"]),
            agent_version=_text(record.agent["version"]),
            received_ms=entry.received_ms,
            interval_ms=_whole(newest["interval_ms"]),
            samples=tuple(
                (_whole(sample["seq"]), _whole(sample["time"])) for sample in record.samples
            ),
            dropped={_text(k): _whole(v) for k, v in (newest.get("dropped") or {}).items()},
            spool_seconds=_spool_seconds(newest["points"]),
        ),
    )


def _spool_seconds(points: Iterable[Mapping[str, Any]]) -> float | None:
    for point in points:
        if point["measurement"] == "agent":
            found = point["fields"].get("spool_oldest_seconds")
            if isinstance(found, int | float) and 0 <= found < _LONGEST_SECONDS:
                return float(found)
    return None


def _point(server_id: str, time_ms: int, point: Mapping[str, Any]) -> StorePoint:
    """Return a point whose names and tags are text; its values are the store's to judge."""
    tags, fields = point.get("tags"), point["fields"]
    measurement = point["measurement"]
    if type(measurement) is not str or type(fields) is not dict:
        raise TypeError("a point without a name or without fields")
    if not tags:
        return StorePoint(server_id, measurement, (), time_ms, fields)
    for value in tags.values():
        if type(value) is not str:
            raise TypeError(f"{value!r:.40} is not text")
    return StorePoint(server_id, measurement, tuple(sorted(tags.items())), time_ms, fields)


def _text(value: Any) -> str:
    """Return ``value`` if SQLite can keep it as text; raise ValueError if not."""
    if not isinstance(value, str):
        raise TypeError(f"{value!r:.40} is not text")
    value.encode()
    return value


def _whole(value: Any) -> int:
    """Return ``value`` if SQLite can keep it as a time or count; raise ValueError if not."""
    number = int(value)
    if not 0 <= number < _INTEGER_LIMIT:
        raise ValueError(f"{number} is out of range")
    return number
