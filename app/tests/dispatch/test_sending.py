"""How what waits in the outbox goes out, to receivers that are real and not always well."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.dispatch.office import NAMES, heads, refuse

from hostpulse_server import state
from hostpulse_server.errors import StateUnavailableError
from hostpulse_server.notifications.workers import IDLE_SECONDS
from hostpulse_server.state.alert_models import OutboxRow

if TYPE_CHECKING:
    from app.tests.dispatch.office import Office


def keys(office: Office) -> list[str]:
    """Return by which names the pager was given messages."""
    return [post.headers["idempotency-key"] for post in office.pager.posts]


def names_of(heard: list[str]) -> list[str]:
    """Return the servers that headlines are about."""
    return [head.split(" on ")[-1] for head in heard]


def test_what_is_confirmed_is_in_the_history_and_not_sent_again(office: Office) -> None:
    """By each channel; the outbox keeps when."""
    number = office.fire("web-01")
    office.desk.clock.move(3)
    office.deliver(30)
    assert sorted(office.notified()) == [(number, name, 3) for name in NAMES]
    assert (len(office.chat.posts), len(office.mail.received), len(office.pager.posts)) == (1, 1, 1)
    sent = office.rows(state="sent")
    assert {one.done_ms for one in sent} == {office.desk.began_ms + 3000}
    assert [drain.work() for drain in office.notifiers._drains] == [IDLE_SECONDS] * 3


def test_a_channel_that_asks_for_quiet_gets_it_and_loses_nothing(office: Office) -> None:
    """429 with Retry-After: all of the channel waits, the others do not."""
    numbers = [office.fire(f"web-{one}") for one in range(3)]
    refuse(office.chat, "429 rate_limited", Retry_After="30")
    office.deliver(29)
    assert len(office.chat.posts) == 1
    assert len(office.mail.received) == len(office.pager.posts) == 3
    for number in numbers:
        office.end(number)
    office.deliver(120)
    assert sorted(heads(office.chat)) == sorted(set(heads(office.chat)))
    for name in ("web-0", "web-1", "web-2"):
        beginning, end = [head for head in heads(office.chat) if head.endswith(name)]
        assert "WARNING" in beginning
        assert "RESOLVED" in end
    assert min(at for _, channel, at in office.notified() if channel == "chat") >= 30
    assert not office.rows(state="waiting")


def test_retry_after_holds_for_all_that_is_refused_again(office: Office) -> None:
    """Each time anew, and also after a restart."""
    office.fire("web-01")
    refuse(office.chat, "503", "503", "503", Retry_After="60")
    office.deliver(100)
    office.open(*NAMES)
    office.deliver(19)
    assert len(office.chat.posts) == 2
    office.deliver(60)
    assert len(office.chat.posts) == 3
    office.deliver(10)
    assert len(heads(office.chat)) == 1


def test_a_later_message_of_an_incident_waits_for_the_earlier(office: Office) -> None:
    """Other incidents do not."""
    number = office.fire("web-01")
    refuse(office.chat, "500", times=5)
    for _ in range(5):
        office.desk.clock.move(300)
        office.drain("chat").work()
    office.end(number)
    office.fire("web-02")
    row = office.rows(state="waiting", channel="chat")[0]
    assert row.attempts == 5
    with state.writing(office.desk.database) as session:
        session.get_one(OutboxRow, row.id).next_ms = office.desk.clock.ms + 5000
    office.deliver(4)
    assert names_of(heads(office.chat)) == ["web-02"]
    office.deliver(301)
    notified = [head for head in heads(office.chat) if "web-01" in head]
    assert ["WARNING" in notified[0], "RESOLVED" in notified[1], len(notified)] == [True, True, 2]


def test_tries_are_spread_up_to_a_bound_and_carry_one_name(office: Office) -> None:
    """A receiver that knows the name takes the message once, whatever it answered."""
    office.fire("web-01")
    refuse(office.pager, "500", "408", "502", "500", "500", "500", "500", "500", "500", "500")
    for attempt in range(10):
        office.drain("pager").work()
        (row,) = office.rows(channel="pager")
        now_ms = office.desk.clock.ms
        assert (row.state, row.attempts) == ("waiting", attempt + 1)
        assert now_ms <= row.next_ms <= now_ms + min(300, 2**attempt) * 1000
        assert "it answers" in row.error
        office.desk.clock.ms = row.next_ms
    office.deliver()
    assert len(keys(office)) == 11
    assert len(set(keys(office))) == 1
    (row,) = office.rows(channel="pager")
    assert (row.state, row.error) == ("sent", "")


def test_a_channel_has_no_more_messages_a_minute_than_the_configuration_says(
    office: Office,
) -> None:
    """Also of what comes to it in place of another one; what does not fit goes later."""
    office.alerts += "\nmessages_per_minute = 3"
    office.open(*NAMES)
    for one in range(3):
        office.fire(f"web-{one}")
    refuse(office.chat, "404 no_service", times=3)
    office.deliver(59)
    assert len(office.mail.received) == 3
    office.deliver(60)
    assert [at for _, channel, at in office.notified() if channel == "mail"] == [
        0,
        0,
        0,
        60,
        60,
        60,
    ]


def test_a_database_that_takes_nothing_in_makes_no_second_message(office: Office) -> None:
    """What was confirmed, and what was asked for, is kept in mind until it can be written."""
    office.fire("web-01")
    refuse(office.pager, "429", Retry_After="30")
    with office.locked():
        for name in ("chat", "pager") * 3:
            with pytest.raises(StateUnavailableError):
                office.drain(name).work()
        assert len(office.chat.posts) == len(office.pager.posts) == 1
    office.deliver(29)
    assert len(office.chat.posts) == len(office.pager.posts) == 1
    assert {channel for _, channel, _ in office.notified()} == {"chat", "mail"}
    office.deliver(10)
    assert {channel for _, channel, _ in office.notified()} == set(NAMES)


def test_a_crash_before_the_mark_sends_again_under_the_same_name(office: Office) -> None:
    """At least once, and whoever knows the name drops the second."""
    office.fire("web-01")
    with office.locked():
        for name in ("mail", "pager"):
            with pytest.raises(StateUnavailableError):
                office.drain(name).work()
    office.open(*NAMES)
    office.deliver(30)
    assert len(keys(office)) == 2
    assert len(set(keys(office))) == 1
    first, second = office.mail.received
    assert first.message["Message-ID"] == second.message["Message-ID"]
    assert len(office.notified()) == 3
