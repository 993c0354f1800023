"""What happens to messages that a channel will not take, or does not take for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from app.tests.notifications.delivery import NAMES, DeliveryHarness, heads, refuse

from hostpulse_server import state
from hostpulse_server.state.alert_models import OutboxRow

if TYPE_CHECKING:
    from pathlib import Path


def texts(delivery: DeliveryHarness) -> list[str]:
    """Return the texts of all mail, lines joined."""
    return [" ".join(mail.part("plain").split()) for mail in delivery.mail.received]


@pytest.mark.parametrize(
    ("answer", "reason"), [("404 no_service", "the webhook was removed"), ("410", "taken back")]
)
def test_what_slack_refuses_for_good_goes_out_by_the_next_channel_with_the_reason(
    tmp_path: Path, answer: str, reason: str
) -> None:
    """At once, and it is not tried again; the mail has all that Slack was to say."""
    with DeliveryHarness(tmp_path / "delivery", ("chat", "mail")) as delivery:
        number = delivery.fire("web-01")
        refuse(delivery.chat, answer)
        delivery.deliver(600)
        assert len(delivery.chat.posts) == 1
        own, instead = texts(delivery)
        assert "did not take this" not in own
        assert f"Channel chat did not take this: it answers {answer[:3]}" in instead
        assert reason in instead
        assert "cpu_usage on web-01" in instead
        assert delivery.notified("failed") == [(number, "chat", 0)]
        assert delivery.notified() == [(number, "mail", 0)] * 2
        assert [one.refused_by for one in delivery.rows(state="sent")] == [[], ["chat"]]
        (failed,) = delivery.rows(state="failed")
        assert (failed.channel, failed.done_ms) == ("chat", failed.created_ms)


def test_a_message_that_nobody_takes_says_so_in_the_history_and_ends(
    delivery: DeliveryHarness,
) -> None:
    """It goes to each channel once; each next one is told of all that refused it before."""
    number = delivery.fire("web-01")
    delivery.deliver()
    delivery.end(number)
    refuse(delivery.chat, "403 invalid_token", times=3)
    refuse(delivery.pager, "410", times=3)
    delivery.mail.answers["DATA"] = "554 5.7.1 Not here"
    delivery.deliver(60)
    assert not delivery.rows(state="waiting")
    failed = delivery.rows(state="failed")
    assert sorted({one.channel for one in failed}) == ["chat", "mail", "pager"]
    assert max(len(one.refused_by) for one in failed) == 2
    assert all(one.channel not in one.refused_by for one in failed)
    last = next(one for one in failed if one.refused_by == ["chat", "mail"])
    assert last.document["note"].splitlines() == [
        f"Channel mail did not take this: {failed[1].error}",
        f"Channel chat did not take this: {failed[0].error}",
    ]
    assert "554 5.7.1 Not here" in failed[1].error
    assert len(delivery.notified("failed")) == len(failed) == 9


def test_what_nobody_took_is_told_anew_once_the_channel_works(tmp_path: Path) -> None:
    """With one channel there is no other; meanwhile no end of it is told."""
    with DeliveryHarness(tmp_path / "delivery", ("chat",)) as delivery:
        ended = delivery.fire("web-01")
        delivery.fire("web-02")
        refuse(delivery.chat, "404", times=2)
        delivery.deliver()
        delivery.end(ended)
        delivery.deliver(299)
        delivery.planning.turn()
        delivery.deliver()
        assert not heads(delivery.chat)
        delivery.deliver(2)
        delivery.planning.turn()
        delivery.deliver(600)
        delivery.planning.turn()
        (notified,) = heads(delivery.chat)
        assert "web-02" in notified
        assert "RESOLVED" not in notified


def test_the_end_of_what_went_another_way_follows_its_beginning(delivery: DeliveryHarness) -> None:
    """Both were refused; the other channel has them in order, also where it is not well."""
    number = delivery.fire("web-01")
    delivery.end(number)
    refuse(delivery.chat, "404", times=2)
    for name in ("mail", "mail", "chat", "chat"):
        delivery.drain(name).work()
    delivery.mail.answers["DATA"] = "451 4.3.0 Queue is full"
    delivery.drain("mail").work()
    delivery.mail.answers.clear()
    delivery.deliver(60)
    received = [one for one in texts(delivery) if "Channel chat did not take this" in one]
    assert ["RESOLVED" in one for one in received] == [False, True]


@pytest.mark.parametrize("answer", ["500 rollup_error", "429", "503"])
def test_what_may_pass_goes_nowhere_else(delivery: DeliveryHarness, answer: str) -> None:
    """It waits for its channel."""
    delivery.fire("web-01")
    refuse(delivery.chat, answer)
    delivery.mail.answers["ops@example.org"] = "450 4.2.0 Greylisted, try again"
    for name in NAMES:
        delivery.drain(name).work()
    waiting = delivery.rows(state="waiting")
    assert [(one.channel, one.attempts) for one in waiting] == [("chat", 1), ("mail", 1)]
    assert "Greylisted" in waiting[1].error
    delivery.mail.answers.clear()
    delivery.deliver(2)
    assert (len(heads(delivery.chat)), len(delivery.mail.received)) == (1, 1)
    assert not delivery.notified("failed")


@pytest.mark.parametrize(("times", "asked"), [(999, {}), (1, {"Retry_After": "3600"})])
def test_a_channel_that_takes_nothing_for_ten_minutes_is_spoken_of_once(
    delivery: DeliveryHarness, times: int, asked: dict[str, str]
) -> None:
    """Also where it asked to be left alone; the message goes on waiting and arrives."""
    for name in ("web-01", "web-02"):
        delivery.fire(name)
    refuse(delivery.chat, "503", times=times, **asked)
    delivery.deliver(595)
    assert len(delivery.mail.received) == 2
    delivery.deliver(1300)
    notice = texts(delivery)[-1]
    assert len(delivery.mail.received) == 3
    assert "Channel chat has not taken a message for 10 minutes" in notice
    assert "it answers 503" in notice
    assert len(delivery.pager.posts) == 2
    delivery.chat.answers.clear()
    delivery.deliver(2100)
    assert len(heads(delivery.chat)) == 2
    assert len(delivery.mail.received) == 3


def test_messages_for_a_channel_that_is_no_longer_configured_go_out_by_another(
    delivery: DeliveryHarness,
) -> None:
    """When the next process starts."""
    delivery.fire("web-01")
    for drain in delivery.notifiers._drains[1:]:
        drain.work()
    delivery.open("mail", "pager")
    delivery.notifiers.start()
    try:
        delivery.mail.await_mail(2)
    finally:
        delivery.notifiers.stop()
    assert "channel chat is no longer configured" in texts(delivery)[-1]
    assert not delivery.chat.posts
    assert len(delivery.notified("failed")) == 1


def test_a_message_with_a_fault_of_ours_holds_up_no_other(
    delivery: DeliveryHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried some times, then spoken of elsewhere; the log has the fault."""
    delivery.fire("web-01")
    delivery.fire("web-02")
    (first, *_) = delivery.rows(channel="chat")
    with state.writing(delivery.planning.database) as session:
        session.execute(
            sa.update(OutboxRow).where(OutboxRow.id == first.id).values(document={"kind": 1})
        )
    delivery.deliver(1)
    assert len(heads(delivery.chat)) == 1
    delivery.deliver(2000)
    assert f"Message {first.id} cannot be read" in texts(delivery)[-1]
    assert "unforeseen KeyError" in texts(delivery)[-1]
    (row,) = delivery.rows(id=first.id)
    assert (row.state, row.attempts) == ("failed", 10)
    assert "Traceback" in caplog.text


