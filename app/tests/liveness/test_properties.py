"""Whatever comes and goes: who is told of is exactly who has been silent for long enough."""

from __future__ import annotations

from app.tests.liveness.conftest import Fleet, rule, rules
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.clock import ManualClock

from hostpulse_server.liveness import Ingest
from hostpulse_server.liveness.monitor import GRACE_MS, RESTART_MS
from hostpulse_server.rules import LivenessLevel as Level

FOR_MS = 180_000
HOSTS = ("a", "b", "c", "d")  # as many as those that always report: never most of the fleet
LEVEL = Level("critical", ("host_down", "agent_stopped", "path_broken", "silent"), FOR_MS)

hosts = st.sampled_from(HOSTS)
steps = st.lists(
    st.one_of(
        st.tuples(st.just("wait"), st.integers(1, 400)),
        st.tuples(st.just("silence"), hosts),
        st.tuples(st.just("wake"), hosts),
        st.tuples(st.just("once"), hosts),
        st.tuples(st.just("answer"), hosts, st.sampled_from([True, False, None])),
        st.tuples(st.just("stop"), hosts, st.sampled_from(["restart", "shutdown"])),
        st.tuples(st.just("refuse"), hosts),
        st.tuples(st.just("restart")),
        st.tuples(st.just("lag"), st.integers(1, 400)),
    ),
    max_size=40,
)


class Model:
    """The obvious way to say who must be told of."""

    def __init__(self) -> None:
        self.fleet = Fleet(ManualClock(), rules(rule(levels=[LEVEL])))
        self.fleet.add("s1", "s2", "s3", "s4", *HOSTS)
        self.last = dict.fromkeys(HOSTS, self.fleet.clock.ms)
        self.stops: dict[str, int] = {}
        self.active: set[str] = set()
        self.fleet.report([*HOSTS, "s1", "s2", "s3", "s4"])

    def due(self, host: str) -> bool:
        """Tell whether a host has been silent for long enough."""
        at_ms = max(self.last[host] + FOR_MS, self.stops.get(host, 0))
        return self.fleet.clock.ms >= at_ms

    def record_arrival(self, host: str) -> None:
        """Note an arrival."""
        self.last[host] = self.fleet.clock.ms
        self.stops.pop(host, None)

    def live(self, seconds: int, *, is_caught_up: bool = True) -> None:
        """Let time pass and compare after every turn."""
        fleet = self.fleet
        fleet.ingest = Ingest(is_working=True, since_ms=0, is_caught_up=is_caught_up)
        for _ in range(0, seconds, 7):
            found = fleet.live(7, step=7)
            for host in set(HOSTS) - fleet.silent:
                self.record_arrival(host)
            assert is_caught_up or not found
            for one in found:
                if one.phase == "firing":
                    assert self.due(one.identity.server_id)
                    self.active.add(one.identity.server_id)
                else:
                    self.active.remove(one.identity.server_id)
            if is_caught_up:
                assert self.active == {host for host in HOSTS if self.due(host)}


def do(model: Model, name: str, *args: object) -> None:
    """Take a step."""
    fleet = model.fleet
    match name, *args:
        case "wait" | "lag", int(seconds):
            model.live(seconds, is_caught_up=name == "wait")
        case "silence", str(host):
            fleet.silent.add(host)
        case "wake", str(host):
            fleet.silent.discard(host)
        case "once", str(host):
            fleet.report([host])
            model.record_arrival(host)
        case "answer", str(host), answer:
            fleet.prober.answers[host] = answer  # type: ignore[assignment] # bool or None
        case "stop", str(host), str(reason):
            fleet.liveness.event(host, "stopping", reason, fleet.clock.ms)
            fleet.silent.add(host)
            model.record_arrival(host)
            model.stops[host] = fleet.clock.ms + GRACE_MS.get(reason, RESTART_MS)
        case "refuse", str(host):
            fleet.liveness.refused(host, "no", fleet.clock.ms)
        case _:
            fleet.restart()


@settings(max_examples=200, deadline=None)
@given(steps)
def test_told_of_are_those_silent_for_long_enough(script: list[tuple[object, ...]]) -> None:
    """No host that reported in time, and each other one once, over restarts and backlogs."""
    model = Model()
    for name, *args in script:
        do(model, str(name), *args)
    model.live(700)
