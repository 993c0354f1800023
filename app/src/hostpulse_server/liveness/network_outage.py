"""Network outages: one alert a network, not one a host, if most of its hosts fall silent."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.formatting import clock_time, some_of
from hostpulse_server.liveness.causes import REFUSAL_MS, subnet_name
from hostpulse_server.liveness.conditions import end_of
from hostpulse_server.liveness.fleet_outage import ASKED, LEAST, RETURN_MS, is_most, late_ms
from hostpulse_server.liveness.host_state import FiringCondition, conditions_from
from hostpulse_server.values.alert import NO_SERVER, SEVERITIES, AlertIdentity, Condition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import tzinfo

    from hostpulse_server.liveness.host_state import HostState
    from hostpulse_server.liveness.tracker import HostTracker
    from hostpulse_server.rules.model import RuleSet
    from hostpulse_server.values.alert import Reason, Severity

# hosts that fell silent within this time of each other did so for one reason
TOGETHER_MS: Final = 600_000
TAG: Final = "network"
_VERDICT: Final = "network"


@dataclass(slots=True)
class NetworkOutage:
    """``members`` fell silent together, the first at ``start_ms``.

    ``handover_ms`` is when those still silent are judged each by itself, 0 while the outage lasts.
    ``text`` and ``lines`` are what was reported last.
    """

    members: set[str]
    start_ms: int
    handover_ms: int = 0
    reported: dict[str, FiringCondition] = field(default_factory=dict)
    text: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class SubnetState:
    """A network's hosts that count: ``down`` do not answer, of ``open`` that is not known yet."""

    down: Sequence[str]
    open: Sequence[str]
    reporting: Sequence[str]


