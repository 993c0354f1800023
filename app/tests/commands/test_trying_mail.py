"""``channels test`` of mail, on a relay that is real."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from tests.support.mail_server import MailServer

from hostpulse_server.cli import root
from hostpulse_server.errors import HostpulseError
from hostpulse_server.notifications.channels import ChannelError
from hostpulse_server.runtime import redact

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def relay() -> Iterator[MailServer]:
    """Give a relay of the host itself that knows one account."""
    before = set(redact._known)
    with MailServer(accounts={"ops": "right horse"}) as made:
        yield made
    redact._known.clear()
    redact._known.update(before)


def attempt(folder: Path, port: int, *, is_right: bool = True) -> Result:
    """Try the channel ``mail``, with the right password or another."""
    (folder / "smtp_password").touch(0o600)
    (folder / "smtp_password").write_text("right horse" if is_right else "wrong horse")
    (folder / "server.toml").write_text(
        f'data_dir = "{folder}"\n[site]\nname = "example"\n[channels.mail]\nkind = "email"\n'
        f'host = "127.0.0.1"\nport = {port}\nsecurity = "none"\nfrom = "hostpulse@example.org"\n'
        'to = ["ops@example.org"]\nusername = "ops"\npassword_file = "smtp_password"\n'
    )
    line = shlex.split(f"--config {folder / 'server.toml'} channels test mail")
    result = CliRunner().invoke(root, line)
    if result.exception and not isinstance(result.exception, HostpulseError):
        raise result.exception
    return result


def test_a_test_message_arrives_by_mail(tmp_path: Path, relay: MailServer) -> None:
    """It says that it is one, and asks for nothing; it is no part of an incident's thread."""
    result = attempt(tmp_path, relay.port)
    assert (result.exit_code, result.stdout[:23]) == (0, "channel mail took the t")
    (received,) = relay.await_mail(1)
    assert received.login == "ops"
    assert received.message["Subject"] == "[example] TEST: a test message from hostpulse of example"
    assert received.message["References"] is None
    assert "Nothing is wrong, nothing is to be done." in " ".join(received.part("plain").split())
    assert "Acknowledge" not in received.part("html")


@pytest.mark.parametrize(
    ("step", "words"),
    [
        ("login", "refuses the login of ops (535 "),
        ("ops@example.org", "nobody can be reached: ops@example.org: 550 No such user"),
        ("DATA", "refuses the message (550 No such user)"),
        ("port", "Connection refused"),
    ],
)
def test_what_a_relay_refuses_is_said_with_its_words(
    tmp_path: Path, relay: MailServer, step: str, words: str
) -> None:
    """And no password."""
    relay.answers[step] = "550 No such user"
    port = 1 if step == "port" else relay.port
    result = attempt(tmp_path, port, is_right=step != "login")
    assert isinstance(result.exception, ChannelError)
    assert str(result.exception).startswith("channel mail: ")
    assert words in str(result.exception)
    assert " horse" not in result.output + str(result.exception)
    assert not relay.received
