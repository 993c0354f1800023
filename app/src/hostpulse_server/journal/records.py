"""What a journal entry of kind ``samples`` holds."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.journal.journal import Entry

KIND = "samples"
# the api refused a known server's request: {"server_id", "reason"}; for the alert engine alone
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
        )
