"""An alert that fires and ends again and again is two messages, not twenty an hour."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from hostpulse_server import state
from hostpulse_server.notifications.planner.flapping import until_ms
from hostpulse_server.notifications.planner.state import FlapSettings
from hostpulse_server.operator import actions
from hostpulse_server.state.alert_models import AlertEventRow, AlertRow

if TYPE_CHECKING:
    from collections.abc import Callable

    from app.tests.notifications.planning import PlanningHarness, ReceivedMessage

MINUTE = 60.0
HOUR = 3600.0
SETTINGS = FlapSettings(window=20)


class Link:
    """A network link that goes up and down."""

    def __init__(self, planning: PlanningHarness, *, restarts: bool = False) -> None:
        self._planning = planning
        self._restarts = restarts
        self.number = 0
        self.more: dict[str, Any] = {"tags": {"interface": "eth0"}}

    def down(self, seconds: float = 0) -> list[ReceivedMessage]:
        """Let it go down, and stay so."""
        self.number = self._planning.fire("web-01", "link_down", **self.more)
        return self._run(seconds)

    def up(self, seconds: float = 0) -> list[ReceivedMessage]:
        """Let it come up, and stay so."""
        self._planning.end(self.number)
        return self._run(seconds)

    def flap(self, times: int, seconds: float) -> list[ReceivedMessage]:
        """Let it go down and up so often, each for so long."""
        return [one for _ in range(times) for one in self.down(seconds) + self.up(seconds)]

    def _run(self, seconds: float) -> list[ReceivedMessage]:
        received = self._planning.run(seconds)
        if self._restarts:
            self._planning.restart()
        return received


def kinds(received: list[ReceivedMessage]) -> list[str]:
    """Return the kinds of messages."""
    return [one.kind for one in received]


@pytest.mark.parametrize("restarts", [False, True])
def test_it_is_one_message_that_it_flaps_and_one_that_it_is_steady(
    planning: PlanningHarness, *, restarts: bool
) -> None:
    """The end with which it begins is none: the same incident goes on until it is steady."""
    link = Link(planning, restarts=restarts)
    received = link.flap(20, 2 * MINUTE)
    assert kinds(received) == ["firing", "resolved", "firing", "flapping"]
    (begin, flapping) = received[2:]
    (alert,) = flapping.message.alerts
    assert (alert.flap, alert.changes, alert.state, alert.is_quiet) == (
        "flapping",
        6,
        "firing",
        True,
    )
    assert (alert.resolved_ms, flapping.message.firing, flapping.message.resolved) == (None, 1, 0)
    assert flapping.message.act_url
    (steady,) = planning.run(HOUR)
    assert (steady.kind, steady.at) == ("resolved", 38 * 2 * MINUTE + 2 * MINUTE + 20 * MINUTE)
    (alert,) = steady.message.alerts
    assert (alert.flap, alert.changed_within_ms) == ("steady", 20 * MINUTE * 1000)
    assert (steady.message.firing, steady.message.resolved) == (0, 1)
    incidents = {one.message.incident for one in (begin, flapping, steady)}
    assert len(incidents) == 1
    assert planning.run(24 * HOUR) == []


def test_one_that_stays_firing_is_said_to(planning: PlanningHarness) -> None:
    """Once it has not changed for long; it is repeated as any other, and its end is said."""
    link = Link(planning)
    link.flap(4, 2 * MINUTE)
    assert kinds(link.down(19 * MINUTE)) == []
    (steady,) = planning.run(2 * MINUTE)
    (alert,) = steady.message.alerts
    assert (steady.kind, alert.flap, alert.state, alert.id) == ("steady", "steady", "firing", 5)
    assert kinds(planning.run(5 * HOUR)) == ["repeat"]
    assert kinds(link.up(HOUR)) == ["resolved"]
    assert len({one.message.incident for one in planning.received[2:]}) == 1


def test_a_slow_change_is_no_flapping(planning: PlanningHarness) -> None:
    """Four in a hundred minutes are messages as ever."""
    received = Link(planning).flap(6, 25 * MINUTE)
    assert kinds(received) == ["firing", "resolved"] * 6


def test_what_becomes_critical_while_it_flaps_goes_at_once(planning: PlanningHarness) -> None:
    """Once; that it is a warning again is nothing while it flaps."""
    link = Link(planning)
    link.flap(4, 2 * MINUTE)
    link.more["severity"] = "critical"
    (grave,) = link.down(1)
    assert (grave.kind, grave.message.severity) == ("update", "critical")
    assert (grave.message.alerts[0].flap, grave.message.alerts[0].changes) == ("flapping", 9)
    planning.rise(link.number, "warning")
    assert planning.run(2 * MINUTE) == []
    assert link.up(MINUTE) + link.down(MINUTE) + link.up(MINUTE) == []


def test_an_acknowledgement_is_kept_by_the_next(planning: PlanningHarness) -> None:
    """While it flaps and in an open group; who takes it back is not overruled."""
    link = Link(planning)
    link.flap(4, 2 * MINUTE)
    link.down(MINUTE)
    with state.writing(planning.database) as session:
        act = actions.Act("kim", planning.clock.ms, "cable")
        actions.acknowledge(session, link.number, act, planning.clock.ms + 8 * 3_600_000)
    link.up(MINUTE)
    link.down(1)
    with state.reading(planning.database) as session:
        row = session.get_one(AlertRow, link.number)
        assert (row.acknowledged_by, row.comment) == ("kim", "cable")
    (steady,) = planning.run(HOUR)
    assert steady.message.alerts[0].acknowledged_by == "kim"
    assert planning.run(5 * HOUR) == []
    with state.writing(planning.database) as session:
        actions.unacknowledge(session, link.number, actions.Act("kim", planning.clock.ms))
    assert kinds(planning.run(MINUTE)) == ["repeat"]
    assert kinds(planning.run(5 * HOUR)) == ["repeat"]


def test_an_acknowledgement_is_kept_where_the_group_is_open(planning: PlanningHarness) -> None:
    """Also by one that does not flap; not once the group has closed."""
    planning.fire("web-01", "cpu_usage")
    link = Link(planning)
    link.down(MINUTE)
    planning.acknowledge(link.number, 8 * HOUR)
    link.up(10 * MINUTE)
    link.down(10 * MINUTE)
    with state.reading(planning.database) as session:
        assert session.get_one(AlertRow, link.number).acknowledged_by == "me"
    link.up()
    planning.end(1)
    planning.run(MINUTE)
    link.down(MINUTE)
    with state.reading(planning.database) as session:
        assert session.get_one(AlertRow, link.number).acknowledged_by is None


def test_others_of_the_conversation_go_on_beside_it(planning: PlanningHarness) -> None:
    """What flaps fires for the counts, and nothing is over while it does."""
    link = Link(planning)
    other = planning.fire("web-01", "cpu_usage")
    link.flap(4, 2 * MINUTE)
    planning.end(other)
    (part,) = planning.run(6 * MINUTE)
    assert (part.kind, part.message.is_partial) == ("update", True)
    assert (part.message.firing, part.message.resolved) == (1, 1)
    assert [(alert.rule, alert.state) for alert in part.message.alerts] == [
        ("link_down", "firing"),
        ("cpu_usage", "resolved"),
    ]
    assert kinds(planning.run(HOUR)) == ["resolved"]


def test_what_flaps_from_the_start_is_said_too(planning: PlanningHarness) -> None:
    """Though each time it was over before the wait had passed."""
    received = Link(planning).flap(6, 5)
    assert kinds(received) == ["flapping"]
    assert received[0].message.number == 1
    assert kinds(planning.run(HOUR)) == ["resolved"]


def test_what_is_silenced_or_not_routed_does_not_flap_aloud(planning: PlanningHarness) -> None:
    """Neither the beginning nor that it is steady is said; the silence's end changes nothing."""
    planning.silence(HOUR, interface="eth0")
    link = Link(planning)
    assert link.flap(10, 2 * MINUTE) == []
    assert planning.run(HOUR) == []
    link.more = {"severity": "info"}
    assert link.flap(10, 2 * MINUTE) == []


