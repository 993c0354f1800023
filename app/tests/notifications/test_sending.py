"""How what waits in the outbox goes out, to receivers that are real and not always well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.notifications.delivery import NAMES, heads, refuse

from hostpulse_server import state
from hostpulse_server.errors import StateUnavailableError
from hostpulse_server.notifications import outbox
from hostpulse_server.notifications.channels.base import Notification
from hostpulse_server.notifications.workers import IDLE_SECONDS
from hostpulse_server.state.alert_models import AlertGroupRow, OutboxRow

if TYPE_CHECKING:
    from app.tests.notifications.delivery import DeliveryHarness


def keys(delivery: DeliveryHarness) -> list[str]:
    """Return by which names the pager was given messages."""
    return [post.headers["idempotency-key"] for post in delivery.pager.posts]


def names_of(received: list[str]) -> list[str]:
    """Return the servers that headlines are about."""
    return [head.split(" on ")[-1] for head in received]


def test_what_is_confirmed_is_in_the_history_and_not_sent_again(delivery: DeliveryHarness) -> None:
    """By each channel; the outbox keeps when."""
    number = delivery.fire("web-01")
    delivery.planning.clock.move(3)
    delivery.deliver(30)
    assert sorted(delivery.notified()) == [(number, name, 3) for name in NAMES]
    assert (len(delivery.chat.posts), len(delivery.mail.received), len(delivery.pager.posts)) == (
        1,
        1,
        1,
    )
    sent = delivery.rows(state="sent")
    assert {one.done_ms for one in sent} == {delivery.planning.began_ms + 3000}
    assert [drain.work() for drain in delivery.notifiers._drains] == [IDLE_SECONDS] * 3


def test_a_channel_that_asks_for_quiet_gets_it_and_loses_nothing(delivery: DeliveryHarness) -> None:
    """429 with Retry-After: all of the channel waits, the others do not."""
    numbers = [delivery.fire(f"web-{one}") for one in range(3)]
    refuse(delivery.chat, "429 rate_limited", Retry_After="30")
    delivery.deliver(29)
    assert len(delivery.chat.posts) == 1
    assert len(delivery.mail.received) == len(delivery.pager.posts) == 3
    for number in numbers:
        delivery.end(number)
    delivery.deliver(120)
    assert sorted(heads(delivery.chat)) == sorted(set(heads(delivery.chat)))
    for name in ("web-0", "web-1", "web-2"):
        beginning, end = [head for head in heads(delivery.chat) if head.endswith(name)]
        assert "WARNING" in beginning
        assert "RESOLVED" in end
    assert min(at for _, channel, at in delivery.notified() if channel == "chat") >= 30
    assert not delivery.rows(state="waiting")


def test_retry_after_holds_for_all_that_is_refused_again(delivery: DeliveryHarness) -> None:
    """Each time anew, and also after a restart."""
    delivery.fire("web-01")
    refuse(delivery.chat, "503", "503", "503", Retry_After="60")
    delivery.deliver(100)
    delivery.open(*NAMES)
    delivery.deliver(19)
    assert len(delivery.chat.posts) == 2
    delivery.deliver(60)
    assert len(delivery.chat.posts) == 3
    delivery.deliver(10)
    assert len(heads(delivery.chat)) == 1


def test_a_later_message_of_an_incident_waits_for_the_earlier(delivery: DeliveryHarness) -> None:
    """Other incidents do not."""
    number = delivery.fire("web-01")
    refuse(delivery.chat, "500", times=5)
    for _ in range(5):
        delivery.planning.clock.move(30)
        delivery.drain("chat").work()
    delivery.end(number)
    delivery.fire("web-02")
    row = delivery.rows(state="waiting", channel="chat")[0]
    assert row.attempts == 5
    with state.writing(delivery.planning.database) as session:
        session.get_one(OutboxRow, row.id).next_ms = delivery.planning.clock.ms + 5000
    delivery.deliver(4)
    assert names_of(heads(delivery.chat)) == ["web-02"]
    delivery.deliver(301)
    notified = [head for head in heads(delivery.chat) if "web-01" in head]
    assert ["WARNING" in notified[0], "RESOLVED" in notified[1], len(notified)] == [True, True, 2]


def test_tries_are_spread_up_to_a_bound_and_carry_one_name(delivery: DeliveryHarness) -> None:
    """A receiver that knows the name takes the message once, whatever it answered."""
    delivery.fire("web-01")
    refuse(delivery.pager, "500", "408", "502", "500", "500", "500", "500", "500", "500", "500")
    for attempt in range(10):
        delivery.drain("pager").work()
        (row,) = delivery.rows(channel="pager")
        now_ms = delivery.planning.clock.ms
        assert (row.state, row.attempts) == ("waiting", attempt + 1)
        assert now_ms <= row.next_ms <= now_ms + min(300, 2**attempt) * 1000
        assert "it answers" in row.error
        delivery.planning.clock.ms = row.next_ms
    delivery.deliver()
    assert len(keys(delivery)) == 11
    assert len(set(keys(delivery))) == 1
    (row,) = delivery.rows(channel="pager")
    assert (row.state, row.error) == ("sent", "")


def test_a_channel_has_no_more_messages_a_minute_than_the_configuration_says(
    delivery: DeliveryHarness,
) -> None:
    """Also of what comes to it in place of another one; what does not fit goes later."""
    delivery.alerts += "\nmessages_per_minute = 3"
    delivery.open(*NAMES)
    for one in range(3):
        delivery.fire(f"web-{one}")
    refuse(delivery.chat, "404 no_service", times=3)
    delivery.deliver(59)
    assert len(delivery.mail.received) == 3
    delivery.deliver(60)
    assert [at for _, channel, at in delivery.notified() if channel == "mail"] == [
        0,
        0,
        0,
        60,
        60,
        60,
    ]


def test_a_database_that_takes_nothing_in_makes_no_second_message(
    delivery: DeliveryHarness,
) -> None:
    """What was confirmed, and what was asked for, is kept in mind until it can be written."""
    delivery.fire("web-01")
    refuse(delivery.pager, "429", Retry_After="30")
    with delivery.locked():
        for name in ("chat", "pager") * 3:
            with pytest.raises(StateUnavailableError):
                delivery.drain(name).work()
        assert len(delivery.chat.posts) == len(delivery.pager.posts) == 1
    delivery.deliver(29)
    assert len(delivery.chat.posts) == len(delivery.pager.posts) == 1
    assert {channel for _, channel, _ in delivery.notified()} == {"chat", "mail"}
    delivery.deliver(10)
    assert {channel for _, channel, _ in delivery.notified()} == set(NAMES)


def test_a_crash_before_the_mark_sends_again_under_the_same_name(delivery: DeliveryHarness) -> None:
    """At least once, and whoever knows the name drops the second."""
    delivery.fire("web-01")
    with delivery.locked():
        for name in ("mail", "pager"):
            with pytest.raises(StateUnavailableError):
                delivery.drain(name).work()
    delivery.open(*NAMES)
    delivery.deliver(30)
    assert len(keys(delivery)) == 2
    assert len(set(keys(delivery))) == 1
    first, second = delivery.mail.received
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert len(delivery.notified()) == 3


def test_a_critical_message_does_not_wait_for_its_minute(delivery: DeliveryHarness) -> None:
    """Warnings before it do, whatever was planned when."""
    delivery.alerts += "\nmessages_per_minute = 2"
    delivery.open("chat")
    for one in range(2):
        delivery.fire(f"web-{one}")
    refuse(delivery.chat, "503")
    delivery.deliver(5)
    delivery.planning.fire("web-2")
    delivery.fire("db-01", severity="critical")
    delivery.deliver(1)
    assert names_of(heads(delivery.chat))[-1] == "db-01"
    delivery.planning.clock.move(1)
    delivery.fire("db-02", severity="critical")
    delivery.deliver(1)
    assert names_of(heads(delivery.chat))[-1] == "db-02"


def test_a_warning_that_became_critical_does_not_wait_for_its_minute(
    delivery: DeliveryHarness,
) -> None:
    """Nor does its beginning, which goes first; thirty warnings before them do."""
    delivery.alerts += '\nmessages_per_minute = 2\ngroup_interval = "1s"'
    delivery.open("chat")
    with state.writing(delivery.planning.database) as session:
        session.add(
            AlertGroupRow(id=1, incident="a", channel="chat", key="[]", opened_ms=0, messages=1)
        )
        session.flush()
        for _ in range(30):
            outbox.add(session, waiting_message(delivery, "warning"))
        outbox.add(session, waiting_message(delivery, "warning"), group_id=1)
        outbox.add(session, waiting_message(delivery, "critical"), group_id=1)
    delivery.deliver(1)
    sent = [(row.group_id, row.document["severity"]) for row in delivery.rows(state="sent")]
    assert (1, "critical") in sent
    assert len(sent) <= 4


def waiting_message(delivery: DeliveryHarness, severity: str) -> Notification:
    """Return one that waits for the chat."""
    return Notification(
        kind="firing",
        channel="chat",
        site="test",
        severity=severity,
        created_ms=delivery.planning.clock.ms,
    )
