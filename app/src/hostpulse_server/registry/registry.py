"""The registry: which servers may report, and which keys may do what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hostpulse_server.clock import SYSTEM, Clock
from hostpulse_server.registry.identity import Identity

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from sqlalchemy import Engine


class Registry:
    """Servers and keys in the state database, with an in-memory snapshot for authentication."""

    def __init__(self, engine: Engine, clock: Clock = SYSTEM) -> None:
        self._engine = engine
        self._clock = clock

    def authenticate(self, key_text: str | None, address: str) -> Identity:
        """Return who holds ``key_text``; raise AuthenticationError or PermissionDeniedError."""
        raise NotImplementedError

    def bind_machine(self, server_id: str, machine: str, key_id: str) -> None:
        """Bind the id to this machine by its first sample; raise MachineConflictError."""
        raise NotImplementedError

    def record_facts(
        self,
        server_id: str,
        *,
        facts: Mapping[str, Any] | None,
        agent_version: str,
        clock_offset_ms: int | None,
        interval_ms: int | None,
    ) -> None:
        """Keep what an agent says about its host; writes only what changed."""
        raise NotImplementedError

    def resolve(self, labels: Mapping[str, str], ids: Sequence[str]) -> list[str]:
        """Return the sorted registered ids among ``ids`` (all if empty) with all ``labels``."""
        raise NotImplementedError

    def check(self) -> None:
        """Return if the state database answers; raise StateUnavailableError otherwise."""
        raise NotImplementedError
