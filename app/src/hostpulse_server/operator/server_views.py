"""A server as lists and the api show it: registry and last sample joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostpulse_server.values.server_status import Status, status_of

if TYPE_CHECKING:
    from hostpulse_server.registry.model import Server
    from hostpulse_server.shipper.last_seen import LastSeen


def server_status(server: Server, seen: LastSeen | None, now_ms: int) -> Status:
    """Return the status at ``now_ms``; ``seen`` is ``None`` before the first sample."""
    return status_of(
        disabled=server.disabled,
        conflict_ms=server.conflict_ms,
        last_ms=seen.last_received_ms if seen else None,
        interval_ms=seen.interval_ms if seen else server.interval_ms,
        now_ms=now_ms,
    )


def server_json(server: Server, seen: LastSeen | None, now_ms: int) -> dict[str, Any]:
    """Return what ``GET /api/v1/servers`` and ``servers list --json`` show of one server.

    Times are epoch milliseconds, ``completeness`` is a percentage; ``None`` is not known yet.
    """
    return {
        "id": server.id,
        "name": server.name,
        "address": server.address,
        "labels": dict(server.labels),
        "allow_from": list(server.allow_from),
        "status": server_status(server, seen, now_ms),
        "last_seen": seen.last_received_ms if seen else None,
        "agent_version": server.agent_version or (seen.agent_version if seen else None),
        "clock_offset_ms": server.clock_offset_ms,
        "completeness": seen.completeness_percent if seen else None,
        "facts": dict(server.facts) if server.facts is not None else None,
    }
