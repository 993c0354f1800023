"""One host falls silent: when that is told, with which verdict, and when it is over."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.liveness.conftest import Fleet, rule

from hostpulse_server.liveness import Ingest
from hostpulse_server.liveness.causes import subnet_name, subnets
from hostpulse_server.rules import LivenessLevel as Level
from hostpulse_server.rules import Override

if TYPE_CHECKING:
    from collections.abc import Callable

    from hostpulse_server.values.alert import Condition

    Make = Callable[..., Fleet]

MINUTE = 60


def reported(conditions: list[Condition]) -> list[tuple[str, str, str, str]]:
    """Return (server, phase, severity, verdict or reason) of each."""
    return [
        (
            one.identity.server_id,
            one.phase,
            one.severity,
            one.reason or (one.facts or {}).get("verdict", ""),
        )
        for one in conditions
    ]


def test_a_host_that_is_down_is_told_after_three_minutes_and_ends_with_its_first_sample(
    make_fleet: Make,
) -> None:
    """Not a second earlier; the evidence says what was asked and when it was last seen."""
    fleet = make_fleet(5)
    last_ms = fleet.clock.ms
    fleet.silent = {"h1"}
    assert fleet.live(3 * MINUTE - 1) == []
    (firing,) = fleet.live(1)
    assert reported([firing]) == [("h1", "firing", "critical", "host_down")]
    assert (firing.started_ms, firing.at_ms) == (last_ms, fleet.clock.ms)
    assert firing.text == "h1 is down: 10.0.1.7 does not answer; last sample 08:00:20 UTC"
    assert firing.evidence == ("last sample 08:00:20 UTC, 3 min ago", "10.0.1.7: False")
    assert fleet.live(2 * 3600, step=60) == []
    fleet.silent = set()
    assert reported(fleet.live(10)) == [("h1", "resolved", "critical", "cleared")]
    assert fleet.live(10 * MINUTE) == []


def test_times_of_day_are_those_of_the_site(make_fleet: Make) -> None:
    """Of a host, of the fleet and of our own intake; the zone is said."""
    fleet = make_fleet(5, zone="Asia/Seoul")
    fleet.silent = {"h1"}
    (firing,) = fleet.live(3 * MINUTE)
    assert firing.text == "h1 is down: 10.0.1.7 does not answer; last sample 17:00:20 KST"
    assert firing.evidence[0] == "last sample 17:00:20 KST, 3 min ago"
    fleet = make_fleet(40, zone="Asia/Seoul")
    fleet.silent = {f"h{number}" for number in range(36)}
    (firing, *_) = fleet.live(10 * MINUTE)
    assert "36 of 40 servers are silent since 17:00:20 KST: " in firing.text


def test_a_stopped_agent_on_a_live_host_is_a_warning_after_ten_minutes(make_fleet: Make) -> None:
    """The host answers, so it is not down."""
    fleet = make_fleet(5)
    fleet.prober.answers["h1"] = True
    fleet.silent = {"h1"}
    assert fleet.live(10 * MINUTE - 1) == []
    assert reported(fleet.live(1)) == [("h1", "firing", "warning", "agent_stopped")]


def test_the_verdict_changes_while_it_fires_once_it_is_seen_twice(make_fleet: Make) -> None:
    """A single lost echo makes no critical alert; a host that went down for good does."""
    fleet = make_fleet(5)
    fleet.prober.answers["h1"] = True
    fleet.silent = {"h1"}
    fleet.live(11 * MINUTE)
    fleet.prober.answers["h1"] = False
    fleet.live(5)
    fleet.prober.answers["h1"] = True
    assert fleet.live(MINUTE) == []
    fleet.prober.answers["h1"] = False
    assert reported(fleet.live(MINUTE)) == [("h1", "firing", "critical", "host_down")]
    fleet.prober.answers["h1"] = True
    (firing,) = fleet.live(MINUTE)
    assert reported([firing]) == [("h1", "firing", "warning", "agent_stopped")]
    assert firing.started_ms == fleet.conditions[0].started_ms


def test_a_host_that_answers_again_before_that_is_due_stays_told_as_it_was(
    make_fleet: Make,
) -> None:
    """It boots; its agent may start any moment, and until then it is silent as before."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(4 * MINUTE)
    fleet.prober.answers["h1"] = True
    assert fleet.live(5 * MINUTE) == []
    assert reported(fleet.live(MINUTE)) == [("h1", "firing", "warning", "agent_stopped")]


