"""When something is told, to whom, and when not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from hostpulse_server.notifications.channels.base import MAX_SHOWN

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.notifications.planning import PlanningHarness, ReceivedMessage

HOUR = 3600.0
BY_RULE = 'group_wait = "10s"\ngroup_by = ["rule"]'


@pytest.fixture
def planning(make: Callable[..., PlanningHarness]) -> PlanningHarness:
    """Give a harness with one channel, grouped by a list as before there was "auto"."""
    return make(BY_RULE)


def kinds(received: list[ReceivedMessage]) -> list[str]:
    """Return the kinds of messages."""
    return [one.kind for one in received]


def test_a_group_is_told_after_its_wait(planning: PlanningHarness) -> None:
    """With what joined it meanwhile."""
    planning.fire("web-01")
    assert planning.run(9) == []
    planning.fire("web-02")
    (one,) = planning.run(2)
    assert (one.at, one.kind, one.names) == (10.0, "firing", ["web-01", "web-02"])
    assert (one.message.firing, one.message.servers, one.message.number) == (2, 2, 1)


def test_without_a_wait_the_first_goes_at_once(make: Callable[..., PlanningHarness]) -> None:
    """In the turn that wrote it."""
    planning = make('group_wait = "0s"')
    planning.fire("web-01")
    planning.turn()
    assert kinds(planning.received) == ["firing"]


def test_what_joins_later_waits_for_the_interval(planning: PlanningHarness) -> None:
    """It is an update of the same incident, and says how many there are in all."""
    planning.fire("web-01")
    (first,) = planning.run(11)
    planning.fire("web-02")
    assert planning.run(298) == []
    (later,) = planning.run(2)
    assert (later.at, later.kind, later.names) == (310.0, "update", ["web-02"])
    assert later.message.incident == first.message.incident
    assert (later.message.number, later.message.firing, later.message.servers) == (2, 2, 2)


def test_the_end_of_all_is_told_at_once(planning: PlanningHarness) -> None:
    """And closes the incident: what fires later is another one."""
    number = planning.fire("web-01")
    (first,) = planning.run(20)
    planning.end(number)
    (last,) = planning.run(1)
    assert (last.kind, last.names, last.message.act_url) == ("resolved", ["web-01"], "")
    assert (last.message.firing, last.message.resolved) == (0, 1)
    planning.fire("web-02")
    (other,) = planning.run(11)
    assert other.message.incident not in {first.message.incident, ""}
    assert other.message.number == 1


def test_the_end_of_one_of_two_waits_for_the_interval(planning: PlanningHarness) -> None:
    """The other still fires."""
    number = planning.fire("web-01")
    planning.fire("web-02")
    planning.run(11)
    planning.end(number)
    assert planning.run(298) == []
    (one,) = planning.run(2)
    assert (one.kind, one.names) == ("update", ["web-02", "web-01"])
    assert (one.message.firing, one.message.resolved) == (1, 1)
    assert one.message.act_url


def test_an_end_of_a_part_is_no_end_and_shows_what_still_fires(planning: PlanningHarness) -> None:
    """As serious as what still fires, with some of both, and counts of now."""
    numbers = [planning.fire(f"web-{number:02}") for number in range(29)]
    planning.fire("web-29", severity="critical")
    planning.run(400)
    for number in numbers[:13]:
        planning.end(number)
    (one,) = planning.run(1)
    message = one.message
    assert (message.kind, message.severity, message.is_partial) == ("update", "critical", True)
    assert (message.firing, message.resolved, message.servers) == (17, 13, 17)
    assert [alert.state for alert in message.alerts] == ["firing"] * 10 + ["resolved"] * 10
    assert one.names[0] == "web-29"
    for number in numbers[13:]:
        planning.end(number)
    assert [one.kind for one in planning.run(301)] == ["update"]
    planning.end(30)
    (last,) = planning.run(1)
    assert (last.kind, last.message.is_partial) == ("resolved", False)
    assert (last.message.firing, last.message.resolved, last.message.servers) == (0, 30, 30)


def test_counts_are_of_alerts_as_they_are_now(planning: PlanningHarness) -> None:
    """Not of how often each fired, and without those that ended unsaid under a silence."""
    planning.fire("web-00")
    for _ in range(3):
        number = planning.fire("web-01")
        planning.run(400)
        planning.end(number)
        planning.run(400)
    quiet = planning.fire("web-02")
    planning.run(400)
    planning.silence(3600, server_id="web-02")
    planning.end(quiet)
    planning.fire("web-03")
    one = planning.run(400)[-1]
    assert (one.message.firing, one.message.resolved, one.message.servers) == (2, 2, 2)


def test_what_fires_again_at_once_is_not_over(planning: PlanningHarness) -> None:
    """It ended and began within one look."""
    number = planning.fire("web-01")
    planning.run(11)
    with planning.together():
        planning.end(number)
        planning.fire("web-01")
    (one,) = planning.run(301)
    assert (one.kind, one.names, one.message.alerts[0].state) == ("update", ["web-01"], "firing")


def test_what_was_over_before_it_was_told_is_never_told(planning: PlanningHarness) -> None:
    """Neither its beginning nor its end."""
    number = planning.fire("web-01")
    planning.run(5)
    planning.end(number)
    assert planning.run(HOUR) == []


def test_what_becomes_more_serious_is_told_at_once(planning: PlanningHarness) -> None:
    """And what becomes less so after the interval, once."""
    number = planning.fire("web-01")
    planning.run(11)
    planning.rise(number)
    (one,) = planning.run(1)
    assert (one.kind, one.message.severity) == ("update", "critical")
    planning.rise(number, "warning")
    assert [(one.kind, one.at) for one in planning.run(HOUR)] == [("update", 311.0)]


def test_one_that_comes_back_soon_waits_for_the_interval(
    make: Callable[..., PlanningHarness],
) -> None:
    """So that what flaps makes two messages in five minutes, not twenty, also where unnoticed."""
    planning = make(f"{BY_RULE}\nflap = {{window = 0}}")
    number = planning.fire("web-01")
    planning.run(11)
    for _ in range(10):
        planning.end(number)
        planning.run(10)
        number = planning.fire("web-01")
        planning.run(10)
    assert kinds(planning.received) == ["firing", "resolved"]
    (back,) = planning.run(300)
    assert (back.kind, back.names) == ("firing", ["web-01"])


def test_repeats_come_only_while_it_fires_and_nobody_has_acknowledged(
    planning: PlanningHarness,
) -> None:
    """Each repeat interval, and again once the acknowledgement is over."""
    number = planning.fire("web-01")
    planning.run(11)
    (one,) = planning.run(4 * HOUR)
    assert (one.kind, one.at) == ("repeat", 10 + 4 * HOUR)
    planning.acknowledge(number, 6 * HOUR)
    assert planning.run(6 * HOUR - 10) == []
    (again,) = planning.run(20)
    assert again.kind == "repeat"
    planning.end(number)
    assert kinds(planning.run(9 * HOUR)) == ["resolved"]


def test_an_acknowledged_one_that_becomes_critical_is_told(planning: PlanningHarness) -> None:
    """Somebody knew of a warning."""
    number = planning.fire("web-01")
    planning.run(11)
    planning.acknowledge(number, HOUR)
    planning.rise(number)
    assert kinds(planning.run(10)) == ["update"]


def test_routes_choose_and_only_who_was_told_hears_the_end(two: PlanningHarness) -> None:
    """The first route that matches wins."""
    low, high = two.fire("web-01"), two.fire("web-02", severity="critical", rule="disk_usage")
    received = two.run(11)
    assert sorted((one.channel, one.names[0]) for one in received) == [
        ("mail", "web-01"),
        ("mail", "web-02"),
        ("pager", "web-02"),
    ]
    two.end(low)
    two.end(high)
    ends = two.run(11)
    assert sorted((one.channel, one.names[0]) for one in ends) == [
        ("mail", "web-01"),
        ("mail", "web-02"),
        ("pager", "web-02"),
    ]
    assert {one.kind for one in ends} == {"resolved"}


def test_one_that_rises_into_a_route_is_told_there(two: PlanningHarness) -> None:
    """The pager is called when a warning turns critical."""
    number = two.fire("web-01")
    assert [one.channel for one in two.run(11)] == ["mail"]
    two.rise(number)
    received = two.run(15)
    assert sorted((one.channel, one.kind) for one in received) == [
        ("mail", "update"),
        ("pager", "firing"),
    ]


def test_who_was_notified_of_a_critical_hears_that_it_is_a_warning_now(
    two: PlanningHarness,
) -> None:
    """The pager too, which has no warnings: after the interval, once, and the end as well."""
    number = two.fire("web-01", severity="critical")
    two.run(11)
    two.rise(number, "warning")
    assert two.run(298) == []
    falls = two.run(2)
    assert sorted((one.channel, one.kind) for one in falls) == [
        ("mail", "update"),
        ("pager", "update"),
    ]
    for one in falls:
        (alert,) = one.message.alerts
        assert (one.message.severity, alert.severity) == ("warning", "warning")
        assert alert.previous_severity == "critical"
    assert two.run(3600) == []
    two.rise(number)
    risen = two.run(1)
    assert {(one.channel, one.kind) for one in risen} == {("mail", "update"), ("pager", "update")}
    assert {one.message.alerts[0].previous_severity for one in risen} == {"warning"}
    two.rise(number, "warning")
    two.run(400)
    two.end(number)
    assert {(one.channel, one.kind) for one in two.run(1)} == {
        ("mail", "resolved"),
        ("pager", "resolved"),
    }


def test_a_fall_beside_what_is_still_critical_is_still_critical(two: PlanningHarness) -> None:
    """The incident's severity is that of the most severe alert of it; a silence mutes a fall."""
    number = two.fire("web-01", severity="critical")
    quiet = two.fire("web-02", severity="critical")
    two.fire("web-03", severity="critical")
    two.run(11)
    two.silence(HOUR, server_id="web-02")
    two.rise(number, "warning")
    two.rise(quiet, "warning")
    falls = two.run(301)
    assert {(one.channel, one.message.severity, *one.names) for one in falls} == {
        ("mail", "critical", "web-01"),
        ("pager", "critical", "web-01"),
    }


