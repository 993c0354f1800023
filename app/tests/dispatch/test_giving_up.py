"""What happens to messages that a channel will not take, or does not take for long."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from app.tests.dispatch.office import NAMES, Office, heads, refuse

from hostpulse_server import state
from hostpulse_server.state.alert_models import OutboxRow

if TYPE_CHECKING:
    from pathlib import Path


def texts(office: Office) -> list[str]:
    """Return the texts of all mail, lines joined."""
    return [" ".join(mail.part("plain").split()) for mail in office.mail.received]


@pytest.mark.parametrize(
    ("answer", "reason"), [("404 no_service", "the webhook was removed"), ("410", "taken back")]
)
def test_what_slack_refuses_for_good_goes_out_by_the_next_channel_with_the_reason(
    tmp_path: Path, answer: str, reason: str
) -> None:
    """At once, and it is not tried again; the mail has all that Slack was to say."""
    with Office(tmp_path / "office", ("chat", "mail")) as office:
        number = office.fire("web-01")
        refuse(office.chat, answer)
        office.deliver(600)
        assert len(office.chat.posts) == 1
        own, instead = texts(office)
        assert "did not take this" not in own
        assert f"Channel chat did not take this: it answers {answer[:3]}" in instead
        assert reason in instead
        assert "cpu_usage on web-01" in instead
        assert office.notified("failed") == [(number, "chat", 0)]
        assert office.notified() == [(number, "mail", 0)] * 2
        assert [one.refused_by for one in office.rows(state="sent")] == [[], ["chat"]]
        (failed,) = office.rows(state="failed")
        assert (failed.channel, failed.done_ms) == ("chat", failed.created_ms)


def test_a_message_that_nobody_takes_says_so_in_the_history_and_ends(office: Office) -> None:
    """It goes to each channel once; each next one is told of all that refused it before."""
    number = office.fire("web-01")
    office.deliver()
    office.end(number)
    refuse(office.chat, "403 invalid_token", times=3)
    refuse(office.pager, "410", times=3)
    office.mail.answers["DATA"] = "554 5.7.1 Not here"
    office.deliver(60)
    assert not office.rows(state="waiting")
    failed = office.rows(state="failed")
    assert sorted({one.channel for one in failed}) == ["chat", "mail", "pager"]
    assert max(len(one.refused_by) for one in failed) == 2
    assert all(one.channel not in one.refused_by for one in failed)
    last = next(one for one in failed if one.refused_by == ["chat", "mail"])
    assert last.document["note"].splitlines() == [
        f"Channel mail did not take this: {failed[1].error}",
        f"Channel chat did not take this: {failed[0].error}",
    ]
    assert "554 5.7.1 Not here" in failed[1].error
    assert len(office.notified("failed")) == len(failed) == 9


def test_what_nobody_took_is_told_anew_once_the_channel_works(tmp_path: Path) -> None:
    """With one channel there is no other; meanwhile no end of it is told."""
    with Office(tmp_path / "office", ("chat",)) as office:
        ended = office.fire("web-01")
        office.fire("web-02")
        refuse(office.chat, "404", times=2)
        office.deliver()
        office.end(ended)
        office.deliver(299)
        office.desk.turn()
        office.deliver()
        assert not heads(office.chat)
        office.deliver(2)
        office.desk.turn()
        office.deliver(600)
        office.desk.turn()
        (notified,) = heads(office.chat)
        assert "web-02" in notified
        assert "RESOLVED" not in notified


def test_the_end_of_what_went_another_way_follows_its_beginning(office: Office) -> None:
    """Both were refused; the other channel has them in order, also where it is not well."""
    number = office.fire("web-01")
    office.end(number)
    refuse(office.chat, "404", times=2)
    for name in ("mail", "mail", "chat", "chat"):
        office.drain(name).work()
    office.mail.answers["DATA"] = "451 4.3.0 Queue is full"
    office.drain("mail").work()
    office.mail.answers.clear()
    office.deliver(60)
    heard = [one for one in texts(office) if "Channel chat did not take this" in one]
    assert ["RESOLVED" in one for one in heard] == [False, True]


@pytest.mark.parametrize("answer", ["500 rollup_error", "429", "503"])
def test_what_may_pass_goes_nowhere_else(office: Office, answer: str) -> None:
    """It waits for its channel."""
    office.fire("web-01")
    refuse(office.chat, answer)
    office.mail.answers["ops@example.org"] = "450 4.2.0 Greylisted, try again"
    for name in NAMES:
        office.drain(name).work()
    waiting = office.rows(state="waiting")
    assert [(one.channel, one.attempts) for one in waiting] == [("chat", 1), ("mail", 1)]
    assert "Greylisted" in waiting[1].error
    office.mail.answers.clear()
    office.deliver(2)
    assert (len(heads(office.chat)), len(office.mail.received)) == (1, 1)
    assert not office.notified("failed")


@pytest.mark.parametrize(("times", "asked"), [(999, {}), (1, {"Retry_After": "3600"})])
def test_a_channel_that_takes_nothing_for_ten_minutes_is_spoken_of_once(
    office: Office, times: int, asked: dict[str, str]
) -> None:
    """Also where it asked to be left alone; the message goes on waiting and arrives."""
    for name in ("web-01", "web-02"):
        office.fire(name)
    refuse(office.chat, "503", times=times, **asked)
    office.deliver(595)
    assert len(office.mail.received) == 2
    office.deliver(1300)
    notice = texts(office)[-1]
    assert len(office.mail.received) == 3
    assert "Channel chat has not taken a message for 10 minutes" in notice
    assert "it answers 503" in notice
    assert len(office.pager.posts) == 2
    office.chat.answers.clear()
    office.deliver(2100)
    assert len(heads(office.chat)) == 2
    assert len(office.mail.received) == 3


def test_messages_for_a_channel_that_is_no_longer_configured_go_out_by_another(
    office: Office,
) -> None:
    """When the next process starts."""
    office.fire("web-01")
    for drain in office.notifiers._drains[1:]:
        drain.work()
    office.open("mail", "pager")
    office.notifiers.start()
    try:
        office.mail.await_mail(2)
    finally:
        office.notifiers.stop()
    assert "channel chat is no longer configured" in texts(office)[-1]
    assert not office.chat.posts
    assert len(office.notified("failed")) == 1


def test_a_message_with_a_fault_of_ours_holds_up_no_other(
    office: Office, caplog: pytest.LogCaptureFixture
) -> None:
    """It is tried some times, then spoken of elsewhere; the log has the fault."""
    office.fire("web-01")
    office.fire("web-02")
    (first, *_) = office.rows(channel="chat")
    with state.writing(office.desk.database) as session:
        session.execute(
            sa.update(OutboxRow).where(OutboxRow.id == first.id).values(document={"kind": 1})
        )
    office.deliver(1)
    assert len(heads(office.chat)) == 1
    office.deliver(2000)
    assert f"Message {first.id} cannot be read" in texts(office)[-1]
    assert "unforeseen KeyError" in texts(office)[-1]
    (row,) = office.rows(id=first.id)
    assert (row.state, row.attempts) == ("failed", 10)
    assert "Traceback" in caplog.text


def test_a_message_that_a_newer_version_wrote_is_sent(office: Office) -> None:
    """After a rollback: what is not known here is left out."""
    office.fire("web-01")

    def newer(document: Any) -> Any:
        alerts = [{**alert, "mood": "bad"} for alert in document["alerts"]]
        return {**document, "alerts": alerts, "weather": "rain"}

    for row in office.rows():
        with state.writing(office.desk.database) as session:
            session.execute(
                sa.update(OutboxRow)
                .where(OutboxRow.id == row.id)
                .values(document=newer(row.document))
            )
    office.deliver()
    assert len(office.rows(state="sent")) == 3


def test_a_restart_sends_nothing_that_was_confirmed_again(office: Office) -> None:
    """With threads that run; what came meanwhile is sent."""
    office.fire("web-01")
    office.notifiers.start()
    office.mail.await_mail(1)
    office.notifiers.stop()
    office.fire("web-02")
    office.open(*office.names)
    office.notifiers.start()
    assert office.notifiers.is_alive
    office.chat.await_posts(2)
    office.pager.await_posts(2)
    office.mail.await_mail(2)
    office.notifiers.stop()
    assert not office.notifiers.is_alive
    assert [one.split(" on ")[-1] for one in heads(office.chat)] == ["web-01", "web-02"]
    assert len(office.notified()) == len(office.rows(state="sent")) == 6
    office.open(*office.names)
    office.deliver(60)
    posts = (len(office.chat.posts), len(office.mail.received), len(office.pager.posts))
    assert posts == (2, 2, 2)
