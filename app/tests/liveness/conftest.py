"""A liveness with a fleet, a clock and a prober that tests move."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from tests.support.clock import ManualClock

from hostpulse_server.liveness import BaselineLearner, Ingest, LivenessMonitor, Probe
from hostpulse_server.registry import Server
from hostpulse_server.rules import LivenessLevel as Level
from hostpulse_server.rules import Rule, RuleSet

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from hostpulse_server.values.alert import Condition

MINUTE = 60.0
LEVELS = (
    Level("warning", ("agent_stopped", "path_broken"), 600_000),
    Level("critical", ("host_down", "silent"), 180_000),
)


def rule(name: str = "liveness", levels: Sequence[Level] = LEVELS, **changes: Any) -> Rule:
    """Return a rule of liveness."""
    return Rule(
        name=name, kind="liveness", summary="", runbook="", liveness=tuple(levels), **changes
    )


def rules(*given: Rule) -> RuleSet:
    """Return a set of rules."""
    return RuleSet({one.name: one for one in given or (rule(),)})


@dataclass
class FakeProber:
    """Answers at once with what the test says of an address; by default nobody answers."""

    clock: ManualClock
    answers: dict[str, bool | None] = field(default_factory=dict)
    is_mute: bool = False
    asked: list[str] = field(default_factory=list)
    _found: dict[str, Probe] = field(default_factory=dict)

    def ask(self, server_id: str, address: str) -> None:
        """Answer."""
        self.asked.append(server_id)
        if not self.is_mute:
            found = self.answers.get(server_id, False)
            self._found[server_id] = Probe(self.clock.ms, found, (f"{address}: {found}",))

    def answer(self, server_id: str) -> Probe | None:
        """Return the newest answer."""
        return self._found.get(server_id)

    def forget(self, server_id: str) -> None:
        """Drop it."""
        self._found.pop(server_id, None)


class UpProber:
    """Asks hosts that report, as they are; those that are silent answer as the other prober has."""

    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self.asked: list[tuple[int, str]] = []
        self._found: dict[str, Probe] = {}

    def ask(self, server_id: str, address: str) -> None:
        """Answer."""
        fleet = self._fleet
        self.asked.append((fleet.clock.ms, server_id))
        found = server_id not in fleet.firewalled
        if server_id in fleet.silent:
            found = bool(fleet.prober.answers.get(server_id, False))
        self._found[server_id] = Probe(fleet.clock.ms, found, (f"{address}: {found}",))

    def answer(self, server_id: str) -> Probe | None:
        """Return the newest answer."""
        return self._found.get(server_id)

    def forget(self, server_id: str) -> None:
        """Drop it."""
        self._found.pop(server_id, None)


@dataclass
class Fleet:
    """Servers that report each ten seconds, unless they are among the ``silent``.

    While they report they answer to probes, but for the ``firewalled``; ``is_learning`` is
    whether that is asked. ``silences`` are the matchers of those in force.
    """

    clock: ManualClock
    rules: RuleSet
    servers: list[Server] = field(default_factory=list)
    silent: set[str] = field(default_factory=set)
    ingest: Ingest | None = None
    firewalled: set[str] = field(default_factory=set)
    is_learning: bool = True
    silences: list[dict[str, str]] = field(default_factory=list)
    prober: FakeProber = field(init=False)
    probed: UpProber = field(init=False)
    liveness: LivenessMonitor = field(init=False)
    zone: str = field(default="UTC", kw_only=True)
    conditions: list[Condition] = field(default_factory=list)
    dumped: dict[str, tuple[int, dict[str, Any]]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Make the parts."""
        self.prober = FakeProber(self.clock)
        self._make()
        self.start_ms = self.clock.ms

    def _make(self) -> None:
        self.probed = UpProber(self)
        learner = BaselineLearner(self.probed) if self.is_learning else None
        self.liveness = LivenessMonitor(
            self.rules,
            self.clock,
            self.prober,
            learner,
            lambda: self.silences,
            zone=ZoneInfo(self.zone),
        )

    def add(self, *ids: str, **settings: Any) -> None:
        """Register servers, each in a network of its own unless an address is given."""
        for server_id in ids:
            number = len(self.servers)
            plain = Server(
                id=server_id,
                name=server_id,
                address=f"10.{number // 250}.{number % 250}.7",
                labels={},
                allow_from=(),
                disabled=False,
                created_ms=self.clock.ms,
                conflict_ms=None,
                keys=(),
            )
            self.servers.append(replace(plain, **settings))

    def change(self, server_id: str, **settings: Any) -> None:
        """Change what is registered of a server."""
        self.servers = [
            replace(one, **settings) if one.id == server_id else one for one in self.servers
        ]

    def live(self, seconds: float, step: float = 10.0) -> list[Condition]:
        """Let time pass; return the conditions of it."""
        found: list[Condition] = []
        end_ms = self.clock.ms + int(seconds * 1000)
        while self.clock.ms < end_ms:
            self.clock.move(min(step, (end_ms - self.clock.ms) / 1000))
            self.report(one.id for one in self.servers if one.id not in self.silent)
            found += self.turn()
        return found

    def report(self, ids: Iterable[str]) -> None:
        """Have samples of these arrive now."""
        for server_id in ids:
            self.liveness.seen(server_id, self.clock.ms, 10_000)

    def turn(self) -> list[Condition]:
        """Take one turn."""
        working = Ingest(is_working=True, since_ms=self.start_ms, is_caught_up=True)
        found = self.liveness.turn(self.clock.ms, self.servers, self.ingest or working)
        self.conditions += found
        return found

    def restart(self) -> None:
        """Begin anew with what was dumped, of those that have changed since the last time."""
        for server_id in self.liveness.changed():
            self.dumped[server_id] = self.liveness.dump(server_id)
        self.prober = FakeProber(self.clock, self.prober.answers, self.prober.is_mute)
        self._make()
        for server_id, (time_ms, document) in self.dumped.items():
            self.liveness.restore(server_id, "liveness", time_ms, json.loads(json.dumps(document)))


@pytest.fixture
def make_fleet() -> Callable[..., Fleet]:
    """Return a function that makes a fleet of so many reporting servers."""

    def make(count: int = 0, *given: Rule, zone: str = "UTC") -> Fleet:
        fleet = Fleet(ManualClock(), rules(*given), zone=zone)
        fleet.add(*(f"h{number}" for number in range(count)))
        fleet.live(20.0)
        return fleet

    return make
