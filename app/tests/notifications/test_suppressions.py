"""Why nobody was notified: each suppression is in the history of its alert, once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from app.tests.notifications.delivery import refuse

from hostpulse_server import state
from hostpulse_server.notifications.routing import channels_for
from hostpulse_server.operator import actions, history, serializers
from hostpulse_server.operator.timeline import Destinations
from hostpulse_server.state.alert_models import AlertEventRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.notifications.delivery import DeliveryHarness
    from app.tests.notifications.planning import PlanningHarness


def detail(planning: PlanningHarness, alert_id: int) -> dict[str, Any]:
    """Return an alert as the API shows it."""
    with state.reading(planning.database) as session:
        row = actions.any_alert(session, alert_id)
        routed = channels_for(planning.config, row.severity, row.rule, row.server_id, row.labels)
        to = Destinations(tuple(planning.config.channels), routed)
        return serializers.detail_json(session, row, to, planning.clock.ms)


def suppressed(planning: PlanningHarness, alert_id: int) -> list[dict[str, Any]]:
    """Return the particulars of an alert's suppressions."""
    events = detail(planning, alert_id)["events"]
    return [one["details"] for one in events if one["kind"] == "suppressed"]


def channels(planning: PlanningHarness, alert_id: int) -> dict[str, tuple[str, list[str]]]:
    """Return the state and the texts of each channel."""
    return {
        one["channel"]: (one["state"], [f"{e['kind']}: {e['text']}" for e in one["entries"]])
        for one in detail(planning, alert_id)["timeline"]["channels"]
    }


def written(planning: PlanningHarness) -> int:
    """Return how many rows about suppressions there are."""
    with state.reading(planning.database) as session:
        return (
            session.scalar(
                sa.select(sa.func.count()).where(AlertEventRow.kind.startswith("suppressed"))
            )
            or 0
        )


def test_each_reason_is_an_event_that_says_by_what_and_until_when(two: PlanningHarness) -> None:
    """Also of an alert that nobody was ever notified of."""
    two.silence(3600, server_id="web-01")
    silenced = two.fire("web-01")
    down = two.fire("web-02", "liveness", "critical", verdict="host_down")
    inhibited = two.fire("web-02")
    start_ms = two.clock.ms
    two.run(60)
    assert suppressed(two, silenced) == [
        {"channels": ["mail"], "reason": "silence", "by": 1, "until": start_ms + 3_600_000}
    ]
    assert suppressed(two, inhibited) == [
        {"channels": ["mail"], "reason": "inhibition", "by": down, "until": None}
    ]
    assert suppressed(two, down) == [
        {
            "channels": ["pager", "mail"],
            "reason": "group_wait",
            "by": None,
            "until": start_ms + 10_000,
        }
    ]
    two.end(silenced)
    two.end(inhibited)
    two.run(60)
    assert channels(two, silenced) == {
        "pager": ("not_routed", []),
        "mail": ("suppressed", ["suppressed: silence 1"]),
    }
    assert channels(two, inhibited)["mail"] == (
        "suppressed",
        [f"suppressed: inhibited by alert {down}, liveness on web-02"],
    )
    assert [one["kind"] for one in detail(two, inhibited)["timeline"]["alert"]] == [
        "fired",
        "resolved",
    ]


@pytest.mark.parametrize(
    ("routes", "severity", "reason", "text"),
    [
        ("", "info", "level", "info is not notified without a route for it"),
        ('[[routes]]\nmatch = {rule = "x"}\nchannels = ["pager"]', "warning", "no_route", "no "),
    ],
)
def test_what_no_route_leads_to_says_so(
    make: Callable[..., PlanningHarness], routes: str, severity: str, reason: str, text: str
) -> None:
    """For all channels at once."""
    planning = make(more=routes)
    number = planning.fire("web-01", severity=severity)
    planning.run(60)
    assert [one["reason"] for one in suppressed(planning, number)] == [reason]
    ((status, (line,)),) = channels(planning, number).values()
    assert status == "suppressed"
    assert line.startswith(f"suppressed: {text}")


def test_only_a_change_is_written_also_over_a_restart(planning: PlanningHarness) -> None:
    """A silence that is followed by another, then by an inhibition; a failed turn loses nothing."""
    planning.silence(600, server_id="web-01")
    number = planning.fire("web-01")
    planning.run(300)
    planning.restart()
    planning.run(60)
    assert written(planning) == 1
    planning.silence(3600, rule="cpu_usage")
    with state.writing(planning.database) as session:
        planning.dispatcher.turn(session, planning.clock.ms)
        session.rollback()
    planning.run(60)
    assert [one["by"] for one in suppressed(planning, number)] == [1, 2]


def test_a_storm_under_one_inhibition_is_one_row_that_each_alert_shows(
    planning: PlanningHarness,
) -> None:
    """500 alerts of a host that is down."""
    with planning.together():
        down = planning.fire("web-01", "liveness", "critical", verdict="host_down")
        others = [planning.fire("web-01", f"rule_{number}") for number in range(500)]
    planning.run(600)
    assert written(planning) == 2  # the host's own group_wait, and all others
    for number in (others[0], others[-1]):
        (found,) = suppressed(planning, number)
        assert (found["reason"], found["by"], found["alerts"]) == ("inhibition", down, 500)


def test_what_does_not_fit_into_a_minute_says_so(make: Callable[..., PlanningHarness]) -> None:
    """Until it is sent."""
    planning = make('group_wait = "0s"\nmessages_per_minute = 1\ngroup_by = ["server_id"]')
    planning.fire("web-01")
    planning.turn()
    number = planning.fire("web-02")
    planning.run(120)
    assert [one["reason"] for one in suppressed(planning, number)] == ["messages_per_minute"]


def test_the_timeline_has_what_waits_what_failed_and_where_it_went(
    delivery: DeliveryHarness,
) -> None:
    """A channel each."""
    number = delivery.fire("web-01")
    refuse(delivery.chat, "404 no_service")
    refuse(delivery.pager, "503")
    delivery.deliver()
    found = channels(delivery.planning, number)
    assert found["chat"][0] == "failed"
    assert found["chat"][1][0].endswith("it went to mail")
    assert found["mail"][0] == "notified"
    assert found["pager"][0] == "waiting"
    assert "; tries: 1, " in found["pager"][1][0]
    with state.reading(delivery.planning.database) as session:
        assert history.events(session, number)
