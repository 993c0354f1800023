"""The kinds of journal entry, and what each holds.

``samples`` is what an agent sent, as far as it was accepted. ``internal`` is what the server
measures about itself: ``{"points": [{"server_id", "measurement", "tags", "time", "fields"}]}``.
``refused`` is that the api refused a known server's request: ``{"server_id", "reason"}``, for the
alert engine alone.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from hostpulse_server.journal.journal import Entry
    from hostpulse_server.values.points import StorePoint

SAMPLES = "samples"
INTERNAL = "internal"
REFUSED = "refused"


@dataclass(frozen=True)
class SamplesRecord:
    """The accepted part of one request.

    ``agent``: ``{"version", "stream", "boot_id"?, "machine"?}``. ``samples``: list of ``{"seq",
    "time" (epoch ms), "interval_ms", "points", "mono_ms"?, "dropped"?, "processes"?}``, a point
    being ``{"measurement", "fields": {name: number}, "tags"?: {name: text}}``. Field values may
    be int or float: make them float before storing.
    """

    server_id: str
    received_ms: int
    agent: Mapping[str, Any]
    samples: list[dict[str, Any]]
    facts: Mapping[str, Any] | None = None
    events: list[dict[str, Any]] = field(default_factory=list)
    ext: Mapping[str, Any] | None = None

    def encode(self) -> bytes:
        """Return the body of the journal entry."""
        document: dict[str, Any] = {
            "server_id": self.server_id,
            "agent": self.agent,
            "samples": self.samples,
        }
        if self.facts is not None:
            document["facts"] = self.facts
        if self.events:
            document["events"] = self.events
        if self.ext:
            document["ext"] = self.ext
        return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()

    @classmethod
    def decode(cls, entry: Entry) -> SamplesRecord:
        """Read an entry of kind ``samples``; a body that was kept as sent reads the same."""
        document = json.loads(entry.body)
        return cls(
            server_id=document["server_id"],
            received_ms=entry.received_ms,
            agent=document["agent"],
            samples=document["samples"],
            facts=document.get("facts"),
            events=document.get("events", []),
            ext=document.get("ext") or None,
        )


def encode_internal(points: Iterable[StorePoint]) -> bytes:
    """Return the body of an ``internal`` entry."""
    document = {"points": [point_document(point) for point in points]}
    return json.dumps(document, separators=(",", ":"), allow_nan=False).encode()


def point_document(point: StorePoint) -> dict[str, Any]:
    """Return a point as an ``internal`` entry holds it."""
    return {
        "server_id": point.server_id,
        "measurement": point.measurement,
        "tags": dict(point.tags),
        "time": point.time_ms,
        "fields": dict(point.fields),
    }
