"""Channels from a configuration: faults name channel and key, secrets stay secret."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from app.tests.channels.conftest import FIRING
from tests.support.mail_server import MailServer

from hostpulse_server.config import load
from hostpulse_server.errors import ConfigError
from hostpulse_server.notifications.channels.email import Email
from hostpulse_server.notifications.channels.factory import fault_of_url, helo_name, open_channels
from hostpulse_server.notifications.channels.slack import Slack
from hostpulse_server.notifications.channels.webhook import Webhook

if TYPE_CHECKING:
    from pathlib import Path

    from agent.tests.conftest import Authority

    from hostpulse_server.config import ServerConfig

SLACK = '[channels.chat]\nkind = "slack"\nwebhook_url_file = "chat_url"\n'
PAGER = '[channels.pager]\nkind = "webhook"\nurl_file = "pager_url"\n'
MAIL = (
    '[channels.mail]\nkind = "email"\nhost = "smtp.example.org"\n'
    'from = "Hostpulse <hostpulse@example.org>"\nto = ["ops@example.org"]\n'
)
LOGIN = 'username = "u"\npassword_file = "smtp_password"\n'
URL = "https://hooks.example.org/services/T0/B0/verysecretverysecret"


def configuration(folder: Path, text: str, **secrets: str) -> ServerConfig:
    """Return a configuration with its secrets beside it."""
    path = folder / "server.toml"
    path.write_text(f'data_dir = "{folder}"\n{text}')
    for name, secret in secrets.items():
        (folder / name).touch(0o600)
        (folder / name).write_text(secret)
    return load(path, {})


def test_channels_come_in_the_order_of_the_configuration(tmp_path: Path) -> None:
    """The first other one is the fallback, so order counts."""
    config = configuration(
        tmp_path, PAGER + MAIL + LOGIN + SLACK, pager_url=URL, chat_url=URL, smtp_password="secret"
    )
    channels = open_channels(config)
    assert list(channels) == ["pager", "mail", "chat"]
    assert [type(one) for one in channels.values()] == [Webhook, Email, Slack]


def test_all_faults_are_told_at_once_with_channel_and_key(tmp_path: Path) -> None:
    """One a line."""
    config = configuration(tmp_path, SLACK + PAGER + MAIL + LOGIN, chat_url="http://x.example/")
    with pytest.raises(ConfigError) as caught:
        open_channels(config)
    lines = str(caught.value).splitlines()
    assert [line.partition(": ")[0] for line in lines] == [
        "channels.chat.webhook_url_file",
        "channels.pager.url_file",
        "channels.mail.password_file",
    ]
    assert "https" in lines[0]
    assert "pager_url" in lines[1]


def test_a_secret_that_others_can_read_names_the_channel(tmp_path: Path) -> None:
    """The fix is told, too."""
    config = configuration(tmp_path, SLACK, chat_url=URL)
    (tmp_path / "chat_url").chmod(0o644)
    with pytest.raises(ConfigError, match=r"channels\.chat\.webhook_url_file: .*chmod 600"):
        open_channels(config)


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.org/x",
        "ftp://hooks.example.org/x",
        "file:///etc/passwd",
        "hooks.example.org/x",
        "https://",
        "https:///path",
        "https://user:secretsecret@hooks.example.org/x",
        "https://user@hooks.example.org/x",
        "https://hooks.example.org:99999/x",
        "https://hooks.example.org:abc/x",
        "https://[::1/x",
        "https://hooks.example.org/a b",
        "https://hooks.example.org/a\nhttps://two.example/",
        "https://hooks.examplé.org/x",
    ],
)
def test_addresses_that_cannot_be_used_are_refused_and_not_shown(url: str) -> None:
    """What is in a secret file is no matter for a terminal, however wrong."""
    fault = fault_of_url(url, allow_private=False)
    assert fault
    assert "hooks" not in fault
    assert "secretsecret" not in fault


@pytest.mark.parametrize("url", ["http://10.0.0.7:8080/hook", "http://u:p@relay.internal/x"])
def test_allow_private_takes_http_and_a_login(url: str) -> None:
    """For relays of one's own."""
    assert fault_of_url(url, allow_private=False)
    assert not fault_of_url(url, allow_private=True)


@pytest.mark.parametrize(
    ("more", "key"),
    [
        ('username = "u"\n', "password_file"),
        ('password_file = "smtp_password"\n', "username"),
    ],
)
def test_half_a_login_is_a_fault(tmp_path: Path, more: str, key: str) -> None:
    """A name without a password and the other way round."""
    config = configuration(tmp_path, MAIL + more, smtp_password="secret")
    with pytest.raises(ConfigError, match=rf"channels\.mail\.{key}"):
        open_channels(config)


