"""The state of one server, and its conversion to a JSON document and back."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, NamedTuple, cast
from zlib import crc32

from hostpulse_server.values.server_status import DEFAULT_INTERVAL_MS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from hostpulse_server.liveness.model import Probe
    from hostpulse_server.registry import Server
    from hostpulse_server.rules.model import LivenessLevel, Rule
    from hostpulse_server.values.alert import Severity

# how often in a row a host must answer otherwise than before to be believed
CONFIRMATIONS: Final = 2
ANY_ADDRESS: Final = "*"


class Note(NamedTuple):
    """A note with its time: why an agent stopped, or why its requests are refused."""

    text: str
    at_ms: int


class Baseline(NamedTuple):
    """Whether a host answered to probes at ``address`` while it was known to be up."""

    is_answering: bool
    address: str


class FiringCondition(NamedTuple):
    """An alert that is firing: how it was reported last, and since when it holds."""

    severity: Severity
    verdict: str
    started_ms: int


@dataclass(slots=True)
class ProbeDebounce:
    """Whether a host answers; a single answer to the contrary changes nothing yet."""

    is_known: bool = False
    is_confirmed: bool = False
    is_answering: bool | None = None
    lines: tuple[str, ...] = ()
    _last: bool | None = None
    _count: int = 0
    _at_ms: int = -1

    def take(self, probe: Probe) -> None:
        """Take a probe into account, once."""
        if probe.at_ms == self._at_ms:
            return
        self._at_ms = probe.at_ms
        self._count = self._count + 1 if probe.is_answering is self._last else 1
        self._last = probe.is_answering
        is_enough = self._count >= CONFIRMATIONS
        if is_enough or not self.is_known or probe.is_answering is self.is_answering:
            self.is_known, self.is_answering, self.lines = True, probe.is_answering, probe.lines
            self.is_confirmed |= is_enough


@dataclass(slots=True)
class HostState:
    """One server.

    ``heard_ms`` is the last arrival, 0 if there was none; ``since_ms`` what silence counts from at
    the earliest (it was disabled before); ``from_ms`` what it counts from. ``is_back`` is whether
    something arrived since the last turn that looked. Silence of ``patience_ms`` is looked into, at
    ``look_ms`` next, and less than ``shortest_ms`` is none; ``wait_ms`` is since when only the
    answer of the prober is missing.
    """

    last_seen_ms: int = 0
    interval_ms: int = DEFAULT_INTERVAL_MS
    since_ms: int = 0
    stop: Note | None = None
    refusal: Note | None = None
    reported: dict[str, FiringCondition] = field(default_factory=dict)
    is_back: bool = False
    baseline: Baseline | None = None
    # worked out anew after a restart
    server: Server | None = None
    rules: tuple[Rule, ...] = ()
    from_ms: int = 0
    patience_ms: int = 0
    shortest_ms: int = 0
    look_ms: int = 0
    wait_ms: int = 0
    phase_ms: int = 0
    steadiness: ProbeDebounce = field(default_factory=ProbeDebounce)

    def record_arrival(self, at_ms: int, interval_ms: int | None = None) -> None:
        """Note that something arrived."""
        self.last_seen_ms = max(self.last_seen_ms, at_ms)
        self.from_ms = max(self.last_seen_ms, self.since_ms)
        self.is_back = True
        self.look_ms = self.wait_ms = 0
        self.steadiness = ProbeDebounce()
        if interval_ms is not None and interval_ms != self.interval_ms:
            self.interval_ms = interval_ms
            self._work_out_patience()

    def register(self, server: Server, rules: tuple[Rule, ...]) -> None:
        """Take over what the registry and the rules have for it now."""
        self.server, self.rules = server, rules
        self.from_ms = max(self.last_seen_ms or server.created_ms, self.since_ms)
        self.look_ms = 0
        self.phase_ms = crc32(server.id.encode())
        self._work_out_patience()

    @property
    def for_ms(self) -> int:
        """The shortest silence that a rule reports."""
        levels = [level.for_ms for rule in self.rules for level in rule.liveness]
        return max(min(levels, default=0), self.shortest_ms)

    @property
    def answers_while_up(self) -> bool | None:
        """Whether it answers to probes when it is up; ``None`` if that was not learnt."""
        if self.baseline is None or self.server is None:
            return None
        if self.baseline.address not in (ANY_ADDRESS, self.server.address):
            return None
        return self.baseline.is_answering

    def due_ms(self, level: LivenessLevel) -> int:
        """Return how long silence must last for a level."""
        return max(level.for_ms, self.shortest_ms)

    def _work_out_patience(self) -> None:
        self.shortest_ms = self.interval_ms * 5 // 2
        self.patience_ms = max(self.for_ms // 2, self.shortest_ms)

    def shift(self, by_ms: int, now_ms: int) -> None:
        """Move all times that silence is counted from: the wall clock was set.

        What arrived since then has a time of the new clock, and is not moved beyond now.
        """
        self.last_seen_ms = min(self.last_seen_ms + by_ms, now_ms) if self.last_seen_ms else 0
        self.since_ms = min(self.since_ms + by_ms, now_ms) if self.since_ms else 0
        self.from_ms = min(self.from_ms + by_ms, now_ms)
        self.look_ms = self.wait_ms = 0
        self.stop = self.stop and Note(self.stop.text, self.stop.at_ms + by_ms)
        self.refusal = self.refusal and Note(self.refusal.text, self.refusal.at_ms + by_ms)

    def document(self) -> dict[str, Any]:
        """Return all that a restart must not lose, but ``heard_ms``."""
        found: dict[str, Any] = {}
        if self.interval_ms != DEFAULT_INTERVAL_MS:
            found["interval_ms"] = self.interval_ms
        if self.since_ms:
            found["since_ms"] = self.since_ms
        for name, said in (("stop", self.stop), ("refusal", self.refusal)):
            if said is not None:
                found[name] = list(said)
        if self.reported:
            found["told"] = {rule: list(reported) for rule, reported in self.reported.items()}
            found["is_back"] = self.is_back
        if self.baseline:
            found["baseline"] = list(self.baseline)
        return found

    @classmethod
    def of(cls, last_seen_ms: int, document: Mapping[str, Any], now_ms: int) -> HostState:
        """Return what ``document`` was made of; no time in it is later than now."""
        stop, refusal = document.get("stop"), document.get("refusal")
        reported = conditions_from(document.get("told", {}))
        baseline = document.get("baseline")
        if baseline is None and any(one.verdict == "host_down" for one in reported.values()):
            # release 0.1.0 learnt nothing: what it has reported stays as it is
            baseline = (True, ANY_ADDRESS)
        return cls(
            last_seen_ms=min(last_seen_ms, now_ms),
            interval_ms=int(document.get("interval_ms", DEFAULT_INTERVAL_MS)),
            since_ms=min(int(document.get("since_ms", 0)), now_ms),
            stop=Note(stop[0], min(stop[1], now_ms)) if stop else None,
            refusal=Note(refusal[0], min(refusal[1], now_ms)) if refusal else None,
            reported=reported,
            is_back=bool(document.get("is_back", False)),
            baseline=Baseline(*baseline) if baseline else None,
        )


def conditions_from(document: Mapping[str, Any]) -> dict[str, FiringCondition]:
    """Return alerts by rule."""
    return {
        rule: FiringCondition(cast("Severity", severity), verdict, started_ms)
        for rule, (severity, verdict, started_ms) in document.items()
    }
