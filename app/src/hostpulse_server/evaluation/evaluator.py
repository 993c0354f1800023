"""Evaluates rules over samples as they arrive and returns changed conditions; in memory only."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hostpulse_server.evaluation import snapshot
from hostpulse_server.evaluation.compiled import Compiler
from hostpulse_server.evaluation.host_state import EvaluatedHost

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule
    from hostpulse_server.rules import RuleSet
    from hostpulse_server.values.alert import Condition, Reason
    from hostpulse_server.values.points import Tags


class Evaluator:
    """Holds the state of every threshold rule on every series; knows no clock and no database.

    ``labels`` gives the labels of a server, none for one that is not known. Samples of different
    origins of a server are evaluated apart from each other. What ends without a sample (a rule is
    removed, a server forgotten) ends at the time of the newest sample.
    """

    def __init__(self, rules: RuleSet, labels: Callable[[str], Mapping[str, str]]) -> None:
        self._compiler = Compiler(rules)
        self._labels = labels
        self._hosts: defaultdict[str, dict[str, EvaluatedHost]] = defaultdict(
            dict
        )  # by origin, by server
        # found by a change of labels, returned with the next samples
        self._ended: dict[str, list[Condition]] = {}

    def add(
        self,
        server_id: str,
        origin: str,
        time_ms: int,
        interval_ms: int,
        points: Sequence[Mapping[str, Any]],
    ) -> bool:
        """Evaluate a sample; return False for one that is not newer than the last of its origin.

        ``points`` are as agents send them, checked: ``measurement``, ``fields``, maybe ``tags``.
        """

        def compiled(series: Sequence[Mapping[str, Any]]) -> CompiledLayout:
            return self._compiler.plan(server_id, series, self._labels(server_id))

        host = self._host(server_id, origin)
        return host.add(time_ms, interval_ms, points, compiled)

    def collect_changes(self, server_id: str, *, is_fresh: bool) -> list[Condition]:
        """Return what differs from what was last collected; nothing while not fresh.

        An alert that has ended and fired again since is none; one that has ended and waits again
        is two conditions, in this order.
        """
        if not is_fresh:
            return []
        found = self._ended.pop(server_id, None) or []
        for hosts in self._hosts.values():
            host = hosts.get(server_id)
            if host is not None and host.active.changed:
                found += host.collect_changes()
        return found

    def dump(self, server_id: str, origin: str) -> tuple[int, dict[str, Any]]:
        """Return the time of the newest sample, and as JSON what ``restore`` needs to go on.

        Trends are not in it.
        """
        host = self._host(server_id, origin)
        return host.time_ms, snapshot.dump(host)

    def restore(
        self, server_id: str, origin: str, time_ms: int, document: Mapping[str, Any]
    ) -> None:
        """Take over what was dumped, also under rules that have changed since.

        A series of which nothing was remembered is taken for one that was in the last sample, if
        it comes within five.
        """
        host = EvaluatedHost(server_id)
        labels = self._labels(server_id)

        def find(name: str, tags: Tags) -> CompiledRule | None:
            return self._compiler.compiled_rule(name, server_id, tags, labels)

        snapshot.restore(host, document, find)
        host.time_ms = time_ms
        self._hosts[origin][server_id] = host

    def reload(self, rules: RuleSet) -> list[Condition]:
        """Evaluate by these rules from now on; return the ends of what no longer has a rule.

        Clocks go on where their threshold is the same. What fires under another one is judged by
        the next sample, without its ``for``. Trends begin anew.
        """
        self._compiler = Compiler(rules)
        servers = dict.fromkeys(one for hosts in self._hosts.values() for one in hosts)
        return [one for server_id in servers for one in self._adopt(server_id)]

    def relabel(self, server_id: str) -> None:
        """Resolve the overrides of a server anew, whose labels have changed."""
        found = self._adopt(server_id)
        if found:
            self._ended.setdefault(server_id, []).extend(found)

    def forget(self, server_id: str, reason: Reason) -> list[Condition]:
        """Forget a server; return the ends of its alerts."""
        found = self._ended.pop(server_id, None) or []
        for hosts in self._hosts.values():
            host = hosts.pop(server_id, None)
            if host is not None:
                found += host.finish(reason)
        return found

    def _host(self, server_id: str, origin: str) -> EvaluatedHost:
        hosts = self._hosts[origin]
        host = hosts.get(server_id)
        if host is None:
            host = hosts[server_id] = EvaluatedHost(server_id)
        return host

    def _adopt(self, server_id: str) -> list[Condition]:
        labels = self._labels(server_id)

        def successor(compiled_rule: CompiledRule) -> CompiledRule | Reason:
            name = compiled_rule.rule.name
            found = self._compiler.compiled_rule(name, server_id, compiled_rule.tags, labels)
            return found or ("disabled" if self._compiler.knows(name) else "rule_removed")

        return [
            condition
            for hosts in self._hosts.values()
            if server_id in hosts
            for condition in hosts[server_id].adopt(successor)
        ]
