"""``routes test`` and ``channels test``: who would be told, and whether they can be."""

from __future__ import annotations

import shlex
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from tests.support.golden import golden
from tests.support.installation import Installation
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server.errors import ConfigError
from hostpulse_server.notifications.channels import ChannelError
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from click.testing import Result

CHANNELS = """\
[channels.chat]
kind = "slack"
webhook_url_file = "chat_url"
allow_private = true
[channels.pager]
kind = "webhook"
url_file = "not_there"
"""
ROUTES = """\
[[routes]]
match = {severity = "critical", env = "prod*"}
channels = ["pager", "chat"]
[[routes]]
match = {rule = "backup_*"}
channels = []
[[routes]]
match = {team = "web"}
channels = ["chat"]
"""
RULES = """\
rules:
  - name: cpu_usage
    measurement: cpu
    field: usage_percent
    where: {core: total}
    levels: {warning: {above: 80}}
    labels: {team: web}
    overrides:
      - {match: {label.env: test}, enabled: false}
      - {match: {server_id: "db-*"}, labels: {team: data}}
  - {name: backup_age, measurement: backup, field: age_seconds, levels: {warning: {above: 1}}}
"""


class RoutesSite(Installation):
    """A configuration with a receiver behind the channel ``chat``."""

    def __init__(self, folder: Path, receiver: SlackReceiver) -> None:
        self.receiver = receiver
        self.rules = folder / "rules.yml"
        self.rules.write_text(RULES)
        url = folder / "chat_url"
        url.write_text(receiver.url)
        url.chmod(0o600)
        super().__init__(folder, CHANNELS + ROUTES)

    def configure(self, text: str) -> None:
        """Write the configuration."""
        alerts = f'[alerts]\nrules = ["{self.rules}"]\n'
        super().configure(f'[site]\nname = "example"\n{alerts}{text}')

    def run(self, line: str) -> Result:
        """Run a command; an expected error is in ``exception``."""
        return self(*shlex.split(line))

    def route(self, server: str, rule: str, severity: str) -> dict[str, Any]:
        """Return what ``routes test`` says as JSON."""
        of = f"--server '{server}' --rule {rule} --severity {severity}"
        found: dict[str, Any] = self.json("routes", "test", *shlex.split(of))
        return found


@pytest.fixture
def site(tmp_path: Path) -> Iterator[RoutesSite]:
    """Return a site with three servers."""
    before = set(redact._known)
    with SlackReceiver() as receiver, closing(RoutesSite(tmp_path, receiver)) as made:
        made.make_database()
        made.registry.add({"id": "web-01", "labels": {"env": "prod-eu"}})
        made.registry.add({"id": "web-02", "labels": {"env": "test"}})
        made.registry.add({"id": "db-01"})
        yield made
    redact._known.clear()
    redact._known.update(before)


def test_the_first_route_that_matches_says_who_is_told(site: RoutesSite) -> None:
    """By the labels of the server in the registry and those of the rule; [] is nobody."""
    assert site.route("web-01", "cpu_usage", "critical")["channels"] == ["pager", "chat"]
    assert site.route("web-01", "cpu_usage", "warning")["channels"] == ["chat"]
    assert site.route("db-01", "cpu_usage", "critical")["channels"] == []
    found = site.route("db-01", "backup_age", "critical")
    assert (found["route"], found["channels"]) == (2, [])
    assert found["refusals"][0]["because"]["env"] == {"glob": "prod*", "value": None}


def test_people_read_why(site: RoutesSite) -> None:
    """Each route before is named with what did not fit."""
    result = site.run("routes test --server db-01 --rule cpu_usage --severity critical")
    assert "because: no route matches" in result.stdout
    assert "not by route 3: team=web does not match data" in result.stdout
    assert result.stdout == golden(__file__, "routes-test-no-match.txt", result.stdout)


def test_without_routes_every_channel_has_warnings_and_above(site: RoutesSite) -> None:
    """What is only good to know goes nowhere."""
    site.configure(CHANNELS)
    assert site.route("web-01", "cpu_usage", "warning")["channels"] == ["chat", "pager"]
    assert site.route("web-01", "cpu_usage", "info")["channels"] == []


