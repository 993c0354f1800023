"""What becomes of a message whose channel takes nothing for long: another one gets it, once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.notifications.delivery import DeliveryHarness, heads, refuse

from hostpulse_server import state
from hostpulse_server.engine.status import _trouble
from hostpulse_server.notifications import fallback

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHAT_ALONE = '\n[[routes]]\nmatch = {rule = "cpu_*"}\nchannels = ["chat"]\n'
REST = '\n[[routes]]\nmatch = {severity = "critical"}\nchannels = ["pager"]\n'


@pytest.fixture
def site(tmp_path: Path) -> Iterator[DeliveryHarness]:
    """Alerts of the rule go to the chat alone; another route has the pager for critical ones."""
    with DeliveryHarness(tmp_path / "delivery", routes=CHAT_ALONE + REST) as delivery:
        yield delivery


def fall_back_to_mail(site: DeliveryHarness) -> None:
    """Name the mail in ``[alerts] fallback``."""
    site.alerts += '\nfallback = ["mail"]'
    site.open(*site.names)


@pytest.mark.parametrize(("severity", "seconds"), [("critical", 300), ("warning", 900)])
def test_another_channel_gets_what_one_has_not_taken_for_long(
    site: DeliveryHarness, severity: str, seconds: int
) -> None:
    """That of ``fallback``; the message says why, the history has it."""
    fall_back_to_mail(site)
    number = site.fire("web-01", severity=severity)
    refuse(site.chat, "503", times=999)
    site.deliver(seconds - 1)
    assert not any("cpu_usage" in one.part("plain") for one in site.mail.received)
    site.deliver(2)
    text = " ".join(site.mail.received[-1].part("plain").split())
    assert f"Channel chat has not taken this for {seconds // 60} minutes: it answers 503" in text
    assert "cpu_usage on web-01" in text
    assert site.notified("fallback") == [(number, "chat", seconds)]
    assert site.notified() == [(number, "mail", seconds)]
    assert not site.rows(state="waiting")


def test_a_channel_that_recovers_does_not_send_what_another_had(site: DeliveryHarness) -> None:
    """What is new goes by it; the end goes to both."""
    fall_back_to_mail(site)
    number = site.fire("web-01", severity="critical")
    refuse(site.chat, "503", times=999)
    site.deliver(400)
    site.chat.answers.clear()
    site.deliver(2000)
    assert not heads(site.chat)
    assert len(site.mail.received) == 1
    site.end(number)
    site.deliver(10)
    assert ["RESOLVED" in one for one in heads(site.chat)] == [True]
    assert "RESOLVED" in site.mail.received[-1].part("plain")
    site.deliver(2000)
    assert len(site.mail.received) == 2


def test_what_the_first_takes_after_all_is_taken_back_from_the_other(
    site: DeliveryHarness,
) -> None:
    """Where the other was dead, too: it is notified once, by whichever is back first."""
    fall_back_to_mail(site)
    site.fire("web-01", severity="critical")
    refuse(site.chat, "503", times=999)
    site.mail.answers["DATA"] = "451 4.3.0 Later"
    site.deliver(310)
    assert {row.channel for row in site.rows(state="waiting")} == {"chat", "mail"}
    site.chat.answers.clear()
    site.deliver(280)
    assert len(heads(site.chat)) == 1
    site.mail.answers.clear()
    site.deliver(1000)
    assert not site.mail.received
    assert not site.rows(state="waiting")


def test_any_channel_of_the_severity_is_the_last_to_be_asked(site: DeliveryHarness) -> None:
    """The mail is in no route: the pager has critical alerts by another route."""
    site.fire("web-01", severity="critical")
    refuse(site.chat, "503", times=999)
    site.deliver(310)
    assert len(site.pager.posts) == 1
    assert not site.mail.received


def test_the_next_of_the_route_goes_first_and_one_that_had_its_own_is_not_sent_a_second(
    tmp_path: Path,
) -> None:
    """Both have the alert by their route: the other is dead, then it is not."""
    routes = '\n[[routes]]\nmatch = {}\nchannels = ["chat", "mail"]\n'
    with DeliveryHarness(tmp_path / "delivery", routes=routes) as site:
        site.fire("web-01", severity="critical")
        refuse(site.chat, "503", times=999)
        site.deliver(500)
        assert len(site.mail.received) == 1
        assert not site.notified("fallback")
        (row,) = site.rows(channel="chat")
        message = fallback.read(row, 0)
        assert fallback.in_place_of(site.planning.config, message) == ["mail", "chat"]


def test_messages_are_stuck_when_no_channel_takes_any_for_twice_as_long(
    site: DeliveryHarness,
) -> None:
    """Not while any is taken."""

    def is_stuck() -> bool:
        planning = site.planning
        return fallback.is_stuck(planning.config, planning.database, planning.clock.ms)

    site.fire("web-01", severity="critical")
    refuse(site.chat, "503", times=999)
    refuse(site.pager, "503", times=999)
    site.mail.answers["DATA"] = "451 4.3.0 Later"
    site.deliver(599)
    assert not is_stuck()
    site.deliver(2)
    assert is_stuck()
    site.pager.answers.clear()
    site.deliver(301)
    assert len(site.pager.posts) > 0
    assert not is_stuck()


def test_who_takes_no_mail_yet_gets_it_later_and_the_others_once(tmp_path: Path) -> None:
    """Who never will is in the history."""
    with DeliveryHarness(
        tmp_path / "delivery", ("mail",), to='"ops@example.org", "a@example.org", "b@example.org"'
    ) as site:
        number = site.fire("web-01")
        site.mail.answers |= {"a@example.org": "451 Greylisted", "b@example.org": "550 No"}
        site.deliver(30)
        site.mail.answers.pop("a@example.org")
        site.deliver(120)
        taken = [one.recipients for one in site.mail.received]
        assert taken == [("ops@example.org",), ("a@example.org",)]
        assert site.notified("refused") == [(number, "mail", 0)]
        assert not site.rows(state="waiting")


def test_a_restart_does_not_make_a_message_wait_for_what_its_channel_asked(
    site: DeliveryHarness,
) -> None:
    """The other has it in time, once; a fallback that is new in the configuration, too."""
    site.fire("web-01", severity="warning")
    refuse(site.chat, "429", Retry_After="3600")
    site.deliver(1000)
    assert not any("cpu_usage" in one.part("plain") for one in site.mail.received)
    fall_back_to_mail(site)
    site.notifiers._resume()
    site.deliver(1200)
    own = [one for one in site.mail.received if "cpu_usage" in one.part("plain")]
    assert len(own) == 1
    assert not site.rows(state="waiting")


def test_a_fallback_that_refuses_for_good_makes_no_second_message(tmp_path: Path) -> None:
    """The first still has it to send."""
    with DeliveryHarness(
        tmp_path / "delivery", ("chat", "mail"), routes=CHAT_ALONE.replace("cpu_*", "*")
    ) as site:
        fall_back_to_mail(site)
        site.fire("web-01", severity="critical")
        refuse(site.chat, "503", times=999)
        site.mail.answers["DATA"] = "554 5.7.1 Not here"
        for _ in range(24):
            site.deliver(300)
            site.planning.turn()
        site.chat.answers.clear()
        site.deliver(2000)
        assert len(heads(site.chat)) == 1


def test_what_was_handed_over_needs_no_notice_about_its_channel(site: DeliveryHarness) -> None:
    """Two hours: each message once, with the reason in it."""
    fall_back_to_mail(site)
    site.fire("web-01", severity="critical")
    site.fire("web-02", severity="warning")
    refuse(site.chat, "503", times=999)
    site.deliver(7200)
    site.chat.answers.clear()
    site.deliver(2000)
    texts = [" ".join(one.part("plain").split()) for one in site.mail.received]
    assert [text.count("has not taken this for") for text in texts] == [1, 1]
    assert not heads(site.chat)
    assert not site.pager.posts


def test_messages_are_stuck_also_where_one_was_taken_since_they_wait(
    site: DeliveryHarness,
) -> None:
    """Counted from the last that was taken."""
    site.fire("web-01", severity="warning")
    site.fire("web-02", severity="critical")
    refuse(site.chat, "503", times=999)
    stuck = []
    for _ in range(8):
        site.deliver(300)
        now_ms = site.planning.clock.ms
        stuck.append(fallback.is_stuck(site.planning.config, site.planning.database, now_ms))
    notices = [at for _, channel, at in site.notified() if channel == "pager"]
    assert notices == [300]
    assert stuck == [False] * 6 + [True] * 2


def test_what_is_refused_for_good_goes_by_the_configured_fallback(site: DeliveryHarness) -> None:
    """Not by whichever channel is named first."""
    site.alerts += '\nfallback = ["pager"]'
    site.open(*site.names)
    site.fire("web-01")
    refuse(site.chat, "404 no_service")
    site.deliver(10)
    assert len(site.pager.posts) == 1
    assert not site.mail.received


def test_a_recipient_that_is_refused_is_in_doctor_until_one_takes_all(tmp_path: Path) -> None:
    """One that is put off for long does not make a dead channel, nor a fallback."""
    with DeliveryHarness(
        tmp_path / "delivery", ("mail", "chat"), to='"ops@example.org", "a@example.org"'
    ) as site:

        def trouble() -> str:
            with state.reading(site.planning.database) as session:
                return _trouble(session, site.planning.clock.ms)

        site.mail.answers["a@example.org"] = "550 No such user"
        site.fire("web-01")
        site.deliver(10)
        assert trouble() == "channel mail: refused for a@example.org: 550 No such user"
        site.mail.answers["a@example.org"] = "451 Greylisted"
        site.fire("web-02")
        site.deliver(2000)
        assert len(heads(site.chat)) == 2
        assert "not yet taken for a@example.org" in trouble() or "Greylisted" in trouble()
        site.mail.answers.clear()
        site.deliver(4000)
        assert len(site.mail.received) == 3
        site.fire("web-03")
        site.deliver(10)
        assert not trouble()


def test_who_was_put_off_does_not_hear_of_a_beginning_after_its_end(tmp_path: Path) -> None:
    """The end says what was wrong and for how long."""
    with DeliveryHarness(
        tmp_path / "delivery", ("mail",), to='"ops@example.org", "a@example.org"'
    ) as site:
        number = site.fire("web-01")
        site.mail.answers["a@example.org"] = "451 Greylisted"
        site.deliver(5)
        site.mail.answers.clear()
        site.end(number)
        site.deliver(2000)
        own = [one for one in site.mail.received if "a@example.org" in one.recipients]
        assert ["RESOLVED" in one.part("plain") for one in own] == [True]
        assert not site.rows(state="waiting")
