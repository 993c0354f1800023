"""Which alerts share a conversation where ``group_by`` is "auto": the table of docs/alerts.md."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlalchemy as sa
from app.tests.notifications.planning import MAIL, PlanningHarness

from hostpulse_server import state
from hostpulse_server.state.alert_models import AlertGroupRow

if TYPE_CHECKING:
    from collections.abc import Callable

HOST: Final = {"server_id": "web-01"}
CPU: Final = {"rule": "cpu_usage"}
DOWN: Final = {"rule": "liveness", "verdict": "host_down"}
RULES: Final = ("a", "b", "c", "d", "e", "f", "g", "h")


@dataclass(frozen=True)
class Fire:
    """At ``at`` seconds alerts begin to fire: each is "HOST RULE", "!" before one is critical."""

    at: float
    alerts: str


@dataclass(frozen=True)
class End:
    """At ``at`` seconds alerts are over."""

    at: float
    alerts: str


@dataclass(frozen=True)
class Said:
    """A message at ``at`` seconds with so many new or ended alerts, in that conversation."""

    at: float
    kind: str
    group: dict[str, str]
    alerts: int
    incident: str = ""


@dataclass(frozen=True)
class Case:
    """What happens, in order, and what is said."""

    name: str
    steps: tuple[Fire | End, ...]
    said: tuple[Said, ...] = field(repr=False)


def every(hosts: str, rules: str) -> str:
    """Return the alerts of hosts and rules."""
    return ", ".join(f"{host} {rule}" for host in hosts.split() for rule in rules.split())


CASES: Final = (
    Case(
        "one alert",
        (Fire(0, "web-01 cpu_usage"), End(60, "web-01 cpu_usage")),
        (Said(10, "firing", HOST, 1, "1"), Said(60, "resolved", HOST, 1, "1")),
    ),
    Case(
        "one ailing host is one message that lists all",
        (Fire(0, every("web-01", "a b c d")), Fire(8, every("web-01", "e f g h"))),
        (Said(10, "firing", HOST, 8),),
    ),
    Case(
        "what a host has later joins its conversation",
        (Fire(0, "web-01 a"), Fire(60, "web-01 b")),
        (Said(10, "firing", HOST, 1, "1"), Said(310, "update", HOST, 1, "1")),
    ),
    Case(
        "two hosts are two conversations",
        (Fire(0, every("web-01 web-02", "cpu_usage")),),
        (Said(10, "firing", HOST, 1), Said(10, "firing", {"server_id": "web-02"}, 1)),
    ),
    Case(
        "a rule on three hosts is one, from the first of them on",
        (Fire(0, "web-01 cpu_usage"), Fire(4, every("web-02 web-03", "cpu_usage"))),
        (Said(10, "firing", CPU, 3),),
    ),
    Case(
        "three hosts with eight rules each are three, not eight",
        (Fire(0, every("web-01 web-02 web-03", " ".join(RULES))),),
        tuple(
            Said(10, "firing", {"server_id": host}, 8) for host in ("web-01", "web-02", "web-03")
        ),
    ),
    Case(
        "an ailing host in the midst of an outage: what is the rule's is not said twice",
        (Fire(0, every("web-01", "cpu_usage b c d") + ", " + every("web-02 web-03", "cpu_usage")),),
        (Said(10, "firing", CPU, 3), Said(10, "firing", HOST, 3)),
    ),
    Case(
        "a host with a conversation takes part in an outage",
        (Fire(0, "web-01 b"), Fire(60, every("web-01 web-02 web-03", "cpu_usage"))),
        (Said(10, "firing", HOST, 1), Said(70, "firing", CPU, 3)),
    ),
    Case(
        "three hosts with conversations take part in an outage",
        (
            Fire(0, "web-01 b, web-02 c, web-03 d"),
            Fire(60, every("web-01 web-02 web-03", "cpu_usage")),
        ),
        (
            Said(10, "firing", HOST, 1),
            Said(10, "firing", {"server_id": "web-02"}, 1),
            Said(10, "firing", {"server_id": "web-03"}, 1),
            Said(70, "firing", CPU, 3),
        ),
    ),
    Case(
        "a host that joins an outage later is an update of it",
        (
            Fire(0, every("web-02 web-03 web-04", "cpu_usage")),
            Fire(60, "web-01 cpu_usage, web-01 b"),
        ),
        (
            Said(10, "firing", CPU, 3, "1"),
            Said(70, "firing", HOST, 1),
            Said(310, "update", CPU, 1, "1"),
        ),
    ),
    Case(
        "an outage that spreads slower than the wait: the third host opens the rule's",
        (
            Fire(0, "web-01 cpu_usage"),
            Fire(15, "web-02 cpu_usage"),
            Fire(30, "web-03 cpu_usage"),
            Fire(45, "web-04 cpu_usage"),
        ),
        (
            Said(10, "firing", HOST, 1),
            Said(25, "firing", {"server_id": "web-02"}, 1),
            Said(40, "firing", CPU, 1, "1"),
            Said(340, "update", CPU, 1, "1"),
        ),
    ),
    Case(
        "the same rule on other hosts since long is no outage",
        (Fire(0, every("web-02 web-03", "cpu_usage")), Fire(3600, "web-01 cpu_usage")),
        (
            Said(10, "firing", {"server_id": "web-02"}, 1),
            Said(10, "firing", {"server_id": "web-03"}, 1),
            Said(3610, "firing", HOST, 1),
        ),
    ),
    Case(
        "severities share a conversation, and a critical alert does not wait for the interval",
        (Fire(0, "web-01 a"), Fire(60, "web-01 !b"), Fire(62, "web-01 !c")),
        (
            Said(10, "firing", HOST, 1, "1"),
            Said(60, "update", HOST, 1, "1"),
            Said(70, "update", HOST, 1, "1"),
        ),
    ),
    Case(
        "one host of an outage recovers",
        (
            Fire(0, every("web-01 web-02 web-03", "cpu_usage")),
            End(60, "web-01 cpu_usage"),
            End(400, every("web-02 web-03", "cpu_usage")),
        ),
        (
            Said(10, "firing", CPU, 3, "1"),
            Said(310, "update", CPU, 3, "1"),
            Said(400, "resolved", CPU, 2, "1"),
        ),
    ),
    Case(
        "an alert that comes back stays where it was",
        (
            Fire(0, every("web-01", "a b")),
            End(20, "web-01 b"),
            Fire(400, "web-01 b, web-02 b, web-03 b"),
        ),
        (
            Said(10, "firing", HOST, 2, "1"),
            Said(310, "update", HOST, 2, "1"),
            Said(410, "firing", {"rule": "b"}, 2),
            Said(610, "update", HOST, 1, "1"),
        ),
    ),
    Case(
        "an outage of a network is its own, beside the silent hosts",
        (Fire(0, "- liveness, web-01 liveness, web-02 liveness"),),
        (
            Said(10, "firing", {"rule": "liveness", "server_id": "", "network": "10.0.5.0/24"}, 1),
            Said(10, "firing", HOST, 1),
            Said(10, "firing", {"server_id": "web-02"}, 1),
        ),
    ),
)


class Story:
    """Plays a case, with a new dispatcher before each step where ``restarts``."""

    def __init__(self, planning: PlanningHarness, *, restarts: bool) -> None:
        self._planning = planning
        self._restarts = restarts
        self._firing: dict[str, int] = {}

    def play(self, case: Case) -> None:
        """Let it happen, and an interval more."""
        planning = self._planning
        for step in case.steps:
            planning.run(step.at - self._now())
            if self._restarts:
                planning.restart()
            with planning.together():
                for name in step.alerts.split(", "):
                    self._step(step, name)
            planning.run(0.001)
            planning.clock.ms -= 1
            if self._restarts:
                planning.restart()
        planning.run(400)

    def _now(self) -> float:
        return (self._planning.clock.ms - self._planning.began_ms) / 1000

    def _step(self, step: Fire | End, name: str) -> None:
        plain = name.replace("!", "")
        if isinstance(step, End):
            self._planning.end(self._firing.pop(plain))
            return
        host, rule = plain.split()
        more: dict[str, Any] = {"severity": "critical"} if "!" in name else {}
        if host == "-":
            host, more = "", {"verdict": "network", "tags": {"network": "10.0.5.0/24"}}
        self._firing[plain] = self._planning.fire(host, rule, **more)


@pytest.mark.parametrize("restarts", [False, True], ids=["", "restarted"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_conversations(planning: PlanningHarness, case: Case, *, restarts: bool) -> None:
    """When, in which conversation, about how many alerts; the same incident where it says so."""
    Story(planning, restarts=restarts).play(case)
    said = [
        (one.at, one.kind, dict(one.message.group), len(one.message.alerts))
        for one in planning.received
    ]
    expected = [(one.at, one.kind, one.group, one.alerts) for one in case.said]
    order = lambda one: (one[0], sorted(one[2].items()))  # noqa: E731
    assert sorted(said, key=order) == sorted(expected, key=order)
    incidents: dict[str, set[str]] = {}
    for one in case.said:
        if one.incident:
            incidents.setdefault(one.incident, set()).update(
                it.message.incident for it in planning.received if it.message.group == one.group
            )
    assert all(len(found) == 1 for found in incidents.values())


def test_each_channel_has_its_own(make: Callable[..., PlanningHarness]) -> None:
    """A rule is wide where three of its hosts are routed."""
    routes = """\
