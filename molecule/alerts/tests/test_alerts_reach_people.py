"""A full disk and a stopped agent: notified, acknowledged by the link, and notified as resolved."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from testinfra.host import Host

SECRET = "/etc/hostpulse/secrets/channel_ops"
DOCUMENT = Path(__file__).resolve().parents[3] / "docs" / "alerts.md"
RECEIVED = re.compile(r"<!-- received: (\w+) (\w+) (\w+) -->\n\n```text\n(.*?)```", re.DOTALL)
# what differs from one run to the next, and what stands for it
VARIES = (
    (r"/act/[\w.-]+", "/act/TOKEN"),
    (r"&from=\d+", "&from=TIME"),
    (r"[▁-█╎]+", "TREND"),
    (r"\n(?:• |  )\S+ .*CPU .*", ""),
    (r"\n  - \S+ \([\d.]+\) answers: .*", "\n  - ADDRESS answers"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d|\d\d:\d\d:\d\d", "TIME"),
    (r"\d+(?:\.\d+)? (?:ms|s|min)\b(?: \d+ s)?", "DURATION"),
    (r"\d+(?:\.\d+)? %", "PERCENT"),
)


def test_people_are_told_of_both_once_and_of_nothing_else(
    people: Any, alerts: Callable[..., Any], disk: Any, agent: Any
) -> None:
    """Four messages on each channel: two beginnings, two ends."""
    assert disk.alert["resolved"] < agent.alert["fired"]
    posts, mails = people.arrived()
    words = [post["text"].splitlines()[0].split(" · ")[1].split()[0] for post in posts]
    assert words == ["CRITICAL", "RESOLVED", "WARNING", "RESOLVED"]
    kinds = [mail["X-Hostpulse-Kind"] for mail in mails]
    assert kinds == ["firing", "resolved", "firing", "resolved"]
    assert [one["rule"] for one in alerts("history")] == ["liveness", "disk_usage"]
    assert alerts("list", "--state", "firing") == []


def test_the_full_disk_is_told_with_all_that_helps(disk: Any) -> None:
    """Environment first; what, where, how much and since when; who is heavy; where to go on."""
    for text in (disk.firing.blocks, disk.firing.text):
        head, *lines = text.splitlines()
        assert re.fullmatch(r"(?:🔴 )?demo · CRITICAL · /srv/data 9\d.* % full on web-01", head)
        fields = {name: value.strip() for name, _, value in (line.partition(":") for line in lines)}
        assert fields["Server"] == "web-01"
        assert fields["Where"] == "mount /srv/data"
        assert re.fullmatch(r"9\d(\.\d)? % \(threshold: above 90 %\)", fields["Value"])
        assert re.fullmatch(r"\S+ \S+ UTC, for \d+ s", fields["Since"])
        assert "→" in fields["Trend"]
        assert re.search(r"Heaviest processes.*\n.*hostpulse-agent.*CPU .* MiB", text, re.DOTALL)
        assert "Runbook" in text
    assert "Runbook: https://monitor:8443/runbooks/disk_usage" in disk.firing.text
    dashboard = r"https://grafana.example.org/d/hostpulse-server-detail\?var-server=web-01&from=\d+"
    assert re.search(rf"Dashboard: {dashboard}&to=now", disk.firing.text)
    assert disk.firing.mail["Subject"].startswith("[demo] CRITICAL: /srv/data 9")


def test_the_stopped_agent_is_told_from_a_dead_host_and_why(agent: Any) -> None:
    """The verdict comes with what it rests on."""
    for text in (agent.firing.blocks, agent.firing.text):
        assert "demo · WARNING · The agent on web-01 has stopped, or cannot reach" in text
        assert re.search(r"What it rests on.*last sample .* ago\n.* answers: ", text, re.DOTALL)
        assert "Runbook" in text
    assert "Runbook: https://monitor:8443/runbooks/liveness" in agent.firing.text


def test_the_runbook_is_a_page_behind_its_link(
    disk: Any, browser: Callable[..., tuple[int, str]]
) -> None:
    """Without a key, as whoever gets the message taps it."""
    (url,) = re.findall(r"Runbook: (\S+)", disk.firing.text)
    status, page = browser(url)
    assert (status, "<h1>disk_usage</h1>" in page) == (200, True)


def test_who_only_opens_the_link_acknowledges_nothing(story: Any) -> None:
    """A mail scanner or a preview fetches; the page shows the alert and waits for a button."""
    status, page = story.looked
    assert status == 200
    assert story.alert["summary"] in page
    assert "Acknowledge (24 h)" in page
    assert story.taken is None


def test_the_button_acknowledges_and_the_end_says_who_it_was(
    story: Any, request: pytest.FixtureRequest
) -> None:
    """Through the proxy, without a key; the disk by the link in Slack, the agent by the mail's."""
    status, page = story.pressed
    assert status == 200
    assert "1 alert is acknowledged for 24 hours" in page
    by = f"Robin (link on {'ops' if 'disk' in request.node.name else 'mail'})"
    assert (story.alert["acknowledged"]["by"], story.alert["acknowledged"]["comment"]) == (
        by,
        "on it",
    )
    for text in (story.resolved.blocks, story.resolved.text):
        assert re.search(rf"Acknowledged by: +{re.escape(by)}", text)
        assert "/act/" not in text


