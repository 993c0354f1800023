"""What a host is, as opposed to what it does: sent rarely, kept by the registry."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import Any

    from hostpulse_agent.collectors.procfs import Paths


def collect_facts(paths: Paths | None = None) -> dict[str, Any]:
    """Return the host's facts; what cannot be read is left out."""
    raise NotImplementedError
