"""What was over before anybody heard of it is notified once, where the rule says so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from app.tests.notifications.planning import MAIL

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.notifications.planning import PlanningHarness

DAY = 86_400.0


def test_what_was_is_one_message_and_no_more(planning: PlanningHarness) -> None:
    """It opens nothing that has to end, be repeated or be acknowledged."""
    planning.late("web-01")
    assert planning.run(9) == []
    planning.late("web-02")
    (one,) = planning.run(DAY)
    assert (one.at, one.kind, one.names) == (10.0, "was", ["web-01", "web-02"])
    assert (one.message.severity, one.message.act_url, one.message.number) == ("warning", "", 1)
    assert (one.message.firing, one.message.resolved) == (0, 2)


def test_it_is_remembered_over_a_restart(planning: PlanningHarness) -> None:
    """Neither forgotten nor said twice."""
    planning.late("web-01")
    planning.turn()
    planning.restart()
    assert [one.kind for one in planning.run(60)] == ["was"]
    planning.restart()
    assert planning.run(DAY) == []


def test_one_that_fires_meanwhile_is_a_message_of_its_own(planning: PlanningHarness) -> None:
    """What is over does not make green what is not, nor the other way round."""
    planning.late("web-01")
    number = planning.fire("web-01", "oom_kill")
    assert sorted(one.kind for one in planning.run(60)) == ["firing", "was"]
    planning.end(number)
    assert [one.kind for one in planning.run(60)] == ["resolved"]


def test_rules_are_messages_of_their_own(planning: PlanningHarness) -> None:
    """As they are while they fire."""
    planning.late("web-01")
    planning.late("web-01", rule="agent_drops")
    groups = [one.message.group["rule"] for one in planning.run(60)]
    assert sorted(groups) == ["agent_drops", "oom_kill"]


def test_each_channel_that_it_is_routed_to_gets_it(make: Callable[..., PlanningHarness]) -> None:
    """And no other one."""
    routes = """\
[[routes]]
match = {severity = "critical"}
channels = ["pager", "mail"]
[[routes]]
match = {}
channels = ["mail"]
"""
    planning = make(more=MAIL + routes)
    planning.late("web-01")
    assert [one.channel for one in planning.run(60)] == ["mail"]
    planning.late("web-02", severity="critical")
    assert sorted(one.channel for one in planning.run(60)) == ["mail", "pager"]


def test_what_is_silenced_is_not_said(planning: PlanningHarness) -> None:
    """Not when the silence is over, either."""
    planning.silence(3600, rule="oom_kill")
    planning.late("web-01")
    assert planning.run(DAY) == []


def test_what_never_was_is_not_said(planning: PlanningHarness) -> None:
    """Samples that came later still may show that."""
    (number,) = planning.late("web-01")
    planning.revise(number)
    assert planning.run(DAY) == []


def test_a_channel_that_has_had_its_share_gets_it_later(
    make: Callable[..., PlanningHarness],
) -> None:
    """It goes after what fires, and is not swallowed by the storm."""
    planning = make('group_wait = "0s"\nmessages_per_minute = 2\ngroup_by = ["server_id"]')
    planning.late("web-00")
    for number in range(1, 6):
        planning.fire(f"web-{number:02}")
    received = planning.run(180)
    assert [one.kind for one in received if one.at < 60] == ["firing", "firing"]
    (was,) = (one for one in received if one.kind == "was")
    assert (was.at >= 60, was.names) == (True, ["web-00"])