@pytest.mark.parametrize(
    ("reasons", "reason"),
    [
        (("cleared", "cleared"), "cleared"),
        (("gone", "cleared"), "gone"),
        (("disabled", "cleared"), "disabled"),
        (("disabled", "gone"), "gone"),
        (("revised", "cleared"), "cleared"),
    ],
)
def test_an_end_says_why_by_the_worst_reason_of_the_incident(
    planning: PlanningHarness, reasons: tuple[str, str], reason: str
) -> None:
    """Also where that alert was over in a message before."""
    numbers = [planning.fire(name) for name in ("web-01", "web-02")]
    planning.run(11)
    for number, why in zip(numbers, reasons, strict=True):
        planning.end(number, why)
        planning.run(400)
    assert [one.kind for one in planning.received] == ["firing", "update", "resolved"]
    assert planning.received[-1].message.reason == reason


def test_without_routes_what_is_good_to_know_is_not_told(planning: PlanningHarness) -> None:
    """Warning and above are."""
    planning.fire("web-01", severity="info")
    assert planning.run(HOUR) == []


def test_a_host_that_is_down_mutes_what_else_it_has(planning: PlanningHarness) -> None:
    """What still stands when it is back is told then."""
    down = planning.fire("web-01", "liveness", "critical", verdict="host_down")
    planning.fire("web-01", "disk_usage", "critical", measurement="disk")
    planning.fire("web-02", "disk_usage", measurement="disk")
    assert sorted(name for one in planning.run(11) for name in one.names) == ["web-01", "web-02"]
    assert {alert.rule for one in planning.received for alert in one.message.alerts} == {
        "liveness",
        "disk_usage",
    }
    planning.end(down)
    # at once: it is graver than the warning of the other host
    received = planning.run(1)
    assert [(one.kind, one.names) for one in received] == [
        ("update", ["web-01"]),
        ("resolved", ["web-01"]),
    ]
    assert planning.run(310) == []


