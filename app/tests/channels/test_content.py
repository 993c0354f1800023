"""What a message says, by every channel: what helps to act, the environment first."""

from __future__ import annotations

import dataclasses
import html
import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from app.tests.channels.conftest import (
    ALERT,
    FALLEN,
    FIRING,
    FLAPPING,
    GONE,
    MANY_WAS,
    RESOLVED,
    STEADY,
    STEADY_OVER,
    T0,
    WAS,
    ailing,
    partial_end,
    poster,
    sent,
    storm,
)
from tests.support.golden import golden
from tests.support.mail_server import MailServer
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server.config import EmailChannel
from hostpulse_server.notifications.channels.email import Email
from hostpulse_server.notifications.channels.message_context import build_context
from hostpulse_server.notifications.channels.rendering import Templates
from hostpulse_server.notifications.channels.sparkline import sparkline
from hostpulse_server.notifications.channels.webhook import Webhook

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.support.mail_server import Received

    from hostpulse_server.notifications.channels import Notification

SPARKLINE = "▁▃▆╎▇█"
SAYS = {
    "what": "Disk /var is 96.2 % full on web-01",
    "where": "mount /var",
    "value and threshold": "96.2 % (threshold: above 90 %)",
    "since when": "2026-11-22 23:27:55 CET, for 12 min",
    "what else is wrong": "warning: I/O pressure 41 %, for 3 min",
    "the heaviest process": "postgres",
    "its share": "92.1 %",
    "its memory": "3.1 GiB",
    "the trend": SPARKLINE,
    "the runbook": ALERT.runbook,
    "the dashboard": ALERT.dashboard,
    "where to acknowledge": FIRING.act_url,
}


@pytest.fixture(scope="module")
def relay() -> Iterator[MailServer]:
    """Give a relay."""
    with MailServer() as made:
        yield made


def document(payload: Any) -> str:
    """Return JSON as a golden file has it."""
    return json.dumps(payload, ensure_ascii=False, indent=2) + "\n"


def delivered(relay: MailServer, notification: Notification) -> Received:
    """Send a mail; return it as it arrived."""
    settings = EmailChannel(
        host="127.0.0.1",
        port=relay.port,
        security="none",
        sender="a@b.example",
        to=("c@d.example",),
    )
    before = len(relay.received)
    Email("mail", settings, "", Templates()).send(notification, message_id="m-1")
    (received,) = relay.await_mail(before + 1)[before:]
    return received


def subject_of(received: Received) -> str:
    """Return a mail's subject."""
    return str(received.message["Subject"]).strip()


def mailed(relay: MailServer, notification: Notification) -> tuple[str, str, str]:
    """Send a mail; return its subject, text, and HTML as people see it with its addresses."""
    received = delivered(relay, notification)
    page = re.sub(r'<a href="([^"]+)"[^>]*>', r"\1 ", received.part("html"))
    seen = html.unescape(re.sub(r"<style.*?</style>|<[^>]+>", "", page, flags=re.DOTALL))
    return subject_of(received), received.part("plain"), seen


def hooked(receiver: SlackReceiver, notification: Notification, message_id: str = "m-1") -> Any:
    """Send by a webhook; return what arrived."""
    receiver.answers.append(Answer())
    Webhook("pager", poster(receiver.url), Templates()).send(notification, message_id=message_id)
    return receiver.posts[-1].payload


def shown(item: Any) -> str:
    """Return what a Slack message shows: texts one after the other, addresses before theirs."""
    if isinstance(item, list):
        return " ".join(map(shown, item))
    if not isinstance(item, dict):
        return ""
    own = [item[name] for name in ("url", "text") if isinstance(item.get(name), str)]
    return " ".join([*own, *(shown(one) for one in item.values())])


MESSAGES = {
    "firing": FIRING,
    "resolved": RESOLVED,
    "many": storm(3),
    "partial": partial_end(),
    "host": ailing(),
    "flapping": FLAPPING,
    "steady": STEADY,
    "steady-over": STEADY_OVER,
    "was": WAS,
    "many-was": MANY_WAS,
    "gone": GONE,
    "fallen": FALLEN,
}


@pytest.mark.parametrize("kind", MESSAGES)
def test_whole_messages_are_as_they_were_looked_through(
    receiver: SlackReceiver, relay: MailServer, kind: str
) -> None:
    """By every channel, each a golden file: a change of words is seen there as people read it."""
    message = MESSAGES[kind]
    mail = delivered(relay, message)
    texts = {
        f"slack-{kind}.json": document(sent(receiver, message)),
        f"webhook-{kind}.json": document(hooked(receiver, message)),
        f"email-{kind}.txt": f"Subject: {subject_of(mail)}\n\n{mail.part('plain')}",
        f"email-{kind}.html": mail.part("html"),
    }
    for name, sent_text in texts.items():
        text = sent_text.replace("\r\n", "\n")
        assert text == golden(__file__, name, text), name


