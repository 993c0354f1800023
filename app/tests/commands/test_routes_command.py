"""``routes test`` and ``channels test``: who would be told, and whether they can be."""

from __future__ import annotations

import json
import shlex
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner, Result
from tests.support.slack_receiver import Answer, SlackReceiver

from hostpulse_server import state
from hostpulse_server.cli import root
from hostpulse_server.errors import ConfigError, HostpulseError
from hostpulse_server.notifications.channels import ChannelError
from hostpulse_server.registry import Registry
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

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


class Site:
    """A configuration with a receiver behind the channel ``chat``."""

    def __init__(self, folder: Path, receiver: SlackReceiver) -> None:
        self.folder = folder
        self.receiver = receiver
        self.rules = folder / "rules.yml"
        self.rules.write_text(RULES)
        url = folder / "chat_url"
        url.write_text(receiver.url)
        url.chmod(0o600)
        self.configure(CHANNELS + ROUTES)

    def configure(self, text: str) -> None:
        """Write the configuration."""
        head = f'data_dir = "{self.folder}"\n[site]\nname = "example"\n'
        alerts = f'[alerts]\nrules = ["{self.rules}"]\n'
        (self.folder / "server.toml").write_text(head + alerts + text)

    def __call__(self, line: str) -> Result:
        """Run a command; an expected error is in ``exception``."""
        config = ["--config", str(self.folder / "server.toml")]
        result = CliRunner().invoke(root, [*shlex.split(line), *config])
        if result.exception and not isinstance(result.exception, HostpulseError | SystemExit):
            raise result.exception
        return result

    def route(self, server: str, rule: str, severity: str) -> dict[str, Any]:
        """Return what ``routes test`` says as JSON."""
        of = f"--server '{server}' --rule {rule} --severity {severity}"
        result = self(f"routes test {of} --json")
        assert result.exit_code == 0, result.output
        found: dict[str, Any] = json.loads(result.stdout)
        return found


@pytest.fixture(scope="module")
def made_state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a database with three servers, to be copied."""
    path = tmp_path_factory.mktemp("made") / "state.db"
    engine = state.open_engine(f"sqlite:///{path}")
    state.upgrade(engine)
    registry = Registry(engine)
    registry.add({"id": "web-01", "labels": {"env": "prod-eu"}})
    registry.add({"id": "web-02", "labels": {"env": "test"}})
    registry.add({"id": "db-01"})
    engine.dispose()
    return path


@pytest.fixture
def site(tmp_path: Path, made_state: Path) -> Iterator[Site]:
    """Return a site with three servers."""
    before = set(redact._known)
    shutil.copy(made_state, tmp_path / "state.db")
    with SlackReceiver() as receiver:
        yield Site(tmp_path, receiver)
    redact._known.clear()
    redact._known.update(before)


def test_the_first_route_that_matches_says_who_is_told(site: Site) -> None:
    """By the labels of the server in the registry and those of the rule; [] is nobody."""
    assert site.route("web-01", "cpu_usage", "critical")["channels"] == ["pager", "chat"]
    assert site.route("web-01", "cpu_usage", "warning")["channels"] == ["chat"]
    assert site.route("db-01", "cpu_usage", "critical")["channels"] == []
    found = site.route("db-01", "backup_age", "critical")
    assert (found["route"], found["channels"]) == (2, [])
    assert found["refusals"][0]["because"]["env"] == {"glob": "prod*", "value": None}


def test_people_read_why(site: Site) -> None:
    """Each route before is named with what did not fit."""
    result = site("routes test --server db-01 --rule cpu_usage --severity critical")
    assert result.stdout.splitlines() == [
        "told: nobody",
        "because: no route matches",
        "not by route 1: env=prod*, and there is no env",
        "not by route 2: rule=backup_* does not match cpu_usage",
        "not by route 3: team=web does not match data",
        "labels: team=data",
    ]


def test_without_routes_every_channel_has_warnings_and_above(site: Site) -> None:
    """What is only good to know goes nowhere."""
    site.configure(CHANNELS)
    assert site.route("web-01", "cpu_usage", "warning")["channels"] == ["chat", "pager"]
    assert site.route("web-01", "cpu_usage", "info")["channels"] == []


def test_what_makes_the_answer_doubtful_is_said(site: Site) -> None:
    """A server, a rule or rules files that are not there as they were thought to be."""
    for server, rule, words in (
        ("web-9", "cpu_usage", "no server 'web-9' is registered"),
        ("web-01", "cpu", "there is no rule 'cpu' in force"),
        ("web-02", "cpu_usage", "rule 'cpu_usage' is switched off there"),
    ):
        (note,) = site.route(server, rule, "warning")["notes"]
        assert words in note
    assert site("servers disable db-01").exit_code == 0
    assert "is disabled" in site.route("db-01", "cpu_usage", "warning")["notes"][0]
    site.rules.write_text("rules: 5")
    assert "the rules files are wrong" in site.route("web-01", "cpu_usage", "warning")["notes"][0]
    assert site("routes test --server web-01 --rule cpu_usage --severity bad").exit_code == 2


def test_a_channel_is_tried_whatever_is_wrong_with_others(site: Site) -> None:
    """The message says that it is a test and who sent it."""
    result = site("channels test chat")
    assert (result.exit_code, result.stdout[:31]) == (0, "channel chat took the test mess")
    (post,) = site.receiver.await_posts(1)
    assert "example · TEST · " in post.payload["text"]
    assert "Sent by command line (" in post.payload["text"]


def test_a_channel_that_refuses_is_an_error_with_its_reason(site: Site) -> None:
    """Once, without trying again; the address is in no text."""
    site.receiver.answers.append(Answer(404, "no_service"))
    result = site("channels test chat")
    assert isinstance(result.exception, ChannelError)
    assert str(result.exception).startswith("channel chat: ")
    assert "404" in str(result.exception)
    assert "SECRET-xyz" not in result.output + str(result.exception)
    assert len(site.receiver.posts) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [("pager", "channels.pager.url_file: "), ("mail", "there is no channel 'mail'; in the")],
)
def test_a_channel_that_cannot_be_opened_is_named(site: Site, name: str, words: str) -> None:
    """With the key of the configuration, or the names that there are."""
    result = site(f"channels test {name}")
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
    site: Site, settings: str, key: str
) -> None:
    """Before it is installed; secrets are not looked at."""
    assert site("check").exit_code == 0
    site.configure(f'[channels.mail]\nkind = "email"\nhost = "mail.example.org"\n{settings}\n')
    result = site("check")
    assert isinstance(result.exception, ConfigError)
    assert f"server.toml: channels.mail.{key}: " in str(result.exception)
