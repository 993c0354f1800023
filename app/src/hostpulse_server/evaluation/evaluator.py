"""Evaluates rules over samples as they arrive and returns changed conditions; in memory only."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

from hostpulse_server.evaluation import snapshot
from hostpulse_server.evaluation.compiled import Compiler
from hostpulse_server.evaluation.timeline import HostTimeline

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from hostpulse_server.evaluation.compiled import CompiledLayout, CompiledRule
    from hostpulse_server.evaluation.timeline import Sample
    from hostpulse_server.rules import RuleSet
    from hostpulse_server.values.alert import AlertIdentity, Condition, CurrentValue, Reason
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
        self._hosts: defaultdict[str, dict[str, HostTimeline]] = defaultdict(
            dict
        )  # by origin, by server
        # found by a change of labels, returned with the next samples
        self._ended: dict[str, list[Condition]] = {}

    def add(self, server_id: str, origin: str, sample: Sample) -> bool:
        """Evaluate a sample; return False for one that is known already, or comes too late."""
        return self._host(server_id, origin).add(sample, self._compiled(server_id))

    def collect_changes(self, server_id: str, now_ms: int, *, is_fresh: bool) -> list[Condition]:
        """Return what differs from what was last collected; nothing while not fresh.

        What began and ended since is marked late. ``now_ms`` is on the clock of ``received_ms``:
        gaps that have been open for too long by then are passed over.
        """
        compiled = self._compiled(server_id)
        for hosts in self._hosts.values():
            if server_id in hosts:
                hosts[server_id].expire(now_ms, compiled)
        if not is_fresh:
            return []
        found = self._ended.pop(server_id, None) or []
        for hosts in self._hosts.values():
            host = hosts.get(server_id)
            if host is not None and host.has_changes:
                found += host.collect_changes(server_id, now_ms, compiled)
        return found

    def expire(self, now_ms: int) -> list[tuple[str, str]]:
        """Pass over gaps that have been open for too long; return (server, origin) of those."""
        return [
            (server_id, origin)
            for origin, hosts in self._hosts.items()
            for server_id, host in hosts.items()
            if host.pending and host.expire(now_ms, self._compiled(server_id))
        ]

    def current(self, identity: AlertIdentity) -> CurrentValue | None:
        """Return the value of a firing alert now, ``None`` if nothing is known of it."""
        for hosts in self._hosts.values():
            host = hosts.get(identity.server_id)
            found = host and host.current(identity.rule, identity.tags)
            if found:
                return found
        return None

    def is_in_conflict(self, server_id: str, origin: str) -> bool:
        """Return whether two streams of a server alternate: two machines report as one."""
        host = self._hosts[origin].get(server_id)
        return host is not None and host.conflict.is_on

    def waiting(self) -> list[tuple[str, str]]:
        """Return (server, origin) of those with a gap that is open."""
        return [
            (server_id, origin)
            for origin, hosts in self._hosts.items()
            for server_id, host in hosts.items()
            if host.pending
        ]

    def oldest_waiting(self) -> int | None:
        """Return the oldest entry of the journal with a sample that waits, ``None`` without one."""
        return min(
            (
                sample.entry_id
                for hosts in self._hosts.values()
                for host in hosts.values()
                for sample in host.pending.values()
            ),
            default=None,
        )

    def layout(self, server_id: str, points: Sequence[Mapping[str, Any]]) -> CompiledLayout:
        """Return the rules as they hold for samples with the series of these points."""
        return self._compiled(server_id)(points)

    def is_at_rest(self, server_id: str, origin: str) -> bool:
        """Return whether nothing but windows is remembered of the samples so far."""
        return self._host(server_id, origin).is_at_rest

    def dump(self, server_id: str, origin: str) -> tuple[int, dict[str, Any]]:
        """Return the time of the newest sample, and as JSON what ``restore`` needs to go on.

        Trends are not in it, and neither are samples that wait for a gap to close.
        """
        host = self._host(server_id, origin)
        return host.confirmed.time_ms, snapshot.dump(host)

    def restore(
        self, server_id: str, origin: str, time_ms: int, document: Mapping[str, Any]
    ) -> list[int]:
        """Take over what was dumped, also under rules that have changed since.

        Return the journal's entries with samples that waited: they are to be added again. A series
        of which nothing was remembered is taken for one that was in the last sample, if it comes
        within five.
        """
        host = HostTimeline()
        labels = self._labels(server_id)

        def find(name: str, tags: Tags) -> CompiledRule | None:
            return self._compiler.compiled_rule(name, server_id, tags, labels)

        entries = snapshot.restore(host, document, find)
        host.confirmed.time_ms = time_ms
        self._hosts[origin][server_id] = host
        return entries

    def reload(self, rules: RuleSet) -> list[Condition]:
        """Evaluate by these rules from now on; return the ends of what no longer has a rule.

        Clocks go on where their threshold is the same. What fires under another one is judged by
        the next sample, without its ``for``. Trends begin anew where a rule has changed; what no
        change concerns is left as it is.
        """
        self._compiler = Compiler(rules, self._compiler)
        servers = dict.fromkeys(one for hosts in self._hosts.values() for one in hosts)
        changed = self._compiler.changed
        return [one for server_id in servers for one in self._adopt(server_id, changed)]

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
                found += host.ends(server_id, sorted(host.reported, key=_by_name), reason)
        return found

    def _compiled(self, server_id: str) -> Callable[[Sequence[Mapping[str, Any]]], CompiledLayout]:
        def compiled(series: Sequence[Mapping[str, Any]]) -> CompiledLayout:
            return self._compiler.plan(server_id, series, self._labels(server_id))

        return compiled

    def _host(self, server_id: str, origin: str) -> HostTimeline:
        hosts = self._hosts[origin]
        host = hosts.get(server_id)
        if host is None:
            host = hosts[server_id] = HostTimeline()
        return host

    def _adopt(self, server_id: str, changed: Collection[str] | None = None) -> list[Condition]:
        """Go on under the rules in force; ``changed`` are those that may be others, if known."""
        labels = self._labels(server_id)

        def successor(compiled_rule: CompiledRule) -> CompiledRule | Reason:
            name = compiled_rule.rule.name
            if changed is not None and name not in changed:
                return compiled_rule
            found = self._compiler.compiled_rule(name, server_id, compiled_rule.tags, labels)
            return found or ("disabled" if self._compiler.knows(name) else "rule_removed")

        return [
            condition
            for hosts in self._hosts.values()
            if server_id in hosts
            and (changed is None or hosts[server_id].is_concerned(changed, self._compiler.touched))
            for condition in hosts[server_id].adopt(server_id, successor)
        ]


def _by_name(compiled_rule: CompiledRule) -> tuple[str, Tags]:
    return compiled_rule.rule.name, compiled_rule.tags