@pytest.mark.parametrize("what", SAYS)
def test_both_parts_of_slack_and_of_a_mail_say_all_of_it(
    receiver: SlackReceiver, relay: MailServer, what: str
) -> None:
    """In blocks and in the text beside them, by mail in text and in HTML."""
    _, text, page = mailed(relay, FIRING)
    payload = sent(receiver, FIRING)
    for channel in (shown(payload["blocks"]), payload["text"], text, page):
        assert SAYS[what] in " ".join(channel.split())


def test_what_a_verdict_rests_on_is_in_both_parts_of_slack(receiver: SlackReceiver) -> None:
    """Receivers that know no blocks show the text alone."""
    silent = dataclasses.replace(ALERT, evidence=("it refuses TCP 9", "last sample 15 s ago"))
    payload = sent(receiver, dataclasses.replace(FIRING, alerts=(silent,)))
    for part in (shown(payload["blocks"]), payload["text"]):
        assert all(line in part for line in silent.evidence)


def test_the_environment_comes_first(receiver: SlackReceiver, relay: MailServer) -> None:
    """In what a telephone shows, in the header, in the subject; the site where there is none."""
    subject, text, _ = mailed(relay, FIRING)
    assert subject == "[production] CRITICAL: Disk /var is 96.2 % full on web-01"
    headline = "production · CRITICAL · Disk /var is 96.2 % full on web-01"
    assert text.splitlines()[0] == headline
    payload = sent(receiver, FIRING)
    assert payload["blocks"][0]["text"]["text"] == f"🔴 {headline}"
    assert payload["text"].splitlines()[0] == f"🔴 {headline}"
    unlabelled = dataclasses.replace(FIRING, environment="")
    assert mailed(relay, unlabelled)[0].startswith("[example] CRITICAL: ")


def test_a_program_gets_the_same_as_values(receiver: SlackReceiver) -> None:
    """With a key for the incident and one for each alert, the same at its end."""
    document, over = hooked(receiver, FIRING), hooked(receiver, RESOLVED, "m-2")
    assert [
        document[name] for name in ("version", "kind", "status", "environment", "severity")
    ] == [
        *(1, "firing", "firing", "production", "critical"),
    ]
    assert document["act_url"] == FIRING.act_url
    (alert,) = document["alerts"]
    assert (alert["value"], alert["threshold"], alert["comparison"]) == (96.2, 90.0, "above")
    assert (alert["tags"], alert["labels"]) == (ALERT.tags, ALERT.labels)
    assert (alert["started"], alert["fired"], alert["resolved"]) == (
        *(ALERT.started_ms, ALERT.fired_ms, None),
    )
    assert (alert["runbook"], alert["dashboard"]) == (ALERT.runbook, ALERT.dashboard)
    assert alert["others"] == list(ALERT.others)
    assert alert["processes"] == [
        {"name": "postgres", "pid": "812", "cpu": "92.1 %", "memory": "3.1 GiB"}
    ]
    assert document["dedup_key"] == over["dedup_key"] == "ab12cd"
    assert alert["dedup_key"] == over["alerts"][0]["dedup_key"]
    assert (over["status"], over["alerts"][0]["resolved"]) == ("resolved", T0 + 600_000)
    names = [post.headers["idempotency-key"] for post in receiver.posts]
    assert names == ["m-1", "m-2"]


def test_each_line_of_a_notice_is_a_line(receiver: SlackReceiver, relay: MailServer) -> None:
    """What is wrong with rules files is a list; the first line is what it is about."""
    faults = [f"/etc/rules/a.yml:{number}: rule r{number}: {'x' * 150}" for number in range(6)]
    notice = dataclasses.replace(
        FIRING,
        kind="notice",
        alerts=(),
        firing=0,
        environment="",
        note="\n".join(["The rules files are wrong:", *faults]),
    )
    subject, text, page = mailed(relay, notice)
    assert subject == "[example] NOTICE: The rules files are wrong"
    payload = sent(receiver, notice)
    note = payload["blocks"][1]["elements"][0]["elements"]
    for part in (text, page, payload["text"], "".join(one["text"] for one in note)):
        assert [line for line in part.splitlines() if "rule r" in line] == faults
    assert hooked(receiver, notice)["note"].startswith(
        f"The rules files are wrong: {faults[0]} /etc"
    )