@pytest.mark.parametrize(
    "address", ["", "ops", "@example.org", "a@b@", "a b@example.org", "a@example.org\\nBcc: x@y.z"]
)
def test_a_mail_address_that_is_none_is_a_fault(tmp_path: Path, address: str) -> None:
    """Also one that would make a header of its own."""
    text = MAIL.replace('"ops@example.org"', f'"good@example.org", "{address}"')
    with pytest.raises(ConfigError, match=r"channels\.mail\.to"):
        open_channels(configuration(tmp_path, text))


def test_mail_for_nobody_is_a_fault(tmp_path: Path) -> None:
    """An empty list."""
    with pytest.raises(ConfigError, match=r"channels\.mail\.to"):
        open_channels(configuration(tmp_path, MAIL.replace('"ops@example.org"', "")))


@pytest.mark.parametrize(
    ("public_url", "own", "helo"),
    [
        ("https://monitor.example.org:8443", "x", "monitor.example.org"),
        ("https://192.0.2.7", "x", "[192.0.2.7]"),
        ("https://[2001:db8::7]:8443", "x", "[IPv6:2001:db8::7]"),
        ("https://monitor:8443", "web.example.org", "web.example.org"),
        ("", "web.example.org", "web.example.org"),
        ("http://127.0.0.1:8080", "localhost.localdomain", "hostpulse.invalid"),
        ("http://localhost:8080", "localhost", "hostpulse.invalid"),
    ],
)
def test_a_relay_is_never_greeted_as_localhost(public_url: str, own: str, helo: str) -> None:
    """By the public address of the site, else by the machine's own name."""
    assert helo_name(public_url, lambda: own) == helo


def test_a_relay_is_greeted_and_trusted_as_the_configuration_says(
    tmp_path: Path, authority: Authority
) -> None:
    """By a name of its own and by the authorities of its own file."""
    with MailServer(authority.server_context(), is_tls=True) as relay:
        text = MAIL.replace("smtp.example.org", "127.0.0.1") + (
            f'port = {relay.port}\nsecurity = "tls"\nca_file = "{authority.ca_file}"\n'
            '[site]\npublic_url = "https://monitor.example.org"\n'
        )
        for more in ("", 'helo = "mta.example.org"\n'):
            config = configuration(tmp_path, text.replace("port =", f"{more}port ="))
            open_channels(config)["mail"].send(FIRING, message_id="m-1")
        names = [one.helo for one in relay.await_mail(2)]
    assert names == ["monitor.example.org", "mta.example.org"]


def test_authorities_that_cannot_be_used_are_a_fault(tmp_path: Path) -> None:
    """Missing, and no certificate; for every kind."""
    secret = {"chat_url": URL, "pager_url": URL}
    (tmp_path / "text.pem").write_text("no certificate")
    for file, why in ((tmp_path / "none.pem", "No such file"), (tmp_path / "text.pem", "PEM")):
        for kind in (SLACK, PAGER, MAIL):
            config = configuration(tmp_path, f'{kind}ca_file = "{file}"\n', **secret)
            with pytest.raises(ConfigError, match=rf"channels\.\w+\.ca_file: .*{why}"):
                open_channels(config)


@pytest.mark.parametrize("name", ["a b", "x\\r\\nMAIL FROM:<a@b>", "ü.example.org"])
def test_a_name_that_would_be_more_than_one_is_a_fault(tmp_path: Path, name: str) -> None:
    """It goes into a command of SMTP."""
    with pytest.raises(ConfigError, match="helo"):
        configuration(tmp_path, MAIL + f'helo = "{name}"\n')


def test_a_login_of_a_proxy_is_a_secret(tmp_path: Path) -> None:
    """It is in a file; faults never show it."""
    for more, secret in (
        ('proxy_url = "http://u:hush4711@proxy:3128"\n', "x"),
        ('proxy_url_file = "proxy"\n', "socks5://u:hush4711@proxy"),
        ('proxy_url = "http://proxy"\nproxy_url_file = "proxy"\n', "http://u:hush4711@proxy"),
    ):
        config = configuration(tmp_path, SLACK + more, chat_url=URL, proxy=secret)
        with pytest.raises(ConfigError, match=r"channels\.chat\.proxy_url") as caught:
            open_channels(config)
        assert "hush4711" not in str(caught.value)
    text = SLACK + 'proxy_url_file = "proxy"\n'
    open_channels(configuration(tmp_path, text, chat_url=URL, proxy="http://u:hush4711@proxy:3128"))