def test_a_critical_one_mutes_the_warning_of_the_same_figure(planning: PlanningHarness) -> None:
    """But not that of another mount."""
    for severity, mount, rule in (
        ("critical", "/", "disk_usage"),
        ("warning", "/", "disk_growth"),
        ("warning", "/srv", "disk_growth"),
    ):
        planning.fire("web-01", rule, severity, measurement="disk", tags={"mount": mount})
    notified = [alert for one in planning.run(11) for alert in one.message.alerts]
    assert sorted((alert.rule, alert.tags["mount"]) for alert in notified) == [
        ("disk_growth", "/srv"),
        ("disk_usage", "/"),
    ]


def test_trouble_of_our_own_mutes_what_liveness_says_of_hosts(planning: PlanningHarness) -> None:
    """One message about us, not fifty about hosts; what samples say is told."""
    planning.fire("", "liveness", "critical", verdict="fleet")
    for number in range(50):
        planning.fire(f"web-{number}", "liveness", "warning", verdict="silent")
    planning.fire("web-01", "disk_usage", measurement="disk")
    assert sorted(one.names for one in planning.run(11)) == [[""], ["web-01"]]


def test_a_silence_keeps_quiet_and_what_still_fires_is_told_after_it(
    planning: PlanningHarness,
) -> None:
    """By globs of anything an alert has, tags and labels included."""
    planning.silence(HOUR, server_id="web-*", mount="/srv*")
    planning.fire("web-01", "disk_usage", measurement="disk", tags={"mount": "/srv/a"})
    assert planning.run(HOUR - 1) == []
    (one,) = planning.run(12)
    assert (one.kind, one.names) == ("firing", ["web-01"])