def test_an_end_says_how_long_it_took_and_asks_for_nothing(
    receiver: SlackReceiver, relay: MailServer
) -> None:
    """No link to acknowledge, no trend, no processes."""
    subject, text, page = mailed(relay, RESOLVED)
    blocks = shown(sent(receiver, RESOLVED)["blocks"])
    assert subject.startswith("[production] RESOLVED after 22 min 5 s: ")
    for channel in (text, page, blocks):
        assert "it is back where it should be" in channel
        assert "22 min" in channel
        for gone in (FIRING.act_url, "postgres", SPARKLINE):
            assert gone not in channel


def test_an_end_of_a_part_reads_as_none(receiver: SlackReceiver, relay: MailServer) -> None:
    """What is over and what still fires comes first, with the link; it is green nowhere."""
    message = partial_end()
    said = "13 of 30 over, 17 still fire: disk_used on 17 servers"
    subject, text, page = mailed(relay, message)
    assert subject == f"[production] STILL WARNING: {said}"
    payload = sent(receiver, message)
    assert payload["blocks"][0]["text"]["text"] == f"🟠 production · STILL WARNING · {said}"
    for channel in (text, page, payload["text"], shown(payload["blocks"])):
        assert message.act_url in channel
        assert "and 7 more still fire on 7 more servers" in channel
    document = hooked(receiver, message)
    assert (document["status"], document["kind"], document["title"]) == ("firing", "update", said)
    one = dataclasses.replace(message, firing=1, servers=1, alerts=message.alerts[9:])
    assert "13 of 14 over, 1 still fires: disk_used on web-09" in subject_of(delivered(relay, one))


def test_what_is_gone_is_over_and_not_good(receiver: SlackReceiver, relay: MailServer) -> None:
    """A device that vanished has not recovered: resolved for programs, green for nobody."""
    group = dataclasses.replace(
        GONE, alerts=(*GONE.alerts, *RESOLVED.alerts), resolved=2, severity="warning"
    )
    for message in (GONE, group):
        subject, text, page = mailed(relay, message)
        html_part = delivered(relay, message).part("html")
        payload = sent(receiver, message)
        head = payload["blocks"][0]["text"]["text"]
        for channel in (subject, text.splitlines()[0], head, payload["text"].splitlines()[0]):
            assert "RESOLVED" not in channel
            assert "✅" not in channel
        assert head.startswith("⚪ production · ")
        for channel in (text, page, shown(payload["blocks"]), payload["text"]):
            assert "whether it has recovered is not known" in channel
        first, _, rest = html_part.partition("<table")
        assert "#2e6b34" not in first
        assert ("#2e6b34" in rest) == (message is group)
        document = hooked(receiver, message)
        assert (document["status"], document["reason"]) == ("resolved", "gone")
    assert subject_of(delivered(relay, GONE)).startswith(
        "[production] NO LONGER REPORTED after 22 min 5 s: "
    )
    assert subject_of(delivered(relay, group)).startswith("[production] NOT ALL RECOVERED: ")


@pytest.mark.parametrize("reason", ["disabled", "rule_removed", "server_removed"])
def test_what_people_ended_has_not_recovered(
    receiver: SlackReceiver, relay: MailServer, reason: str
) -> None:
    """A rule that was removed says nothing of the disk."""
    over = dataclasses.replace(GONE.alerts[0], reason=reason)
    message = dataclasses.replace(GONE, alerts=(over,), reason=reason)
    payload = sent(receiver, message)
    for channel in (payload["text"], shown(payload["blocks"]), *mailed(relay, message)):
        assert "✅" not in channel
        assert "RESOLVED" not in channel
    assert "#2e6b34" not in delivered(relay, message).part("html")
    assert hooked(receiver, message)["status"] == "resolved"


def test_values_are_of_now_with_the_worst(receiver: SlackReceiver, relay: MailServer) -> None:
    """An end has its last value, where there is one, and the worst."""
    now = dataclasses.replace(FIRING, alerts=(dataclasses.replace(ALERT, value=91, worst=96.2),))
    over = dataclasses.replace(RESOLVED, alerts=(dataclasses.replace(*RESOLVED.alerts, worst=99),))
    gone = dataclasses.replace(GONE, alerts=(dataclasses.replace(*GONE.alerts, worst=97.0),))
    for message, text in (
        (now, "91 % now, worst 96.2 % (threshold: above 90 %)"),
        (over, "71.3 % at the end, worst 99 % (threshold: above 90 %)"),
        (gone, "96.2 % when last seen, worst 97 % (threshold: above 90 %)"),
    ):
        payload = sent(receiver, message)
        for channel in (*mailed(relay, message)[1:], payload["text"], shown(payload["blocks"])):
            assert text in channel
        alert = hooked(receiver, message)["alerts"][0]
        assert alert["worst"] == message.alerts[0].worst