def test_a_rule_about_hosts_that_are_down_ends_when_the_host_answers(make_fleet: Make) -> None:
    """It has no level for a stopped agent."""
    fleet = make_fleet(5, rule(levels=[Level("critical", ("host_down",), 60_000)]))
    fleet.silent = {"h1"}
    assert reported(fleet.live(MINUTE)) == [("h1", "firing", "critical", "host_down")]
    fleet.prober.answers["h1"] = True
    assert reported(fleet.live(MINUTE)) == [("h1", "resolved", "critical", "cleared")]


def test_refused_requests_are_a_broken_path_as_long_as_they_come(make_fleet: Make) -> None:
    """The reason is that of the refusal; when none comes any more the host is judged anew."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    for _ in range(11):
        fleet.liveness.refused("h1", "its key was\nrevoked", fleet.clock.ms)
        found = fleet.live(MINUTE)
        if found:
            break
    assert reported(found) == [("h1", "firing", "warning", "path_broken")]
    assert found[0].text.startswith(
        "The samples of h1 reach hostpulse and are refused: its key was revoked; last sample"
    )
    assert any("its requests are refused: its key was revoked" in s for s in found[0].evidence)
    assert reported(fleet.live(3 * MINUTE)) == [("h1", "firing", "critical", "host_down")]


def test_without_an_address_the_verdict_is_silent(make_fleet: Make) -> None:
    """Nobody can be asked, and nobody is."""
    fleet = make_fleet(5)
    fleet.add("n1", address=None)
    fleet.live(20)
    fleet.silent = {"n1"}
    (firing,) = fleet.live(3 * MINUTE)
    assert reported([firing]) == [("n1", "firing", "critical", "silent")]
    assert "no address is registered for it" in firing.evidence
    assert fleet.prober.asked == []


@pytest.mark.parametrize("is_mute", [True, False])
def test_when_asking_leads_to_nothing_silence_is_told_all_the_same(
    make_fleet: Make, *, is_mute: bool
) -> None:
    """Be it that the name does not resolve, or that the prober has too much to do."""
    fleet = make_fleet(5)
    fleet.prober.is_mute = is_mute
    fleet.prober.answers["h1"] = None
    fleet.silent = {"h1"}
    assert reported(fleet.live(4 * MINUTE)) == [("h1", "firing", "critical", "silent")]


def test_only_hosts_silent_for_half_the_time_are_asked(make_fleet: Make) -> None:
    """Probing everybody all the time would be a scanner."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(89)
    assert fleet.prober.asked == []
    fleet.live(20)
    assert set(fleet.prober.asked) == {"h1"}


@pytest.mark.parametrize(("reason", "minutes"), [("restart", 3), ("shutdown", 10), ("remove", 10)])
def test_a_clean_stop_buys_time_and_is_told_then(
    make_fleet: Make, reason: str, minutes: int
) -> None:
    """Later of its grace and the rule's own time, with the stop in the text."""
    fleet = make_fleet(5)
    fleet.liveness.event("h1", "stopping", reason, fleet.clock.ms)
    fleet.silent = {"h1"}
    assert fleet.live(minutes * MINUTE - 1) == []
    (firing,) = fleet.live(1)
    assert reported([firing]) == [("h1", "firing", "critical", "host_down")]
    assert "; it stopped cleanly at 08:00:20 UTC; last sample" in firing.text
    assert f"stopped cleanly at 08:00:20 UTC ({reason})" in firing.evidence


def test_an_agent_that_reports_after_its_stop_has_no_grace_left(make_fleet: Make) -> None:
    """The stop is over with the next sample."""
    fleet = make_fleet(5)
    fleet.liveness.event("h1", "stopping", "shutdown", fleet.clock.ms)
    fleet.live(20)
    fleet.silent = {"h1"}
    (firing,) = fleet.live(3 * MINUTE)
    assert "stopped cleanly" not in firing.text


def test_a_registered_host_that_never_reported_counts_from_its_registration(
    make_fleet: Make,
) -> None:
    """And from the engine's start where that was later."""
    fleet = make_fleet(3)
    fleet.silent = {"new", "old"}
    fleet.add("new")
    fleet.add("old", created_ms=fleet.start_ms - 86_400_000)
    assert reported(fleet.live(3 * MINUTE - 20)) == [("old", "firing", "critical", "silent")]
    (firing,) = fleet.live(20)
    assert reported([firing]) == [("new", "firing", "critical", "silent")]
    assert "never reported since it was registered at 08:00:20 UTC" in firing.text
    assert "registered at 2027-01-14 08:00:00 UTC" in fleet.conditions[0].text


def test_a_host_known_from_before_is_not_called_never_reported(make_fleet: Make) -> None:
    """It has told its agent's version, when nobody watched yet."""
    fleet = make_fleet(3)
    fleet.silent = {"old"}
    fleet.add("old", created_ms=1, agent_version="0.1.0")
    (firing,) = fleet.live(3 * MINUTE)
    assert "never" not in firing.text
    assert "no sample since 08:00:00 UTC" in firing.text