def test_under_a_silence_nothing_is_repeated_and_no_end_is_told(planning: PlanningHarness) -> None:
    """And after it what still fires is told once more."""
    over, still = planning.fire("web-01"), planning.fire("web-02")
    planning.run(11)
    planning.silence(5 * HOUR, server_id="web-*")
    planning.run(10)
    planning.end(over)
    assert planning.run(5 * HOUR - 20) == []
    received = planning.run(300)
    assert [(one.kind, sorted(one.names)) for one in received] == [("repeat", ["web-01", "web-02"])]
    planning.end(still)
    assert kinds(planning.run(1)) == ["resolved"]


def test_a_restart_sends_nothing_again(planning: PlanningHarness) -> None:
    """All that is known is in the database."""
    number = planning.fire("web-01")
    planning.run(11)
    planning.restart()
    assert planning.run(HOUR) == []
    planning.end(number)
    planning.restart()
    assert kinds(planning.run(1)) == ["resolved"]
    planning.restart()
    assert planning.run(HOUR) == []


def test_a_message_says_what_else_is_wrong_on_the_host(planning: PlanningHarness) -> None:
    """Of another rule; with links to the runbook, and to the dashboard of that time."""
    number = planning.fire("web-01", "memory_usage")
    planning.fire("web-01", "cpu_usage", "critical")
    received = {one.message.alerts[0].rule: one.message.alerts[0] for one in planning.run(11)}
    assert received["memory_usage"].others == ("critical cpu_usage: cpu_usage on web-01",)
    memory = received["memory_usage"]
    assert memory.dashboard == (
        "https://graphs.example.org/d/hostpulse-server-detail?var-server=web-01"
        f"&from={memory.started_ms - 600_000}&to=now"
    )
    assert memory.runbook == "https://monitor.example.org:8443/runbooks/memory_usage"
    planning.end(number)
    (over,) = (one.message.alerts[0] for one in planning.run(HOUR) if one.message.alerts)
    assert over.resolved_ms is not None
    assert over.dashboard.endswith(
        f"&from={over.started_ms - 600_000}&to={over.resolved_ms + 600_000}"
    )


