"""Nobody is heard: one alert about hostpulse instead of a storm about hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.liveness.conftest import Fleet, rule

from hostpulse_server.liveness import Ingest
from hostpulse_server.liveness.fleet_outage import find_outage
from hostpulse_server.rules import Override

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.values.alert import Condition

    Make = Callable[..., Fleet]

MINUTE = 60


def reported(conditions: list[Condition]) -> list[tuple[str, str, str]]:
    """Return (server, phase, verdict or reason) of each."""
    return [
        (one.identity.server_id, one.phase, one.reason or (one.facts or {}).get("verdict", ""))
        for one in conditions
    ]


def test_a_storm_of_a_thousand_is_one_alert(make_fleet: Make) -> None:
    """It names the time, the numbers and what to look at; when all are back it is over."""
    fleet = make_fleet(1100)
    fleet.silent = {f"h{number}" for number in range(1000)}
    found = fleet.live(2 * 3600, step=30)
    assert reported(found) == [("", "firing", "fleet")]
    assert found[0].severity == "critical"
    assert found[0].text == (
        "1000 of 1100 servers are silent since 08:00:20 UTC: "
        "look at hostpulse or the network before the hosts"
    )
    assert found[0].evidence[:2] == (
        "silent: h0, h1, h10, h100, h101 and 995 more",
        "still reporting: h1000, h1001, h1002, h1003, h1004 and 95 more",
    )
    assert len(set(fleet.prober.asked)) == 5
    assert found[0].at_ms - found[0].started_ms == 180_000
    fleet.silent = set()
    assert reported(fleet.live(600, step=30)) == [("", "resolved", "cleared")]


def test_those_still_silent_when_the_fleet_is_back_are_judged_each_by_itself(
    make_fleet: Make,
) -> None:
    """Not at once: agents that tried in vain for long take up to a minute."""
    fleet = make_fleet(10)
    fleet.silent = {f"h{number}" for number in range(8)}
    fleet.live(10 * MINUTE)
    fleet.silent = {"h1", "h2"}
    assert reported(fleet.live(MINUTE)) == [("", "resolved", "cleared")]
    assert reported(fleet.live(10)) == [
        ("h1", "firing", "host_down"),
        ("h2", "firing", "host_down"),
    ]


def test_half_of_the_fleet_or_one_after_another_are_hosts(make_fleet: Make) -> None:
    """Each of them is told."""
    fleet = make_fleet(10)
    for number in range(5):
        fleet.silent.add(f"h{number}")
    assert len(fleet.live(4 * MINUTE)) == 5
    for number in range(5, 9):
        fleet.silent.add(f"h{number}")
        fleet.live(2 * MINUTE)
    fleet.live(4 * MINUTE)
    assert {one.identity.server_id for one in fleet.conditions} == {f"h{n}" for n in range(9)}


def test_hosts_that_no_rule_watches_are_no_part_of_the_fleet(make_fleet: Make) -> None:
    """Those that come and go as they are needed are taken out by their label."""
    off = rule(enabled=False)
    fleet = make_fleet(10, rule(overrides=(Override({"label.kind": "spot"}, off),)))
    for number in range(8):
        fleet.change(f"h{number}", labels={"kind": "spot"})
        fleet.silent.add(f"h{number}")
    assert fleet.live(10 * MINUTE) == []


def test_silenced_hosts_are_no_part_of_the_fleet(make_fleet: Make) -> None:
    """Six of ten in planned work are no outage; two others that are silent are hosts."""
    fleet = make_fleet(10)
    fleet.silences = [{"server_id": f"h{number}"} for number in range(6)]
    fleet.silent = {f"h{number}" for number in range(8)}
    found = fleet.live(4 * MINUTE)
    assert {(one.identity.server_id, one.phase) for one in found} == {
        (f"h{number}", "firing") for number in range(8)
    }


def test_a_silence_of_something_else_changes_nothing(make_fleet: Make) -> None:
    """Of another rule, or of what is less severe."""
    fleet = make_fleet(10)
    fleet.silences = [{"rule": "cpu_usage"}, {"severity": "warning"}, {"label.env": "test"}]
    fleet.silent = {f"h{number}" for number in range(8)}
    assert reported(fleet.live(4 * MINUTE)) == [("", "firing", "fleet")]


def test_hosts_disabled_or_silenced_during_an_outage_count_no_longer(make_fleet: Make) -> None:
    """Neither as silent nor in the total: most of the others are silent still."""
    fleet = make_fleet(10)
    fleet.silent = {f"h{number}" for number in range(8)}
    fleet.live(4 * MINUTE)
    for number in range(3):
        fleet.change(f"h{number}", disabled=True)
    fleet.silences = [{"server_id": "h3"}]
    assert fleet.live(10 * MINUTE) == []


def test_two_of_two_are_hosts(make_fleet: Make) -> None:
    """A fleet that small says nothing about us."""
    fleet = make_fleet(2)
    fleet.silent = {"h0", "h1"}
    assert len(fleet.live(4 * MINUTE)) == 2


def test_a_fleet_that_was_shut_down_is_not_our_fault(make_fleet: Make) -> None:
    """Every agent has said so; after its grace each is told."""
    fleet = make_fleet(5)
    for server in fleet.servers:
        fleet.liveness.event(server.id, "stopping", "shutdown", fleet.clock.ms)
    fleet.silent = {server.id for server in fleet.servers}
    assert fleet.live(9 * MINUTE) == []
    assert len(fleet.live(MINUTE)) == 5


@pytest.mark.parametrize("reason", ["the journal is full", "the api does not answer"])
def test_while_no_samples_are_taken_no_host_is_judged_and_we_are_told_of(
    make_fleet: Make, reason: str
) -> None:
    """After two minutes; hosts have their whole time again afterwards."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(MINUTE)
    fleet.ingest = Ingest(is_working=False, since_ms=0, is_caught_up=True, reason=reason)
    fleet.silent = {server.id for server in fleet.servers}
    assert fleet.live(2 * MINUTE) == []
    (firing,) = fleet.live(10)
    assert reported([firing]) == [("", "firing", "ingest")]
    assert firing.text == f"hostpulse takes no samples: {reason}"
    assert fleet.live(3600) == []
    fleet.ingest = None
    fleet.start_ms = fleet.clock.ms
    fleet.silent = {"h1"}
    assert reported(fleet.live(10)) == [("", "resolved", "cleared")]
    assert fleet.live(3 * MINUTE - 11) == []
    assert reported(fleet.live(1)) == [("h1", "firing", "host_down")]