def test_a_message_that_a_newer_version_wrote_is_sent(delivery: DeliveryHarness) -> None:
    """After a rollback: what is not known here is left out."""
    delivery.fire("web-01")

    def newer(document: Any) -> Any:
        alerts = [{**alert, "mood": "bad"} for alert in document["alerts"]]
        return {**document, "alerts": alerts, "weather": "rain"}

    for row in delivery.rows():
        with state.writing(delivery.planning.database) as session:
            session.execute(
                sa.update(OutboxRow)
                .where(OutboxRow.id == row.id)
                .values(document=newer(row.document))
            )
    delivery.deliver()
    assert len(delivery.rows(state="sent")) == 3


def test_a_restart_sends_nothing_that_was_confirmed_again(delivery: DeliveryHarness) -> None:
    """With threads that run; what came meanwhile is sent."""
    delivery.fire("web-01")
    delivery.notifiers.start()
    delivery.mail.await_mail(1)
    delivery.notifiers.stop()
    delivery.fire("web-02")
    delivery.open(*delivery.names)
    delivery.notifiers.start()
    assert delivery.notifiers.is_alive
    delivery.chat.await_posts(2)
    delivery.pager.await_posts(2)
    delivery.mail.await_mail(2)
    delivery.notifiers.stop()
    assert not delivery.notifiers.is_alive
    assert [one.split(" on ")[-1] for one in heads(delivery.chat)] == ["web-01", "web-02"]
    assert len(delivery.notified()) == len(delivery.rows(state="sent")) == 6
    delivery.open(*delivery.names)
    delivery.deliver(60)
    posts = (len(delivery.chat.posts), len(delivery.mail.received), len(delivery.pager.posts))
    assert posts == (2, 2, 2)