def test_values_are_as_people_write_them(receiver: SlackReceiver) -> None:
    """In their units, told from their thresholds, and yes without one."""
    for changes, text in (
        ({"value": 90.04}, "90.04 % (threshold: above 90 %)"),
        (
            {"value": 298_800.0, "threshold": 259_200.0, "field": "age_seconds"},
            "83 h (threshold: above 72 h)",
        ),
        ({"value": 1.0, "threshold": 0.5, "field": "readonly"}, "yes"),
    ):
        alert = dataclasses.replace(ALERT, **changes)
        payload = sent(receiver, dataclasses.replace(FIRING, alerts=(alert,)))
        assert f"\nValue: {text}\n" in payload["text"]


@pytest.mark.parametrize(
    ("trend", "clear", "drawn"),
    [
        ((70, 85, 79, 82), 75.0, "▁╎█▅▇"),
        ((70, 85, 79, 82), None, "▁█▅╎▇"),
        ((85, 74, 79, 82), 75.0, "█▁▄╎▆"),
    ],
)
def test_the_mark_of_a_trend_stands_where_the_alert_began(
    trend: tuple[float, ...], clear: float | None, drawn: str
) -> None:
    """A dip that does not clear it is no new beginning."""
    assert sparkline(trend, 80.0, "above", clear) == drawn


def test_a_fall_to_a_warning_says_from_where(receiver: SlackReceiver, relay: MailServer) -> None:
    """In the headline, or in the title where something else is still critical."""
    subject, text, page = mailed(relay, FALLEN)
    assert subject.startswith("[production] WARNING, WAS CRITICAL: ")
    payload = sent(receiver, FALLEN)
    for channel in (text, page, shown(payload["blocks"]), payload["text"]):
        assert re.search(r"Severity:?\s*warning, was critical", channel)
    alert = hooked(receiver, FALLEN)["alerts"][0]
    assert (alert["severity"], alert["previous_severity"]) == ("warning", "critical")
    beside = dataclasses.replace(FALLEN, severity="critical", firing=3, servers=3)
    subject = subject_of(delivered(relay, beside))
    assert subject.startswith("[production] STILL CRITICAL: ")
    assert subject.endswith("(warning, was critical; 2 more fire)")


def test_a_storm_keeps_within_slacks_limits_and_counts_what_it_does_not_show(
    receiver: SlackReceiver, relay: MailServer
) -> None:
    """The receiver refuses what Slack refuses."""
    url = ALERT.dashboard + "x" * 1500
    alerts = tuple(
        dataclasses.replace(one, summary="x" * 290, dashboard=url) for one in storm().alerts
    )
    for message, left in ((storm(), ""), (dataclasses.replace(storm(), alerts=alerts), "16 more")):
        payload = sent(receiver, message)
        assert receiver.posts[-1].answered == 200
        assert len(payload["blocks"]) <= 50
        assert "and 980 more on 950 more servers" in shown(payload["blocks"])
        assert f"{left} are not shown for want of room" in shown(payload["blocks"]) or not left
        assert len(shown(payload["blocks"])) < 13_000
    _, text, page = mailed(relay, storm())
    for channel in (text, page):
        assert "and 980 more on 950 more servers" in channel
        assert all(f"web-{number:02}" in channel for number in range(20))
    document = hooked(receiver, storm())
    assert document["counts"] == {"firing": 1000, "resolved": 0, "servers": 970}


def test_without_a_link_the_command_that_acknowledges_is_said(
    receiver: SlackReceiver, relay: MailServer
) -> None:
    """Where the site has no public address."""
    message = dataclasses.replace(FIRING, act_url="")
    _, text, page = mailed(relay, message)
    for channel in (text, page, shown(sent(receiver, message)["blocks"])):
        assert "hostpulse-server alerts ack 17" in channel


def test_what_a_message_lists_is_not_counted_as_more() -> None:
    """Of a host the others are listed below; of an end, what is missing was over before."""
    (alert,) = FIRING.alerts
    one = dataclasses.replace(FIRING, firing=1 + len(alert.others), servers=1, act_url="")
    assert build_context(one, "1")["more"] == ""
    assert build_context(dataclasses.replace(one, firing=one.firing + 2), "1")["more"] == (
        "and 2 more"
    )
    end = dataclasses.replace(RESOLVED, resolved=2, servers=1)
    assert build_context(end, "1")["more"] == "and 1 more, over before"


def test_without_a_link_all_that_fires_can_be_acknowledged_at_once() -> None:
    """One command for what the message lists."""
    (alert,) = FIRING.alerts
    both = (alert, dataclasses.replace(alert, id=alert.id + 1))
    how = build_context(dataclasses.replace(FIRING, alerts=both, act_url=""), "1")["how"]
    assert how == f"hostpulse-server alerts ack {alert.id} {alert.id + 1}"