@pytest.mark.parametrize("how", ["late", "revised", "by a person"])
def test_only_changes_that_were_seen_count(planning: PlanningHarness, how: str) -> None:
    """Not a backlog's, not what never was, not what a change of the rule did."""
    tags = {"interface": "eth0"}
    for _ in range(5):
        if how == "late":
            (number,) = planning.late("web-01", rule="link_down", tags=tags, is_owed=False)
        else:
            number = planning.fire("web-01", "link_down", tags=tags)
            planning.end(number, "rule_changed" if how == "by a person" else "cleared")
        if how == "revised":
            planning.revise(number)
        planning.run(5)
    assert kinds(planning.received) == []
    assert kinds(Link(planning).flap(2, MINUTE)) == ["firing", "resolved"]


def test_a_flap_that_a_person_ends_is_over_at_once(planning: PlanningHarness) -> None:
    """The server was disabled: nothing is to be waited for."""
    link = Link(planning)
    link.flap(4, 2 * MINUTE)
    link.down(MINUTE)
    planning.end(link.number, "disabled")
    (over,) = planning.run(1)
    assert (over.kind, over.message.reason) == ("resolved", "disabled")


def test_a_list_in_group_by_knows_flapping_too_and_none_is_as_before(
    make: Callable[..., PlanningHarness],
) -> None:
    """A window of 0 is never."""
    by_rule = make('group_by = ["rule"]')
    assert kinds(Link(by_rule).flap(20, 2 * MINUTE))[-1] == "flapping"
    never = make("flap = {window = 0}")
    received = kinds(Link(never).flap(20, 2 * MINUTE))
    assert len(received) >= 20
    assert "flapping" not in received


def test_each_step_is_in_the_history(planning: PlanningHarness) -> None:
    """Of the alert, with the channel: it is what a restart reads."""
    Link(planning).flap(4, 2 * MINUTE)
    planning.run(HOUR)
    with state.reading(planning.database) as session:
        kinds_of = AlertEventRow.kind.in_(("flapping", "steady"))
        rows = session.execute(
            sa.select(AlertEventRow.alert_id, AlertEventRow.kind, AlertEventRow.document)
            .where(kinds_of)
            .order_by(AlertEventRow.id)
        )
        assert [tuple(row) for row in rows] == [
            (3, "flapping", {"channel": "pager", "changes": 6}),
            (4, "steady", {"channel": "pager", "changes": 8}),
        ]


@given(times=st.lists(st.integers(0, 12_000_000), max_size=40).map(sorted), was=st.booleans())
def test_it_takes_more_to_begin_than_to_go_on(times: list[int], *, was: bool) -> None:
    """And without another change it ends."""
    last = times[-1] if times else 0
    recent = [time for time in times if time > last - SETTINGS.span_ms]
    end_ms = until_ms(recent, SETTINGS, was=was)
    assert (end_ms is None) == (len(recent) < (5 if was else 6))
    if end_ms is not None:
        assert last < end_ms <= last + SETTINGS.calm_ms