class NetworkOutageDetector:
    """Decides whether the silence of hosts is evidence about their network.

    ``open_nets`` are networks of which an answer on its way may still decide that.
    """

    def __init__(self, tracker: HostTracker, zone: tzinfo) -> None:
        self._zone = zone
        self._tracker = tracker
        self._outages: dict[bytes, NetworkOutage] = {}
        self._floor_ms = 0
        self._has_changed = False
        self.open_nets: set[bytes] = set()

    def choose(self, rules: RuleSet, now_ms: int) -> list[Condition]:
        """Go by other rules; return the ends of alerts that have none any more."""
        conditions = []
        for net, outage in self._outages.items():
            for name in list(outage.reported):
                rule = rules.rules.get(name)
                if rule is None or not rule.enabled:
                    reason: Reason = "disabled" if rule else "rule_removed"
                    said = outage.reported.pop(name)
                    conditions.append(_end(name, subnet_name(net), said, now_ms, reason))
                    self._has_changed = True
        return conditions

    def turn(
        self,
        silent: Iterable[str],
        ignored: Collection[str],
        floor_ms: int,
        now_ms: int,
        *,
        is_holding: bool,
    ) -> list[Condition]:
        """Return what has changed; no outage begins or is reported anew while ``is_holding``.

        ``silent`` are hosts that are silent for long, ``ignored`` count for nothing (a silence).
        No silence counts from before ``floor_ms``.
        """
        self.open_nets.clear()
        self._floor_ms = floor_ms
        by_net: defaultdict[bytes, list[str]] = defaultdict(list)
        for server_id in silent:
            net = self._tracker.network_of(server_id)
            if net is not None:
                by_net[net].append(server_id)
        conditions: list[Condition] = []
        for net in self._outages.keys() - by_net.keys():
            conditions += self._close(net, now_ms)  # nobody of it is silent any more
        for net, hosts in by_net.items():
            if net in self._outages or len(hosts) >= LEAST:
                found = self._look(net, set(hosts), ignored, now_ms)
                conditions += self._judge(net, found, now_ms, is_holding=is_holding)
        return conditions

    def covers(self, server_id: str) -> bool:
        """Return whether a host is not to be judged by itself."""
        net = self._tracker.network_of(server_id)
        outage = self._outages.get(net) if net is not None else None
        return outage is not None and server_id in outage.members

    def is_open(self, server_id: str) -> bool:
        """Return whether answers on their way may still blame a host's network."""
        return self._tracker.network_of(server_id) in self.open_nets

    def shift(self, by_ms: int) -> None:
        """Move times: the wall clock was set."""
        for outage in self._outages.values():
            outage.start_ms += by_ms
            outage.handover_ms += by_ms if outage.handover_ms else 0
            self._has_changed = True

    def has_changed(self) -> bool:
        """Return whether ``document`` is another one since the last call."""
        before, self._has_changed = self._has_changed, False
        return before

    def document(self) -> dict[str, Any]:
        """Return all that a restart must not lose."""
        return {
            net.hex(): {
                "members": sorted(outage.members),
                "start_ms": outage.start_ms,
                "handover_ms": outage.handover_ms,
                "told": {rule: list(said) for rule, said in outage.reported.items()},
                "text": outage.text,
                "lines": list(outage.lines),
            }
            for net, outage in self._outages.items()
        }

    def restore(self, document: Mapping[str, Any], now_ms: int) -> None:
        """Take over what ``document`` returned; nothing in it began later than now."""
        self._outages = {
            bytes.fromhex(net): NetworkOutage(
                set(one["members"]),
                min(int(one["start_ms"]), now_ms),
                min(int(one["handover_ms"]), now_ms + RETURN_MS),
                conditions_from(one["told"]),
                str(one["text"]),
                tuple(one["lines"]),
            )
            for net, one in document.items()
        }

    def _look(
        self, net: bytes, silent: set[str], ignored: Collection[str], now_ms: int
    ) -> SubnetState:
        """Sort a network's hosts; one that was stopped or reported before is no evidence."""
        down, unasked, reporting = [], [], []
        for server_id in self._tracker.hosts_of(net):
            known = self._tracker.active[server_id]
            if (
                server_id in ignored
                or known.stop
                or known.reported
                or not known.rules
                or not known.last_seen_ms
            ):
                continue
            is_refused = known.refusal and now_ms - known.refusal.at_ms < REFUSAL_MS
            if server_id not in silent:
                if self._silence(known, now_ms) < late_ms(known):
                    reporting.append(server_id)
            elif is_refused or (known.steadiness.is_known and known.steadiness.is_answering):
                reporting.append(server_id)  # its network lets it through
            elif known.steadiness.is_known:
                down.append(server_id)
            else:
                unasked.append(server_id)
        return SubnetState(down, unasked, reporting)

    def _judge(
        self, net: bytes, found: SubnetState, now_ms: int, *, is_holding: bool
    ) -> list[Condition]:
        outage = self._outages.get(net)
        if outage is None:
            if is_holding:
                return []
            outage = self._find(net, found, now_ms)
            if outage is None:
                return []
            self._outages[net] = outage
            self._has_changed = True
        silent = [one for one in (*found.down, *found.open) if one in outage.members]
        last_ms = outage.start_ms + TOGETHER_MS
        more = {one for one in found.down if self._tracker.active[one].from_ms <= last_ms}
        if not more <= outage.members and not outage.handover_ms:
            silent += sorted(more - outage.members)
            outage.members |= more
            self._has_changed = True
        if not is_most(len(silent), len(silent) + len(found.reporting)):
            return self._hand_over(net, outage, now_ms)
        if outage.handover_ms:
            outage.handover_ms = 0  # they went away again
            self._has_changed = True
        return [] if is_holding else self._report(net, outage, silent, found.reporting, now_ms)

    def _find(self, net: bytes, found: SubnetState, now_ms: int) -> NetworkOutage | None:
        active = self._tracker.active
        newest_ms = max((active[one].from_ms for one in (*found.down, *found.open)), default=0)
        least_ms = newest_ms - TOGETHER_MS
        down = [one for one in found.down if active[one].from_ms >= least_ms]
        unasked = [one for one in found.open if active[one].from_ms >= least_ms]
        members = {*down, *unasked}
        total = len(members) + len(found.reporting)
        if not is_most(len(members), total):
            return None
        is_due = any(self._silence(active[one], now_ms) >= active[one].for_ms for one in members)
        if not is_due and not is_most(len(down), total):
            self.open_nets.add(net)
            return None
        return NetworkOutage(members, min(active[one].from_ms for one in members))

    def _hand_over(self, net: bytes, outage: NetworkOutage, now_ms: int) -> list[Condition]:
        """Let those that are on their way back report first, if anybody was notified."""
        if not outage.handover_ms:
            outage.handover_ms = now_ms + RETURN_MS
            self._has_changed = True
        return self._close(net, now_ms) if now_ms >= outage.handover_ms else []

    def _close(self, net: bytes, now_ms: int) -> list[Condition]:
        outage = self._outages.pop(net)
        self._has_changed = True
        return [
            _end(rule, subnet_name(net), reported, now_ms, "cleared")
            for rule, reported in outage.reported.items()
        ]

    def _report(
        self,
        net: bytes,
        outage: NetworkOutage,
        silent: Sequence[str],
        reporting: Sequence[str],
        now_ms: int,
    ) -> list[Condition]:
        """Return the conditions of an outage, rule by rule, as far as they have changed."""
        due = self._due(silent, now_ms)
        if not due and not outage.reported:
            return []
        name = subnet_name(net)
        conditions = []
        silent = sorted(silent)
        text = (
            f"Network {name}: {len(silent)} hosts are silent since "
            f"{clock_time(outage.start_ms, now_ms, self._zone)}, and none of them answers"
        )
        lines = (
            f"silent: {some_of(silent)}",
            self._others(silent, reporting),
            *self._tried(silent),
        )
        for rule, found in due.items():
            before = outage.reported.get(rule)
            severity = max(found, before.severity if before else found, key=SEVERITIES.index)
            if (
                before
                and before.severity == severity
                and (text, lines[:2])
                == (
                    outage.text,
                    outage.lines[:2],
                )
            ):
                continue
            started_ms = before.started_ms if before else outage.start_ms
            outage.reported[rule] = FiringCondition(severity, _VERDICT, started_ms)
            self._has_changed = True
            conditions.append(
                Condition(
                    identity=AlertIdentity(rule, NO_SERVER, ((TAG, name),)),
                    phase="firing",
                    severity=severity,
                    value=None,
                    threshold=None,
                    started_ms=started_ms,
                    at_ms=now_ms,
                    text=text,
                    evidence=lines,
                    # no verdict: one without a server would mute the liveness alerts of all hosts
                    facts={"kind": "liveness", TAG: name},
                    labels=self._labels(silent),
                )
            )
        if due:
            outage.text, outage.lines = text, lines
        return conditions

    def _due(self, silent: Sequence[str], now_ms: int) -> dict[str, Severity]:
        """Return by rule the severity that the most severe of the hosts would have by itself."""
        found: dict[str, Severity] = {}
        for server_id in silent:
            known = self._tracker.active[server_id]
            own = "host_down" if known.answers_while_up else "silent"
            for rule in known.rules:
                for level in rule.liveness:
                    fits = own in level.verdicts or "path_broken" in level.verdicts
                    if fits and self._silence(known, now_ms) >= known.due_ms(level):
                        severities = (level.severity, found.get(rule.name, level.severity))
                        found[rule.name] = max(severities, key=SEVERITIES.index)
        return found

    def _silence(self, known: HostState, now_ms: int) -> int:
        return now_ms - max(known.from_ms, self._floor_ms)

    def _others(self, silent: Sequence[str], reporting: Sequence[str]) -> str:
        if reporting:
            return f"still there: {some_of(sorted(reporting))}"
        unproven = sum(not self._tracker.active[one].answers_while_up for one in silent)
        no_one = "no host of it reports"
        if not unproven:
            return no_one
        return f"{no_one}; of {unproven} it is not known whether they answer to probes at all"

    def _tried(self, silent: Sequence[str]) -> list[str]:
        active = self._tracker.active
        return [line for one in silent[:ASKED] for line in active[one].steadiness.lines]

    def _labels(self, silent: Sequence[str]) -> dict[str, str]:
        """Return the labels by which most of the hosts would have been routed."""
        counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
        for server_id in silent:
            server = self._tracker.active[server_id].server
            for label, value in (server.labels if server else {}).items():
                counts[label][value] += 1
        return {label: counts[label].most_common(1)[0][0] for label in sorted(counts)}


def _end(rule: str, name: str, reported: FiringCondition, now_ms: int, reason: Reason) -> Condition:
    return end_of(AlertIdentity(rule, NO_SERVER, ((TAG, name),)), reported, reason, now_ms)
