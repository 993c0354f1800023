"""Most hosts of a network fall silent together: one alert about the network, critical at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tests.liveness.conftest import Fleet, rule

from hostpulse_server.rules import LivenessLevel as Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.values.alert import Condition

    Make = Callable[..., Fleet]

MINUTE = 60
NET = "192.0.2.0/24"


def reported(conditions: list[Condition]) -> list[tuple[str, str, str]]:
    """Return (server or network, phase, severity) of each."""
    return [
        (
            one.identity.server_id or dict(one.identity.tags).get("network", "fleet"),
            one.phase,
            one.severity,
        )
        for one in conditions
    ]


def with_rack(make_fleet: Make, size: int = 10, others: int = 12, *given: object) -> Fleet:
    """Return a fleet with a rack of so many hosts in one network, and others elsewhere."""
    fleet = make_fleet(others, *given)
    for number in range(size):
        fleet.add(
            f"r{number}",
            address=f"192.0.2.{number + 1}",
            labels={"env": "prod" if number else "test", "rack": "7"},
        )
    fleet.live(MINUTE)
    return fleet


def rack(size: int = 10) -> set[str]:
    """Return the hosts of the rack."""
    return {f"r{number}" for number in range(size)}


def test_ten_hosts_of_a_network_are_one_critical_alert_after_three_minutes(
    make_fleet: Make,
) -> None:
    """With the time, their number, who is meant, and the labels by which most would be routed."""
    fleet = with_rack(make_fleet)
    fleet.silent = rack()
    assert fleet.live(3 * MINUTE - 1) == []
    (firing,) = fleet.live(1)
    assert reported([firing]) == [(NET, "firing", "critical")]
    assert firing.text == (
        f"Network {NET}: 10 hosts are silent since 08:01:20 UTC, and none of them answers"
    )
    assert firing.evidence[:3] == (
        "silent: r0, r1, r2, r3, r4 and 5 more",
        "no host of it reports",
        "192.0.2.1: False",
    )
    assert firing.labels == {"env": "prod", "rack": "7"}
    assert "verdict" not in (firing.facts or {})
    assert fleet.live(3600) == []
    fleet.silent = set()
    assert reported(fleet.live(2 * MINUTE)) == [(NET, "resolved", "critical")]
    assert fleet.live(3600) == []


def test_most_hosts_of_a_network_are_enough(make_fleet: Make) -> None:
    """Those that are still there are named."""
    fleet = with_rack(make_fleet)
    fleet.silent = rack(6)
    (firing,) = fleet.live(4 * MINUTE)
    assert reported([firing]) == [(NET, "firing", "critical")]
    assert "6 hosts" in firing.text
    assert firing.evidence[1] == "still there: r6, r7, r8, r9"


def test_half_of_a_network_or_two_hosts_are_hosts(make_fleet: Make) -> None:
    """Each of them is told."""
    fleet = with_rack(make_fleet)
    fleet.silent = rack(5)
    assert len(fleet.live(4 * MINUTE)) == 5
    small = with_rack(make_fleet, 2)
    small.silent = rack(2)
    assert len(small.live(4 * MINUTE)) == 2


def test_who_stays_away_when_the_network_is_back_is_told_in_the_turn_in_which_it_ends(
    make_fleet: Make,
) -> None:
    """Nothing is called over while hosts are down, and those on their way have a minute."""
    fleet = with_rack(make_fleet)
    fleet.silent = rack()
    fleet.live(10 * MINUTE)
    fleet.silent = rack(4)
    found = fleet.live(MINUTE)
    assert [one for one in reported(found) if one[1] == "resolved"] == []
    fleet.silent = rack(2)
    found = fleet.live(10)
    assert reported(found) == [
        (NET, "resolved", "critical"),
        ("r0", "firing", "critical"),
        ("r1", "firing", "critical"),
    ]
    assert len({one.at_ms for one in found}) == 1


def test_the_count_of_an_outage_is_that_of_now(make_fleet: Make) -> None:
    """Hosts come back and others follow; the alert stays one, at the same severity."""
    fleet = with_rack(make_fleet)
    fleet.silent = rack(7)
    fleet.live(2 * MINUTE)
    fleet.silent = rack(9)
    found = fleet.live(5 * MINUTE)
    assert {one[0] for one in reported(found)} == {NET}
    assert "9 hosts" in found[-1].text
    fleet.silent = rack(6)
    (firing,) = fleet.live(5 * MINUTE)
    assert "6 hosts" in firing.text
    assert firing.started_ms == fleet.conditions[0].started_ms


def test_hosts_that_answer_have_lost_their_agents_not_their_network(make_fleet: Make) -> None:
    """Each is a warning, ten minutes later."""
    fleet = with_rack(make_fleet)
    fleet.prober.answers.update(dict.fromkeys(rack(), True))
    fleet.silent = rack()
    assert fleet.live(10 * MINUTE - 1) == []
    assert set(reported(fleet.live(1))) == {(one, "firing", "warning") for one in rack()}


def test_hosts_that_could_not_be_asked_in_time_are_one_network_all_the_same(
    make_fleet: Make,
) -> None:
    """The prober has too much to do, or no route leads there."""
    fleet = with_rack(make_fleet)
    fleet.prober.is_mute = True
    fleet.silent = rack()
    assert reported(fleet.live(3 * MINUTE)) == [(NET, "firing", "critical")]
    away = with_rack(make_fleet)
    away.prober.answers.update(dict.fromkeys(rack(), None))
    away.silent = rack()
    assert reported(away.live(3 * MINUTE)) == [(NET, "firing", "critical")]


def test_a_network_behind_a_firewall_is_one_alert_that_says_what_is_not_known(
    make_fleet: Make,
) -> None:
    """Its hosts have never answered."""
    fleet = make_fleet(12)
    fleet.firewalled = rack(4)
    for number in range(4):
        fleet.add(f"r{number}", address=f"192.0.2.{number + 1}")
    fleet.live(MINUTE)
    fleet.silent = rack(4)
    (firing,) = fleet.live(4 * MINUTE)
    assert firing.evidence[1] == (
        "no host of it reports; of 4 it is not known whether they answer to probes at all"
    )


def test_a_restart_during_an_outage_changes_nothing(make_fleet: Make) -> None:
    """It is not told again, and ends as it would have."""
    fleet = with_rack(make_fleet)
    fleet.silent = rack()
    fleet.live(2 * MINUTE)
    fleet.restart()
    assert reported(fleet.live(2 * MINUTE)) == [(NET, "firing", "critical")]
    fleet.restart()
    assert fleet.live(10 * MINUTE) == []
    fleet.silent = set()
    fleet.restart()
    assert reported(fleet.live(2 * MINUTE)) == [(NET, "resolved", "critical")]


def test_a_rule_that_goes_ends_the_alert(make_fleet: Make) -> None:
    """With the reason, and nothing is told of the network any more."""
    fleet = with_rack(make_fleet, 10, 12, rule(), rule("other"))
    fleet.silent = rack()
    assert len(fleet.live(4 * MINUTE)) == 2
    found = fleet.liveness.reload(type(fleet.rules)({"liveness": rule()}))
    found += fleet.live(10)
    assert [(one.identity.rule, one.reason) for one in found] == [("other", "rule_removed")]
    found = fleet.liveness.reload(type(fleet.rules)({}))
    found += fleet.live(10)
    assert [(one.identity.rule, one.reason) for one in found] == [("liveness", "rule_removed")]
    assert fleet.live(600) == []


def test_a_rule_without_a_level_for_hosts_that_are_down_says_nothing(make_fleet: Make) -> None:
    """As it would of each host."""
    fleet = with_rack(make_fleet, 10, 12, rule(levels=[Level("warning", ("agent_stopped",), 1)]))
    fleet.silent = rack()
    assert fleet.live(10 * MINUTE) == []


def test_silenced_and_stopped_hosts_say_nothing_about_their_network(make_fleet: Make) -> None:
    """Planned work: three of four are silenced, so the fourth is down by itself."""
    fleet = with_rack(make_fleet, 4)
    fleet.silences = [{"server_id": f"r{number}"} for number in range(3)]
    fleet.silent = rack(4)
    assert set(reported(fleet.live(4 * MINUTE))) == {(one, "firing", "critical") for one in rack(4)}


def test_while_the_whole_fleet_is_silent_no_network_is_told(make_fleet: Make) -> None:
    """One alert about us."""
    fleet = with_rack(make_fleet, 10, 5)
    fleet.silent = {server.id for server in fleet.servers}
    assert reported(fleet.live(10 * MINUTE)) == [("fleet", "firing", "critical")]