[[routes]]
match = {server_id = "db-*"}
channels = ["pager", "mail"]
[[routes]]
match = {}
channels = ["mail"]
"""
    planning = make(more=MAIL + routes)
    for host in ("db-01", "web-01", "web-02"):
        planning.fire(host)
    said = {(one.channel, *one.message.group.items()) for one in planning.run(11)}
    assert said == {("mail", ("rule", "cpu_usage")), ("pager", ("server_id", "db-01"))}


def test_a_message_lists_each_alert_of_the_host_once(planning: PlanningHarness) -> None:
    """What is in the message is not said again as "also wrong"; what is elsewhere is."""
    planning.fire("web-01", "z", severity="info")
    for rule in RULES:
        planning.fire("web-01", rule)
    (one,) = planning.run(11)
    assert [alert.rule for alert in one.message.alerts] == list(RULES)
    assert {alert.others for alert in one.message.alerts} == {("info z: z on web-01",)}


def test_a_group_that_is_open_at_the_upgrade_goes_on(make: Callable[..., PlanningHarness]) -> None:
    """With its key, incident and values, until it closes; what is new goes by "auto"."""
    planning = make('group_by = ["rule"]')
    old = [planning.fire(host) for host in ("web-01", "web-02")]
    (first,) = planning.run(11)
    planning = make(like=planning)
    planning.end(old[0])
    planning.run(301)
    old[0] = planning.fire("web-01")
    planning.fire("web-09")
    planning.run(301)
    for number in old:
        planning.end(number)
    planning.run(1)
    said = [(one.kind, dict(one.message.group), one.names) for one in planning.received]
    assert said == [
        ("update", CPU, ["web-02", "web-01"]),
        ("firing", {"server_id": "web-09"}, ["web-09"]),
        ("update", CPU, ["web-01"]),
        ("resolved", CPU, ["web-01", "web-02"]),
    ]
    incidents = {one.message.incident for one in planning.received if one.message.group == CPU}
    assert incidents == {first.message.incident}
    with state.reading(planning.database) as session:
        keys = session.scalars(sa.select(AlertGroupRow.key).where(AlertGroupRow.closed_ms > 0))
        assert list(keys) == ['["cpu_usage"]']


def test_many_hosts_with_troubles_of_their_own_are_a_storm(planning: PlanningHarness) -> None:
    """No more messages than the channel's share; what is in the storm stays and ends there."""
    numbers = [planning.fire(f"web-{number:02}", f"rule_{number}") for number in range(40)]
    received = planning.run(60)
    assert len(received) == planning.config.alerts.messages_per_minute
    storm = next(one for one in received if not one.message.group)
    assert (storm.message.firing, storm.message.servers) == (31, 31)
    planning.run(60)
    planning.end(numbers[-1])
    numbers[-1] = planning.fire("web-39", "rule_39")
    planning.run(301)
    for number in numbers:
        planning.end(number)
    planning.run(301)
    last = {one.message.incident: one for one in planning.received}
    assert len(last) == planning.config.alerts.messages_per_minute
    assert {one.kind for one in last.values()} == {"resolved"}