def test_a_disabled_host_is_a_planned_stop(make_fleet: Make) -> None:
    """Its alert ends, and after it was enabled its time begins anew."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(4 * MINUTE)
    fleet.change("h1", disabled=True)
    assert reported(fleet.live(10)) == [("h1", "resolved", "critical", "disabled")]
    assert fleet.live(600) == []
    fleet.change("h1", disabled=False)
    fleet.live(10)
    fleet.restart()
    assert fleet.live(3 * MINUTE - 10) == []
    assert reported(fleet.live(20)) == [("h1", "firing", "critical", "silent")]


def test_a_removed_host_ends_its_alert(make_fleet: Make) -> None:
    """Nothing is remembered of it."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(4 * MINUTE)
    fleet.liveness.changed()
    fleet.servers = [one for one in fleet.servers if one.id != "h1"]
    assert reported(fleet.live(10)) == [("h1", "resolved", "critical", "server_removed")]
    assert "h1" not in fleet.liveness.changed()
    assert fleet.liveness.dump("h1") == (0, {})


def test_a_host_that_sends_each_five_minutes_is_not_silent_between(make_fleet: Make) -> None:
    """Two and a half intervals are the least."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    for _ in range(5):
        fleet.liveness.seen("h1", fleet.clock.ms, 300_000)
        assert fleet.live(5 * MINUTE) == []
    assert fleet.live(7.5 * MINUTE - 1) == []
    assert reported(fleet.live(1)) == [("h1", "firing", "critical", "host_down")]


def test_several_rules_and_overrides_each_say_their_own(make_fleet: Make) -> None:
    """A label makes build hosts wait longer, a second rule wakes somebody sooner."""
    slow = rule(levels=[Level("warning", ("host_down",), 1_200_000)])
    first = rule(overrides=(Override({"label.env": "dev"}, slow),))
    second = rule("quick", [Level("info", ("host_down", "silent"), 60_000)])
    fleet = make_fleet(5, first, second)
    fleet.change("h2", labels={"env": "dev"})
    fleet.silent = {"h1", "h2"}
    found = fleet.live(21 * MINUTE)
    assert [(one.identity.rule, *reported([one])[0][:3]) for one in found] == [
        ("quick", "h1", "firing", "info"),
        ("quick", "h2", "firing", "info"),
        ("liveness", "h1", "firing", "critical"),
        ("liveness", "h2", "firing", "warning"),
    ]


def test_new_rules_end_what_has_no_rule_any_more_and_leave_the_rest(make_fleet: Make) -> None:
    """A longer time does not take back what was told."""
    fleet = make_fleet(5, rule(), rule("other"))
    fleet.silent = {"h1"}
    fleet.live(4 * MINUTE)
    later = rule(levels=[Level("critical", ("host_down",), 3_600_000)])
    fleet.rules = type(fleet.rules)({"liveness": later})
    (ended,) = fleet.liveness.reload(fleet.rules)
    assert (ended.identity.rule, ended.reason) == ("other", "rule_removed")
    assert fleet.live(600) == []
    off = type(fleet.rules)({"liveness": rule(enabled=False)})
    (ended,) = fleet.liveness.reload(off)
    assert (ended.identity.rule, ended.reason) == ("liveness", "disabled")
    assert fleet.live(600) == []


def test_a_neighbour_that_was_switched_off_says_nothing_about_the_network(
    make_fleet: Make,
) -> None:
    """Two others must be silent without a reason."""
    fleet = make_fleet(5)
    for number, server_id in enumerate(("r1", "r2", "r3")):
        fleet.add(server_id, address=f"2001:db8::{number + 1}")
    assert subnets(fleet.servers)[b"\x20\x01\x0d\xb8" + bytes(4)] == ["r1", "r2", "r3"]
    assert subnet_name(b"\x20\x01\x0d\xb8" + bytes(4)) == "2001:db8::/64"
    fleet.live(20)
    fleet.liveness.event("r3", "stopping", "shutdown", fleet.clock.ms)
    fleet.silent = {"r1", "r2", "r3"}
    assert set(reported(fleet.live(4 * MINUTE))) == {
        ("r1", "firing", "critical", "host_down"),
        ("r2", "firing", "critical", "host_down"),
    }


def test_neighbours_that_died_long_ago_say_nothing_about_the_network(make_fleet: Make) -> None:
    """The third of them is down by itself, and the others stay what they are."""
    fleet = make_fleet(5)
    for number, server_id in enumerate(("r1", "r2", "r3")):
        fleet.add(server_id, address=f"192.0.2.{number + 1}")
    fleet.live(20)
    for server_id in ("r1", "r2", "r3"):
        fleet.silent.add(server_id)
        fleet.live(20 * MINUTE)
    assert reported(fleet.conditions) == [
        (one, "firing", "critical", "host_down") for one in ("r1", "r2", "r3")
    ]


def test_nothing_is_concluded_before_the_engine_has_caught_up(make_fleet: Make) -> None:
    """What arrived long ago is still in the journal; then it is judged as it stands."""
    fleet = make_fleet(5)
    fleet.silent = {"h1", "h2"}
    fleet.live(4 * MINUTE)
    start_ms = fleet.clock.ms
    fleet.ingest = Ingest(is_working=True, since_ms=fleet.start_ms, is_caught_up=False)
    fleet.silent |= {"h3"}
    assert fleet.live(10 * MINUTE) == []
    # h1 came and went meanwhile, h2 is back
    fleet.liveness.seen("h1", start_ms + 60_000, 10_000)
    fleet.report(["h2"])
    fleet.silent -= {"h2"}
    fleet.ingest = None
    assert set(reported(fleet.live(1))) == {
        ("h2", "resolved", "critical", "cleared"),
        ("h3", "firing", "critical", "host_down"),
    }


def test_a_restart_changes_nothing(make_fleet: Make) -> None:
    """Neither is anything told again nor does the time begin anew."""
    fleet = make_fleet(6)
    fleet.liveness.event("h3", "stopping", "shutdown", fleet.clock.ms)
    fleet.silent = {"h1", "h3"}
    fleet.live(MINUTE)
    fleet.silent.add("h2")
    fleet.live(2 * MINUTE)
    fleet.restart()
    assert reported(fleet.live(MINUTE)) == [("h2", "firing", "critical", "host_down")]
    fleet.restart()
    fleet.silent = {"h3"}
    assert sorted(reported(fleet.live(10))) == [
        (one, "resolved", "critical", "cleared") for one in ("h1", "h2")
    ]
    fleet.restart()
    (firing,) = fleet.live(6 * MINUTE)
    assert firing.at_ms == fleet.start_ms + 20_000 + 600_000
    assert "stopped cleanly" in firing.text


def test_after_a_restart_one_answer_to_the_contrary_changes_nothing(make_fleet: Make) -> None:
    """What was told rests on more than that."""
    fleet = make_fleet(5)
    fleet.prober.answers["h1"] = True
    fleet.silent = {"h1"}
    fleet.live(11 * MINUTE)
    fleet.prober.answers["h1"] = False
    fleet.restart()
    assert fleet.live(1) == []
    assert fleet.liveness.dump("h1")[1]["told"] == {
        "liveness": ["warning", "agent_stopped", fleet.start_ms + 20_000]
    }
    fleet.prober.answers["h1"] = True
    assert fleet.live(MINUTE) == []


@pytest.mark.parametrize("hours", [1, -1])
def test_a_wall_clock_that_is_set_makes_nobody_silent(make_fleet: Make, hours: int) -> None:
    """Nor does it hide who is."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.live(MINUTE)
    # only the wall clock moves: the monotonic one goes on as it was
    step_ms = hours * 3_600_000
    plain = fleet.clock.monotonic
    fleet.clock.monotonic = lambda: plain() - step_ms / 1000  # type: ignore[method-assign]
    fleet.clock.ms += step_ms
    assert fleet.turn() == []
    assert fleet.live(2 * MINUTE - 1) == []
    assert reported(fleet.live(1)) == [("h1", "firing", "critical", "host_down")]


@pytest.mark.parametrize("restarts", [False, True])
def test_an_arrival_noted_by_a_clock_that_was_ahead_does_not_keep_a_dead_host_alive(
    make_fleet: Make, *, restarts: bool
) -> None:
    """It was an hour ahead when the last sample came, and was set back before anyone looked."""
    fleet = make_fleet(5)
    fleet.clock.set(3600)
    fleet.live(20)
    fleet.liveness.seen("h1", fleet.clock.ms, 10_000)
    fleet.silent = {"h1"}
    fleet.clock.set(-3600)
    if restarts:
        fleet.restart()
    assert fleet.live(3 * MINUTE - 1) == []
    assert reported(fleet.live(30)) == [("h1", "firing", "critical", "host_down")]


def test_arrivals_stamped_ahead_and_read_after_the_clock_was_set_back_count_from_now(
    make_fleet: Make,
) -> None:
    """The journal keeps the wrong time of their receipt."""
    fleet = make_fleet(5)
    fleet.silent = {"h1"}
    fleet.liveness.seen("h1", fleet.clock.ms + 3_600_000, 10_000)
    fleet.live(3 * MINUTE - 1)
    assert reported(fleet.live(30)) == [("h1", "firing", "critical", "host_down")]
