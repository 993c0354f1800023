"""Judges silence: conditions for hosts that do not report, or one for an outage of our own."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.liveness import causes
from hostpulse_server.liveness.conditions import conditions_of, ending
from hostpulse_server.liveness.fleet_outage import FleetOutageDetector
from hostpulse_server.liveness.host_state import Baseline, HostState, Note
from hostpulse_server.liveness.network_outage import NetworkOutageDetector
from hostpulse_server.liveness.tracker import HostTracker
from hostpulse_server.runtime.clock_steps import ClockSteps
from hostpulse_server.values.alert import NO_SERVER, SEVERITIES
from hostpulse_server.values.matchers import matches, properties

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from datetime import tzinfo

    from hostpulse_server.liveness.baseline import BaselineLearner
    from hostpulse_server.liveness.model import Ingest, Prober
    from hostpulse_server.registry import Server
    from hostpulse_server.rules import Rule, RuleSet
    from hostpulse_server.runtime.clock import Clock
    from hostpulse_server.values.alert import Condition

# how often a silent server is checked when nothing is due
LOOK_MS: Final = 5_000
# how long a verdict waits for the prober
WAIT_MS: Final = 60_000
# how long an agent that reported why it stops may stay away
GRACE_MS: Final = {"shutdown": 600_000, "remove": 600_000}
RESTART_MS: Final = 120_000
TEXT: Final = 200
_STOPPING: Final = "stopping"


class LivenessMonitor:
    """Of one thread. Feed it with what arrives, call ``turn`` each second."""

    def __init__(
        self,
        rules: RuleSet,
        clock: Clock,
        prober: Prober,
        baseline: BaselineLearner | None = None,
        silences: Callable[[], Sequence[Mapping[str, str]]] = tuple,
        *,
        zone: tzinfo = UTC,
    ) -> None:
        self._clock = clock
        self._prober = prober
        self._baseline = baseline
        self._tracker = HostTracker(rules)
        self._silences = silences
        self._zone = zone
        self._fleet_outage = FleetOutageDetector(zone)
        self._fleet_outage.choose(rules, 0)
        self._network_outages = NetworkOutageDetector(self._tracker, zone)
        self._clock_steps = ClockSteps(clock)
        self._given_floor_ms = self._floor_ms = 0

    def seen(self, server_id: str, received_ms: int, interval_ms: int) -> None:
        """Note samples, however old they are themselves, that arrived at ``received_ms``."""
        known = self._known(server_id)
        known.record_arrival(self._past(received_ms), interval_ms)
        known.stop = None

    def event(self, server_id: str, kind: str, reason: str, received_ms: int) -> None:
        """Note what an agent reported about itself; any report means that it is up."""
        known, at_ms = self._known(server_id), self._past(received_ms)
        known.record_arrival(at_ms)
        if kind == _STOPPING:
            known.stop = Note(_clip(reason), at_ms)

    def refused(self, server_id: str, reason: str, at_ms: int) -> None:
        """Note that a request of this server reached us and was refused."""
        known = self._known(server_id)
        known.refusal = Note(_clip(reason), self._past(at_ms))
        known.look_ms = 0

    def turn(self, now_ms: int, servers: Sequence[Server], ingest: Ingest) -> list[Condition]:
        """Judge all registered servers; return what has changed."""
        self._follow_clock(now_ms)
        conditions = self._tracker.register(servers, now_ms)
        if ingest.is_caught_up:
            if ingest.is_working and self._baseline:
                now = self._clock.monotonic()
                self._tracker.changed.update(self._baseline.turn(self._tracker.active, now))
            self._raise_floor(ingest, now_ms)
            silent = self._look(conditions, now_ms)
            self._fleet_outage.observe(ingest, now_ms)
            ignored = self._silenced() if silent or self._fleet_outage.outage else frozenset()
            if ingest.is_working and (silent or self._fleet_outage.outage):
                self._fleet_outage.count(self._tracker.active, ignored, self._floor_ms, now_ms)
            conditions += self._fleet_outage_changes(now_ms)
            is_holding = self._fleet_outage.is_holding(now_ms)
            conditions += self._network_outages.turn(
                silent, ignored, self._floor_ms, now_ms, is_holding=is_holding
            )
            if not is_holding:
                for server_id in silent:
                    conditions += self._judge(server_id, now_ms)
        return conditions

    def changed(self) -> set[str]:
        """Return the servers whose ``dump`` differs from what it was at the last call.

        ``NO_SERVER`` is among them for an outage of our own, or of a network.
        """
        changed, self._tracker.changed = self._tracker.changed, set()
        has_fleet_changed = self._fleet_outage.has_changed()
        if self._network_outages.has_changed() or has_fleet_changed:
            changed.add(NO_SERVER)
        return changed

    def dump(self, server_id: str, origin: str = "liveness") -> tuple[int, dict[str, Any]]:  # noqa: ARG002 - as the Evaluator's
        """Return when the server was last seen (0: never) and what else is remembered of it."""
        if server_id == NO_SERVER:
            networks = self._network_outages.document()
            return 0, {**self._fleet_outage.document(), "networks": networks}
        known = self._tracker.known.get(server_id) or HostState()
        return known.last_seen_ms, known.document()

    def restore(
        self,
        server_id: str,
        origin: str,  # noqa: ARG002 - as the Evaluator's
        time_ms: int,
        document: Mapping[str, Any],
    ) -> None:
        """Take over what ``dump`` returned."""
        now_ms = self._clock.now_ms()
        if server_id == NO_SERVER:
            self._fleet_outage.restore(document, now_ms)
            self._network_outages.restore(document.get("networks", {}), now_ms)
        else:
            self._tracker.known[server_id] = HostState.of(time_ms, document, now_ms)

    def reload(self, rules: RuleSet) -> list[Condition]:
        """Judge by other rules from now on; return the ends of alerts that have none any more."""
        now_ms = self._clock.now_ms()
        conditions = self._tracker.reload(rules, now_ms)
        conditions += self._network_outages.choose(rules, now_ms)
        return conditions + self._fleet_outage.choose(rules, now_ms)

    def _known(self, server_id: str) -> HostState:
        """Return what is known of a server, to be changed."""
        self._tracker.changed.add(server_id)
        return self._tracker.of(server_id)

    def _look(self, conditions: list[Condition], now_ms: int) -> list[str]:
        """End the alerts of those that are back; return those that are silent for long."""
        silent = []
        floor_ms = self._floor_ms
        for server_id, known in self._tracker.active.items():
            if known.is_back:
                conditions += self._recover(server_id, known, now_ms)
            if now_ms - max(known.from_ms, floor_ms) >= known.patience_ms:
                silent.append(server_id)
        return silent

    def _recover(self, server_id: str, known: HostState, now_ms: int) -> list[Condition]:
        known.is_back = False
        self._prober.forget(server_id)
        begun_ms = now_ms - self._silence(known, now_ms)
        if not known.reported or _due(known, begun_ms)[0] <= now_ms:
            return []  # seen while the engine caught up, and silent for long again since
        self._tracker.changed.add(server_id)
        return [
            ending(rule, server_id, known, "cleared", known.last_seen_ms)
            for rule in list(known.reported)
        ]

    def _judge(self, server_id: str, now_ms: int) -> list[Condition]:
        """Judge a server that is silent for long, if it is time to look at it."""
        known = self._tracker.active[server_id]
        server = known.server
        if server is None or not known.rules or now_ms < known.look_ms:
            return []
        self._ask(server_id, known)
        silence_ms = self._silence(known, now_ms)
        begun_ms = now_ms - silence_ms
        due = _due(known, begun_ms)
        # each at its own phase, so that a thousand do not fall into one turn
        next_ms = now_ms + LOOK_MS - (now_ms - known.phase_ms) % LOOK_MS
        known.look_ms = min([next_ms, *(at_ms for at_ms in due if at_ms > now_ms)])
        if due[0] > now_ms or self._network_outages.covers(server_id):
            return []
        known.wait_ms = known.wait_ms or now_ms
        finding = causes.find(
            server,
            known,
            begun_ms,
            now_ms,
            is_waiting=now_ms - known.wait_ms < WAIT_MS,
            is_network_open=self._network_outages.is_open(server_id),
            zone=self._zone,
        )
        if finding is None:
            known.look_ms = now_ms
            return []
        found = [
            conditions_of(rule, server_id, known, finding, silence_ms, now_ms)
            for rule in known.rules
        ]
        conditions = [condition for condition in found if condition is not None]
        if conditions:
            self._tracker.changed.add(server_id)
        return conditions

    def _ask(self, server_id: str, known: HostState) -> tuple[str, ...]:
        """Have a server probed, and return the result of its last answer."""
        if known.server is None or not known.server.address:
            return ()
        self._prober.ask(server_id, known.server.address)
        probe = self._prober.answer(server_id)
        if probe is not None:
            known.steadiness.take(probe)
            if probe.is_answering and not known.answers_while_up:
                known.baseline = Baseline(is_answering=True, address=known.server.address)
                self._tracker.changed.add(server_id)
        return known.steadiness.lines

    def _fleet_outage_changes(self, now_ms: int) -> list[Condition]:
        fleet = self._tracker.active
        evidence = [
            line
            for server_id in self._fleet_outage.asked()
            if server_id in fleet
            for line in self._ask(server_id, fleet[server_id])
        ]
        return self._fleet_outage.collect_changes(now_ms, evidence)

    def _silence(self, known: HostState, now_ms: int) -> int:
        return now_ms - max(known.from_ms, self._floor_ms)

    def _silenced(self) -> frozenset[str]:
        """Return the servers whose liveness alerts a silence mutes now: planned work."""
        silences = self._silences()
        if not silences:
            return frozenset()
        return frozenset(
            server_id
            for server_id, known in self._tracker.active.items()
            if known.rules and all(_is_muted(rule, known, silences) for rule in known.rules)
        )

    def _raise_floor(self, ingest: Ingest, now_ms: int) -> None:
        """Count no silence from before ingest worked."""
        if ingest.is_working and ingest.since_ms != self._given_floor_ms:
            self._given_floor_ms = self._floor_ms = ingest.since_ms
        self._floor_ms = min(self._floor_ms, now_ms)

    def _past(self, at_ms: int) -> int:
        """Return a time that was noted before, now at the latest: the clock may have been set."""
        return min(at_ms, self._clock.now_ms())

    def _follow_clock(self, now_ms: int) -> None:
        """Count no silence for the time by which the wall clock was set, or the machine slept."""
        step_ms = self._clock_steps.turn()
        if not step_ms:
            return
        self._floor_ms += step_ms
        self._fleet_outage.shift(step_ms)
        self._network_outages.shift(step_ms)
        for known in self._tracker.known.values():
            known.shift(step_ms, now_ms)
        self._tracker.changed.update(self._tracker.known)


def _due(known: HostState, from_ms: int) -> list[int]:
    """Return when silence since ``from_ms`` is to be reported, level by level."""
    due = {from_ms + known.due_ms(level) for rule in known.rules for level in rule.liveness}
    if known.stop:
        over_ms = known.stop.at_ms + GRACE_MS.get(known.stop.text, RESTART_MS)
        due = {max(over_ms, at_ms) for at_ms in due}
    return sorted(due) or [from_ms]


def _is_muted(rule: Rule, known: HostState, silences: Sequence[Mapping[str, str]]) -> bool:
    """Return whether a silence matches the most severe alert that a rule may raise."""
    if known.server is None or not rule.liveness:
        return False
    severity = max((level.severity for level in rule.liveness), key=SEVERITIES.index)
    labels = {**known.server.labels, **rule.labels}
    values = properties(severity, rule.name, known.server.id, labels)
    return any(matches(matchers, values) for matchers in silences)


def _clip(text: str) -> str:
    """Return one short line: what was refused may have come from anywhere."""
    return "".join(one if one.isprintable() else " " for one in text)[:TEXT]
