"""The registered servers, with what is known of each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hostpulse_server.liveness import causes
from hostpulse_server.liveness.conditions import ending
from hostpulse_server.liveness.host_state import HostState

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from hostpulse_server.registry import Server
    from hostpulse_server.rules.model import Rule, RuleSet
    from hostpulse_server.values.alert import Condition, Reason


class HostTracker:
    """``known`` holds every host that was seen, ``active`` those whose silence counts.

    ``changed`` are servers of which something else is to be remembered now.
    """

    def __init__(self, rules: RuleSet) -> None:
        self.known: dict[str, HostState] = {}
        self.active: dict[str, HostState] = {}
        self.changed: set[str] = set()
        self._rules = rules
        self._servers: list[Server] | None = None
        self._disabled: set[str] = set()
        self._net_of: dict[str, bytes] = {}
        self._hosts_of: dict[bytes, list[str]] = {}

    def of(self, server_id: str) -> HostState:
        """Return what is known of a server."""
        known = self.known.get(server_id)
        if known is None:
            known = self.known[server_id] = HostState()
        return known

    def reload(self, rules: RuleSet, now_ms: int) -> list[Condition]:
        """Go by other rules."""
        self._rules = rules
        servers, self._servers = self._servers, None
        return [] if servers is None else self.register(servers, now_ms)

    def register(self, servers: Sequence[Server], now_ms: int) -> list[Condition]:
        """Take over the registry, if it has changed; return ends of alerts that go with that."""
        if servers == self._servers:
            return []
        self._servers = list(servers)
        disabled = {server.id for server in servers if server.disabled}
        present = {server.id: server for server in servers if not server.disabled}
        conditions = []
        for server_id in self.known.keys() - present.keys():
            reason: Reason = "disabled" if server_id in disabled else "server_removed"
            known = self.known.pop(server_id)
            conditions += [
                ending(rule, server_id, known, reason, now_ms) for rule in list(known.reported)
            ]
        for server_id, server in present.items():
            known = self.of(server_id)
            if server_id in self._disabled and not known.last_seen_ms:
                known.since_ms = now_ms  # it could not report before
                self.changed.add(server_id)
            known.register(server, self._rules_of(server))
            ended = self._without_rule(server_id, known, now_ms)
            if ended:
                self.changed.add(server_id)
                conditions += ended
        self._disabled = disabled
        self.changed &= self.known.keys()
        self.active = {server_id: self.known[server_id] for server_id in present}
        self._hosts_of = causes.subnets(present.values())
        self._net_of = {one: net for net, hosts in self._hosts_of.items() for one in hosts}
        return conditions

    def network_of(self, server_id: str) -> bytes | None:
        """Return the first bytes of a server's network, ``None`` without a literal address."""
        return self._net_of.get(server_id)

    def hosts_of(self, net: bytes) -> Sequence[str]:
        """Return the servers of a network whose silence counts."""
        return self._hosts_of.get(net, ())

    def _rules_of(self, server: Server) -> tuple[Rule, ...]:
        found = [
            self._rules.effective(name, server.id, {}, server.labels)
            for name, rule in self._rules.rules.items()
            if rule.kind == "liveness"
        ]
        return tuple(rule for rule in found if rule is not None)

    def _without_rule(self, server_id: str, known: HostState, now_ms: int) -> list[Condition]:
        names: Collection[str] = {rule.name for rule in known.rules}
        return [
            ending(
                name,
                server_id,
                known,
                "disabled" if name in self._rules.rules else "rule_removed",
                now_ms,
            )
            for name in list(known.reported)
            if name not in names
        ]