def test_mails_of_one_problem_are_a_thread(story: Any) -> None:
    """The end answers the beginning, and neither asks for an answer of the holiday kind."""
    first, last = story.firing.mail, story.resolved.mail
    assert last["In-Reply-To"] == last["References"] == first["Message-ID"]
    assert {first["Auto-Submitted"], last["Auto-Submitted"]} == {"auto-generated"}


def test_the_history_says_what_befell_each(story: Any) -> None:
    """What, who was notified when and by which channel, who took it on, how it ended."""
    events = story.alert["events"]
    notified = {
        (one["details"]["channel"], one["details"]["kind"])
        for one in events
        if one["kind"] == "told"
    }
    assert notified == {
        ("ops", "firing"),
        ("mail", "firing"),
        ("ops", "resolved"),
        ("mail", "resolved"),
    }
    order = [one["kind"] for one in events if one["kind"] not in {"told", "suppressed"}]
    assert order == ["firing", "acknowledged", "resolved"]
    why = {one["details"]["reason"] for one in events if one["kind"] == "suppressed"}
    assert why <= {"group_wait", "group_interval"}
    assert [one["at"] for one in events] == sorted(one["at"] for one in events)
    assert story.alert["reason"] == "cleared"
    assert story.alert["labels"] == {"env": "demo", "role": "web"}


def test_the_command_on_the_server_names_who_called_it(monitor: Host) -> None:
    """It runs as the services' user; who silences or acknowledges is a person all the same."""
    output = monitor.check_output(
        "SUDO_USER=robin hostpulse-server silences add rule=none --for 1h --json"
    )
    assert json.loads(output)["by"] == "command line (robin as hostpulse)"


def test_the_webhooks_secret_shows_in_no_log_and_no_process_list(
    monitor: Host, disk: Any, shown: Callable[[Host, str], list[str]]
) -> None:
    """It was used, and who may read the journal or call ps has not thereby the address."""
    assert disk.alert["told"]
    secret = monitor.file(SECRET)
    assert (secret.user, secret.mode) == ("root", 0o600)
    assert shown(monitor, SECRET) == []
    assert "hush" not in monitor.file("/etc/hostpulse/server.toml").content_string


def masked(text: str) -> list[str]:
    """Return a message without what differs from one run to the next."""
    for pattern, stands in VARIES:
        text = re.sub(pattern, stands, text)
    return [" ".join(line.split()) for line in text.strip().splitlines()]


def test_the_document_shows_what_people_receive(disk: Any, agent: Any) -> None:
    """Whoever reads docs/alerts.md knows the message when it comes."""
    shown = RECEIVED.findall(DOCUMENT.read_text(encoding="utf-8"))
    assert {(problem, phase) for _, problem, phase, _ in shown} >= {
        ("disk", "firing"),
        ("agent", "firing"),
    }
    assert {channel for channel, *_ in shown} == {"slack", "mail"}
    stories = {"disk": disk, "agent": agent}
    for channel, problem, phase, text in shown:
        expected = getattr(stories[problem], phase)
        assert masked(text) == masked(expected.blocks if channel == "slack" else expected.text)
