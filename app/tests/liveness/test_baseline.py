"""Whether a host answers to probes is learnt while it is up; without that it is not called down."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import pytest
from app.tests.liveness.conftest import Fleet, rules
from tests.support.clock import ManualClock

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.values.alert import Condition

    Make = Callable[..., Fleet]

MINUTE = 60
HOUR = 3600


def verdict(conditions: list[Condition]) -> str:
    """Return the verdict of the only condition."""
    (one,) = conditions
    return (one.facts or {})["verdict"]


def learnt(fleet: Fleet) -> dict[str, bool | None]:
    """Return what is known of each host."""
    known = fleet.liveness._tracker.active
    return {server_id: state.answers_while_up for server_id, state in known.items()}


def test_a_firewalled_host_whose_agent_stops_is_not_called_down(make_fleet: Make) -> None:
    """It answered no probe while it reported, so no answer says nothing; the message says that."""
    fleet = make_fleet(5)
    fleet.add("wall")
    fleet.firewalled = {"wall"}
    fleet.live(MINUTE)
    fleet.silent = {"wall"}
    found = fleet.live(3 * MINUTE)
    assert verdict(found) == "silent"
    assert found[0].severity == "critical"
    assert found[0].text.startswith("wall is silent; 10.0.5.7 does not answer; last sample")
    assert found[0].evidence[-1] == (
        "it did not answer to probes while it reported, either (a firewall?): it may be up"
    )


def test_without_probes_of_hosts_that_report_nothing_is_called_down() -> None:
    """The opt-out: nobody who reports is probed."""
    fleet = Fleet(ManualClock(), rules(), is_learning=False)
    fleet.add(*(f"h{number}" for number in range(5)))
    fleet.live(MINUTE)
    fleet.silent = {"h1"}
    found = fleet.live(3 * MINUTE)
    assert verdict(found) == "silent"
    assert found[0].evidence[-1] == (
        "whether it answers to probes at all was not learnt: it may be up"
    )


def test_a_host_that_answered_when_its_agent_was_silent_is_known_to_answer(
    make_fleet: Make,
) -> None:
    """That is learnt at any time; once it does not answer any more it is down."""
    fleet = make_fleet(5)
    fleet.firewalled = {"late"}
    fleet.add("late")
    fleet.live(MINUTE)
    fleet.prober.answers["late"] = True
    fleet.silent = {"late"}
    assert verdict(fleet.live(11 * MINUTE)) == "agent_stopped"
    fleet.prober.answers["late"] = False
    assert verdict(fleet.live(MINUTE)) == "host_down"


def test_what_was_learnt_survives_a_restart(make_fleet: Make) -> None:
    """A host may fall silent while no engine runs."""
    fleet = make_fleet(5)
    fleet.restart()
    fleet.silent = {"h1"}
    assert verdict(fleet.live(3 * MINUTE)) == "host_down"


def test_an_alert_of_a_release_that_learnt_nothing_stays_as_it_is(make_fleet: Make) -> None:
    """An upgrade while a host is down changes nothing for those who were notified."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(3 * MINUTE)
    fleet.liveness.changed()
    time_ms, document = fleet.liveness.dump("h1")
    del document["baseline"]
    fleet.dumped["h1"] = (time_ms, document)
    fleet.restart()
    assert fleet.live(HOUR) == []
    assert fleet.liveness.dump("h1")[1]["told"]["liveness"][1] == "host_down"


def test_another_address_has_to_be_learnt_anew(make_fleet: Make) -> None:
    """What was learnt is of the address before."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.change("h1", address="192.0.2.9")
    assert verdict(fleet.live(3 * MINUTE)) == "silent"


def test_a_firewall_that_is_closed_later_is_learnt_by_two_probes(make_fleet: Make) -> None:
    """One lost answer changes nothing."""
    fleet = make_fleet(5)
    fleet.firewalled = {"h1"}
    fleet.live(HOUR - MINUTE)
    assert learnt(fleet)["h1"] is True
    fleet.live(2 * MINUTE)
    assert learnt(fleet)["h1"] is False
    fleet.firewalled = set()
    fleet.live(HOUR + MINUTE)
    assert learnt(fleet)["h1"] is True


def test_a_probe_of_a_host_that_has_just_died_teaches_nothing(make_fleet: Make) -> None:
    """Neither while it is silent nor when it is back."""
    fleet = make_fleet(5)
    fleet.live(HOUR - MINUTE)
    fleet.silent = {"h1"}
    fleet.live(2 * HOUR)
    assert verdict(fleet.conditions) == "host_down"
    fleet.silent = set()
    fleet.live(MINUTE)
    assert learnt(fleet)["h1"] is True


def test_at_most_one_host_a_second_is_probed_and_each_once_an_hour(make_fleet: Make) -> None:
    """Probing everybody all the time would be a scanner; those of which nothing is known first."""
    fleet = make_fleet()
    fleet.add(*(f"h{number}" for number in range(300)))
    fleet.live(120, step=1)
    assert len(fleet.probed.asked) <= 120 + 10
    fleet.live(HOUR - 130, step=10)
    assert set(Counter(server_id for _, server_id in fleet.probed.asked).values()) == {1}
    assert all(learnt(fleet).values())
    before = len(fleet.probed.asked)
    fleet.add("new")
    fleet.live(30)
    assert fleet.probed.asked[before][1] == "new"


@pytest.mark.parametrize("settings", [{"address": None}, {"disabled": True}])
def test_hosts_without_an_address_or_disabled_are_not_probed(
    make_fleet: Make, settings: dict[str, object]
) -> None:
    """There is nobody to ask, or nobody wants to know."""
    fleet = make_fleet(3)
    fleet.add("off", **settings)
    fleet.live(MINUTE)
    assert "off" not in {server_id for _, server_id in fleet.probed.asked}