@pytest.mark.parametrize(
    ("group_by", "messages"), [('["rule"]', 2), ('["env", "rule"]', 3), ("[]", 1)]
)
def test_groups_are_made_by_what_the_configuration_names(
    make: Callable[..., PlanningHarness], group_by: str, messages: int
) -> None:
    """Rule, severity, server or any label."""
    planning = make(f'group_wait = "10s"\ngroup_by = {group_by}')
    planning.fire("web-01", labels={"env": "test"})
    planning.fire("web-02", labels={"env": "prod"})
    planning.fire("web-03", "disk_usage", labels={"env": "prod"})
    assert len(planning.run(11)) == messages


@pytest.mark.parametrize(
    "group_by", ['"auto"', '["rule"]', '["server_id"]', '["server_id", "rule"]']
)
def test_a_storm_is_told_in_few_messages_and_counts_every_host(
    make: Callable[..., PlanningHarness], group_by: str
) -> None:
    """1,000 hosts within ten seconds, however they are grouped, and so are their ends."""
    planning = make(f"group_by = {group_by}")
    numbers: list[int] = []
    for _ in range(10):
        with planning.together():
            numbers += [planning.fire(f"web-{len(numbers) + more}") for more in range(100)]
        planning.run(1)
    planning.run(400)
    for start in range(0, 400, 60):
        assert len([one for one in planning.received if start <= one.at < start + 60]) <= 10
    assert max(len(one.message.alerts) for one in planning.received) <= MAX_SHOWN
    last = {one.message.incident: one.message for one in planning.received}
    assert sum(one.servers for one in last.values()) == 1000
    assert sum(one.firing for one in last.values()) == 1000
    with planning.together():
        for number in numbers:
            planning.end(number)
    planning.run(600)
    assert len(planning.received) <= 60
    last = {one.message.incident: one.message for one in planning.received}
    assert sum(one.resolved for one in last.values()) == 1000
    assert {one.kind for one in last.values()} == {"resolved"}


def test_the_gravest_goes_first_when_there_is_room_for_few(
    make: Callable[..., PlanningHarness],
) -> None:
    """What does not fit is gathered, not lost."""
    planning = make('group_by = ["server_id"]\nmessages_per_minute = 2')
    for number in range(5):
        planning.fire(f"web-{number}")
    planning.fire("db-01", severity="critical")
    first, second = planning.run(11)
    assert (first.names, sorted(second.names)) == (["db-01"], [f"web-{n}" for n in range(5)])


def test_what_is_critical_goes_out_where_there_is_no_room(
    make: Callable[..., PlanningHarness],
) -> None:
    """More of them than one share a message; warnings wait."""
    planning = make('group_by = ["server_id"]\nmessages_per_minute = 2')
    for number in range(2):
        planning.fire(f"web-{number}")
    assert len(planning.run(11)) == 2
    planning.fire("web-9")
    planning.fire("db-00", severity="critical")
    assert [one.names for one in planning.run(11)] == [["db-00"]]
    for number in range(1, 6):
        planning.fire(f"db-0{number}", severity="critical")
    (together,) = [one for one in planning.run(11) if "db-01" in one.names]
    assert set(together.names) >= {f"db-0{number}" for number in range(1, 6)}