def test_what_makes_the_answer_doubtful_is_said(site: RoutesSite) -> None:
    """A server, a rule or rules files that are not there as they were thought to be."""
    for server, rule, words in (
        ("web-9", "cpu_usage", "no server 'web-9' is registered"),
        ("web-01", "cpu", "there is no rule 'cpu' in force"),
        ("web-02", "cpu_usage", "rule 'cpu_usage' is switched off there"),
    ):
        (note,) = site.route(server, rule, "warning")["notes"]
        assert words in note
    assert site.run("servers disable db-01").exit_code == 0
    assert "is disabled" in site.route("db-01", "cpu_usage", "warning")["notes"][0]
    site.rules.write_text("rules: 5")
    assert "the rules files are wrong" in site.route("web-01", "cpu_usage", "warning")["notes"][0]
    assert site.run("routes test --server web-01 --rule cpu_usage --severity bad").exit_code == 2


def test_the_message_of_a_rule_is_sent_by_its_route_as_a_test(site: RoutesSite) -> None:
    """Each channel's answer is said; one that fails does not keep it from the others."""
    site.rules.write_text(RULES.replace("warning: {above: 80}", "critical: {above: 80}"))
    of = "routes test --server web-01 --rule cpu_usage --severity"
    result = site.run(f"{of} critical --send")
    assert str(result.exception) == "1 of 2 channels did not take the test"
    assert "channel chat: took the test message" in result.stdout
    assert "channel pager: did not take the test: channels.pager.url_file: " in result.stdout
    (post,) = site.receiver.await_posts(1)
    text = post.payload["text"]
    assert "prod-eu · TEST · cpu_usage on web-01, core total: cpu usage_percent is 80.8" in text
    assert "This is a test, sent by command line (" in text
    assert "alerts ack" not in str(post.payload)  # there is nothing to acknowledge
    assert site.run(f"{of} warning --send").exit_code == 2  # the rule never makes that
    assert len(site.receiver.posts) == 1
    assert site.run(f"{of} critical").exit_code == 0  # without --send nothing is sent
    assert len(site.receiver.posts) == 1


def test_a_channel_is_tried_whatever_is_wrong_with_others(site: RoutesSite) -> None:
    """The message says that it is a test and who sent it."""
    result = site.run("channels test chat")
    assert (result.exit_code, result.stdout[:31]) == (0, "channel chat took the test mess")
    (post,) = site.receiver.await_posts(1)
    assert "example · TEST · " in post.payload["text"]
    assert "Sent by command line (" in post.payload["text"]


def test_a_channel_that_refuses_is_an_error_with_its_reason(site: RoutesSite) -> None:
    """Once, without trying again; the address is in no text."""
    site.receiver.answers.append(Answer(404, "no_service"))
    result = site.run("channels test chat")
    assert isinstance(result.exception, ChannelError)
    assert str(result.exception).startswith("channel chat: ")
    assert "404" in str(result.exception)
    assert "SECRET-xyz" not in result.output + str(result.exception)
    assert len(site.receiver.posts) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("pager", "channels.pager.url_file: "), ("mail", "there is no channel 'mail'; in the")],
)
def test_a_channel_that_cannot_be_opened_is_named(site: RoutesSite, name: str, words: str) -> None:
    """With the key of the configuration, or the names that there are."""
    result = site.run(f"channels test {name}")
    assert isinstance(result.exception, ConfigError)
    assert str(result.exception).startswith(words)


@pytest.mark.parametrize(
    ("settings", "key"),
    [
        ('from = "hostpulse at example"\nto = ["ops@example.org"]', "from"),
        ('from = "hp@example.org"\nto = []', "to"),
        ('from = "hp@example.org"\nto = ["a@b.org"]\nusername = "hp"', "password_file"),
    ],
)
def test_check_finds_what_the_engine_would_stumble_over(
    site: RoutesSite, settings: str, key: str
) -> None:
    """Before it is installed; secrets are not looked at."""
    assert site.run("check").exit_code == 0
    site.configure(f'[channels.mail]\nkind = "email"\nhost = "mail.example.org"\n{settings}\n')
    result = site.run("check")
    assert isinstance(result.exception, ConfigError)
    assert f"server.toml: channels.mail.{key}: " in str(result.exception)
