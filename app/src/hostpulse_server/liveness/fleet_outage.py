"""Fleet outages: one alert, not one a host, if ingest is broken or most hosts fall silent."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from hostpulse_server.formatting import clock_time, some_of
from hostpulse_server.liveness.conditions import end_of
from hostpulse_server.liveness.host_state import FiringCondition, conditions_from
from hostpulse_server.values.alert import NO_SERVER, SEVERITIES, AlertIdentity, Condition

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import tzinfo

    from hostpulse_server.liveness.host_state import HostState
    from hostpulse_server.liveness.model import Ingest
    from hostpulse_server.rules.model import Rule, RuleSet
    from hostpulse_server.values.alert import Reason

# how long no samples may be taken before that is reported
BROKEN_MS: Final = 120_000
# once the fleet is back, agents that have tried in vain for long try again within this time
RETURN_MS: Final = 60_000
ASKED: Final = 5
_INGEST: Final = "ingest"
_FLEET: Final = "fleet"
# fewer than LEAST hosts, or those further apart than WINDOW_MS, went silent by coincidence
LEAST: Final = 3
WINDOW_MS: Final = 60_000


@dataclass(frozen=True, slots=True)
class Outage:
    """``members`` went silent together, the first at ``start_ms``; ``total`` had been reporting."""

    members: frozenset[str]
    total: int
    start_ms: int

    def document(self) -> dict[str, Any]:
        """Return it as JSON."""
        return {"members": sorted(self.members), "total": self.total, "start_ms": self.start_ms}

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Outage:
        """Return what ``document`` was made of."""
        return cls(frozenset(document["members"]), document["total"], document["start_ms"])


def is_most(silent: int, total: int) -> bool:
    """Return whether ``silent`` of ``total`` are too many to be a coincidence."""
    return silent >= LEAST and 2 * silent > total


def find_outage(silent: Iterable[tuple[int, str]], reporting: int) -> Outage | None:
    """Return the outage in the silent servers, given as (silent since, id), if there is one.

    Reporting when it began were those that still are, ``reporting`` in number, its members, and
    those that have gone silent after it.
    """
    ordered = sorted(silent)
    first = 0
    best: tuple[int, int, int] | None = None  # size, first, last
    for last, (at_ms, _) in enumerate(ordered):
        while at_ms - ordered[first][0] > WINDOW_MS:
            first += 1
        size = last - first + 1
        total = reporting + len(ordered) - first
        if is_most(size, total) and (best is None or size >= best[0]):
            best = (size, first, last)
    if best is None:
        return None
    _, first, last = best
    members = frozenset(server_id for _, server_id in ordered[first : last + 1])
    return Outage(members, reporting + len(ordered) - first, ordered[first][0])


class FleetOutageDetector:
    """Decides whether the silence of hosts is evidence about them.

    ``outage`` is that of the fleet, while it lasts.
    """

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self.outage: Outage | None = None
        self._rule: Rule | None = None
        self._reported: dict[str, FiringCondition] = {}
        self._resume_ms = 0
        self._broken_ms = 0
        self._reason = ""
        self._silent: list[str] = []
        self._total = 0
        self._reporting: list[str] = []
        self._saved: tuple[object, ...] = self._state()

    def choose(self, rules: RuleSet, now_ms: int) -> list[Condition]:
        """Speak by the first rule of liveness; return the end of an alert that has none now."""
        named = [rule for rule in rules.rules.values() if rule.kind == "liveness"]
        self._rule = next((rule for rule in named if rule.enabled and rule.liveness), None)
        gone = [name for name in self._reported if self._rule is None or name != self._rule.name]
        return [
            self._end(name, "disabled" if name in rules.rules else "rule_removed", now_ms)
            for name in gone
        ]

    def is_holding(self, now_ms: int) -> bool:
        """Return whether no host may be judged now."""
        return bool(self._broken_ms) or self.outage is not None or now_ms < self._resume_ms

    def observe(self, ingest: Ingest, now_ms: int) -> None:
        """Note whether samples are taken in."""
        if ingest.is_working:
            self._broken_ms = 0
            return
        self._broken_ms = self._broken_ms or now_ms
        self._reason = ingest.reason or "the reason is not known"

    def count(
        self,
        everyone: Mapping[str, HostState],
        ignored: Collection[str],
        floor_ms: int,
        now_ms: int,
    ) -> None:
        """Look whether most of the fleet is silent, which only makes sense while ingest works.

        Those ``ignored`` (silenced) count neither as silent nor as part of the fleet.
        """
        outage = self.outage
        fleet = {one: known for one, known in everyone.items() if one not in ignored}
        if outage is None or not self._reported:
            outage = _find(fleet.items(), floor_ms, now_ms) or outage
        if outage is None:
            return
        self._silent = [
            server_id
            for server_id in sorted(outage.members)
            if (known := fleet.get(server_id)) and now_ms - known.from_ms >= late_ms(known)
        ]
        # those that were silenced, disabled or removed meanwhile count no longer
        self._total = outage.total - sum(one not in fleet for one in outage.members)
        if is_most(len(self._silent), self._total):
            self.outage = outage
            self._reporting = [
                one for one, known in fleet.items() if now_ms - known.from_ms < late_ms(known)
            ]
            return
        self.outage = None
        self._resume_ms = now_ms + min(RETURN_MS, self._for_ms())

    def asked(self) -> Sequence[str]:
        """Return the servers whose answers are evidence."""
        return self._silent[:ASKED] if self.outage else ()

    def collect_changes(self, now_ms: int, evidence: Sequence[str]) -> list[Condition]:
        """Return what has changed; ``evidence`` is what came of those asked."""
        rule, kind = self._rule, self._kind(now_ms)
        if rule is None:
            return []
        reported = self._reported.get(rule.name)
        if kind is None:
            return [self._end(rule.name, "cleared", now_ms)] if reported else []
        severity = max((level.severity for level in rule.liveness), key=SEVERITIES.index)
        if reported and (reported.verdict, reported.severity) == (kind, severity):
            return []
        if kind == _INGEST or self.outage is None:
            since_ms = self._broken_ms
            text = f"hostpulse takes no samples: {self._reason}"
            lines = [
                f"since {clock_time(since_ms, now_ms, self._zone)}",
                "no server is judged silent meanwhile",
            ]
        else:
            since_ms = self.outage.start_ms
            since = clock_time(since_ms, now_ms, self._zone)
            text = (
                f"{len(self._silent)} of {self._total} servers are silent since {since}: "
                "look at hostpulse or the network before the hosts"
            )
            still = (
                f"still reporting: {some_of(self._reporting)}"
                if self._reporting
                else "no server reports"
            )
            lines = [f"silent: {some_of(self._silent)}", still, *evidence]
        reported = self._reported[rule.name] = FiringCondition(
            severity, kind, reported.started_ms if reported else since_ms
        )
        return [
            Condition(
                identity=AlertIdentity(rule.name, NO_SERVER),
                phase="firing",
                severity=severity,
                value=None,
                threshold=None,
                started_ms=reported.started_ms,
                at_ms=now_ms,
                text=text,
                evidence=tuple(lines),
                facts={"kind": "liveness", "verdict": kind},
            )
        ]

    def shift(self, by_ms: int) -> None:
        """Move times: the wall clock was set."""
        self._resume_ms += by_ms
        self._broken_ms += by_ms if self._broken_ms else 0
        if self.outage:
            self.outage = Outage(
                self.outage.members, self.outage.total, self.outage.start_ms + by_ms
            )

    def has_changed(self) -> bool:
        """Return whether ``document`` is another one since the last call."""
        before, self._saved = self._saved, self._state()
        return before != self._saved

    def document(self) -> dict[str, Any]:
        """Return all that a restart must not lose."""
        return {
            "told": {rule: list(reported) for rule, reported in self._reported.items()},
            "outage": self.outage.document() if self.outage else None,
            "resume_ms": self._resume_ms,
            "broken_ms": self._broken_ms,
        }

    def restore(self, document: Mapping[str, Any], now_ms: int) -> None:
        """Take over what ``document`` returned; nothing in it began later than now."""
        self._reported = conditions_from(document.get("told", {}))
        outage = document.get("outage")
        self.outage = Outage.of(outage) if outage else None
        if self.outage and self.outage.start_ms > now_ms:
            self.outage = replace(self.outage, start_ms=now_ms)
        self._resume_ms = min(int(document.get("resume_ms", 0)), now_ms + RETURN_MS)
        self._broken_ms = min(int(document.get("broken_ms", 0)), now_ms)
        self._saved = self._state()

    def _state(self) -> tuple[object, ...]:
        return dict(self._reported), self.outage, self._resume_ms, self._broken_ms

    def _kind(self, now_ms: int) -> str | None:
        if self._broken_ms and now_ms - self._broken_ms >= BROKEN_MS:
            return _INGEST
        if self.outage and now_ms - self.outage.start_ms >= self._for_ms():
            return _FLEET
        return None

    def _for_ms(self) -> int:
        return min((level.for_ms for level in self._rule.liveness), default=0) if self._rule else 0

    def _end(self, rule: str, reason: Reason, now_ms: int) -> Condition:
        identity = AlertIdentity(rule, NO_SERVER)
        return end_of(identity, self._reported.pop(rule), reason, now_ms)


def late_ms(known: HostState) -> int:
    """Return after which silence a server no longer counts as reporting."""
    return min(known.patience_ms, max(known.shortest_ms, 30_000))


def _find(fleet: Iterable[tuple[str, HostState]], floor_ms: int, now_ms: int) -> Outage | None:
    """Look among servers that have reported, and whose silence nothing explains yet."""
    silent, reporting = [], 0
    for server_id, known in fleet:
        if not known.rules or not known.last_seen_ms or known.reported or known.stop:
            continue
        from_ms = max(known.from_ms, floor_ms)
        if now_ms - from_ms >= late_ms(known):
            silent.append((from_ms, server_id))
        else:
            reporting += 1
    return find_outage(silent, reporting)