def test_a_short_break_of_ingest_is_not_told(make_fleet: Make) -> None:
    """The api restarts in seconds."""
    fleet = make_fleet(5)
    fleet.ingest = Ingest(is_working=False, since_ms=0, is_caught_up=True, reason="restarting")
    fleet.live(MINUTE)
    fleet.ingest = None
    assert fleet.live(10 * MINUTE) == []


def test_the_cause_may_change_while_the_alert_about_us_fires(make_fleet: Make) -> None:
    """It stays one alert."""
    fleet = make_fleet(10)
    fleet.silent = {server.id for server in fleet.servers}
    fleet.live(4 * MINUTE)
    fleet.ingest = Ingest(is_working=False, since_ms=0, is_caught_up=True, reason="full")
    assert reported(fleet.live(3 * MINUTE)) == [("", "firing", "ingest")]
    fleet.ingest = None
    fleet.start_ms = fleet.clock.ms
    assert reported(fleet.live(MINUTE)) == [("", "firing", "fleet")]
    assert len({one.started_ms for one in fleet.conditions}) == 1


def test_a_restart_during_an_outage_changes_nothing(make_fleet: Make) -> None:
    """Neither the alert about us nor the peace about hosts."""
    fleet = make_fleet(10)
    fleet.silent = {server.id for server in fleet.servers}
    fleet.live(2 * MINUTE)
    fleet.restart()
    assert reported(fleet.live(MINUTE)) == [("", "firing", "fleet")]
    fleet.restart()
    assert "" not in fleet.liveness.changed()
    assert fleet.live(10 * MINUTE) == []
    fleet.silent = set()
    assert reported(fleet.live(MINUTE)) == [("", "resolved", "cleared")]


def test_without_a_rule_of_liveness_nothing_is_said_of_us_either(make_fleet: Make) -> None:
    """And when the rule goes the alert ends."""
    fleet = make_fleet(5)
    fleet.silent = {server.id for server in fleet.servers}
    fleet.live(4 * MINUTE)
    assert reported(fleet.liveness.reload(type(fleet.rules)({}))) == [
        ("", "resolved", "rule_removed")
    ]
    assert fleet.live(10 * MINUTE) == []
    off = make_fleet(5, rule(enabled=False))
    off.silent = {server.id for server in off.servers}
    assert off.live(10 * MINUTE) == []


@pytest.mark.parametrize(
    ("silent", "reporting", "members", "total"),
    [
        ([0, 0], 0, 0, 0),
        ([0, 0, 0], 2, 3, 5),
        ([0, 0, 0], 3, 0, 0),
        ([0, 60_000, 60_000], 2, 3, 5),
        ([0, 60_001, 60_001], 0, 0, 0),
        # two fell silent long before, and were not reporting any more
        ([0, 0, 90_000, 90_001, 90_002], 2, 3, 5),
        # those that went later were reporting still
        ([0, 0, 0, 90_000, 90_001], 0, 3, 5),
        ([0, 0, 0, 90_000, 90_001], 1, 0, 0),
    ],
)
def test_who_fell_silent_together(
    silent: list[int], reporting: int, members: int, total: int
) -> None:
    """At least three, more than half of those that were reporting, within a minute."""
    found = find_outage([(at_ms, f"h{index}") for index, at_ms in enumerate(silent)], reporting)
    assert (len(found.members), found.total) == (members, total) if found else members == 0
