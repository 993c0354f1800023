"""Judges silence: conditions for hosts that do not report, or one when it is about ourselves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from hostpulse_server.alerts.liveness.model import Ingest, Prober
    from hostpulse_server.alerts.model import Condition
    from hostpulse_server.alerts.rules import RuleSet
    from hostpulse_server.clock import Clock
    from hostpulse_server.registry import Server


class Liveness:
    """Of one thread. Feed it with what arrives, call ``turn`` each second."""

    def __init__(self, rules: RuleSet, clock: Clock, prober: Prober) -> None:
        raise NotImplementedError

    def heard(self, server_id: str, received_ms: int, interval_ms: int) -> None:
        """Note samples, however old they are themselves, that arrived at ``received_ms``."""
        raise NotImplementedError

    def event(self, server_id: str, kind: str, reason: str, received_ms: int) -> None:
        """Note what an agent said about itself; that it says anything means that it is there."""
        raise NotImplementedError

    def refused(self, server_id: str, reason: str, at_ms: int) -> None:
        """Note that a request of this server reached us and was refused."""
        raise NotImplementedError

    def turn(self, now_ms: int, servers: Sequence[Server], ingest: Ingest) -> list[Condition]:
        """Judge all registered servers; return what has changed."""
        raise NotImplementedError

    def changed(self) -> set[str]:
        """Return the servers whose ``dump`` differs from the last call's, and begin anew.

        ``NO_SERVER`` is among them when it is about ourselves.
        """
        raise NotImplementedError

    def dump(self, server_id: str, origin: str = "liveness") -> tuple[int, dict[str, Any]]:
        """Return when the server was last heard (0: never) and what else is remembered of it."""
        raise NotImplementedError

    def restore(
        self, server_id: str, origin: str, time_ms: int, document: Mapping[str, Any]
    ) -> None:
        """Take over what ``dump`` returned."""
        raise NotImplementedError

    def reload(self, rules: RuleSet) -> list[Condition]:
        """Judge by other rules from now on; return the ends of alerts that have none any more."""
        raise NotImplementedError
